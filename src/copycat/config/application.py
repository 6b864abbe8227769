"""Run `copycat train`: one run by our own composition; sweeps, information flags and tab completion by Hydra."""

import os
import sys
from argparse import Action, ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from copycat.config.compose import Request, check_overrides, check_single_run, compose, quote_overrides
from copycat.config.flags import parse_flags
from copycat.config.own_modules import allow_own_modules
from copycat.config.places import CONF, MAIN
from copycat.config.suggestions import quote_value
from copycat.config.sweep_composition import SweepRequest, compose_sweep

COMMANDS_WITH_OVERRIDES = ("train", "inspect")
Task = Callable[[Request], None]
Trial = Callable[[DictConfig], float | None]
"""Run one trial of a sweep, in any process, and return the objective's value."""


def launch(
    words: Sequence[str], *, task: Task, trial: Trial, begin: Callable[[SweepRequest], Path | None]
) -> Path | None:
    """Run the task once, or each trial of a sweep under -m; return the folder of the sweep, None for a single run.

    Args:
        words: arguments of the command line, flags and overrides in any order.
        task: trains one run.
        trial: trains one trial of a sweep.
        begin: makes the folder of a validated sweep; returns None where no trial remains.

    Raises:
        UserError: for an invalid argument, before anything is written.
    """
    arguments, flags, overrides = parse_flags(words)
    if arguments.help or arguments.hydra_help:
        _ask_hydra(flags)
        return None
    lines = quote_overrides(overrides)
    if arguments.multirun:
        return launch_sweep(lines, trial=trial, begin=begin)
    if arguments.cfg or arguments.info:  # an incomplete configuration may be shown
        check_overrides(lines)
        _ask_hydra([*flags, *lines])
        return None
    request = compose(lines)
    check_single_run(request)
    allow_own_modules(request.config)
    task(request)
    return None


def launch_sweep(lines: Sequence[str], *, trial: Trial, begin: Callable[[SweepRequest], Path | None]) -> Path | None:
    """Run each trial of a sweep, of overrides in Hydra's grammar, and return its folder; the rest as for `launch`."""
    if (folder := begin(compose_sweep(lines))) is None:
        return None
    words = [*lines, f"hydra.sweep.dir={quote_path(folder)}", "hydra.mode=MULTIRUN"]
    # as hydra.main does under --multirun, without composing the configuration once more
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF), job_name="train"), _command_line(["copycat"]):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        hydra.multirun(config_name=MAIN, task_function=trial, overrides=words)
    return folder


def quote_path(path: Path) -> str:
    """Return a path as a quoted value in Hydra's grammar."""
    return quote_value(str(path))


def complete(words: Sequence[str], *, commands: Sequence[str]) -> None:
    """Answer a shell's request, one of install=SHELL, uninstall=SHELL and query=SHELL, as Hydra does."""
    line = os.environ.get("COMP_LINE", "").split(" ")
    if words[-1].startswith("query="):
        if len(line) <= 2:
            print(" ".join(command for command in commands if command.startswith(line[-1])))
            return
        if line[1] not in COMMANDS_WITH_OVERRIDES:
            return
        os.environ["COMP_LINE"] = " ".join([line[0], *line[2:]])  # Hydra knows no subcommands
    argv, sys.argv = sys.argv, ["copycat", *words]
    try:
        _run_hydra()  # which prints its errors here, as they list the shells that it knows
    finally:
        sys.argv = argv


def _ask_hydra(words: Sequence[str]) -> None:
    """Have Hydra answer --help, --cfg and --info, which run no task."""
    with _command_line(["copycat", *words]):
        _run_hydra()


def _run_hydra() -> None:
    with _help_as_text():
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=MAIN)(lambda _: None)()


@contextmanager
def _help_as_text() -> Iterator[None]:
    """Turn the help of Hydra's options into text: one is an object, which argparse refuses since Python 3.14."""
    parser_class: Any = ArgumentParser
    if (check := getattr(parser_class, "_check_help", None)) is None:
        yield
        return

    def check_text(parser: ArgumentParser, action: Action) -> None:
        action.help = action.help and str(action.help)
        check(parser, action)

    parser_class._check_help = check_text
    try:
        yield
    finally:
        parser_class._check_help = check


@contextmanager
def _command_line(words: list[str]) -> Iterator[None]:
    """Set sys.argv, where Hydra reads its arguments, and have Hydra raise errors instead of printing them."""
    argv, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = words, "1"
    try:
        yield
    finally:
        sys.argv = argv
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full
