"""`copycat train`: train a network, or each trial of a sweep."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from copycat.cli.exit_status import DONE, FAILED
from copycat.cli.imports import defer_garbage_collection
from copycat.cli.messages import print_outcome, print_progress
from copycat.config.errors import UserError
from copycat.config.suggestions import one_of
from copycat.config.worlds import count_started
from copycat.data.sources.root import check_image_folder, check_typed_root

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from copycat.config.compose import Request
    from copycat.config.sweep_composition import SweepRequest

MAX_TRIALS_PRINTED = 20
MULTIRUN = ("-m", "--multirun")


def run(words: Sequence[str]) -> int:
    """Train a network, or under -m each trial of a sweep."""
    ranks = count_started()
    if ranks > 1 and any(word in MULTIRUN for word in words):
        raise UserError(
            f"-m: expected a start of one process; got {ranks}, by torchrun or srun. Type copycat train -m …"
            " trainer=ddp trainer.devices=N, which starts the ranks of each trial."
        )
    if ranks == 1 and not any(word.startswith("-") and word not in MULTIRUN for word in words):
        check_typed_root(words)
    with defer_garbage_collection():
        from copycat.config.application import launch

    statuses: list[str] = []

    def train_once(request: "Request") -> None:
        statuses.append(_train(request))

    sweep = launch(words, task=train_once, trial=_run_trial, begin=_begin_sweep)
    if sweep is not None:
        statuses.append(_print_sweep(sweep))
    return DONE if {"failed", "stopped"}.isdisjoint(statuses) else FAILED


def run_sweep(words: Sequence[str]) -> Path | None:
    """Run a sweep of these words, without -m, and return its folder."""
    with defer_garbage_collection():
        from copycat.config.application import launch

    return launch(["-m", *words], task=lambda _: None, trial=_run_trial, begin=_begin_sweep)


def _train(request: "Request") -> str:
    """Train one run and return its status."""
    if count_started() == 1:  # ranks check their data together, once they have met
        check_image_folder(request.config)
    with defer_garbage_collection():
        from copycat.training.summary import PrintedLosses
        from copycat.training.train import train

    outcome = train(request, extra_loggers=[PrintedLosses(request.config["print_losses"])])
    max_epochs = request.config["trainer"].get("max_epochs")
    print_outcome(outcome, root=Path(request.config["output_dir"]), max_epochs=max_epochs)
    return outcome.status


def _begin_sweep(request: "SweepRequest") -> Path:
    """Check the sweep's first trial, make its folder and return it."""
    check_image_folder(request.first.config)
    over = "the portfolio" if "candidates" in request.sweeper else ", ".join(request.space.axes) or "no key"
    print_progress(f"checking the sweep over {over}")  # imports take seconds
    if request.repeated:
        print_progress(f"{one_of(request.repeated, most=4)}: named twice, so its configuration trains twice")
    with defer_garbage_collection():
        from copycat.sweeps.start import start_sweep

    return start_sweep(request)


def _run_trial(config: "DictConfig") -> float | None:
    from copycat.sweeps.launchers.trial import run_trial

    return run_trial(config)


def _print_sweep(folder: Path) -> str:
    """Print the sweep's table and what to type next, and return its status; `failed` where a trial cannot be read."""
    from copycat.sweeps.sweep_file import read_sweep
    from copycat.sweeps.sweeper import read_ended_trials
    from copycat.sweeps.table import print_sweep
    from copycat.training.summary import next_commands

    are_readable = print_sweep(folder, max_rows=MAX_TRIALS_PRINTED)
    print(next_commands(folder))
    if not are_readable:
        return "failed"
    sweep = read_sweep(folder)
    if sweep.is_out_of_time:  # as asked: its trials alone may have failed
        return "failed" if any(trial.status == "failed" for trial in read_ended_trials(folder)) else "completed"
    return sweep.status
