"""Histograms of weights, gradients and activations of each layer over the epochs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pytorch_lightning as pl
import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor, nn
from torch.utils.tensorboard.summary import histogram_raw

from copycat.inspection.callbacks.inspector import Measurer, SummaryLogger, summary_loggers
from copycat.inspection.callbacks.layer_statistics import to_dense
from copycat.inspection.callbacks.regions import is_activation, saturation
from copycat.models.network_input import to_input
from copycat.training.run_context import network_of
from copycat.training.spread_tensors import gather, has_spread_weights

BINS = 30
MAX_VALUES = 2**16
"""Numbers counted per layer, at most: larger layers are sampled with a constant stride."""


@dataclass(kw_only=True, eq=False)
class Histograms(Measurer):
    """Write histograms of the weights at an epoch's end, and of the gradients of its last step."""

    points: int = 20
    _gradients: dict[str, Tensor] = field(default_factory=dict, init=False)

    def before_last_step(self, module: pl.LightningModule) -> None:
        """Keep the gradients of an epoch's last step."""
        named = network_of(module).named_parameters()
        self._gradients = {name: gather(to_dense(p.grad)).clone() for name, p in named if p.grad is not None}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the histograms of a measured epoch."""
        gradients, self._gradients = self._gradients, {}
        loggers, network = summary_loggers(trainer.loggers), network_of(pl_module)
        if not gradients or not (loggers or has_spread_weights(network)):
            return
        tensors = {f"weights/{name}": p.detach() for name, p in network.named_parameters()}
        tensors |= {f"gradients/{name}": gradient for name, gradient in gradients.items()}
        _write(loggers, tensors, trainer.current_epoch)


@dataclass(kw_only=True, eq=False)
class Activations(Measurer):
    """Write histograms of the activations of validation images, and how saturated each activation function is.

    Saturation is the share of an activation function's inputs in its undersaturated, sensitive and oversaturated
    region: gradients return from the sensitive region alone.
    """

    points: int = 20
    images: int = 256
    """Number of validation images, from the first on."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the histograms and shares of a measured epoch."""
        loggers, network = summary_loggers(trainer.loggers), network_of(pl_module)
        if not self.measures(trainer.current_epoch) or not (loggers or has_spread_weights(network)):
            return
        part = trainer.datamodule.parts["val"]  # type: ignore[attr-defined]
        count = min(self.images, len(part))
        image = to_input(torch.stack([part.images[index] for index in range(count)]).div(255), network)
        scalars: dict[str, float] = {}
        outputs: dict[str, Tensor] = {}
        for name, (module, inputs, output) in capture_activations(network, image, most=MAX_VALUES).items():
            outputs[f"activations/{name}"] = output
            if is_activation(module):
                scalars |= {f"{region}/{name}": share for region, share in saturation(module, inputs).items()}
        _write(loggers, outputs, trainer.current_epoch)
        for logger in loggers if scalars else ():
            logger.log_scalars(scalars, trainer.current_epoch)


def capture_activations(
    network: nn.Module, image: Tensor, *, most: int | None = None
) -> dict[str, tuple[nn.Module, Tensor, Tensor]]:
    """Return the input and output of each leaf layer in evaluation mode, by the layer's name.

    Inputs are copied before a layer runs, since it may write to them. Training modes are restored, and no random number
    is drawn. Of each tensor at most `most` numbers are kept, evenly spread and flattened; None: the whole tensor.
    """
    activations: dict[str, tuple[nn.Module, Tensor, Tensor]] = {}
    inputs: dict[nn.Module, Tensor] = {}

    def keep_input(module: nn.Module, arguments: tuple[object, ...]) -> None:
        inputs.pop(module, None)
        if arguments and isinstance(arguments[0], Tensor):
            inputs[module] = _sample(arguments[0], most)

    def keep(name: str, module: nn.Module, _: object, output: object) -> None:
        if module in inputs and isinstance(output, Tensor):
            activations[name] = module, inputs[module], _sample(output, most)

    leaves = [(name, module) for name, module in network.named_modules() if name and not list(module.children())]
    modes = {module: module.training for module in network.modules()}
    handles = [module.register_forward_pre_hook(keep_input) for _, module in leaves]
    handles += [module.register_forward_hook(partial(keep, name)) for name, module in leaves]
    try:
        network.eval()
        with torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    return activations


def _sample(tensor: Tensor, most: int | None) -> Tensor:
    if most is None:
        return tensor.detach().clone()
    step = -(-tensor.numel() // most)
    return tensor.detach().flatten()[:: step or 1].clone()


def _write(loggers: Sequence[SummaryLogger], tensors: Mapping[str, Tensor], epoch: int) -> None:
    summary = Summary(value=[value for name, tensor in tensors.items() for value in _values(name, gather(tensor))])
    for logger in loggers:
        logger.write(summary, epoch)


def _values(name: str, tensor: Tensor) -> Iterator[Summary.Value]:
    parts = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    values = parts.float().flatten().cpu()  # MPS has no float64
    values = values[values.isfinite()]
    if not values.numel():
        return
    low, high = (float(v) for v in values.aminmax())
    if low == high:  # bins need a width
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(values, bins=BINS, min=low, max=high)
    edges = torch.linspace(low, high, BINS + 1, dtype=torch.float64)
    # torch itself counts into 1549 bins, and takes 30 times as long
    summary: Summary = histogram_raw(  # type: ignore[no-untyped-call]
        name,
        min=low,
        max=high,
        num=values.numel(),
        sum=float(values.double().sum()),
        sum_squares=float(values.double().square().sum()),
        bucket_limits=edges[1:].tolist(),
        bucket_counts=counts.tolist(),
    )
    yield from summary.value
