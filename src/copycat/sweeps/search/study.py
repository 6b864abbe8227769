"""Open an Optuna study, restore it from the folders of its trials, and make its samplers and pruners."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner
from optuna.samplers import QMCSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.search_space import SearchSpace
from copycat.config.targets import build_target, import_target, instantiate_target, signature_keys
from copycat.data.streams import derive_seed
from copycat.records.trial_file import Trial, read_trial
from copycat.sweeps.search.objectives import read_curve
from copycat.sweeps.search.parameters import Parameter
from copycat.sweeps.search.storage import HAS_KNOWN_PARTS, open_storage
from copycat.sweeps.sweep_file import read_sweep
from copycat.tables.statistics import Direction
from copycat.training.stopping import Pruner

_KEY = "hydra.sweeper.sampler"
OWNER = "sweep"
"""User attribute of a trial: id of the sweep that runs it."""
PRUNED_AFTER = "pruned_after"
"""User attribute of a trial: epoch after which the pruner ended it."""
PACKAGES = {"GPSampler": "scipy", "QMCSampler": "scipy", "WilcoxonPruner": "scipy", "CmaEsSampler": "cmaes"}
"""Optuna's class: an optional package that it needs, and imports only after the first trials."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_study(sweeper: Mapping[str, Any], folder: Path, *, directions: Sequence[Direction]) -> Study:
    """Open the sweep's study, or create it.

    Raises:
        UserError: if the study has other directions.
    """
    storage = open_storage(sweeper["storage"], folder)
    name = read_sweep(folder).study
    study = optuna.create_study(study_name=name, storage=storage, directions=list(directions), load_if_exists=True)
    recorded = [direction.name.lower() for direction in study.directions]
    if recorded != list(directions):
        raise UserError(
            f"hydra.sweeper.study_name: expected a study with the directions {', '.join(directions)}; {name} has"
            f" {', '.join(recorded)}. Choose another name."
        )
    return study


def restore(
    study: Study,
    folder: Path,
    space: SearchSpace,
    by_axis: Mapping[str, Parameter],
    *,
    objective: str,
    attributes: Mapping[str, Any],
    is_shared: bool,
) -> range:
    """Add the trials that have a folder and a number beyond the study's last one, as running trials; return which.

    A study lacks trials if its storage is lost, damaged or changed. Each added trial has these user attributes, and the
    values of the objective after each epoch. One without a readable record starts again; in a study that several sweeps
    share it has failed, as it may be another sweep's.
    """
    numbers = [int(place.name) for place in folder.iterdir() if place.name.isdecimal()]
    missing = range(len(study.get_trials(deepcopy=False)), max(numbers, default=-1) + 1)
    for number in missing:
        try:
            trial = read_trial(folder / str(number))
        except (OSError, ValueError):
            state = TrialState.FAIL if is_shared else TrialState.RUNNING
            study.add_trial(create_trial(state=state, user_attrs=dict(attributes)))
        else:
            rows = read_curve(folder / str(number), objective)
            study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    **_find_parameters(trial, space, by_axis),
                    user_attrs=dict(attributes),
                    intermediate_values={int(row["epoch"]): row[objective] for row in rows},
                )
            )
    return missing


