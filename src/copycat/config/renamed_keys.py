"""Answer renamed configuration keys with their new names, and read older records that have the old ones."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from copycat.config.errors import UserError
from copycat.config.options import PACKAGE

RENAMED: Mapping[str, str] = {
    "model.keep_statistics": "model.freeze_batch_norm",
    "layer_rates": "lr_multipliers",
    "data.broken": "data.on_unreadable",
    "augmentation.first": "augmentation.base",
    "sweep.change": "sweep.allow_changes",
    "hydra.launcher.max_pack": "hydra.launcher.max_trials_per_pack",
    "hydra.launcher.at_once": "hydra.launcher.max_submitted",
    "loss.weight": "loss.class_weights",
    "callbacks.fed": "callbacks.input_images",
    "callbacks.judged": "callbacks.confusion",
}
"""Old key: its present name, in the same node. An entry also applies to all keys below it."""
NESTING_GROUPS = ("model", "data", "augmentation")
"""Groups whose nodes may contain a node of the same group."""
OWN_TARGET_PREFIXES = (f"{PACKAGE}.", f"hydra_plugins.{PACKAGE}.")
"""Prefixes of targets whose keys were renamed; keys of a user's own class are left unchanged."""
KEYS_OF_KEYS = ("sweep.params", "sweep.when", "sweep.zip", "hydra.sweeper.params")
"""Keys whose values contain the names of other keys."""
_OLD_PARTS = {old.rpartition(".")[2] for old in RENAMED}
_NAMES = re.compile(rf"(?<![\w./])({'|'.join(old.replace('.', '[./]') for old in RENAMED)})(?!\w)")


def current_key(key: str, table: Mapping[str, str] = RENAMED) -> str:
    """Return the present name of a dotted key, or of a group's path; itself where nothing was renamed."""
    dotted = key.replace("/", ".")
    for old, new in table.items():
        if f"{dotted}.".startswith(f"{old}."):
            return key[: old.rfind(".") + 1] + new.rpartition(".")[2] + key[len(old) :]
    return key


def renamed_key_error(key: str) -> UserError | None:
    """Return the error for a key typed under its old name; None where it was not renamed."""
    present = current_key(key)
    return None if present == key else _make_error(key, present)


def check_renamed_keys(config: Mapping[str, Any]) -> None:
    """Raise a UserError for the first key under an old name."""
    for key, present in _old_keys(config):
        raise _make_error(key, present)


def with_current_keys(config: Any, path: str = "") -> Any:
    """Return a recorded node, whose own key is `path`, with each key under its present name, in the same order."""
    if isinstance(config, list):
        return [with_current_keys(inner, path) for inner in config]
    if not isinstance(config, Mapping):
        return config
    return {
        _current_name(name, value, config, path): with_current_keys(value, _path(name, path))
        for name, value in config.items()
    }


def find_renamed_keys(config: Any) -> dict[str, str]:
    """Return the keys of a recorded configuration that were renamed, in full, with their present names."""
    return dict(_old_keys(config))


def current_words(words: Sequence[str], table: Mapping[str, str] = RENAMED) -> list[str]:
    """Return recorded overrides with each key under its present name.

    The table of `find_renamed_keys` excludes keys of a user's own classes.
    """
    current = []
    for word in words:
        key, equals, value = word.partition("=")
        name = key.lstrip("+~")
        signs = key[: len(key) - len(name)]
        value = current_text(value) if name in KEYS_OF_KEYS else value
        current.append(f"{signs}{current_key(name, table)}{equals}{value}")
    return current


def current_keys(values: Mapping[str, Any], table: Mapping[str, str] = RENAMED) -> dict[str, Any]:
    """Return a mapping by dotted keys, with each key under its present name."""
    return {current_key(key, table): value for key, value in values.items()}


def current_text(text: str) -> str:
    """Return a text that contains keys, such as a value of `sweep.zip`, with their present names."""
    return _NAMES.sub(lambda found: current_key(found[0]), text)


def _old_keys(node: Any, path: str = "", at: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key under an old name, in full, and its present name."""
    if isinstance(node, list):
        for place, inner in enumerate(node):
            yield from _old_keys(inner, path, f"{at}{place}.")
    elif isinstance(node, dict):  # runs for each trial of a sweep: isinstance of Mapping takes ten times as long
        for name, value in node.items():
            if name in _OLD_PARTS and (present := _current_name(name, value, node, path)) != name:
                yield f"{at}{name}", f"{at}{present}"
            elif isinstance(value, dict | list):
                yield from _old_keys(value, _path(name, path), f"{at}{name}.")


def _current_name(name: str, value: Any, holder: Mapping[str, Any], path: str) -> str:
    present = RENAMED.get(f"{path}.{name}" if path else name)
    owner = value if path == "callbacks" else holder
    target = owner.get("_target_") if isinstance(owner, Mapping) else None
    if present is None or (isinstance(target, str) and not target.startswith(OWN_TARGET_PREFIXES)):
        return name
    return present.rpartition(".")[2]


def _path(name: str, path: str) -> str:
    return path if path in NESTING_GROUPS else f"{path}.{name}" if path else name


def _make_error(key: str, present: str) -> UserError:
    return UserError(f"{key}: expected the new name of this key. Type {present}.")
