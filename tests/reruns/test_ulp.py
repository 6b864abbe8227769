"""The losses that a run records are, to the last bit, those of a loop in plain PyTorch."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from copycat.config.compose import Request
from copycat.data.split import Part, digest
from copycat.records.metrics_csv import read_history
from copycat.training.train import RunResult, train
from tests.support.images import write_image_folder
from tests.support.parameters import mark_slow
from tests.support.runs import compose_quickly

Make = Callable[..., Optimizer]
Set = tuple[Tensor, Tensor]
"""Images float32 [N, 3, H, W] in [0, 1] and labels int64 [N]."""


def with_momentum(parameters: Any) -> Optimizer:
    return torch.optim.SGD(parameters, momentum=0.9)


def with_nesterov(parameters: Any) -> Optimizer:
    return torch.optim.SGD(parameters, momentum=0.9, nesterov=True)


DENSE: dict[str, Make] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "asgd": torch.optim.ASGD,
    "lbfgs": torch.optim.LBFGS,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "rprop": torch.optim.Rprop,
    "sgd": torch.optim.SGD,
    "momentum": with_momentum,
    "nesterov": with_nesterov,
}
HIDDEN = {"logistic": [], "shallow": [13], "deep": [20, 7, 5]}
SEEDS = {"logistic": 123, "shallow": 0, "deep": 2**32 - 1}
QUICK = ["callbacks=none", "logger=none", "trainer.accelerator=cpu", "data.shuffle=false"]


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread for tiny images, where more only wait for each other; as many as there are for the real ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if "cats_folder" in request.fixturenames else 1)
    yield
    torch.set_num_threads(before)


# ----- the loop by hand


def build_classifier_by_hand(
    hidden: Sequence[int], *, pixels: int, outputs: int = 1, activation: type[nn.Module] = nn.Sigmoid
) -> Any:
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(pixels, width), activation()]
        pixels = width
    layers.append(nn.Linear(pixels, outputs))
    return nn.Sequential(*layers, *([nn.Sigmoid()] if outputs == 1 else []))


class Loop:
    """The lecture's loop; `losses` has the last step's loss of each epoch."""

    def __init__(
        self,
        model: nn.Module,
        data: Set,
        make: Make,
        *,
        epochs: int,
        size: int = 0,
        clip: Callable[[Any], Any] = lambda parameters: None,
        accumulate: int = 1,
        schedule: Callable[[Optimizer], Any] | None = None,
        each_step: bool = False,
        val: Set | None = None,
        val_every: int = 1,
    ) -> None:
        self.model, self.losses, self.rates = model, list[float](), list[float]()
        self.binary = any(isinstance(module, nn.Sigmoid) for module in list(model.children())[-1:])
        optimizer = make(model.parameters())
        scheduler = schedule(optimizer) if schedule else None
        images, labels = data
        size = size or len(labels)
        batches = list(zip(torch.split(images, size), torch.split(labels, size), strict=True))
        for epoch in range(epochs):
            self.rates.append(optimizer.param_groups[0]["lr"])
            for place, (x, y) in enumerate(batches, start=1):
                if isinstance(optimizer, torch.optim.LBFGS):

                    def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
                        optimizer.zero_grad()
                        loss = self.cost(x, y)
                        loss.backward()  # type: ignore[no-untyped-call]
                        return loss

                    loss = optimizer.step(closure)  # type: ignore[no-untyped-call]
                else:
                    if (place - 1) % accumulate == 0:
                        optimizer.zero_grad()
                    loss = self.cost(x, y)
                    (loss / accumulate).backward()  # type: ignore[no-untyped-call]
                    if place % accumulate == 0 or place == len(batches):
                        clip(model.parameters())
                        optimizer.step()
                if each_step:
                    scheduler.step()  # type: ignore[union-attr]
            self.losses.append(loss.item())
            if isinstance(scheduler, ReduceLROnPlateau):
                assert val is not None
                if (epoch + 1) % val_every == 0:
                    with torch.no_grad():
                        scheduler.step(self.cost(*val).item())
            elif scheduler is not None and not each_step:
                scheduler.step()

    def cost(self, x: Tensor, y: Tensor) -> Tensor:
        if self.binary:
            loss: Tensor = nn.BCELoss()(self.model(x), y.float()[:, None])
        else:
            loss = nn.CrossEntropyLoss()(self.model(x), y)
        return loss


# ----- data, read by hand


class Noise:
    """A source of one's own: 8×8 pixels of noise, the labels mixed, so that every batch has both."""

    classes: Sequence[str] = ("no", "yes")
    synthetic = True

    def load(self) -> Mapping[str, Part]:
        return {name: part_of(*make_noise(name)) for name in ("train", "val")}


