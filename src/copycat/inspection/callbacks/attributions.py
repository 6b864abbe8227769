"""Attribution maps by captum: Grad-CAM, and integrated gradients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from copycat.config.errors import UserError
from copycat.config.extras import require_package
from copycat.config.suggestions import did_you_mean
from copycat.inspection.callbacks.saliency import AttributionMaps, evaluation_with_gradients, scale_maps
from copycat.models.network_input import to_input
from copycat.models.transfer import Transfer
from copycat.training.run_context import RunContext


@dataclass(kw_only=True, eq=False)
class GradCAM(AttributionMaps):
    """Write Grad-CAM maps: the regions whose features raise the score of the predicted class."""

    name: ClassVar[str] = "grad_cam"
    layer: str | None = None
    """Name of the layer whose outputs are weighted; None: the last convolution."""

    def __post_init__(self) -> None:
        """Check that captum is installed."""
        require_package("captum", wanted_by="callbacks=grad_cam")

    def on_run_start(self, context: RunContext) -> None:
        """Check the layer's name, before training.

        Raises:
            UserError: where the network has no such layer.
        """
        names = [name for name, _ in inspected_network(context.classifier.network).named_modules() if name]
        if self.layer is not None and self.layer not in names:
            hint = did_you_mean(self.layer, names, before="callbacks.grad_cam.layer=")
            raise UserError(f"callbacks.grad_cam.layer: expected a layer of the network; got {self.layer!r}.{hint}")

    def attribute(self, network: nn.Module, image: Tensor, predicted: Sequence[int]) -> Tensor | None:
        """Return Grad-CAM maps; None where the network has no convolution."""
        inspected = inspected_network(network)
        convolutions = [module for module in inspected.modules() if isinstance(module, nn.Conv2d)]
        layer = inspected.get_submodule(self.layer) if self.layer else next(reversed(convolutions), None)
        return None if layer is None else grad_cam(network, layer, image, predicted)


@dataclass(kw_only=True, eq=False)
class IntegratedGradients(AttributionMaps):
    """Write integrated gradients: how much each pixel adds to the score, compared with a black image."""

    name: ClassVar[str] = "integrated_gradients"
    steps: int = 32
    """Images between black and the image at which gradients are computed."""

    def __post_init__(self) -> None:
        """Check that captum is installed."""
        require_package("captum", wanted_by="callbacks=integrated_gradients")

    def attribute(self, network: nn.Module, image: Tensor, predicted: Sequence[int]) -> Tensor | None:
        """Return the sums of absolute values over channels."""
        found = integrated_gradients(network, image, predicted, steps=self.steps)
        return None if found is None else scale_maps(found.abs().sum(1))


def inspected_network(network: nn.Module) -> nn.Module:
    """Return the network whose layers are named: a frozen backbone is no submodule of its `Transfer`."""
    return network.backbone if isinstance(network, Transfer) else network


def grad_cam(network: nn.Module, layer: nn.Module, image: Tensor, predicted: Sequence[int]) -> Tensor:
    """Return where the outputs of a layer raise the score of the predicted class.

    Shapes: float [N, C, H, W] in [0, 1] -> float32 [N, H, W], scaled so that each image's maximum is 1.

    Raises:
        UserError: where the layer does not return [N, channels, height, width].

    Source: Selvaraju et al. 2017, Grad-CAM, https://arxiv.org/abs/1610.02391.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    with evaluation_with_gradients(network):
        pixels = to_input(image, network).requires_grad_()
        maps = LayerGradCam(_score(network, predicted), layer).attribute(pixels, relu_attributions=True)
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        raise UserError("callbacks.grad_cam.layer: expected a layer that returns images of features; got another.")
    enlarged: Tensor = LayerAttribution.interpolate(maps.detach(), tuple(image.shape[-2:]), "bilinear")
    return scale_maps(enlarged[:, 0])


def integrated_gradients(
    network: nn.Module, image: Tensor, predicted: Sequence[int], *, steps: int = 32
) -> Tensor | None:
    """Return how much each value of the pixels adds to the score of the predicted class.

    The values of an image add up to its score minus that of a black image, but for the error of `steps` steps.
    None where no gradient reaches the pixels.

    Shapes: float [N, C, H, W] in [0, 1] -> the same.

    Source: Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks, https://arxiv.org/abs/1703.01365.
    """
    from captum.attr import IntegratedGradients as Captum

    with evaluation_with_gradients(network):
        pixels = to_input(image, network)
        found = []
        for one, label in zip(pixels, predicted, strict=True):  # all images at once would need `steps` times the memory
            score = _score(network, [label])
            probe = one[None].clone().requires_grad_()
            if torch.autograd.grad(score(probe).sum(), probe, allow_unused=True)[0] is None:
                return None
            found.append(Captum(score).attribute(one[None], n_steps=steps).detach())
    return torch.cat(found)


def _score(network: nn.Module, predicted: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """Return the function that scores the predicted classes of a batch, or of copies of its one image, as [N]."""

    def score(pixels: Tensor) -> Tensor:
        logits: Tensor = network(pixels.clone())  # a copy: the first layer may write to it
        labels = torch.tensor(list(predicted), device=logits.device).expand(len(logits))
        if logits.shape[1] == 1:
            return torch.where(labels == 1, logits[:, 0], -logits[:, 0])
        return logits.gather(1, labels[:, None])[:, 0]

    return score
