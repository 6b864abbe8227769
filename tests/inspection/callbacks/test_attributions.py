"""Attribution maps by captum, against what their definitions say in plain PyTorch."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from copycat.inspection.callbacks.attributions import grad_cam, integrated_gradients
from copycat.inspection.callbacks.saliency import explained_class, saliency
from tests.support.runs import train_tiny
from tests.support.tensorboard import load_events

CALLBACKS = "callbacks=[default,grad_cam,integrated_gradients]"


class Small(nn.Module):
    """Convolutions with an activation that may write to its input, then a linear layer."""

    def __init__(self, *, outputs: int, inplace: bool = False) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
        self.activation, self.head = nn.ReLU(inplace=inplace), nn.Linear(5, outputs)

    def features(self, image: Tensor) -> Tensor:
        features: Tensor = self.last(self.activation(self.first(image)))
        return features

    def forward(self, image: Tensor) -> Tensor:
        features = self.activation(self.features(image))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


def small(*, outputs: int, inplace: bool = False) -> Small:
    torch.manual_seed(0)
    return Small(outputs=outputs, inplace=inplace)


def select(logits: Tensor, predicted: list[int]) -> Tensor:
    if logits.shape[1] > 1:
        return logits[torch.arange(len(logits)), predicted]
    return logits[:, 0] * torch.tensor([1.0 if label else -1.0 for label in predicted])


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("outputs", "predicted"), [(1, [0, 1]), (3, [2, 0])])
def test_integrated_gradients_add_up_to_the_score_minus_that_of_black(
    outputs: int, predicted: list[int], image: Tensor
) -> None:
    network = small(outputs=outputs)
    found = integrated_gradients(network, image, predicted, steps=100)
    assert found is not None
    difference = select(network(image), predicted) - select(network(torch.zeros_like(image)), predicted)
    torch.testing.assert_close(found.sum((1, 2, 3)), difference.detach(), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("outputs", "predicted"), [(1, [0, 1]), (3, [2, 0])])
def test_grad_cam_weights_features_by_their_mean_gradient(outputs: int, predicted: list[int], image: Tensor) -> None:
    network = small(outputs=outputs)
    features = network.features(image)
    logits = network.head(network.activation(features).mean((2, 3)))
    chosen = select(logits, predicted)
    (gradient,) = torch.autograd.grad(chosen.sum(), features)
    expected = (gradient.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).relu()
    expected = F.interpolate(expected, size=(12, 12), mode="bilinear")[:, 0]
    expected = expected / expected.flatten(1).amax(1).clamp(min=1e-30)[:, None, None]
    torch.testing.assert_close(grad_cam(network, network.last, image, predicted), expected.detach())


def test_an_activation_that_writes_to_its_input_changes_no_map(image: Tensor) -> None:
    maps = []
    for inplace in (False, True):
        network = small(outputs=1, inplace=inplace)
        gradients, salient = integrated_gradients(network, image, [0, 1], steps=8), saliency(network, image)
        assert gradients is not None
        assert salient is not None
        maps.append((gradients, salient, grad_cam(network, network.first, image, [0, 1])))
        assert network.training
        assert not any(parameter.grad is not None for parameter in network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(maps[0][:2], maps[1][:2], strict=True))
    assert maps[1][2].isfinite().all()  # of the activation's output, as the convolution's own is overwritten


def test_a_network_without_a_gradient_has_no_integrated_gradients(image: Tensor) -> None:
    class Blind(Small):
        def forward(self, image: Tensor) -> Tensor:
            return super().forward(image.detach())

    assert integrated_gradients(Blind(outputs=1), image, [0, 1]) is None


def test_a_class_below_one_half_is_not_called_predicted_where_an_image_may_have_none() -> None:
    assert explained_class("cat", 0.5, multi_label=True) == "likeliest cat, 0.50"
    assert explained_class("cat", 0.51, multi_label=True) == "predicted cat, 0.51"
    assert explained_class("cat", 0.4, multi_label=False) == "predicted cat, 0.40"


def test_a_run_shows_the_maps_and_keeps_its_bits(tiny: Path, tmp_path: Path) -> None:
    words = ("model=cnn", "model.channels=[2]", "trainer.max_epochs=1", "data.batch_size=4")
    with_maps = train_tiny(*words, CALLBACKS, data=tiny, at=tmp_path).folder
    without = train_tiny(*words, "callbacks=default", data=tiny, at=tmp_path).folder
    images = load_events(with_maps / "tensorboard").Tags()["images"]
    assert {"validation/grad_cam", "validation/integrated_gradients"} <= set(images)
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (with_maps, without)]
    assert weights[0] == weights[1]


def test_a_layer_that_the_network_lacks_stops_the_run_before_it_trains(tiny: Path, tmp_path: Path) -> None:
    words = ("model=cnn", "model.channels=[2]", "trainer.max_epochs=1", CALLBACKS)
    outcome = train_tiny(*words, "callbacks.grad_cam.layer=feature.0", data=tiny, at=tmp_path)
    assert outcome.status == "failed"
    assert not (outcome.folder / "checkpoints").exists()
    assert "Did you mean callbacks.grad_cam.layer=features.0?" in outcome.manifest["error"]