def make_noise(part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    draw = np.random.default_rng(["train", "val"].index(part))
    return draw.integers(0, 40, (40, 3, 8, 8), dtype=np.uint8), draw.integers(0, 2, 40, dtype=np.int64)


def part_of(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Part:
    images = torch.from_numpy(pixels)
    names = [str(place) for place in range(len(labels))]
    return Part(images=images, labels=torch.from_numpy(labels), names=names, digests=[digest(i) for i in images])


def lecture_set(folder: Path, part: str) -> Set:
    with h5py.File(folder / f"{part}_catvnoncat.h5") as file:
        images, labels = torch.from_numpy(file[f"{part}_set_x"][:]), torch.from_numpy(file[f"{part}_set_y"][:])
    return images.permute(0, 3, 1, 2).float().div(255).contiguous(), labels


def read_images(root: Path, part: str) -> Set:
    files = [(path, label) for label, c in enumerate(sorted((root / part).iterdir())) for path in sorted(c.iterdir())]
    pixels = np.stack([np.asarray(Image.open(path)) for path, _ in files]).transpose(0, 3, 1, 2)
    return torch.from_numpy(pixels.astype(np.float32) / np.float32(255)), torch.tensor([label for _, label in files])


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    classes = {"cat": 0, "dog": 25}
    return write_image_folder(
        tmp_path_factory.mktemp("pets"), classes=classes, parts={"train": 20, "val": 5}, levels=206, seed=1, digits=2
    )


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    classes = {"crow": 0, "duck": 25, "owl": 50}
    return write_image_folder(
        tmp_path_factory.mktemp("birds"), classes=classes, parts={"train": 13, "val": 5}, levels=206, seed=2, digits=2
    )


# ----- the run


def train_quick(root: Path, out: Path, *words: str) -> RunResult:
    source = ["data=folder", f"data.root={root}", "data.image_size=8"]
    outcome = train(compose_quickly([*source, *QUICK, f"output_dir={out}", *words]))
    assert outcome.status == "completed", outcome.manifest["error"]
    return outcome


def read_loss_bits(outcome: RunResult) -> list[str]:
    return format_bits(row["train/loss"] for row in read_history(outcome.folder))


def bytes_of(tensors: Iterable[Tensor]) -> Iterator[bytes]:
    return (tensor.numpy().tobytes() for tensor in tensors)


def format_bits(losses: Any) -> list[str]:
    """As hexadecimal, so that a failure shows both the bit and about what it is worth."""
    return [np.float32(loss).tobytes()[::-1].hex() + f" {loss:.9g}" for loss in losses]


def test_every_dense_option_is_held_against_the_loop_below() -> None:
    conf = Path(__file__).parents[2] / "conf" / "optimizer"
    assert {file.stem for file in conf.glob("*.yaml")} == {*DENSE, "sparse_adam"}


@cache
def compose_quick(*words: str) -> Mapping[str, Any]:
    """Composing takes longer than such a run: what differs below is put in afterwards."""
    return compose_quickly([*QUICK, *words]).config


@pytest.mark.parametrize("size", [0, 24], ids=["full", "mini-batches"])
@pytest.mark.parametrize("model", HIDDEN)
@pytest.mark.parametrize("optimizer", mark_slow(DENSE, fast=["sgd", "adamw", "lbfgs"]))
def test_every_recorded_loss_has_the_bits_of_the_loop_with_torch_s_own_defaults(
    optimizer: str, model: str, size: int, tmp_path: Path
) -> None:
    config = dict(compose_quick(f"model={model}", "trainer.max_epochs=4"))
    config |= {"optimizer": compose_quick(f"optimizer={optimizer}")["optimizer"], "seed": SEEDS[model]}
    source = {"_target_": f"{__name__}.Noise", "batch_size": size or None}
    outcome = train(Request(config=config | {"data": source, "output_dir": str(tmp_path)}))
    torch.manual_seed(SEEDS[model])
    network, (pixels, labels) = build_classifier_by_hand(HIDDEN[model], pixels=192), make_noise("train")
    data = torch.from_numpy(pixels.astype(np.float32) / np.float32(255)), torch.from_numpy(labels)
    loop = Loop(network, data, DENSE[optimizer], epochs=4, size=size)
    assert read_loss_bits(outcome) == format_bits(loop.losses)
    assert len(set(loop.losses)) > 1, "a loop that stands still shows nothing"
    weights = load_file(outcome.folder / "weights.safetensors").values()
    assert sorted(bytes_of(weights)) == sorted(bytes_of(p.detach() for p in network.parameters()))


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 45))
def test_any_seed_and_any_batch_size_give_the_loop_s_bits(seed: int, size: int, pets: Path, tmp_path: Path) -> None:
    words = [f"seed={seed}", f"data.batch_size={size}", "model=shallow", "optimizer=adam", "trainer.max_epochs=2"]
    torch.manual_seed(seed)
    loop = Loop(
        build_classifier_by_hand([13], pixels=192), read_images(pets, "train"), torch.optim.Adam, epochs=2, size=size
    )
    assert read_loss_bits(train_quick(pets, tmp_path, *words)) == format_bits(loop.losses)


