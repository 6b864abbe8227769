"""Hands the words of `copycat train` to Hydra, its grammar and sweeps included."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from copycat.config.compose import Request, as_hydra_reads, check_trials, check_words, compose, resolved
from copycat.config.errors import UserError
from copycat.config.flags import parse_flags
from copycat.config.hints import first_line
from copycat.config.places import CONF, MAIN
from copycat.config.rules import check

Task = Callable[[Request, Path | None], float | None]
"""Runs one request, in the folder given where it is a trial of a sweep; returns what a sweeper may optimise."""


def launch(words: Sequence[str], *, task: Task, sweep_folder: Callable[[Request], Path]) -> int:
    """Run the task once, or under -m once for each trial.

    Args:
        sweep_folder: makes the folder of a sweep, once its words are found right; takes the first trial.

    Returns:
        How many trials raised an error. A single run raises it.

    Raises:
        UserError: for a mistake in the words, before anything is made.
    """
    asked, flags, overrides = parse_flags(words)
    if asked.help or asked.hydra_help:
        return _run_hydra(flags, task, experiment="default")
    lines, experiment = as_hydra_reads(overrides)
    if asked.cfg or asked.info:  # a configuration that is not whole yet may be looked at
        check_words(lines)
    elif asked.multirun:
        config = check_trials(lines)
        named = "sweep" if experiment == "default" else experiment
        request = Request(config=config, experiment=named, overrides=lines)
        folder = str(sweep_folder(request)).replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"hydra.sweep.dir='{folder}'")
    else:
        compose(lines)
    return _run_hydra([*flags, *lines], task, experiment=experiment)


def _run_hydra(words: Sequence[str], task: Task, *, experiment: str) -> int:
    failures: list[Exception] = []
    failed_trials = 0
    typed = sys.argv

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name=MAIN)
    def run(config: DictConfig) -> float | None:
        running = HydraConfig.get()
        trial = running.mode == RunMode.MULTIRUN
        folder = Path(running.sweep.dir, str(running.sweep.subdir)) if trial else None
        named = str(running.runtime.choices.get("experiment") or experiment) if trial else experiment
        sys.argv = typed  # Lightning starts further processes by this line
        try:
            request = Request(config=resolved(config), experiment=named, overrides=list(running.overrides.task))
            check(request.config)
            return task(request, folder)
        except Exception as error:  # Hydra would print it in a way of its own, and exit
            if trial:  # it does not take its sweep with it
                nonlocal failed_trials
                failed_trials += 1
                kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                print(f"copycat: {folder}: {kind}{first_line(error)}", file=sys.stderr)
            else:
                failures.append(error)
            return None

    with _command_line(["copycat", *words]):
        run()
    if failures:
        raise failures[0]
    return failed_trials


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
