"""Open an Optuna study, and make its samplers and pruners."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study
from optuna.trial import FrozenTrial

from copycat.config.errors import UserError
from copycat.config.extras import need
from copycat.config.targets import build, find, signature_keys
from copycat.data.streams import key
from copycat.sweeps.search.storage import open_storage
from copycat.sweeps.sweep_file import read_sweep
from copycat.tables.statistics import Direction
from copycat.training.stopping import Judge

OWNER = "sweep"
"""User attribute of a trial: id of the sweep that runs it."""
VIOLATIONS = "violations"
"""User attribute of a trial: violation of each constraint."""
ORPHANED = 60.0
"""Seconds after which a sweep takes over a trial without an owner in a shared study."""
NEEDS_SCIPY = ("GPSampler", "QMCSampler", "WilcoxonPruner")
"""Optuna's classes that need SciPy, and import it only after the first trials."""

optuna.logging.set_verbosity(optuna.logging.ERROR)
log = logging.getLogger(__name__)


def open_study(sweeper: Mapping[str, Any], folder: Path, *, directions: Sequence[Direction]) -> Study:
    """Open the sweep's study, or create it.

    Raises:
        UserError: if the study has other directions.
    """
    storage = open_storage(sweeper["storage"], folder)
    name = read_sweep(folder).study
    study = optuna.create_study(study_name=name, storage=storage, directions=list(directions), load_if_exists=True)
    found = [direction.name.lower() for direction in study.directions]
    if found != list(directions):
        raise UserError(
            f"hydra.sweeper.study_name: expected a study that would {', '.join(directions)}; {name} would"
            f" {', '.join(found)}. Give another name."
        )
    return study


def make_sampler(sweeper: Mapping[str, Any], *, number: int, constrained: bool, parameter: str = "") -> Any:
    """Make the sampler of one trial or of one of its parameters, seeded by both, so that a resume repeats proposals.

    Raises:
        UserError: if it cannot be made.
    """
    node = dict(sweeper["sampler"])
    takes = signature_keys(find("hydra.sweeper.sampler", node["_target_"]))
    chosen = sweeper["seed"] if node.get("seed") is None else node["seed"]
    seed = key("sampler", chosen, number, *([parameter] if parameter else [])) % 2**31
    more: dict[str, Any] = {}
    if "qmc_type" in takes:  # quasi-random: one sequence for all trials, with the unchanged seed
        more["independent_sampler"] = optuna.samplers.RandomSampler(seed)
    elif "seed" in node:
        node["seed"] = seed
    if constrained:
        if "constraints_func" not in takes:
            raise UserError("sweep.constraints: expected hydra/sweeper/sampler=tpe or gp, which know of constraints.")
        more["constraints_func"] = _violations
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # conf/ chose experimental options on purpose
        return build("hydra.sweeper.sampler", node, **more)


def check_sampler_and_pruner(sweeper: Mapping[str, Any], *, constrained: bool) -> None:
    """Check that sampler and pruner can be made, before the sweep has a folder.

    Raises:
        UserError: if one of them cannot be made.
    """
    for part in ("sampler", "pruner"):
        if sweeper[part]["_target_"].rpartition(".")[2] in NEEDS_SCIPY:
            need("scipy", wanted_by=f"hydra/sweeper/{part}")
    make_sampler(sweeper, number=0, constrained=constrained)
    build("hydra.sweeper.pruner", sweeper["pruner"])


def _violations(trial: FrozenTrial) -> Sequence[float]:
    found: Sequence[float] = trial.user_attrs.get(VIOLATIONS, [])
    return found


def get_running_trial(study: Study, number: int) -> optuna.Trial:
    """Return a running trial of the study, to report to and to draw from."""
    frozen = study.get_trials(deepcopy=False)[number]
    assert frozen.number == number
    return optuna.Trial(study, frozen._trial_id)


def make_pruner(sweeper: Mapping[str, Any], folder: Path, objective: str) -> Judge:
    """Make a function that reports each validation to the study, and returns why the pruner ends the trial, or None."""
    sweep, number = folder.parent, int(folder.name)
    study = _load_study(read_sweep(sweep).study, sweeper["storage"], sweep)
    study.pruner = build("hydra.sweeper.pruner", sweeper["pruner"])
    trial = get_running_trial(study, number)

    def find_reason(epoch: int, metrics: Mapping[str, float]) -> str | None:
        if objective not in metrics:
            raise UserError(f"hydra/sweeper/pruner: expected an objective that each epoch has; {objective} is none.")
        reported = study._storage.get_trial(trial._trial_id).intermediate_values
        if epoch not in reported:
            trial.report(metrics[objective], epoch)
        if not trial.should_prune():
            return None
        return f"{objective} {metrics[objective]:.6g} after epoch {epoch}: {_class_name(sweeper['pruner'])} ended it"

    return find_reason


@cache
def _load_study(name: str | None, url: str | None, sweep: Path) -> Study:
    return optuna.load_study(study_name=name, storage=open_storage(url, sweep))


def _class_name(node: Mapping[str, Any]) -> str:
    return str(node["_target_"]).rpartition(".")[2]
