"""Restore a study from the folders of a sweep's trials, if its storage is lost, damaged or changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from copycat.config.search_space import SearchSpace
from copycat.records.metrics_csv import read_history
from copycat.records.trial_file import Trial, read_trial
from copycat.sweeps.search.parameters import Parameter


def restore(
    study: Study, folder: Path, space: SearchSpace, by_axis: Mapping[str, Parameter], *, attributes: Mapping[str, Any]
) -> int:
    """Add the trials that have a folder and a number beyond the study's last one, as running trials.

    Returns:
        The number of added trials, each of which has these user attributes.
    """
    numbers = [int(place.name) for place in folder.iterdir() if place.name.isdecimal()]
    missing = range(len(study.get_trials(deepcopy=False)), max(numbers, default=-1) + 1)
    for number in missing:
        try:
            trial = read_trial(folder / str(number))
        except (OSError, ValueError):  # a trial of another sweep in the same study, or a damaged record
            study.add_trial(create_trial(state=TrialState.FAIL))
        else:
            study.add_trial(_make_frozen_trial(folder / str(number), trial, space, by_axis, attributes))
    return len(missing)


def _make_frozen_trial(
    folder: Path, trial: Trial, space: SearchSpace, by_axis: Mapping[str, Parameter], attributes: Mapping[str, Any]
) -> FrozenTrial:
    parameters = {parameter.name: parameter for parameter in by_axis.values()}
    drawn = {name: parameter.find_choice(trial.values, space) for name, parameter in parameters.items()}
    drawn = {name: value for name, value in drawn.items() if value is not None}
    objective = next(iter(trial.objectives), None)
    try:
        rows = read_history(folder, having=objective)
    except (OSError, ValueError):
        rows = []
    return create_trial(
        state=TrialState.RUNNING,
        params=drawn,
        distributions={name: parameters[name].distribution for name in drawn},
        user_attrs=dict(attributes),
        intermediate_values={int(row["epoch"]): row[objective] for row in rows if objective},
    )
