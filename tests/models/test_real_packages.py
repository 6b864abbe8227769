"""Backbones of the real timm and torchvision, with weights that a test draws: no hub can be reached.

torchvision needs a build of PyTorch that fits it, so these tests have an environment of their own.
"""

import warnings
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from copycat.config.errors import UserError
from copycat.config.untrusted import TRANSFORM_SLOT
from copycat.deploy.arguments import open_completed
from copycat.deploy.predictor import open_predictor
from copycat.inspection.callbacks.attributions import grad_cam, integrated_gradients
from copycat.inspection.callbacks.saliency import saliency
from copycat.inspection.network import inspect_network
from copycat.models.packaged import packaged
from copycat.models.transfer import FineTuned, Transfer
from copycat.records.run_loader import open_recorded
from copycat.records.target_policy import make_untrusted_check
from copycat.reruns.rerun import rerun
from copycat.training.components import build_components
from tests.support.runs import QUIET, compose_quickly, train_tiny

pytestmark = pytest.mark.torchvision
SMALL = ["torchvision mobilenet_v3_small", "torchvision squeezenet1_1", "timm resnet18"]
FAMILIES = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnext50_32x4d"),
    *("shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_16", "vit_h_14"),
)


def whole_network(package: str, name: str) -> nn.Module:
    """Create the package's own classifier, for the classes of ImageNet."""
    torch.manual_seed(7)
    if package == "timm":
        import timm

        network: nn.Module = timm.create_model(name, pretrained=False)
    else:
        from torchvision import models

        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            network = models.get_model(name, weights=None)
        if hasattr(network, "transform_input"):  # as with the published weights
            network.transform_input = True  # type: ignore[assignment]
    return network


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COPYCAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", [*SMALL, "timm vit_tiny_patch16_224", "torchvision googlenet"])
def test_with_the_last_layer_s_weights_it_gives_the_logits_of_the_package_s_own_network(
    name: str, tmp_path: Path
) -> None:
    package, _, word = name.partition(" ")
    whole = whole_network(package, word).eval()
    weights = {f"module.{key}": value for key, value in whole.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": weights}, tmp_path / "weights.pth")
    network = packaged(package=package, name=word, out_features=1000, weights=str(tmp_path / "weights.pth"))
    assert isinstance(network, Transfer)
    layers = [module for module in whole.modules() if isinstance(module, nn.Linear)]
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        if not layers:  # squeezenet ends in a convolution: compare what goes into it
            features = whole.features(network.frozen.backbone.pixels(image))  # type: ignore[operator]
            expected = features.relu().mean((2, 3))
            torch.testing.assert_close(network.frozen(image), expected)
            return
        network.head.load_state_dict(layers[-1].state_dict())
        expected = whole(network.frozen.backbone.pixels(image))
    torch.testing.assert_close(network(image), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_torchvision_can_be_created_and_trained(name: str) -> None:
    with torch.device("meta"):
        network = packaged(package="torchvision", name=name, out_features=1, frozen=False).train()
        assert isinstance(network, FineTuned)
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 1)


def test_images_have_the_size_of_the_network_s_training(tiny: Path) -> None:
    words = ["data=folder", f"data.root={tiny}", "model=torchvision", "model.frozen=false", "model.name=vit_h_14"]
    assert "parameters: 632," in inspect_network(compose_quickly([*words, "data.image_size=8"]).config)
    words[-1] = "model.name=efficientnet_v2_s"
    config = compose_quickly([*words, "model.pretrained=false"]).config
    assert build_components(config).data.image_shape == (3, 384, 384)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_a_network_with_auxiliary_outputs_is_fine_tuned(name: str, tiny: Path, tmp_path: Path) -> None:
    words = ("model=torchvision", f"model.name={name}", "model.pretrained=false", "model.backbone_size=80")
    more = ("model.frozen=false", "trainer.max_epochs=1", "data.batch_size=8", *QUIET)
    outcome = train_tiny(*words, *more, data=tiny, at=tmp_path)
    assert outcome.status == "completed", outcome.manifest["error"]


@pytest.mark.parametrize(("name", "frozen"), [(SMALL[0], True), (SMALL[1], False), ("torchvision densenet121", True)])
def test_activations_that_write_to_their_input_can_be_looked_at(name: str, frozen: bool) -> None:
    package, _, word = name.partition(" ")
    torch.manual_seed(0)
    network = packaged(package=package, name=word, out_features=2, pretrained=False, frozen=frozen, backbone_size=64)
    assert isinstance(network, (Transfer, FineTuned))
    image = torch.rand(1, 3, 32, 32)
    layer = [module for module in network.backbone.modules() if isinstance(module, nn.Conv2d)][-1]
    found = [saliency(network, image), integrated_gradients(network, image, [1], steps=4)]
    assert all(maps is not None and maps.isfinite().all() for maps in found)
    assert grad_cam(network, layer, image, [1]).shape == (1, 32, 32)


@pytest.mark.parametrize(("package", "frozen"), [("timm", True), ("torchvision", False)])
def test_a_run_on_weights_of_a_file_outlives_the_file(
    package: str, frozen: bool, tiny: Path, tmp_path: Path, cache: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(whole_network(package, "resnet18").state_dict(), weights)
    words = (f"model={package}", "model.name=resnet18", f"model.weights={weights}", f"model.frozen={frozen}")
    more = ("model.backbone_size=32", "optimizer=adam", "trainer.max_epochs=2", *QUIET)
    folder = train_tiny(*words, *more, data=tiny, at=tmp_path / "runs").folder

    def probabilities() -> Tensor:
        with open_predictor(open_completed(folder)) as predict:
            return predict(torch.arange(192, dtype=torch.uint8).view(1, 3, 8, 8))

    before = probabilities()
    weights.unlink()
    assert torch.equal(probabilities(), before)
    assert not rerun(open_recorded(folder), notify=lambda line: None).comparison.differences


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("torchvision fasterrcnn_resnet50_fpn", "it is one of torchvision.models.detection"),
        ("torchvision deeplabv3_resnet50", "it is one of torchvision.models.segmentation"),
        ("torchvision r3d_18", "it is one of torchvision.models.video"),
        ("torchvision resnt18", r"got 'resnt18'. Did you mean model.name=resnet18\?"),
        ("timm resnt18", r"got 'resnt18'. Did you mean model.name=resnet18\?"),
        ("timm resnet18.a9_in1k", "resnet18 has the weights a1_in1k, "),
    ],
)
def test_a_name_that_is_no_classifier_is_said(words: str, said: str) -> None:
    package, _, name = words.partition(" ")
    with pytest.raises(UserError, match=rf"^model.name: expected a network of {package}.*{said}"):
        packaged(package=package, name=name, out_features=1)


