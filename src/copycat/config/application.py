"""Hands the words of `copycat train` to Hydra, all of its grammar and flags included."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from copycat.config.compose import Request, check_trials, compose, resolved
from copycat.config.errors import UserError
from copycat.config.hints import did_you_mean
from copycat.config.places import CONF, MAIN

Task = Callable[[Request, Path | None], float | None]
"""Runs one request, in the folder given where it is a trial of a sweep; returns what a sweeper may optimise."""


def launch(words: Sequence[str], *, task: Task, sweep_folder: Callable[[Request], Path]) -> None:
    """Run the task once, or under -m once for each trial.

    Args:
        sweep_folder: makes the folder of a sweep, once its words are found right.

    Raises:
        UserError: for a mistake in the words, before anything is made.
    """
    parser = get_args_parser()
    asked, unknown = parser.parse_known_args(list(words))
    if unknown:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        raise UserError(f"{unknown[0]}: no such flag.{did_you_mean(unknown[0], flags)}")
    only_asks = asked.help or asked.hydra_help or asked.cfg or asked.info or asked.shell_completion
    line = list(words)
    if not only_asks:
        if asked.multirun:
            check_trials(asked.overrides)
            if not any(word.startswith("hydra.sweep.dir=") for word in asked.overrides):
                line.append(f"hydra.sweep.dir='{sweep_folder(_sweep_request(asked.overrides))}'")
        else:
            compose(asked.overrides)
    _run_hydra(line, task)


def _sweep_request(overrides: Sequence[str]) -> Request:
    names = [word.partition("=")[2] for word in overrides if word.startswith("experiment=")]
    single = bool(names) and not set(names[-1]) & set(",(")
    return Request(config={}, experiment=names[-1] if single else "sweep", overrides=list(overrides))


def _run_hydra(words: Sequence[str], task: Task) -> None:
    failures: list[Exception] = []

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name=MAIN)
    def run(config: DictConfig) -> float | None:
        running = HydraConfig.get()
        experiment = running.runtime.choices.get("experiment") or "default"
        folder = Path(running.runtime.output_dir) if running.mode == RunMode.MULTIRUN else None
        request = Request(config=resolved(config), experiment=str(experiment), overrides=list(running.overrides.task))
        try:
            return task(request, folder)
        except Exception as error:  # Hydra would print it in a way of its own, and exit
            failures.append(error)
            return None

    argv, sys.argv = sys.argv, ["copycat", *words]
    try:
        run()
    finally:
        sys.argv = argv
    if failures:
        raise failures[0]