@pytest.mark.parametrize("style", ["sequential", "subclass"])
def test_both_styles_give_the_loop_s_bits_also_where_an_activation_has_parameters(
    style: str, pets: Path, tmp_path: Path
) -> None:
    words = ["model=deep", f"model.style={style}", "activation=prelu", "optimizer=lbfgs", "trainer.max_epochs=3"]
    torch.manual_seed(5)
    model = build_classifier_by_hand([20, 7, 5], pixels=192, activation=nn.PReLU)
    loop = Loop(model, read_images(pets, "train"), torch.optim.LBFGS, epochs=3)
    assert read_loss_bits(train_quick(pets, tmp_path, *words, "seed=5")) == format_bits(loop.losses)


def step_seed(seed: int, epoch: int, batch: int) -> int:
    """By docs/reference/run-folder.md: BLAKE2b of 8 bytes, read little-endian and halved."""
    said = f"('step', {seed}, {epoch}, {batch}, 0)".encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little") >> 1


def test_loggers_callbacks_and_validation_draw_no_random_number_of_the_training(pets: Path, tmp_path: Path) -> None:
    words = ["model=cnn", "model.channels=[4,6]", "optimizer=adam", "trainer.max_epochs=4", "data.batch_size=16"]
    outcome = train_quick(pets, tmp_path, *words, "callbacks=default", "logger=tensorboard", "seed=7")
    assert (outcome.folder / "checkpoints" / "best.ckpt").is_file()
    assert any((outcome.folder / "tensorboard").rglob("events.*"))
    torch.manual_seed(7)
    blocks = [[nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)] for a, b in ((3, 4), (4, 6))]
    model = nn.Sequential(*blocks[0], *blocks[1], nn.Flatten(), nn.Dropout(0.25), nn.Linear(24, 1), nn.Sigmoid())
    data = read_images(pets, "train")
    batches = -(-len(data[1]) // 16)
    steps = ((epoch, batch) for epoch in range(4) for batch in range(batches))
    model.register_forward_pre_hook(lambda *_: torch.manual_seed(step_seed(7, *next(steps))) and None)
    assert read_loss_bits(outcome) == format_bits(Loop(model, data, torch.optim.Adam, epochs=4, size=16).losses)


def test_three_classes_give_the_bits_of_the_loop_with_cross_entropy(birds: Path, tmp_path: Path) -> None:
    words = ["loss=cross_entropy", "model=shallow", "optimizer=adamw", "trainer.max_epochs=5", "data.batch_size=10"]
    torch.manual_seed(123)
    model = build_classifier_by_hand([13], pixels=192, outputs=3)
    loop = Loop(model, read_images(birds, "train"), torch.optim.AdamW, epochs=5, size=10)
    assert read_loss_bits(train_quick(birds, tmp_path, *words)) == format_bits(loop.losses)


@pytest.mark.parametrize(
    ("algorithm", "most", "clip"),
    [
        ("norm", 1e-3, lambda parameters: nn.utils.clip_grad_norm_(parameters, 1e-3)),
        ("value", 1e-4, lambda parameters: nn.utils.clip_grad_value_(parameters, 1e-4)),
    ],
)
def test_clipped_gradients_give_the_loop_s_bits(
    algorithm: str, most: float, clip: Callable[[Any], Any], pets: Path, tmp_path: Path
) -> None:
    words = ["model=shallow", "optimizer=momentum", "trainer.max_epochs=5", "data.batch_size=16"]
    clipping = [f"trainer.gradient_clip_val={most}", f"trainer.gradient_clip_algorithm={algorithm}"]
    loops = []
    for clipper in (clip, lambda parameters: None):
        torch.manual_seed(123)
        model = build_classifier_by_hand([13], pixels=192)
        loops.append(Loop(model, read_images(pets, "train"), with_momentum, epochs=5, size=16, clip=clipper).losses)
    assert read_loss_bits(train_quick(pets, tmp_path, *words, *clipping)) == format_bits(loops[0])
    assert loops[0] != loops[1], "the limit must bite"


@pytest.mark.parametrize("accumulate", [3, 4])
def test_accumulated_gradients_give_the_loop_s_bits(accumulate: int, pets: Path, tmp_path: Path) -> None:
    """Of 40 images in batches of 7 there are 6: with 4 the last step of an epoch has 2 of them."""
    words = ["model=shallow", "optimizer=adam", "trainer.max_epochs=4", "data.batch_size=7"]
    torch.manual_seed(123)
    model, data = build_classifier_by_hand([13], pixels=192), read_images(pets, "train")
    loop = Loop(model, data, torch.optim.Adam, epochs=4, size=7, accumulate=accumulate)
    assert read_loss_bits(
        train_quick(pets, tmp_path, *words, f"trainer.accumulate_grad_batches={accumulate}")
    ) == format_bits(loop.losses)


SCHEDULES: dict[str, tuple[list[str], Callable[[Optimizer], Any], list[float]]] = {
    "constant": ([], lambda _: None, [1.0] * 6),
    "step": (
        ["scheduler.step_size=2"],
        lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=2),
        [1.0, 1.0, 0.1, 0.1, 0.01, 0.01],
    ),
    "cosine": (
        [],
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=6),
        [(1 + np.cos(np.pi * epoch / 6)) / 2 for epoch in range(6)],
    ),
    "warmup": (
        [],
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=5),
        [0.1, 0.28, 0.46, 0.64, 0.82, 1.0],
    ),
    "plateau": (
        ["scheduler.patience=1", "scheduler.threshold=0.9", "scheduler.factor=0.5"],
        lambda o: ReduceLROnPlateau(o, patience=1, threshold=0.9, factor=0.5),
        [1.0, 1.0, 1.0, 0.5, 0.5, 0.25],
    ),
}


