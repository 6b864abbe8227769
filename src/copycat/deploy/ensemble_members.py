"""Evaluate the members of an ensemble on the images that they were validated on."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from copycat.config.dotted_keys import iterate_values
from copycat.config.errors import UserError
from copycat.config.printable import printable
from copycat.config.suggestions import format_value, one_of, pluralize
from copycat.deploy.calibration_rows import pool_rechecks
from copycat.deploy.evaluation import Evaluation, recorded_evaluation
from copycat.records.image_index import read_images
from copycat.records.predictions import Predictions
from copycat.records.requested_values import with_requested_values
from copycat.records.run_loader import Opened
from copycat.tables.comparison import unique_titles

ALL_FOLDS = "all folds"
"""Name of the part that joins the validation images of all folds."""
FOLD_KEYS = ("output_dir", "data.fold")
"""Keys in which the folds of a configuration may differ."""
Folds = dict[int | None, Opened]
"""Runs that differ only in the fold, by fold."""


def evaluate_members(runs: Sequence[Opened], *, views: int, calibrated: bool = True) -> dict[str, Evaluation]:
    """Return by name the validation predictions of runs, or of the folds of each configuration."""
    models: dict[str, Folds] = {}
    for run in runs:
        by_fold, fold = models.setdefault(key_without_fold(run), {}), run.config["data"].get("fold")
        if fold in by_fold:
            raise UserError(f"{run.folder}: expected runs that differ; got one that is as {by_fold[fold].folder}.")
        by_fold[fold] = run
    folds = sorted({fold for model in models.values() for fold in model}, key=str)
    for fold in folds:
        _check_same_images([model[fold] for model in models.values() if fold in model])
    if len(folds) == 1:
        folders = [model[folds[0]].folder for model in models.values()]
        named = zip(unique_titles(folders), runs, strict=True)
        return {name: recorded_evaluation(run, views=views, calibrated=calibrated) for name, run in named}
    for model in models.values():
        check_all_folds(model)
        check_same_pool(model)
    firsts = [next(iter(model.values())) for model in models.values()]
    names = varying_names([with_requested_values(run.config, run.manifest["request"]) for run in firsts])
    return {
        name: _pool_folds(model, views=views, calibrated=calibrated)
        for name, model in zip(names, models.values(), strict=True)
    }


def key_without_fold(run: Opened) -> str:
    """Return a key that is equal for runs that differ only in their fold."""
    config = with_requested_values(run.config, run.manifest["request"])
    return json.dumps({key: value for key, value in config.items() if key not in FOLD_KEYS}, sort_keys=True)


def _check_same_images(runs: Sequence[Opened]) -> None:
    first = _validation_images(runs[0])
    for run in runs[1:]:
        digest, names = _validation_images(run)
        other_size = run.manifest["data"].get("image_shape") != runs[0].manifest["data"].get("image_shape")
        if digest != first[0] and not (other_size and names and names == first[1]):
            raise UserError(
                f"{run.folder}: expected runs that were validated on the same images, or are all folds of one split;"
                f" got others than those of {runs[0].folder}. Name the images to evaluate them on, as data=cats."
            )


def _validation_images(run: Opened) -> tuple[str, Sequence[tuple[str, str]]]:
    """Return a digest of the validation images as the network receives them, and their labels and names.

    Runs on images of different sizes have equal labels and names, but not equal digests.
    """
    images = read_images(run.folder) or []
    names = [(image.label, image.name) for image in images if image.part == "val"]
    return run.manifest["provenance"]["data"]["val"], names


def check_all_folds(model: Folds) -> None:
    """Raise a UserError where a fold of a configuration is missing."""
    first = next(iter(model.values()))
    data = first.config["data"]
    if model.keys() != set(range(data["folds"])):
        got = one_of(sorted(map(format_value, model)))
        raise UserError(
            f"{first.folder}: expected each of the {data['folds']} folds, or runs that were validated on the same"
            f" images; got data.fold={got}. Name the images to evaluate them on, as data=cats."
        )


def check_same_pool(model: Folds) -> None:
    """Raise a UserError where folds of a configuration divide other images, as where some were added in between."""
    first, *others = model.values()
    pool = _divided_images(first)
    for run in others:
        found = _divided_images(run)
        if pool and found and (changed := pool ^ found):
            names = sorted({name for *_, name in changed})
            raise UserError(
                f"{run.folder}: expected the images that {first.folder} divides into folds;"
                f" {pluralize(len(names), 'image differs', 'images differ')}: {one_of(names, most=4)}."
                " Train all folds on the same images."
            )


def _divided_images(run: Opened) -> set[tuple[str, str, str]]:
    """Return label, digest and name of the images that a run trained or was validated on; empty without images.csv."""
    images = read_images(run.folder) or []
    return {(image.label, image.digest, image.name) for image in images if image.part in ("train", "val")}


def varying_names(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name each configuration by the keys that vary."""
    flat = [{key: printable(value) for key, value in iterate_values(config)} for config in configs]
    keys = [key for key in dict.fromkeys(key for one in flat for key in one) if key not in FOLD_KEYS]
    varying = [key for key in keys if len({one.get(key) for one in flat}) > 1]
    return [" ".join(f"{key}={one[key]}" for key in varying if key in one) for one in flat]


def _pool_folds(model: Folds, *, views: int, calibrated: bool) -> Evaluation:
    """Pool the predictions of all folds: each image is evaluated by the run that did not train on it."""
    folds = [recorded_evaluation(model[fold], views=views, calibrated=calibrated) for fold in sorted(model, key=str)]
    predictions = Predictions(
        np.concatenate([fold.predictions["val"].label for fold in folds]),
        np.concatenate([fold.predictions["val"].probability for fold in folds]),
    )
    trained = {ALL_FOLDS: np.concatenate([fold.trained["val"] for fold in folds])}
    rechecks = pool_rechecks([fold.rechecks["val"] for fold in folds if "val" in fold.rechecks])
    if rechecks is None or len(rechecks.used) != len(predictions.label):
        return Evaluation({ALL_FOLDS: predictions}, trained)
    return Evaluation({ALL_FOLDS: predictions}, trained, rechecks={ALL_FOLDS: rechecks}, classes=folds[0].classes)