def _find_parameters(trial: Trial, space: SearchSpace, by_axis: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the parameters of a recorded trial, and their distributions."""
    parameters = {parameter.name: parameter for parameter in by_axis.values()}
    drawn = {name: parameter.find_choice(trial.values, space) for name, parameter in parameters.items()}
    drawn = {name: value for name, value in drawn.items() if value is not None}
    return {"params": drawn, "distributions": {name: parameters[name].distribution for name in drawn}}


def restore_rungs(study: Study, frozen: FrozenTrial, status: str, sweeper: Mapping[str, Any]) -> None:
    """Ask a pruner of rungs about each epoch of a restored trial, as the study holds what passed which rung."""
    pruner = build_target("hydra.sweeper.pruner", sweeper["pruner"])
    if not isinstance(pruner, SuccessiveHalvingPruner | HyperbandPruner):
        return
    epochs = sorted(frozen.intermediate_values)
    for count, epoch in enumerate(epochs[:-1] if status == "completed" else epochs, 1):  # it was not asked at the end
        seen = copy(study._storage.get_trial(frozen._trial_id))
        seen.intermediate_values = {epoch: frozen.intermediate_values[epoch] for epoch in epochs[:count]}
        if pruner.prune(study, seen) and count == len(epochs):
            study._storage.set_trial_user_attr(frozen._trial_id, PRUNED_AFTER, epoch)


class SamplerFactory:
    """Make the samplers of a search, seeded by trial and parameter, so that a resume repeats proposals.

    Raises:
        UserError: if the sampler cannot be made, or does not know of constraints.
    """

    def __init__(self, sweeper: Mapping[str, Any], *, constrained: bool) -> None:
        """Check the node of the sampler, by making one."""
        self._node = dict(sweeper["sampler"])
        self._seed = sweeper["seed"] if self._node.get("seed") is None else self._node["seed"]
        target = import_target(_KEY, self._node["_target_"])
        self._takes = signature_keys(target)
        self._more: dict[str, Any] = {}
        if constrained and "constraints_func" not in self._takes:
            raise UserError("sweep.constraints: expected hydra/sweeper/sampler=tpe or gp, which know of constraints.")
        self._build(build_target, 0)
        self._tpe: Any = None
        if target is TPESampler and "seed" in self._node and HAS_KNOWN_PARTS:
            from copycat.sweeps.search.finished_trials import FinishedTrials
            from copycat.sweeps.search.tpe import SharedTPESampler

            self._node["_target_"] = f"{SharedTPESampler.__module__}.{SharedTPESampler.__qualname__}"
            self._more["finished"] = FinishedTrials()
            self._tpe = self._build(instantiate_target, 0)

    def make(self, number: int, parameter: str = "") -> Any:
        """Make the sampler of a trial, or of one of its parameters."""
        seed = derive_seed("sampler", self._seed, number, *([parameter] if parameter else [])) % 2**31
        sampler = self._build(instantiate_target, seed) if self._tpe is None else self._tpe.seeded(seed)
        if isinstance(sampler, QMCSampler):  # it counts points in the study, where a killed trial would leave one out
            sampler._find_sample_id = lambda *_: max(0, number - 1)  # type: ignore[method-assign]
        return sampler

    def _build(self, build: Callable[..., Any], seed: int) -> Any:
        node, more = self._node, self._more
        if "qmc_type" in self._takes:  # quasi-random: one sequence for all trials, with the unchanged seed
            more = {**more, "independent_sampler": optuna.samplers.RandomSampler(seed)}
        elif "seed" in node:
            node = {**node, "seed": seed}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # conf/ chose experimental options on purpose
            return build(_KEY, node, **more)


def check_sampler_and_pruner(sweeper: Mapping[str, Any], *, constrained: bool) -> None:
    """Check that sampler and pruner can be made, before the sweep has a folder."""
    for part in ("sampler", "pruner"):
        if package := PACKAGES.get(sweeper[part]["_target_"].rpartition(".")[2]):
            require_package(package, wanted_by=f"hydra/sweeper/{part}")
    SamplerFactory(sweeper, constrained=constrained)
    build_target("hydra.sweeper.pruner", sweeper["pruner"])


def get_trial(study: Study, number: int) -> FrozenTrial:
    """Return a trial of the study, without reading the others."""
    found = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
    return study._storage.get_trial(found)


def get_running_trial(study: Study, number: int) -> optuna.Trial:
    """Return a running trial of the study, to report to and to draw from."""
    return optuna.Trial(study, get_trial(study, number)._trial_id)


def make_pruner(sweeper: Mapping[str, Any], folder: Path, objective: str) -> Pruner:
    """Make a function that reports each validation to the study, and returns why the pruner ends the trial, or None."""
    sweep, number = folder.parent, int(folder.name)
    study = _load_study(read_sweep(sweep).study, sweeper["storage"], sweep)
    study.pruner = build_target("hydra.sweeper.pruner", sweeper["pruner"])
    trial = get_running_trial(study, number)

    def find_reason(epoch: int, metrics: Mapping[str, float]) -> str | None:
        if objective not in metrics:
            raise UserError(f"hydra/sweeper/pruner: expected an objective that each epoch has; {objective} is none.")
        recorded = study._storage.get_trial(trial._trial_id)
        reported = recorded.intermediate_values
        if epoch not in reported:
            trial.report(metrics[objective], epoch)
        elif epoch < max(reported):  # a resumed trial repeats it: the pruner, which sees later epochs, let it pass
            return None
        if recorded.user_attrs.get(PRUNED_AFTER) != epoch:  # else a pruner of rungs would count this one as passed
            if not trial.should_prune():
                return None
            trial.set_user_attr(PRUNED_AFTER, epoch)
        pruner = str(sweeper["pruner"]["_target_"]).rpartition(".")[2]
        return f"{objective} {metrics[objective]:.6g} after epoch {epoch}: {pruner} ended it"

    return find_reason


@cache
def _load_study(name: str | None, url: str | None, sweep: Path) -> Study:
    return optuna.load_study(study_name=name, storage=open_storage(url, sweep))
