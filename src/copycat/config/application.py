"""Hands the words of `copycat train` to Hydra, its grammar and sweeps included."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from copycat.config.compose import Request, SweepRequest, as_hydra_reads, check_words, compose, compose_sweep
from copycat.config.flags import parse_flags
from copycat.config.own_modules import allow_own_modules
from copycat.config.places import CONF, MAIN
from copycat.config.suggestions import in_quotes

Task = Callable[[Request], None]
Trial = Callable[[DictConfig], float | None]
"""Runs one trial of a sweep, in any process; returns what a sweeper may optimise."""


def launch(
    words: Sequence[str], *, task: Task, trial: Trial, begin: Callable[[SweepRequest], Path | None]
) -> Path | None:
    """Run the task once, or under -m each trial.

    Args:
        begin: makes the folder of a sweep, once its words are found right; None where nothing is left to do.

    Returns:
        The folder of the sweep.

    Raises:
        UserError: for a mistake in the words, before anything is made.
    """
    asked, flags, overrides = parse_flags(words)
    if asked.help or asked.hydra_help:
        _run_hydra(flags, _nothing)
        return None
    lines = as_hydra_reads(overrides)
    if asked.cfg or asked.info:  # a configuration that is not whole yet may be looked at
        check_words(lines)
    elif asked.multirun:
        folder = begin(compose_sweep(lines))
        if folder is not None:
            _multirun([*lines, f"hydra.sweep.dir={quoted(folder)}"], trial)
        return folder
    else:
        request = compose(lines)
        allow_own_modules(request.config)
        task(request)
        return None
    _run_hydra([*flags, *lines], _nothing)
    return None


def _nothing(config: DictConfig) -> None:
    """For what Hydra answers by itself."""


def quoted(path: Path) -> str:
    """A path as a value in Hydra's grammar."""
    return in_quotes(str(path))


def _multirun(overrides: Sequence[str], trial: Trial) -> None:
    """What hydra.main does under --multirun, which first composes the sweep once more, to see whether it is one."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF), job_name="train"), _command_line(["copycat"]):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        hydra.multirun(config_name=MAIN, task_function=trial, overrides=[*overrides, "hydra.mode=MULTIRUN"])


def _run_hydra(words: Sequence[str], task: Callable[[DictConfig], object]) -> None:
    typed = sys.argv
    run = hydra.main(version_base="1.3", config_path=str(CONF), config_name=MAIN)(task)
    with _command_line(["copycat", *words]):
        run()
    assert sys.argv == typed


@contextmanager
def _command_line(words: list[str]) -> Iterator[None]:
    """Where Hydra reads its words; its errors are raised rather than printed, so that they end as one line."""
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