@pytest.mark.parametrize("scheduler", SCHEDULES)
def test_scheduled_learning_rates_give_the_loop_s_bits(scheduler: str, pets: Path, tmp_path: Path) -> None:
    words, schedule, factors = SCHEDULES[scheduler]
    torch.manual_seed(123)
    model, data, val = build_classifier_by_hand([13], pixels=192), read_images(pets, "train"), read_images(pets, "val")
    loop = Loop(model, data, torch.optim.Adam, epochs=6, size=16, schedule=schedule, val=val)
    assert loop.rates == pytest.approx([1e-3 * factor for factor in factors], rel=1e-5)
    asked = ["model=shallow", "optimizer=adam", f"scheduler={scheduler}", "trainer.max_epochs=6", "data.batch_size=16"]
    assert read_loss_bits(train_quick(pets, tmp_path, *asked, *words)) == format_bits(loop.losses)


def test_a_plateau_counts_validations_where_not_every_epoch_has_one(pets: Path, tmp_path: Path) -> None:
    words, schedule, _ = SCHEDULES["plateau"]
    torch.manual_seed(123)
    model, data, val = build_classifier_by_hand([13], pixels=192), read_images(pets, "train"), read_images(pets, "val")
    loop = Loop(model, data, torch.optim.Adam, epochs=8, schedule=schedule, val=val, val_every=2)
    assert loop.rates == [1e-3] * 6 + [5e-4] * 2
    asked = ["model=shallow", "optimizer=adam", "scheduler=plateau", "trainer.max_epochs=8"]
    assert read_loss_bits(
        train_quick(pets, tmp_path, *asked, *words, "trainer.check_val_every_n_epoch=2")
    ) == format_bits(loop.losses)


