"""A configuration of schema 1, in the keys and classes that took the place of its own."""

from typing import Any

_BEFORE = "copycat.runs.checkpoints.SparseCheckpoint"
_GONE = ("_target_", "save_on_train_epoch_end", "enable_version_counter")
"""Its arguments that have no counterpart."""


def renewed(config: Any) -> Any:
    """Name what schema 1 named otherwise; what is not of the expected type is left to who checks it."""
    if not isinstance(config, dict):
        return config
    callbacks = config.get("callbacks")
    if isinstance(callbacks, dict):
        callbacks = {name: _renewed_checkpoint(node) for name, node in callbacks.items()}
    return {"augmentation": {"_target_": "copycat.data.augmentation.Unchanged"}, **config, "callbacks": callbacks}


def _renewed_checkpoint(node: Any) -> Any:
    if not isinstance(node, dict) or node.get("_target_") != _BEFORE:
        return node
    target = f"copycat.runs.checkpoints.{'BestCheckpoint' if node.get('monitor') else 'LastCheckpoint'}"
    return {"_target_": target, **{name: value for name, value in node.items() if name not in _GONE}}
