"""Apply the trainer's settings that concern the network: memory format, activation checkpointing, compilation."""

from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from copycat.config.errors import UserError
from copycat.models.activation_checkpointing import checkpoint_activations
from copycat.models.compiled_network import find_missing_compiler
from copycat.models.memory_format import use_channels_last
from copycat.models.networks import inner_network
from copycat.models.transfer import Transfer
from copycat.training.derived_settings import Config
from copycat.training.lightning_internals import choose_device


def apply_network_settings(network: nn.Module, trainer: Config) -> None:
    """Change how a network computes and keeps its values; names and values of its weights stay.

    Raises:
        UserError: where a setting would have no effect, or this machine lacks what it needs.
    """
    inner = inner_network(network)
    name = type(inner).__name__
    if trainer.get("channels_last") and not use_channels_last(network):
        raise UserError(
            f"trainer.channels_last=true: expected a network that trains convolutions of images; got {name}, which has"
            " none. Type trainer.channels_last=false."
        )
    if trainer.get("activation_checkpointing") and not checkpoint_activations(inner):
        raise UserError(
            "trainer.activation_checkpointing=true: expected a network of blocks, each of several layers; got"
            f" {name}, which has none. Type trainer.activation_checkpointing=false."
        )
    if trainer.get("compile"):
        _check_compilable(network, trainer)


def find_device_type(trainer: Config) -> str | None:
    """Return the type of the device that the trainer's node chooses; None where the machine lacks it."""
    try:
        return choose_device(str(trainer.get("accelerator", "auto"))).type
    except (MisconfigurationException, RuntimeError):  # of which the Trainer says more
        return None


def _check_compilable(network: nn.Module, trainer: Config) -> None:
    if isinstance(network, Transfer):
        raise UserError(
            "trainer.compile=true: expected a backbone that is trained; got a frozen one, whose features are computed"
            " once per image. Type model.frozen=false, or trainer.compile=false."
        )
    missing = find_missing_compiler(find_device_type(trainer))
    if missing is not None:
        raise UserError(
            f"trainer.compile=true: expected {missing}, which torch.compile needs; got none. Install it, or type"
            " trainer.compile=false."
        )
