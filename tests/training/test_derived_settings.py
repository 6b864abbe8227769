"""What a configuration leaves open follows the data and the network, and a run folder records what it was."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from copycat.config.errors import UserError
from copycat.data.split import Part
from copycat.deploy.arguments import open_completed
from copycat.deploy.evaluation import evaluate_parts
from copycat.records.metrics_csv import read_history
from copycat.records.run_loader import open_recorded, open_run
from copycat.reruns.rerun import rerun
from copycat.training.components import build_components
from copycat.training.resume import resume
from tests.support.images import write_image_folder
from tests.support.parts import make_part
from tests.support.run_folders import change_config, change_manifest, read_training_losses
from tests.support.runs import QUIET, compose_quickly, train_tiny

LOSS = "copycat.models.losses."


def read_config(folder: Path) -> Any:
    return yaml.safe_load((folder / "config.yaml").read_text())


def derive(*overrides: str) -> Mapping[str, Any]:
    """The configuration that a run of these overrides records."""
    return build_components(compose_quickly(overrides).config).config


class Letters:
    """A source of one's own, of any number of classes."""

    synthetic = False

    def __init__(self, *, count: int = 4) -> None:
        self.classes: Sequence[str] = [chr(ord("a") + label) for label in range(count)]

    def load(self) -> Mapping[str, Part]:
        images = torch.arange(3 * len(self.classes), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
        return {"train": make_part(images, torch.arange(len(images)) % len(self.classes))}


# ----- the loss


def test_three_classes_train_without_a_word_about_the_loss(birds: Path, tmp_path: Path) -> None:
    words = ("optimizer=adam", "data.batch_size=4", "trainer.max_epochs=2", *QUIET)
    outcome = train_tiny(*words, data=birds, at=tmp_path)
    assert outcome.status == "completed"
    config = read_config(outcome.folder)
    assert config["loss"]["_target_"] == f"{LOSS}CrossEntropy"
    typed = train_tiny(*words, "loss=cross_entropy", "data.shuffle=true", data=birds, at=tmp_path)
    assert read_history(typed.folder) == read_history(outcome.folder)
    assert rerun(open_recorded(outcome.folder), notify=lambda line: None).comparison.differences == []


@pytest.mark.parametrize(("count", "loss"), [(2, "BCE"), (4, "CrossEntropy")])
def test_the_loss_follows_the_classes_of_a_source_of_one_s_own(count: int, loss: str) -> None:
    config = compose_quickly(["loss.label_smoothing=0.1"]).config
    source = {"_target_": f"{__name__}.Letters", "count": count}
    found = build_components({**config, "data": source}).config["loss"]
    assert (found["_target_"], found["label_smoothing"]) == (LOSS + loss, 0.1)


def test_a_loss_that_is_typed_stays(birds: Path, tiny: Path) -> None:
    where = ["data=folder", f"data.root={tiny}", "data.image_size=8"]
    assert derive(*where, "loss=mse")["loss"]["_target_"] == f"{LOSS}MSE"
    assert derive(*where, "loss=cross_entropy")["loss"]["_target_"] == f"{LOSS}CrossEntropy"
    with pytest.raises(UserError, match=r"loss: expected 2 classes; got 3\. Type loss=cross_entropy"):
        derive("data=folder", f"data.root={birds}", "data.image_size=8", "loss=bce")


# ----- class weights


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """8×8 images of which one class has twelve, one has four."""
    folder = write_image_folder(tmp_path / "uneven", classes={"dog": 0, "cat": 60}, parts={"": 12}, levels=180)
    for image in sorted((folder / "cat").iterdir())[4:]:
        image.unlink()
    return folder


def test_balanced_class_weights_are_recorded_as_numbers_that_a_rerun_has_too(uneven: Path, tmp_path: Path) -> None:
    words = ("loss.class_weights=balanced", "data.holdout=0.25", "trainer.max_epochs=2", *QUIET)
    folder = train_tiny(*words, data=uneven, at=tmp_path).folder
    counts = {"dog": 9, "cat": 3}
    expected = [12 / (2 * counts[name]) for name in sorted(counts)]
    assert read_config(folder)["loss"]["class_weights"] == expected
    typed = train_tiny(*words, f"loss.class_weights={expected}".replace(" ", ""), data=uneven, at=tmp_path).folder
    assert read_history(typed) == read_history(folder)
    assert rerun(open_recorded(folder), notify=lambda line: None).comparison.differences == []


@pytest.mark.parametrize("loss", ["auto", "bce", "bce_with_logits", "cross_entropy", "focal", "mse"])
def test_every_loss_gets_the_balanced_class_weights(loss: str, uneven: Path) -> None:
    words = ["data=folder", f"data.root={uneven}", "data.image_size=8", "data.holdout=0.25"]
    parts = build_components(compose_quickly([*words, f"loss={loss}", "loss.class_weights=balanced"]).config)
    found = parts.classifier.loss.class_weights
    assert found is not None
    assert found.tolist() == pytest.approx([12 / (2 * 3), 12 / (2 * 9)], rel=1e-6)
    assert list(parts.data.classes) == ["cat", "dog"]


def test_each_fold_has_the_class_weights_of_its_own_training_part(uneven: Path) -> None:
    where = ["data=folder", f"data.root={uneven}", "data.image_size=8", "data.folds=3", "loss.class_weights=balanced"]
    found = [derive(*where, f"data.fold={fold}")["loss"]["class_weights"] for fold in range(3)]
    for fold, weights in enumerate(found):
        labels = build_components(compose_quickly([*where, f"data.fold={fold}"]).config).data.parts["train"].labels
        counts = [labels.tolist().count(label) for label in (0, 1)]
        assert weights == [len(labels) / (2 * count) for count in counts]
    assert len({*map(tuple, found)}) > 1


@pytest.mark.parametrize("key", ["loss.class_weights", "data.sampler"])
def test_a_class_that_the_training_part_lacks_cannot_be_balanced(key: str) -> None:
    source = {"_target_": f"{__name__}.Lacking"}
    config = compose_quickly([f"{key}=balanced", "loss=cross_entropy"]).config
    own = {name: config["data"][name] for name in ("sampler", "batch_size", "shuffle")}
    with pytest.raises(UserError, match=f"^{key}=balanced: .* every class; got none of c and 1 more. Type {key}=null."):
        build_components({**config, "data": {**source, **own}})


class Lacking(Letters):
    """Four classes, of which the last two have no image to train on."""

    def load(self) -> Mapping[str, Part]:
        images = torch.arange(8, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
        return {"train": make_part(images[:4], [0, 1, 0, 1]), "val": make_part(images[4:], [0, 1, 2, 3])}


# ----- the order of images


@pytest.mark.parametrize(
    ("words", "shuffles"),
    [
        ([], False),
        (["data.batch_size=5"], True),
        (["data.batch_size=5", "data.shuffle=false"], False),
        (["data.batch_size=16"], False),
        (["data.shuffle=true"], True),
        (["data.sampler=balanced"], True),
    ],
    ids=["full batch", "mini-batches", "typed off", "one batch", "typed on", "drawn"],
)
def test_mini_batches_are_shuffled_unless_it_is_typed_off(words: list[str], shuffles: bool, tiny: Path) -> None:
    config = derive("data=folder", f"data.root={tiny}", "data.image_size=8", *words)
    assert config["data"]["shuffle"] is shuffles


def test_a_run_that_recorded_the_order_of_the_files_is_rerun_in_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the copy of a changed folder is written
    words = ("data.batch_size=5", "data.shuffle=false", "trainer.max_epochs=2", *QUIET)
    folder = train_tiny(*words, data=tiny, at=tmp_path).folder
    change_config(folder, lambda config: config["data"].pop("max_megapixels"))  # of a Copycat without that key
    assert rerun(open_recorded(folder), notify=lambda line: None).comparison.differences == []
    shuffled = train_tiny("data.batch_size=5", "trainer.max_epochs=2", *QUIET, data=tiny, at=tmp_path).folder
    assert read_history(shuffled) != read_history(folder)


# ----- the size of images


@pytest.mark.parametrize("limit", ["limit_train_batches", "limit_val_batches", "+overfit_batches"])
def test_a_limit_of_less_than_a_batch_is_refused_before_the_run(limit: str, tiny: Path) -> None:
    add, key = limit[: limit.count("+")], f"trainer.{limit.lstrip('+')}"
    words = ["data=folder", f"data.root={tiny}", "data.image_size=8", "scheduler=one_cycle", "optimizer=adam"]
    expected = rf"{key}: expected a share of 1 batch that is a batch or more; got 0\.5\. Type {key}=1\."
    with pytest.raises(UserError, match=expected):
        build_components(compose_quickly([*words, f"{add}{key}=0.5"]).config)
    build_components(compose_quickly([*words, f"{add}{key}=1"]).config)


def test_images_have_the_size_that_a_pretrained_backbone_takes(tiny: Path) -> None:
    where = ["data=folder", f"data.root={tiny}"]
    parts = build_components(compose_quickly([*where, "model=transfer", "model.backbone_size=32"]).config)
    assert parts.data.image_shape == (3, 32, 32)
    assert parts.config["data"]["image_size"] == 32
    assert derive(*where)["data"]["image_size"] == 64
    assert derive(*where, "model=transfer", "data.image_size=8")["data"]["image_size"] == 8


# ----- from any folder


def test_a_run_on_a_relative_root_is_used_from_any_folder(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(birds.parent)
    folder = train_tiny("trainer.max_epochs=2", data=Path(birds.name), at=tmp_path / "runs").folder
    assert read_config(folder)["data"]["root"] == str(birds)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert {row["part"] for row in evaluate_parts(open_completed(folder), []).rows()} == {"train", "val"}
    assert rerun(open_recorded(folder), notify=lambda line: None).comparison.differences == []
    change_manifest(folder, lambda manifest: manifest.update(status="interrupted"))
    assert resume(open_run(folder), notify=lambda line: None).status == "completed"


# ----- the normalization of images


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("64-true", torch.float64)])
def test_a_run_on_normalized_images_has_the_bits_of_a_hand_written_loop(
    precision: str, dtype: torch.dtype, tiny: Path, tmp_path: Path
) -> None:
    words = ["model=shallow", "model.hidden=[3]", "optimizer.lr=0.1", f"trainer.precision={precision}"]
    outcome = train_tiny(*words, *QUIET, "normalize=train", "trainer.max_epochs=30", data=tiny, at=tmp_path)
    parts = build_components(compose_quickly([*words, "data=folder", f"data.root={tiny}", "data.image_size=8"]).config)
    network, part = parts.classifier.network, parts.data.parts["train"]
    assert isinstance(part.images, torch.Tensor)
    pixels = part.images.to(dtype) / 255
    statistics = read_config(outcome.folder)["normalize"]
    mean, std = (torch.tensor(statistics[name], dtype=dtype)[:, None, None] for name in ("mean", "std"))
    torch.testing.assert_close(mean, pixels.mean((0, 2, 3), keepdim=True)[0])
    torch.testing.assert_close(std, pixels.std((0, 2, 3), correction=0, keepdim=True)[0])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for recorded in read_training_losses(outcome.folder):
        loss = parts.classifier.loss(network((pixels - mean) / std), part.labels)
        assert loss.item() == recorded
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert rerun(open_recorded(outcome.folder), notify=lambda line: None).comparison.differences == []


def test_a_mean_for_each_channel_is_one_per_channel() -> None:
    with pytest.raises(UserError, match=r"^normalize\.std: expected 3 numbers, or one; got 2\. Type normalize=train\."):
        derive("data=drawn", "data.train=8", "normalize={mean:[0.5],std:[0.2,0.3]}")
