"""Several runs as one: the mean of their probabilities, on the same images, or over the folds of one split."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from copycat.config.errors import UserError
from copycat.config.suggestions import one_of, shown
from copycat.deploy.evaluation import ACCURACIES, Judgement, Row, judge, recorded, rows_of
from copycat.records.config_keys import values
from copycat.records.image_index import read_images
from copycat.records.predictions import Predictions
from copycat.records.run_loader import Opened
from copycat.tables.comparison import titles
from copycat.tables.statistics import mcnemar

ALL_FOLDS = "all folds"
"""The part that the validation images of all folds make together."""
Folds = dict[int | None, Opened]
"""Runs that differ in the fold alone."""


@dataclass(frozen=True)
class Against:
    """An ensemble, held against the best of its members."""

    part: str
    member: str
    ensemble_alone: int
    """Images that the ensemble alone gets right."""
    member_alone: int
    p: float
    """McNemar's."""


@dataclass(frozen=True)
class Ensemble:
    """Args:
    members: by name; one alone where the runs are the folds of one configuration.
    classes: names, by label.
    """

    members: Mapping[str, Judgement]
    whole: Judgement
    classes: Sequence[str]

    def rows(self) -> list[Row]:
        """The accuracies of each member."""
        return [
            {"member": name, **row}
            for name, member in self.members.items()
            for part, said in member.said.items()
            for row in rows_of(part, said)
            if row["metric"] in ACCURACIES
        ]

    def against(self) -> list[Against]:
        """For each part; none where there is one member."""
        return [self._against(part) for part in self.whole.said] if len(self.members) > 1 else []

    def _against(self, part: str) -> Against:
        right = {name: member.said[part].is_correct for name, member in self.members.items()}
        best = max(right, key=lambda name: int(right[name].sum()))
        ours, theirs = self.whole.said[part].is_correct, right[best]
        alone = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        return Against(part, best, *alone, mcnemar(*alone))


def ensemble(runs: Sequence[Opened], overrides: Sequence[str], *, views: int = 1) -> Ensemble:
    """Judge completed runs together.

    Args:
        overrides: which data, as `data=folder`. None for the images that all were validated on; where the runs are the
            folds of one split, each is judged on its own fold, and the folds make one part.
        views: of each image, see `opened_predictor`.

    Raises:
        UserError: where they were not validated on the same images, folds are missing, or classes differ.
    """
    classes = runs[0].manifest["data"]["classes"]
    for run in runs:
        if sorted(run.manifest["data"]["classes"]) != sorted(classes):
            got = one_of(run.manifest["data"]["classes"])
            raise UserError(f"{run.folder}: expected the classes of {runs[0].folder}, {one_of(classes)}; got {got}.")
    if overrides:
        names = titles([run.folder for run in runs])
        members = {n: judge(run, overrides, classes=classes, views=views) for n, run in zip(names, runs, strict=True)}
    else:
        members = _validated(runs, views=views)
    return Ensemble(members, _mean(list(members.values())), classes)


def _validated(runs: Sequence[Opened], *, views: int) -> dict[str, Judgement]:
    """By name, what runs, or the folds of each configuration, said as they were validated."""
    models: dict[str, Folds] = {}
    for run in runs:
        found, fold = models.setdefault(_key(run), {}), run.config["data"].get("fold")
        if fold in found:
            raise UserError(f"{run.folder}: expected runs that differ; got one that is as {found[fold].folder}.")
        found[fold] = run
    there = sorted({fold for model in models.values() for fold in model}, key=str)
    for fold in there:
        _check_same_images([model[fold] for model in models.values() if fold in model])
    if len(there) == 1:
        folders = [model[there[0]].folder for model in models.values()]
        return {name: recorded(run, views=views) for name, run in zip(titles(folders), runs, strict=True)}
    for model in models.values():
        _check_all_folds(model)
    names = _names([next(iter(model.values())).config for model in models.values()])
    return {name: _pooled(model, views=views) for name, model in zip(names, models.values(), strict=True)}


def _key(run: Opened) -> str:
    """Equal for runs that differ in their fold alone."""
    config = {name: value for name, value in run.config.items() if name != "output_dir"}
    return json.dumps({**config, "data": {**config["data"], "fold": None}}, sort_keys=True)


def _check_same_images(runs: Sequence[Opened]) -> None:
    first = _images(runs[0])
    for run in runs[1:]:
        digest, names = _images(run)
        other_size = run.manifest["data"].get("image_shape") != runs[0].manifest["data"].get("image_shape")
        if digest != first[0] and not (other_size and names and names == first[1]):
            raise UserError(
                f"{run.folder}: expected runs that were validated on the same images, or are all folds of one split;"
                f" got others than those of {runs[0].folder}. Name the images to judge them on, as data=cats."
            )


def _images(run: Opened) -> tuple[str, Sequence[tuple[int, str]]]:
    """Of validation: a hash of them as the network sees them; labels and names, which other sizes have in common."""
    images = read_images(run.folder) or []
    names = [(image.label, image.name) for image in images if image.part == "val"]
    return run.manifest["provenance"]["data"]["val"], names


def _check_all_folds(model: Folds) -> None:
    first = next(iter(model.values()))
    data = first.config["data"]
    if model.keys() != set(range(data["folds"])):
        got = one_of(sorted(map(shown, model)))
        raise UserError(
            f"{first.folder}: expected each of the {data['folds']} folds, or runs that were validated on the same"
            f" images; got data.fold={got}. Name the images to judge them on, as data=cats."
        )


def _names(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each configuration has that others have not."""
    flat = [{key: repr(value) for key, value in values(config)} for config in configs]
    keys = [key for key in dict.fromkeys(key for one in flat for key in one) if key not in ("output_dir", "data.fold")]
    varying = [key for key in keys if len({one.get(key) for one in flat}) > 1]
    return [" ".join(f"{key}={one[key]}" for key in varying if key in one) for one in flat]


def _pooled(model: Folds, *, views: int) -> Judgement:
    """Each image as that run judges it which did not train on it."""
    folds = [recorded(model[fold], views=views) for fold in sorted(model, key=str)]
    said = Predictions(
        np.concatenate([fold.said["val"].label for fold in folds]),
        np.concatenate([fold.said["val"].probability for fold in folds]),
    )
    return Judgement({ALL_FOLDS: said}, {ALL_FOLDS: np.concatenate([fold.trained["val"] for fold in folds])})


def _mean(members: Sequence[Judgement]) -> Judgement:
    """Of probabilities, on the parts that all have; an image was trained on where one member was."""
    parts = [part for part in members[0].said if all(part in member.said for member in members)]
    missing = members[0].missing  # the same images, and classes of the same names
    said, trained = {}, {}
    for part in parts:
        label = members[0].said[part].label
        assert all((member.said[part].label == label).all() for member in members)
        said[part] = Predictions(label, np.mean([member.said[part].probability for member in members], axis=0))
        trained[part] = np.any([member.trained[part] for member in members], axis=0)
    return Judgement(said, trained, missing)
