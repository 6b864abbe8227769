"""Upgrade a configuration of schema 1 to the keys and classes of schema 2."""

from typing import Any

_FORMER_CHECKPOINT = "copycat.runs.checkpoints.SparseCheckpoint"
_REMOVED_ARGUMENTS = ("_target_", "save_on_train_epoch_end", "enable_version_counter")
"""Its arguments without a counterpart."""


def upgrade_config(config: Any) -> Any:
    """Rename the keys and classes of schema 1; leave values of unexpected types to later checks."""
    if not isinstance(config, dict):
        return config
    callbacks = config.get("callbacks")
    if isinstance(callbacks, dict):
        callbacks = {name: _upgrade_checkpoint(node) for name, node in callbacks.items()}
    return {"augmentation": {"_target_": "copycat.data.augmentation.Unchanged"}, **config, "callbacks": callbacks}


def _upgrade_checkpoint(node: Any) -> Any:
    if not isinstance(node, dict) or node.get("_target_") != _FORMER_CHECKPOINT:
        return node
    target = f"copycat.runs.checkpoints.{'BestCheckpoint' if node.get('monitor') else 'LastCheckpoint'}"
    return {"_target_": target, **{name: value for name, value in node.items() if name not in _REMOVED_ARGUMENTS}}
