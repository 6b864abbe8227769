"""A backbone that was trained on other images."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from copycat.config.compose import compose
from copycat.config.errors import UserError
from copycat.models.backbone import Backbone, Pixels
from copycat.models.efficientnet import EfficientNetLite0, SamePadding
from copycat.models.features import FrozenFeatures, disable_feature_cache, read_features, write_features
from copycat.models.transfer import Transfer, efficientnet_lite0
from copycat.training.components import build_components
from tests.support.run_folders import assert_same_bits
from tests.support.runs import QUIET, compose_quickly, train_tiny


class CountingBackbone(nn.Module):
    """A backbone that counts the images that come in."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.images = 0

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        found: Tensor = self.layer(x.mean((2, 3)))
        return found


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def make_frozen(backbone: nn.Module, folder: Path | None = None) -> FrozenFeatures:
    pixels = Pixels(size=16, mean=[0.5], deviation=[0.5])
    return FrozenFeatures(Backbone(network=backbone, pixels=pixels, width=4, name="counts"), folder=folder)


def test_features_are_worked_out_once_for_each_image_in_whatever_batch(images: Tensor) -> None:
    backbone = CountingBackbone()
    held = make_frozen(backbone)
    whole = held(images)
    order = torch.tensor([3, 1, 5])
    assert torch.equal(held(images[order]), whole[order])
    assert torch.equal(held(images[2:4]), whole[2:4])
    assert backbone.images == 6
    images[0] += 0.1
    held(images)
    assert backbone.images == 7


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_features_are_those_of_float32_in_the_precision_of_the_images(images: Tensor, dtype: torch.dtype) -> None:
    images, held = images.to(dtype), make_frozen(CountingBackbone())
    assert torch.equal(held(images), held(images.float()).to(dtype))
    followed = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(held(followed).sum(), followed)
    assert gradient.dtype == dtype


def test_a_batch_that_was_written_to_is_looked_at_anew(images: Tensor) -> None:
    held = make_frozen(CountingBackbone())
    view = images[:]
    first = held(view)
    assert held(view) is first
    view[1] = 0.0
    assert not torch.equal(held(view)[1], first[1])


def test_images_that_will_not_come_again_are_not_kept(images: Tensor, tmp_path: Path) -> None:
    backbone = CountingBackbone()
    held = make_frozen(backbone, tmp_path)
    kept = held(images)
    (file,) = tmp_path.iterdir()
    written = file.read_bytes()
    with disable_feature_cache(), torch.inference_mode():
        copies = images.flip(3).view(6, 3, 8, 8)
        found = held(copies)
        assert torch.equal(held(images), kept)
        held(copies)
    assert backbone.images == 6 + 6 + 6  # the copies twice
    assert len(read_features(file)) == 6
    assert file.read_bytes() == written
    assert torch.equal(found, make_frozen(backbone)(images.flip(3)))


def test_another_process_finds_them(images: Tensor, tmp_path: Path) -> None:
    first, second = CountingBackbone(), CountingBackbone()
    second.load_state_dict(first.state_dict())
    found = make_frozen(first, tmp_path / "kept")(images)
    again = make_frozen(second, tmp_path / "kept")(images)
    assert second.images == 0
    assert torch.equal(found, again)


def test_other_weights_have_features_of_their_own(images: Tensor, tmp_path: Path) -> None:
    first, other = CountingBackbone(), CountingBackbone()
    found, others = (make_frozen(backbone, tmp_path)(images) for backbone in (first, other))
    assert other.images == 6
    assert not torch.equal(found, others)
    assert len(list(tmp_path.iterdir())) == 2


def test_another_device_has_features_of_its_own(images: Tensor, tmp_path: Path) -> None:
    held = make_frozen(CountingBackbone(), tmp_path)
    assert held.file(torch.device("cpu")) != held.file(torch.device("mps"))
    assert make_frozen(held.backbone.network, tmp_path).file(torch.device("mps")) == held.file(torch.device("mps"))


