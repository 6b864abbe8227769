"""Take checkpoints in memory at many epochs: one from Lightning, and from it those of later epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.optim import Optimizer

from copycat.training.checkpoint_io import deep_copy
from copycat.training.checkpoints import CHECKPOINT_KEY
from copycat.training.hook_compatibility import overrides
from copycat.training.lightning_internals import dump_checkpoint, update_loops_state

NEW_ENTRIES = ("loops", CHECKPOINT_KEY)
"""Entries that are made anew for each checkpoint, and that nothing changes."""
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
        self._settings: list[Any] = []  # of the optimizers, at the last checkpoint
        self._packed: list[Any] = []  # states of the optimizers at that checkpoint

    def take(self) -> dict[str, Any]:
        """Return a checkpoint of the current state, which later steps do not change; its weights are not checked."""
        trainer, module = self.trainer, self.trainer.lightning_module
        states = {callback.state_key: callback.state_dict() for callback in self._stateful}
        copied = {"state_dict": self._state(module), "optimizer_states": self._optimizer_states(trainer.optimizers)}
        checkpoint: dict[str, Any] = {
            **self._made,
            **copied,
            "epoch": trainer.current_epoch,
            "global_step": trainer.global_step,
            "loops": update_loops_state(trainer, self._made["loops"]),
            "callbacks": {key: state for key, state in states.items() if state},
            "lr_schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        }
        for callback in self._hooks:
            callback.on_save_checkpoint(trainer, module, checkpoint)
        module.on_save_checkpoint(checkpoint)
        new = {**self._made, **copied, **{name: checkpoint.get(name) for name in NEW_ENTRIES}}
        return {name: value if value is new.get(name) else deep_copy(value) for name, value in checkpoint.items()}

    def _state(self, module: nn.Module) -> Mapping[str, Tensor]:
        state = module.state_dict() if self._tensors is None else self._tensors
        return {name: deep_copy(value) for name, value in state.items()}

    def _optimizer_states(self, optimizers: Sequence[Optimizer]) -> list[Any]:
        """Return copies of the optimizers' states; the last ones where they hold nothing but the same settings."""
        groups = (group.items() for optimizer in optimizers for group in optimizer.param_groups)
        settings = [value for items in groups for name, value in items if name != "params"]
        is_plain = not any(optimizer.state for optimizer in optimizers)
        if not is_plain or settings != self._settings or any(isinstance(value, Tensor) for value in settings):
            self._packed, self._settings = [deep_copy(optimizer.state_dict()) for optimizer in optimizers], settings
        return self._packed


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
