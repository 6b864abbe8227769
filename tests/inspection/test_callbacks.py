"""What callbacks write of a run: read back as TensorBoard reads it, and held against the run's own records."""

import json
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from copycat.data.loaders import MemoryLoader
from copycat.inspection.callbacks.contact_sheet import LINE_HEIGHT
from copycat.inspection.callbacks.histograms import capture_activations
from copycat.inspection.callbacks.input_images import _class_names
from copycat.inspection.callbacks.inspector import Inspector, tensorboard_loggers
from copycat.inspection.callbacks.saliency import saliency
from copycat.inspection.tensorboard.graph import trace_graph
from copycat.records.metrics_csv import read_history
from copycat.records.predictions import read_predictions
from copycat.training.components import build_components
from copycat.training.run_context import RunContext
from copycat.training.train import RunResult
from tests.support.commands import call_copycat
from tests.support.run_folders import assert_same_bits
from tests.support.runs import compose_quickly, train_tiny
from tests.support.tensorboard import load_events

EPOCHS = 6
SHALLOW = ("model=shallow", "model.hidden=[5]", "optimizer=adam", f"trainer.max_epochs={EPOCHS}")
WORDS = (*SHALLOW, "optimizer.lr=0.01")


@pytest.fixture(scope="module")
def full(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return train_tiny(*WORDS, "callbacks=full", "augmentation=light", data=tiny, at=tmp_path_factory.mktemp("full"))


def load_run_events(folder: Path) -> EventAccumulator:
    return load_events(folder / "tensorboard")


def read_scalar(folder: Path, tag: str) -> dict[int, float]:
    return {event.step: event.value for event in load_run_events(folder).Scalars(tag)}


def test_every_kind_of_record_is_there(full: RunResult) -> None:
    assert not [line for line in (full.folder / "train.log").read_text().splitlines() if "WARNING" in line]
    tags = load_run_events(full.folder).Tags()
    assert set(tags["images"]) == {
        *("data/before_augmentation", "data/after_augmentation", "weights/first_layer", "validation/confusion_matrix"),
        *("validation/most_confident_errors", "validation/least_confident_predictions", "validation/saliency"),
        *("validation/roc", "validation/reliability"),
    }
    layers = ("layers.0", "layers.1", "layers.2")
    parameters = [f"{layer}.{kind}" for layer in ("layers.0", "layers.2") for kind in ("weight", "bias")]
    assert set(tags["histograms"]) == {
        *(f"activations/{layer}" for layer in layers),
        *(f"{kind}/{name}" for kind in ("weights", "gradients") for name in parameters),
    }
    texts = {f"run/{name}/text_summary" for name in ("command", "rerun", "fingerprint", "config")}
    assert texts | {"precision_recall/cat", "precision_recall/dog"} <= set(tags["tensors"])
    assert tags["graph"]
    assert (full.folder / "tensorboard" / "projector_config.pbtxt").exists()


def test_the_first_layer_of_a_normalized_network_is_drawn(tiny: Path, tmp_path: Path) -> None:
    outcome = train_tiny("model=logistic", "normalize=train", "trainer.max_epochs=1", data=tiny, at=tmp_path)
    assert "weights/first_layer" in load_run_events(outcome.folder).Tags()["images"]


def test_a_run_has_the_bits_of_one_that_nothing_looks_at(full: RunResult, tiny: Path, tmp_path: Path) -> None:
    plain = train_tiny(*WORDS, "callbacks=none", "logger=none", "augmentation=light", data=tiny, at=tmp_path)
    assert_same_bits(full.folder, plain.folder, ("metrics.csv", "weights.safetensors", "predictions.csv"))


def hand_written(tiny: Path) -> dict[str, list[float]]:
    """What a loop by hand measures at each step."""
    parts = build_components(compose_quickly(["data=folder", f"data.root={tiny}", "data.image_size=8", *WORDS]).config)
    network, loss = parts.classifier.network, parts.classifier.loss
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    loader = parts.data.loader("train")
    assert isinstance(loader, MemoryLoader)
    (batch,) = loader.batches(0, 1)
    found: dict[str, list[float]] = {"gradient_norm": [], "weight_norm": [], "update_to_weight": []}
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        loss(network(batch["image"]), batch["label"]).backward()
        before = nn.utils.parameters_to_vector(network.parameters()).detach().clone()
        gradient = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        optimizer.step()
        after = nn.utils.parameters_to_vector(network.parameters()).detach()
        found["gradient_norm"].append(float(gradient.norm()))
        found["weight_norm"].append(float(after.norm()))
        found["update_to_weight"].append(float((after - before).norm() / after.norm()))
    return found


@pytest.mark.parametrize("steps", ["1", "null"])
def test_norms_and_updates_are_those_of_a_loop_by_hand(steps: str, tiny: Path, tmp_path: Path) -> None:
    folder = train_tiny(*WORDS, f"trainer.steps_per_execution={steps}", data=tiny, at=tmp_path).folder
    for name, expected in {**hand_written(tiny), "learning_rate": [0.01] * EPOCHS}.items():
        found = read_scalar(folder, f"optimizer/{name}")
        assert list(found) == list(range(EPOCHS))
        assert list(found.values()) == pytest.approx(expected, rel=1e-4)
    assert read_scalar(folder, "time/images_per_second")[1] > 0


@pytest.mark.parametrize(("limit", "images"), [("1.0", 16), ("1", 5)])
def test_images_per_second_are_those_of_the_batches_that_are_trained_on(
    limit: str, images: int, tiny: Path, tmp_path: Path
) -> None:
    words = ("trainer.max_epochs=2", "data.batch_size=5", f"trainer.limit_train_batches={limit}")
    folder = train_tiny(*WORDS, *words, data=tiny, at=tmp_path).folder
    rate, seconds = (read_scalar(folder, f"time/{name}")[1] for name in ("images_per_second", "seconds_per_epoch"))
    assert rate * seconds == pytest.approx(images)


def test_a_long_run_is_looked_at_in_as_many_epochs_as_are_asked_for(tiny: Path, tmp_path: Path) -> None:
    words = ("trainer.max_epochs=50", "trainer.check_val_every_n_epoch=7", "callbacks.statistics.points=5")
    found = read_scalar(train_tiny(*WORDS, *words, data=tiny, at=tmp_path).folder, "optimizer/gradient_norm")
    assert list(found) == [0, 10, 20, 30, 40, 49]


def test_a_trial_of_a_pack_has_what_it_has_alone(tiny: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    data = ("data=folder", f"data.root={tiny}", "data.image_size=8")
    more = ("optimizer.lr=0.01,0.02", "hydra/launcher=packed", f"sweep.folder={sweep}")
    call_copycat("train", "-m", *data, *SHALLOW, *more)
    alone = train_tiny(*WORDS, data=tiny, at=tmp_path / "alone").folder
    mine, packed = load_run_events(alone), load_run_events(sweep / "0")
    assert json.loads((sweep / "0" / "run.json").read_text())["provenance"]["pack"] == [0, 1]
    for kind in ("scalars", "images", "tensors", "graph"):
        assert mine.Tags()[kind] == packed.Tags()[kind] or set(mine.Tags()[kind]) == set(packed.Tags()[kind])
    for tag in mine.Tags()["scalars"]:
        if not tag.startswith("time/"):
            of_both = [[(event.step, event.value) for event in board.Scalars(tag)] for board in (mine, packed)]
            assert [step for step, _ in of_both[0]] == [step for step, _ in of_both[1]]
            assert [v for _, v in of_both[0]] == pytest.approx([v for _, v in of_both[1]], rel=1e-3, abs=1e-6)
    assert [event.value for event in packed.Scalars("optimizer/learning_rate")] == pytest.approx([0.01] * EPOCHS)
    assert (sweep / "1" / "gallery.json").exists()


@pytest.mark.parametrize(
    ("model", "hidden"),
    [
        ("bag_of_colors", False),
        ("linear", False),
        ("logistic", False),
        ("cnn", True),
        ("cnn_inplace", True),
        pytest.param("transfer", True, marks=pytest.mark.slow),
    ],
)
def test_every_network_can_be_looked_at(model: str, hidden: bool, tiny: Path, tmp_path: Path) -> None:
    words = (f"model={model.removesuffix('_inplace')}", "callbacks=full", "trainer.max_epochs=1")
    options = {
        "cnn": ("model.channels=[4]",),
        "cnn_inplace": ("model.channels=[4]", "+activation.inplace=true"),
        "transfer": ("model.backbone_size=32",),
    }
    more = options.get(model, ())
    outcome = train_tiny(*words, *more, data=tiny, at=tmp_path)
    assert outcome.status == "completed", outcome.manifest["error"]
    seen = "validation/saliency" in load_run_events(outcome.folder).Tags()["images"]
    assert seen == (model != "bag_of_colors")  # which counts pixels: no gradient comes back to them
    assert (outcome.folder / "tensorboard" / "projector_config.pbtxt").exists() == hidden


class Sure(Inspector):
    """A look of the user's own."""

    def on_run_end(self, context: RunContext) -> None:
        for board in tensorboard_loggers(context.loggers):
            board.log_scalars({"final/val/sure": float(context.probabilities.amax(1).mean())}, context.epochs)


@pytest.mark.parametrize("launcher", ["basic", "packed"])
def test_a_look_of_the_user_s_own_is_taken_alone_and_in_a_pack(launcher: str, tiny: Path, tmp_path: Path) -> None:
    words = ("data=folder", f"data.root={tiny}", "data.image_size=8", *WORDS, "seed=1,2", f"hydra/launcher={launcher}")
    sweep = tmp_path / "sweep"
    call_copycat("train", "-m", *words, f"+callbacks.sure._target_={__name__}.Sure", f"sweep.folder={sweep}")
    for trial in ("0", "1"):
        said = read_predictions(sweep / trial, classes=2)["val"].probability
        assert read_scalar(sweep / trial, "final/val/sure") == {EPOCHS: pytest.approx(said.max(1).mean(), rel=1e-5)}
        is_packed = "pack" in json.loads((sweep / trial / "run.json").read_text())["provenance"]
        assert is_packed == (launcher == "packed")


def test_any_of_them_may_be_left_out(tiny: Path, tmp_path: Path) -> None:
    names = ("statistics", "texts", "input_images", "weights", "confusion", "mistakes")
    folder = train_tiny(*WORDS, *(f"callbacks.{name}=null" for name in names), data=tiny, at=tmp_path).folder
    tags = load_run_events(folder).Tags()
    assert tags["images"] == []
    assert all(tag.startswith(("final/", "best/")) for tag in tags["scalars"])
    assert not (folder / "gallery.json").exists()


def test_precision_and_recall_at_one_half_are_those_of_the_run(full: RunResult) -> None:
    (event,) = load_run_events(full.folder).Tensors("precision_recall/dog")  # class 1
    table = np.array(event.tensor_proto.float_val, dtype=np.float32).reshape(6, -1)
    counts, precision, recall = table[:4], table[4], table[5]
    final, half = full.manifest["results"]["final"], table.shape[1] // 2
    assert precision[half] == pytest.approx(final["val/precision"], abs=1e-6)
    assert recall[half] == pytest.approx(final["val/recall"], abs=1e-6)
    assert counts[:, half].sum() == 8


def test_the_profiler_records_a_trace_and_a_table(tiny: Path, tmp_path: Path) -> None:
    words = ("callbacks=[default,profiler]", "callbacks.profiler.first=1", "callbacks.profiler.steps=2")
    folder = train_tiny(*WORDS, *words, data=tiny, at=tmp_path).folder
    trace = json.loads((folder / "profile" / "trace.json").read_text())
    names = [event.get("name", "") for event in trace["traceEvents"]]
    assert sum(name.startswith("Optimizer.step#Adam") for name in names) == 2
    assert "aten::addmm" in (folder / "profile" / "table.txt").read_text()
    assert "run/profile/text_summary" in load_run_events(folder).Tags()["tensors"]


def test_a_run_that_ends_before_the_profile_says_so(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("callbacks=[default,profiler]", f"callbacks.profiler.first={EPOCHS}")
    folder = train_tiny(*WORDS, *words, data=tiny, at=tmp_path).folder
    assert f"no profile: training ended after {EPOCHS} steps; it skips {EPOCHS}\n" in capsys.readouterr().err
    assert not (folder / "profile").exists()


def test_images_are_images(full: RunResult) -> None:
    board = load_run_events(full.folder)
    for tag in board.Tags()["images"]:
        (event,) = board.Images(tag)
        with Image.open(BytesIO(event.encoded_image_string)) as image:
            assert image.size == (event.width, event.height)
            assert len(np.unique(np.asarray(image))) > 2


def test_what_augmentation_does_is_seen(full: RunResult) -> None:
    board = load_run_events(full.folder)
    before, after = (board.Images(f"data/{when}_augmentation")[0].encoded_image_string for when in ("before", "after"))
    assert before != after


def test_of_mixed_images_both_classes_are_named(tiny: Path, tmp_path: Path) -> None:
    images = "+callbacks.input_images={_target_: copycat.inspection.callbacks.input_images.InputImages, count: 4}"
    words = ("trainer.max_epochs=1", "callbacks=none", images, "augmentation=mixup", "augmentation.alpha=9.0")
    board = load_run_events(train_tiny(*words, data=tiny, at=tmp_path).folder)
    before, after = (board.Images(f"data/{when}_augmentation")[0] for when in ("before", "after"))
    assert (before.width, before.height + LINE_HEIGHT) == (
        after.width,
        after.height,
    )  # one row, and one more line of words
    assert [_class_names(torch.tensor(shares), ["dog", "cat"]) for shares in ([0.38, 0.62], [1.0, 0.0])] == [
        "cat 0.62\ndog 0.38",
        "dog 1.00",
    ]


def test_histograms_count_every_weight(full: RunResult) -> None:
    weights: dict[str, Tensor] = load_file(full.folder / "weights.safetensors")
    board = load_run_events(full.folder)
    for name, weight in weights.items():
        last = board.Histograms(f"weights/{name}")[-1]
        assert last.step == EPOCHS - 1
        value = last.histogram_value
        assert value.num == sum(value.bucket) == weight.numel()
        if weight.numel() > 1:  # of a single one the bin is made wide enough to be seen
            assert (value.min, value.max) == pytest.approx((float(weight.min()), float(weight.max())), rel=1e-5)


def test_shares_of_regions_make_one(full: RunResult) -> None:
    found = [
        read_scalar(full.folder, f"{region}/layers.1") for region in ("undersaturated", "sensitive", "oversaturated")
    ]
    assert all(sum(values) == pytest.approx(1) for values in zip(*(f.values() for f in found), strict=True))


@pytest.mark.slow
def test_best_and_final_metrics_are_those_of_the_run(full: RunResult) -> None:
    for name, value in full.manifest["results"]["final"].items():
        assert list(read_scalar(full.folder, f"final/{name}").values()) == [pytest.approx(value, rel=1e-6)]
    best = min(read_history(full.folder), key=lambda row: row["val/loss"])
    for name in (name for name in best if name != "epoch"):
        assert list(read_scalar(full.folder, f"best/{name}").values()) == [pytest.approx(best[name], rel=1e-6)]


def test_one_file_holds_all_of_a_folder(full: RunResult) -> None:  # TensorBoard follows one
    for folder in (full.folder / "tensorboard", *(full.folder / "tensorboard" / part for part in ("train", "val"))):
        assert len(list(folder.glob("events.*"))) == 1


@pytest.mark.parametrize("first", [nn.Flatten, partial(nn.Hardtanh, 0.2, 0.8, inplace=True)])
def test_a_layer_that_writes_to_its_input_is_seen_with_the_input_that_it_was_given(first: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    layers = [first(), nn.Flatten(), nn.Linear(12, 3), nn.ReLU(inplace=True), nn.Linear(3, 2)]
    network, image = nn.Sequential(*layers), torch.rand(5, 3, 2, 2)
    outputs = []
    with torch.no_grad():
        x = image.clone()
        for layer in layers:
            outputs.append(x.clone())
            x = layer(x)
    found = capture_activations(network, image.clone())
    for name, given in enumerate(outputs):
        assert torch.equal(found[str(name)][1], given)
    assert (found["3"][1] < 0).any()


def test_saliency_maps_and_graphs_reach_a_network_whose_first_weights_are_complex() -> None:
    class Filter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.response = nn.Parameter(torch.randn(4, 3, dtype=torch.complex64))
            self.head = nn.Linear(48, 2)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(torch.fft.irfft2(torch.fft.rfft2(x) * self.response, s=(4, 4)).flatten(1))
            return logits

    network, image = Filter(), torch.rand(1, 3, 4, 4)
    found = saliency(network, image)
    assert found is not None
    assert found.shape == (1, 4, 4)
    trace_graph(network, image)


def test_saliency_maps_need_no_network_that_leaves_its_input_as_it_is() -> None:
    maps = []
    for inplace in (False, True):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Hardtanh(0.2, 0.8, inplace=inplace), nn.Flatten(), nn.Linear(12, 2))
        image = torch.linspace(0, 1, 24).view(2, 3, 2, 2)
        maps.append(saliency(network, image))
        assert torch.equal(image, torch.linspace(0, 1, 24).view(2, 3, 2, 2))
    assert maps[0] is not None
    assert maps[1] is not None
    assert torch.equal(maps[0], maps[1])


def test_tracing_a_graph_leaves_the_image_as_it_is() -> None:
    image = torch.rand(1, 3, 2, 2)
    before = image.clone()
    trace_graph(nn.Sequential(nn.Hardtanh(0.4, 0.6, inplace=True), nn.Flatten(), nn.Linear(12, 2)), image)
    assert torch.equal(image, before)