def test_a_warm_up_by_the_step_gives_the_loop_s_bits(pets: Path, tmp_path: Path) -> None:
    torch.manual_seed(123)
    loop = Loop(
        build_classifier_by_hand([13], pixels=192),
        read_images(pets, "train"),
        torch.optim.Adam,
        epochs=3,
        size=16,
        schedule=lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=5),
        each_step=True,
    )
    assert loop.rates == pytest.approx([1e-4, 6.4e-4, 1e-3])
    words = ["model=shallow", "optimizer=adam", "scheduler=warmup", "scheduler.interval=step", "data.batch_size=16"]
    assert read_loss_bits(train_quick(pets, tmp_path, *words, "trainer.max_epochs=3")) == format_bits(loop.losses)


class ColorsByHand(nn.Module):
    """8 steps a channel; the mean weight of an image's pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(512, 1, mode="mean", sparse=True)

    def forward(self, x: Tensor) -> Tensor:
        red, green, blue = (torch.floor(x[:, c].flatten(1) * 8).clamp(max=7).long() for c in range(3))
        logits: Tensor = self.bag(64 * red + 8 * green + blue)
        return logits


def sparse_losses(data: Set, *, epochs: int, size: int) -> list[float]:
    torch.manual_seed(123)
    model = nn.Sequential(ColorsByHand(), nn.Sigmoid())
    return Loop(model, data, torch.optim.SparseAdam, epochs=epochs, size=size).losses


def test_sparse_adam_on_a_bag_of_colors_gives_the_loop_s_bits(pets: Path, tmp_path: Path) -> None:
    words = ["model=bag_of_colors", "optimizer=sparse_adam", "trainer.max_epochs=5", "data.batch_size=16"]
    losses = sparse_losses(read_images(pets, "train"), epochs=5, size=16)
    assert read_loss_bits(train_quick(pets, tmp_path, *words)) == format_bits(losses)


@pytest.mark.parametrize(
    ("model", "optimizer", "seed", "size", "epochs"),
    [("logistic", "sgd", 123, 0, 30), ("shallow", "adam", 123, 64, 3), ("deep", "nesterov", 0, 0, 5)],
)
def test_the_real_cats_give_the_loop_s_bits(
    model: str, optimizer: str, seed: int, size: int, epochs: int, cats_folder: Path, tmp_path: Path
) -> None:
    words = [f"model={model}", f"optimizer={optimizer}", f"seed={seed}", f"data.batch_size={size or 'null'}"]
    asked = ["data=cats", f"data.root={cats_folder}", f"trainer.max_epochs={epochs}", f"output_dir={tmp_path}"]
    torch.manual_seed(seed)
    network = build_classifier_by_hand(HIDDEN[model], pixels=12288)
    loop = Loop(network, lecture_set(cats_folder, "train"), DENSE[optimizer], epochs=epochs, size=size)
    assert read_loss_bits(train(compose_quickly([*words, *QUICK, *asked]))) == format_bits(loop.losses)


def test_the_real_cats_in_a_bag_of_colors_give_the_loop_s_bits(cats_folder: Path, tmp_path: Path) -> None:
    words = ["model=bag_of_colors", "optimizer=sparse_adam", "data.batch_size=64", "trainer.max_epochs=3"]
    asked = ["data=cats", f"data.root={cats_folder}", f"output_dir={tmp_path}"]
    losses = sparse_losses(lecture_set(cats_folder, "train"), epochs=3, size=64)
    assert read_loss_bits(train(compose_quickly([*words, *QUICK, *asked]))) == format_bits(losses)
