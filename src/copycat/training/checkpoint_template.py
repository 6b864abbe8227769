"""Take checkpoints in memory at many epochs: one from Lightning, and from it those of later epochs."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from copycat.training.checkpoint_io import check_finite, deep_copy
from copycat.training.hook_compatibility import overrides
from copycat.training.lightning_internals import dump_checkpoint, update_loops_state

STATE_METHODS = ("state_dict", "_save_to_state_dict", "get_extra_state")
"""Methods of a module that make its state."""


class CheckpointTemplate:
    """Take the checkpoints that Lightning would save on one device, in a tenth of the time.

    Lightning writes out the state of all its loops, which no epoch between its own changes beyond the counters.
    """

    def __init__(self, trainer: pl.Trainer) -> None:
        """Let Lightning make a checkpoint."""
        self.trainer = trainer
        self._made = dump_checkpoint(trainer)
        callbacks: Any = getattr(trainer, "callbacks")  # noqa: B009, set by a connector: mypy does not see it
        self._hooks = [callback for callback in callbacks if overrides(callback, "on_save_checkpoint")]
        self._tensors = find_state(trainer.lightning_module)
        self._stateful = [callback for callback in callbacks if overrides(callback, "state_dict")]

    def take(self) -> dict[str, Any]:
        """Return a checkpoint of the current state, which later steps do not change.

        Raises:
            DivergedError: where a weight is not finite.
        """
        trainer, module = self.trainer, self.trainer.lightning_module
        states = {callback.state_key: callback.state_dict() for callback in self._stateful}
        checkpoint: dict[str, Any] = {
            **self._made,
            "epoch": trainer.current_epoch,
            "global_step": trainer.global_step,
            "state_dict": self._state(module),
            "loops": update_loops_state(trainer, self._made["loops"]),
            "callbacks": {key: state for key, state in states.items() if state},
            "optimizer_states": [optimizer.state_dict() for optimizer in trainer.optimizers],
            "lr_schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        }
        for callback in self._hooks:
            callback.on_save_checkpoint(trainer, module, checkpoint)
        module.on_save_checkpoint(checkpoint)
        check_finite(checkpoint)
        return {
            name: value if value is self._made.get(name) or name == "loops" else deep_copy(value)
            for name, value in checkpoint.items()
        }

    def _state(self, module: nn.Module) -> Mapping[str, Any]:
        if self._tensors is None:
            return module.state_dict()
        return {name: tensor.detach() for name, tensor in self._tensors.items()}


def find_state(module: nn.Module) -> dict[str, Tensor] | None:
    """Return the parameters and buffers of `state_dict`, by name; None where a module makes its state anew each time.

    Collecting them in Python takes longer than to copy those of a small network.
    """
    for each in module.modules():
        own = (getattr(type(each), name) is getattr(nn.Module, name) for name in STATE_METHODS)
        if not all(own) or each._state_dict_hooks or each._state_dict_pre_hooks:
            return None
    state: dict[str, Tensor] = module.state_dict(keep_vars=True)
    return state