def test_a_damaged_file_of_features_is_made_anew(images: Tensor, tmp_path: Path) -> None:
    backbone = CountingBackbone()
    held = make_frozen(backbone, tmp_path)
    file = held.file(images.device)
    assert file is not None
    write_features(file, {b"0" * 16: torch.ones(4)})
    assert read_features(file).keys() == {b"0" * 16}
    file.write_bytes(file.read_bytes()[:-3])
    assert read_features(file) == {}
    save_file({"keys": torch.zeros(2, 16, dtype=torch.uint8), "features": torch.ones(3, 4)}, file)
    assert read_features(file) == {}
    held(images)
    assert backbone.images == 6
    assert len(read_features(file)) == 6


def test_features_that_cannot_be_kept_cost_time_alone(images: Tensor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    backbone = CountingBackbone()
    found = make_frozen(backbone, tmp_path / "file" / "features")(images)
    assert torch.equal(found, make_frozen(backbone)(images))
    assert (tmp_path / "file").read_text() == "no folder"


def test_saliency_can_ask_for_gradients_of_pixels(images: Tensor) -> None:
    network = Transfer(make_frozen(CountingBackbone()), width=4, out_features=1)
    given = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(given).sum(), given)
    assert gradient.abs().sum() > 0


def test_what_validation_worked_out_can_be_trained_on(images: Tensor) -> None:
    network = Transfer(make_frozen(CountingBackbone()), width=4, out_features=1)
    with torch.inference_mode():
        network(images)
    network(images).sum().backward()
    assert network.head.weight.grad is not None


def test_only_the_last_layer_is_trained_saved_and_counted() -> None:
    network = efficientnet_lite0(out_features=1)
    assert [name for name, _ in network.named_parameters()] == ["head.weight", "head.bias"]
    assert list(network.state_dict()) == ["head.weight", "head.bias"]
    assert len(list(efficientnet_lite0(out_features=1, frozen=False).parameters())) > 100


@pytest.mark.parametrize(("kernel", "stride", "length"), [(3, 1, 8), (3, 2, 8), (3, 2, 7), (5, 2, 9), (5, 1, 4)])
def test_padding_keeps_the_length_over_the_stride(kernel: int, stride: int, length: int) -> None:
    layer = SamePadding(2, 3, kernel, stride=stride)
    x = torch.rand(1, 2, length, length)
    found = layer(x)
    out = -(-length // stride)
    assert found.shape == (1, 3, out, out)
    missing = max((out - 1) * stride + kernel - length, 0)
    around = (missing // 2, missing - missing // 2) * 2
    assert torch.equal(found, F.conv2d(F.pad(x, around), layer.weight, stride=stride))


def test_the_published_weights_fit() -> None:
    network = efficientnet_lite0(out_features=1)
    assert isinstance(network, Transfer)
    features = network.frozen(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert features.shape == (2, 1280)
    assert features.min() >= 0  # means of ReLU6
    assert features.max() <= 6
    assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 4_652_008


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"layer": torch.ones(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"^model.weights: expected weights of EfficientNet-Lite0; .*other.pth: "):
        efficientnet_lite0(out_features=1, weights=str(tmp_path / "other.pth"))
    with pytest.raises(UserError, match=r"^model.weights: expected a file of weights; got .*none.pth"):
        efficientnet_lite0(out_features=1, weights=str(tmp_path / "none.pth"))
    with pytest.raises(UserError, match=r"^model.backbone_size: expected"):
        compose(["model=transfer", "model.backbone_size=8"])


def test_a_run_on_cached_features_has_the_bits_of_the_first(tiny: Path, tmp_path: Path) -> None:
    words = ("model=transfer", "model.backbone_size=32", "optimizer=adam", "trainer.max_epochs=3", *QUIET)
    first, again = (train_tiny(*words, data=tiny, at=tmp_path).folder for _ in range(2))
    shuffled = train_tiny(*words, "data.batch_size=5", "data.shuffle=true", data=tiny, at=tmp_path).folder
    assert_same_bits(first, again, ("metrics.csv", "weights.safetensors", "predictions.csv"))
    assert (shuffled / "weights.safetensors").exists()
    parts = build_components(compose_quickly(["data=folder", f"data.root={tiny}", "data.image_size=8", *words]).config)
    assert sum(p.numel() for p in parts.classifier.network.parameters()) == 1281
