"""Create the classifiers of timm and torchvision without their last layer; the packages are imported when used."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from copycat.config.errors import UserError
from copycat.config.suggestions import one_of


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Describe the images that a network was trained on; by default those of ImageNet."""

    size: int = 224
    """Side in pixels."""
    mean: Sequence[float] = (0.485, 0.456, 0.406)
    deviation: Sequence[float] = (0.229, 0.224, 0.225)


class ModelPackage(ABC):
    """List and create the classifiers of a package."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return the names of its classifiers."""

    @abstractmethod
    def refusal(self, name: str) -> str | None:
        """Return the kind of model of a name that is no classifier; None where it is one, or is unknown."""

    @abstractmethod
    def preprocessing(self, name: str) -> Preprocessing:
        """Return the preprocessing of a classifier's best weights, without creating it."""

    @abstractmethod
    def create(self, name: str, *, pretrained: bool, initialized: bool, size: int | None) -> nn.Module:
        """Create a network that returns features.

        Args:
            name: of the classifier.
            pretrained: download its best weights.
            initialized: draw random weights as for `pretrained=False`; else as few as for `pretrained=True`, so that
                what is drawn later is the same.
            size: side of its images in pixels, for networks that are built for one; None for that of its training.
        """


class Timm(ModelPackage):
    """Create networks of timm."""

    def names(self) -> Sequence[str]:
        """Return timm's names without tags."""
        from timm import list_models

        return list(list_models())

    def refusal(self, name: str) -> str | None:
        """Return the fault of the tag of a name: all networks of timm classify images."""
        from timm import list_pretrained

        base, _, tag = name.partition(".")
        tags = [known.partition(".")[2] for known in list_pretrained(f"{base}.*")] if tag else []
        if not tag or tag in tags:
            return None
        return f"{base} has the weights {one_of(tags)}" if tags else f"{base} has no weights"

    def preprocessing(self, name: str) -> Preprocessing:
        """Return that of timm's description of the weights."""
        from timm.models import get_pretrained_cfg

        found = get_pretrained_cfg(name)
        return Preprocessing() if found is None else _described(found)

    def create(self, name: str, *, pretrained: bool, initialized: bool, size: int | None) -> nn.Module:
        """Create it with timm's own removal of the last layer."""
        from timm import create_model

        def make(**keys: Any) -> nn.Module:
            network: nn.Module = create_model(name, pretrained=pretrained, num_classes=0, **keys)
            return network

        return _call_with_accepted(make, {} if size is None else {"img_size": size})


def _described(found: Any) -> Preprocessing:
    return Preprocessing(size=found.input_size[-1], mean=found.mean, deviation=found.std)


class Torchvision(ModelPackage):
    """Create networks of torchvision."""

    def names(self) -> Sequence[str]:
        """Return the classifiers, which torchvision.models has at its top."""
        from torchvision import models

        return list(models.list_models(module=models))

    def refusal(self, name: str) -> str | None:
        """Return the task of a network that does something else than to classify images."""
        from torchvision import models

        if "." in name:
            return "names of torchvision have no tag"
        if name in self.names() or name not in models.list_models():
            return None
        return f"it is one of {models.get_model_builder(name).__module__.rpartition('.')[0]}"

    def preprocessing(self, name: str) -> Preprocessing:
        """Return that of the best weights."""
        from torchvision import models

        found = models.get_model_weights(name).DEFAULT.transforms()
        return Preprocessing(size=found.crop_size[0], mean=found.mean, deviation=found.std)

    def create(self, name: str, *, pretrained: bool, initialized: bool, size: int | None) -> nn.Module:
        """Create it, remove its last and its auxiliary layers."""
        from torchvision import models

        best = models.get_model_weights(name).DEFAULT
        keys: dict[str, Any] = {} if initialized or pretrained else {"init_weights": False}
        wanted = size or self.preprocessing(name).size
        if wanted != Preprocessing.size and not pretrained:  # that of transformers of torchvision without weights
            keys["image_size"] = wanted

        def make(**keys: Any) -> nn.Module:
            network: nn.Module = models.get_model(name, weights=best if pretrained else None, **keys)
            return network

        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of a later way to draw weights
            network = _call_with_accepted(make, keys)
        for part in ("AuxLogits", "aux1", "aux2"):  # they return a tuple in training
            if hasattr(network, part):
                setattr(network, part, None)
        if hasattr(network, "transform_input"):  # set by pretrained=True alone, but needed by weights from a file too
            network.transform_input = True  # type: ignore[assignment]
        _remove_last_layer(network, name=name, classes=len(best.meta["categories"]))
        return network


PACKAGES: Mapping[str, ModelPackage] = {"timm": Timm(), "torchvision": Torchvision()}


def _call_with_accepted(make: Callable[..., nn.Module], keys: Mapping[str, Any]) -> nn.Module:
    """Call a function with a key that it accepts, or none; refused calls draw no random number."""
    state = torch.get_rng_state()
    for name, value in keys.items():  # no network has more than one of them
        try:
            return make(**{name: value})
        except TypeError:
            torch.set_rng_state(state)
    return make()


def _remove_last_layer(network: nn.Module, *, name: str, classes: int) -> None:
    """Replace the last linear layer by the identity, or where there is none the convolution that gives the classes."""
    layers = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not layers:
        named = network.named_modules()
        layers = [path for path, module in named if isinstance(module, nn.Conv2d) and module.out_channels == classes]
    if not layers:
        raise UserError(f"model.name: expected a network that ends in a linear layer; {name} has none.")
    parent, _, last = layers[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