def test_weights_that_cannot_be_downloaded_are_no_wrong_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*arguments: object, **keys: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for package in ("torchvision", "timm"):
        said = f"^model.pretrained: expected weights of resnet18 that {package} can download; .* model.pretrained=false"
        with pytest.raises(UserError, match=said):
            packaged(package=package, name="resnet18", out_features=1)
    with pytest.raises(UserError, match=r"^model.pretrained: .* No pretrained weights exist for coatnet_0_224"):
        packaged(package="timm", name="coatnet_0_224", out_features=1)


def test_transforms_of_torchvision_augment_as_a_function_of_seed_epoch_and_index(tiny: Path, tmp_path: Path) -> None:
    def node(name: str, keys: str = "") -> str:
        return f"{{_target_: torchvision.transforms.v2.{name}{keys}}}"

    jitter = node("ColorJitter", ", brightness: 0.2, hue: [-0.05, 0.05]")
    transforms = (
        node("RandomResizedCrop", ", size: [8, 8], scale: [0.6, 1.0]"),
        node("RandomHorizontalFlip"),
        node("RandomApply", f", p: 0.5, transforms: [{jitter}]"),
        node("RandAugment"),
        node("ElasticTransform", ", alpha: 2.0, sigma: 0.5"),
        node("RandomErasing"),
    )
    words = ("model=shallow", "data.batch_size=4", "trainer.max_epochs=2", *QUIET, "augmentation=pipeline")
    contents = [
        (train_tiny(*words, *more, data=tiny, at=tmp_path).folder / "weights.safetensors").read_bytes()
        for more in (
            (f"augmentation.transforms=[{','.join(transforms)}]", "trainer.steps_per_execution=1"),
            (f"augmentation.transforms=[{','.join(transforms)}]",),
            (f"augmentation.transforms=[{','.join(transforms[:2])}]",),
        )
    ]
    assert contents[0] == contents[1] != contents[2]
    with pytest.raises(UserError, match=r"^augmentation: expected transforms of images of 3×8×8; got: labels should"):
        train_tiny(*words, f"augmentation.transforms=[{node('MixUp', ', num_classes: 2')}]", data=tiny, at=tmp_path)


def test_an_untrusted_run_may_name_transforms_but_none_that_calls_what_it_is_given() -> None:
    refuse = make_untrusted_check()
    for name in ("kornia.augmentation.RandomAffine", "torchvision.transforms.v2.RandomErasing"):
        assert refuse(TRANSFORM_SLOT, name) is None
    for name in ("torchvision.transforms.v2.Lambda", "torchvision.io.read_file", "kornia.augmentation.base.torch.load"):
        assert "expected a transform of kornia.augmentation" in str(refuse(TRANSFORM_SLOT, name))
