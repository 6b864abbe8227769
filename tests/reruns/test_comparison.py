"""Two run folders, held against each other: what was changed is found, and where it stands in training."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from copycat.records.background_writer import BackgroundWriter
from copycat.records.run_loader import Opened
from copycat.reruns.comparison import Comparison, compare
from copycat.reruns.difference import Moment, compare_trees
from copycat.training.checkpoint_io import AtomicCheckpointIO
from tests.support.run_folders import remove_metric
from tests.support.runs import train_tiny

WORDS = ("model=shallow", "model.hidden=[3]", "optimizer=adam", "data.batch_size=4", "trainer.max_epochs=3")


@pytest.fixture(scope="module")
def original(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    outcome = train_tiny(*WORDS, "logger=none", data=tiny, at=tmp_path_factory.mktemp("out"))
    assert outcome.status == "completed"
    return open_own_run(outcome.folder)


@pytest.fixture
def copy(original: Opened, tmp_path: Path) -> Path:
    return shutil.copytree(original.folder, tmp_path / "copy")


def open_own_run(folder: Path) -> Opened:
    import yaml

    manifest = json.loads((folder / "run.json").read_text())
    config = yaml.safe_load((folder / "config.yaml").read_text())
    return Opened(folder=folder, manifest=manifest, config=config, own=True, user_path=folder)


def list_places(comparison: Comparison) -> list[str]:
    return [difference.place for difference in comparison.differences]


def change_cell(folder: Path, *, epoch: int, metric: str, value: str) -> str:
    """Put another text into metrics.csv; the text that stood there."""
    header, *rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    row, column = rows[epoch], header.index(metric)
    before, row[column] = row[column], value
    (folder / "metrics.csv").write_text("\n".join(",".join(cells) for cells in [header, *rows]) + "\n")
    return before


def change_results(folder: Path, **came_out: Any) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    manifest["results"] |= came_out
    (folder / "run.json").write_text(json.dumps(manifest))


def change_checkpoint(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    AtomicCheckpointIO(writer := BackgroundWriter(), path.parent).save_checkpoint(checkpoint, path)
    writer.wait()


def test_a_folder_is_the_same_as_its_copy(original: Opened, copy: Path) -> None:
    found = compare(original, open_own_run(copy))
    assert (found.epochs, found.tensors, list(found.differences)) == (3, 4, [])


def test_the_last_bit_of_one_metric_is_found_with_its_epoch_and_step(original: Opened, copy: Path) -> None:
    before = np.float32(change_cell(copy, epoch=1, metric="val/loss", value="0"))
    after = np.nextafter(before, np.float32(9))
    change_cell(copy, epoch=1, metric="val/loss", value=repr(float(after)))
    (found,) = compare(original, open_own_run(copy)).differences
    assert found.pair is not None
    assert (found.place, found.moment.epoch, found.moment.step) == ("val/loss", 1, 8)  # 16 images in fours, two epochs
    assert (found.pair.before, found.pair.after, found.pair.description) == (float(before), float(after), "1 ulp")
    assert found.pair.format() == tuple(f"{float(v)!r}\n0x{v.view(np.uint32):08x}" for v in (before, after))


def test_differences_come_in_training_order(original: Opened, copy: Path) -> None:
    change_cell(copy, epoch=2, metric="train/loss", value="0.5")
    change_cell(copy, epoch=1, metric="val/accuracy", value="0.123")
    change_cell(copy, epoch=1, metric="train/loss", value="0.25")
    weights = load_file(copy / "weights.safetensors")
    next(iter(weights.values())).flatten()[0] += 1
    save_file(weights, copy / "weights.safetensors")
    found = compare(original, open_own_run(copy))
    assert list_places(found)[:3] == ["train/loss", "val/accuracy", "train/loss"]
    assert [d.moment.epoch for d in found.differences][:3] == [1, 1, 2]
    assert list_places(found)[3].startswith("weights.safetensors: ")
    (last,) = found.at_last_epoch()
    assert (last.place, last.moment.epoch) == ("train/loss", 2)


def test_a_metric_an_older_run_lacks_is_ignored_but_one_a_copy_lacks_is_not(original: Opened, copy: Path) -> None:
    remove_metric(copy, "balanced_accuracy")
    final = json.loads((copy / "run.json").read_text())["results"]["final"]
    known = {name: value for name, value in final.items() if not name.endswith("/balanced_accuracy")}
    change_results(copy, final=known)
    assert not compare(open_own_run(copy), original).differences
    assert "val/balanced_accuracy" in list_places(compare(original, open_own_run(copy)))


@pytest.mark.parametrize("value", ["", "nan", "inf"])
def test_a_cell_that_is_missing_or_no_number_is_a_difference(value: str, original: Opened, copy: Path) -> None:
    change_cell(copy, epoch=0, metric="val/loss", value=value)
    found = compare(original, open_own_run(copy))
    assert list_places(found) == ["val/loss"]
    assert found.beyond(1e9)


def test_nan_in_both_is_the_same(original: Opened, copy: Path, tmp_path: Path) -> None:
    first = shutil.copytree(original.folder, tmp_path / "first")
    for folder in (first, copy):
        change_cell(folder, epoch=0, metric="val/loss", value="nan")
    assert not compare(open_own_run(first), open_own_run(copy)).differences


def test_a_missing_row_is_a_difference(original: Opened, copy: Path) -> None:
    lines = (copy / "metrics.csv").read_text().splitlines(keepends=True)
    (copy / "metrics.csv").write_text("".join(lines[:-1]))
    found = compare(original, open_own_run(copy))
    assert found.epochs == 2
    assert [(d.place, d.moment.epoch, d.words) for d in found.differences] == [("epoch", 2, ("recorded", "–"))]


def test_but_not_where_the_first_run_was_interrupted(original: Opened, copy: Path, tmp_path: Path) -> None:
    lines = (copy / "metrics.csv").read_text().splitlines(keepends=True)
    (copy / "metrics.csv").write_text("".join(lines[:-1]))
    for name in ("weights.safetensors", "checkpoints/last.ckpt"):
        (copy / name).unlink()
    for status in ("interrupted", "running"):
        first = open_own_run(copy)
        manifest = {**first.manifest, "status": status, "results": {}}
        found = compare(replace(first, manifest=manifest), original)
        assert (found.epochs, list(found.differences)) == (2, [])


@pytest.mark.parametrize("name", ["weights.safetensors", "checkpoints/best.ckpt", "checkpoints/last.ckpt"])
def test_a_missing_file_is_named(name: str, original: Opened, copy: Path) -> None:
    (copy / name).unlink()
    assert list_places(compare(original, open_own_run(copy))) == [Path(name).name]


def test_where_a_run_failed_its_last_checkpoint_may_be_of_another_epoch(original: Opened, copy: Path) -> None:
    def compared() -> list[str]:
        failed = (replace(run, manifest={**run.manifest, "status": "failed"}) for run in (original, open_own_run(copy)))
        return list_places(compare(*failed))

    path = copy / "checkpoints" / "last.ckpt"
    change_checkpoint(path, lambda checkpoint: checkpoint["state_dict"]["network.layers.0.bias"].add_(1))
    assert compared() == ["last.ckpt: state_dict.network.layers.0.bias[0]"]
    change_checkpoint(path, lambda checkpoint: checkpoint.update(global_step=4))
    assert compared() == []
    path.unlink()
    assert compared() == []


def test_one_bit_of_an_optimizer_s_state_is_found(original: Opened, copy: Path) -> None:
    path = copy / "checkpoints" / "last.ckpt"
    moments = torch.load(path, weights_only=True)["optimizer_states"][0]["state"][0]["exp_avg_sq"]
    before = moments.flatten()[5].item()

    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["optimizer_states"][0]["state"][0]["exp_avg_sq"].view(torch.int32).flatten()[5] ^= 1

    change_checkpoint(path, change)
    (found,) = compare(original, open_own_run(copy)).differences
    index = [int(i) for i in np.unravel_index(5, moments.shape)]
    assert found.place == f"last.ckpt: optimizer_states.0.state.0.exp_avg_sq{index}"
    assert found.pair is not None
    assert (found.pair.before, found.pair.description) == (before, "1 ulp")


def test_a_final_metric_and_the_predictions_are_compared(original: Opened, copy: Path) -> None:
    final = original.manifest["results"]["final"]
    change_results(copy, final={**final, "val/loss": 0.5}, predictions_digest="0" * 32)
    found = compare(original, open_own_run(copy))
    assert list_places(found) == ["final val/loss", "validation predictions"]
    assert (
        list_places(replace(found, differences=found.beyond(10.0))) == []
    )  # predictions have no distance of their own


# ----- nests


def list_tree_differences(before: Any, after: Any) -> list[str]:
    return [found.place for found in compare_trees("x", before, after, Moment())]


def test_times_paths_and_versions_are_not_compared() -> None:
    def tree(when: float, folder: str, version: str) -> dict[str, Any]:
        best = {f"{folder}/best.ckpt": torch.tensor(0.5)}
        return {"seconds": when, "pytorch-lightning_version": version, "best_k_models": best, "dirpath": folder}

    assert list_tree_differences(tree(1.0, "/a", "2.6.6"), tree(2.0, "/b/c", "2.6.7")) == []


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        (1, 2, "x: a"),
        (0.1, math.nextafter(0.1, 1), "x: a"),
        (0.0, -0.0, "x: a"),
        (True, False, "x: a"),
        (1, 1.0, "x: a"),
        (1, None, "x: a"),
        ([1, 2], [1], "x: a.1"),
        (torch.zeros(2), torch.zeros(3), "x: a"),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64), "x: a"),
        (torch.zeros(2, 2), torch.tensor([[0.0, 0.0], [0.0, -0.0]]), "x: a[1, 1]"),
        (torch.zeros(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16), "x: a[0]"),
        (torch.zeros(2, dtype=torch.complex64), torch.tensor([0, 1j]), "x: a[1, 1]"),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), "x: a[1]"),
        (torch.tensor([True]), torch.tensor([False]), "x: a[0]"),
        (torch.zeros(0), torch.zeros(0), None),
        (torch.tensor(math.nan), torch.tensor(math.nan), None),
        ((1, "a"), [1, "b"], None),
    ],
)
def test_any_bit_of_a_nest_counts(before: Any, after: Any, place: str | None) -> None:
    assert list_tree_differences({"a": before}, {"a": after}) == ([] if place is None else [place])


def test_the_largest_distance_of_a_tensor_is_relative_above_one_and_absolute_below() -> None:
    before, after = torch.tensor([0.0, 0.5, 100.0]), torch.tensor([0.0, 0.75, 101.0])
    (found,) = compare_trees("x", {"a": before}, {"a": after}, Moment())
    assert found.scaled == 0.25
    (found,) = compare_trees("x", {"a": before}, {"a": torch.tensor([0.0, math.inf, 100.0])}, Moment())
    assert found.scaled == math.inf
