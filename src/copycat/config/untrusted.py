"""Check the configuration of an untrusted run folder, before any of its targets is imported."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from copycat.config.errors import UserError
from copycat.config.options import is_option
from copycat.config.printable import UNPRINTABLE
from copycat.config.rules import NAMED_TARGET_GROUPS, TARGET, TARGET_GROUPS
from copycat.config.suggestions import one_of

Refuse = Callable[[str, str], str | None]
"""Takes a slot and a target; returns what was expected instead, or None where the target is allowed."""

NESTED_SLOT = "part"
"""The slot of a target nested in another node, such as a layer's activation."""
TRANSFORM_SLOT = "transform"
"""The slot of a transform in an augmentation's list."""
NESTED_GROUP_NODES = (("augmentation", "base"), ("scheduler", "first"), ("scheduler", "second"))
"""Nested nodes checked like their parent."""
PATTERN_KEY = "lr_multipliers"
"""The mapping whose keys are patterns of parameter names, not names of arguments."""
TRAINER_KEYS = (
    *("_target_", "threads", "steps_per_execution", "accelerator", "devices", "precision", "deterministic"),
    *("strategy", "num_nodes", "timeout"),
    *("benchmark", "detect_anomaly", "compile", "channels_last", "activation_checkpointing"),
    *("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time", "inference_mode", "accumulate_grad_batches"),
    *("gradient_clip_val", "gradient_clip_algorithm", "check_val_every_n_epoch", "val_check_interval"),
    *("limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches"),
)
"""Keys of the trainer that take neither code nor paths, unlike plugins, profilers and strategies."""
HYDRA_KEY_VALUES: Mapping[str, tuple[object, ...]] = {
    "_partial_": (True, False),
    "_recursive_": (True, False),
    "_convert_": ("none", "partial", "object", "all"),
}
_LONGEST = 4096
_PATH_NAME = re.compile(r"(^|_)(dir|dirpath|folder|root|path|file|location|uri|url)(_|$)")
_IN_RUN = re.compile(r"\{run\}(/[\w][\w. +-]*)*")
_METRIC = re.compile(r"(train|val)/\w+(/[\w+-][\w.+-]*)?")
_WORD = re.compile(r"(?!\.)[^/\\:~{}$]*")


def check_untrusted(config: Any, *, where: str, refuse: Refuse) -> None:
    """Raise a UserError, with a remedy, for the first forbidden target, key, value or path of a config from `where`."""
    try:
        _check_texts(config)
        _check_keys(config)
        _check_groups(config)
        for key, node, slot in _nodes(config):
            _check_node(key, node, slot, refuse)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def without_downloads(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checked configuration whose data is read from this machine alone."""
    if not is_option(config["data"]["_target_"], "data", "hub"):
        return dict(config)
    return {**config, "data": {**config["data"], "download": False}}


def _check_texts(config: Any) -> None:
    """Refuse interpolations, control characters, addresses of other machines and very long texts."""
    for key, value in _texts(config):
        if UNPRINTABLE.search(key) or len(key) > _LONGEST:
            raise UserError(f"expected keys that can be printed; got {key!a:.80}. Rename it.")
        if "${" in value:
            raise UserError(
                f"{key}: expected a value; got {value!r:.80}, which would be looked up, and this folder is not signed"
                " by you. Write the value itself."
            )
        if "://" in value or value.startswith(("//", "\\\\")):
            raise UserError(
                f"{key}: expected nothing on another machine; got {value!r:.80}, and this folder is not signed by you."
                " Write a path here, or remove the key."
            )
        if UNPRINTABLE.search(value) or len(value) > _LONGEST:
            raise UserError(f"{key}: expected a line that can be printed; got {value!a:.80}. Write it plainly.")


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text with its key, and every name of a key as a text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise UserError(f"{key or 'its keys'}: expected keys that are words; got {name!r:.80}. Rename it.")
            inside = f"{key}.{name}" if key else name
            yield inside, name
            yield from _texts(inner, inside)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _texts(inner, f"{key}[{place}]")
    elif isinstance(value, str):
        yield key, value


def _check_keys(value: Any, key: str = "") -> None:
    """Refuse keys that are no identifiers: a target with `**kwargs` would accept them."""
    if isinstance(value, list):
        for inner in value:
            _check_keys(inner, key)
    elif isinstance(value, dict) and key != PATTERN_KEY:
        for name, inner in value.items():
            inside = f"{key}.{name}" if key else name
            if not name.isidentifier():
                raise UserError(f"{inside!a:.80}: expected a key of letters, digits and _; got {name!a:.80}.")
            _check_keys(inner, inside)


def _check_groups(config: Any) -> None:
    if not isinstance(config, dict):
        raise UserError("expected a whole configuration; got none.")
    for name in NAMED_TARGET_GROUPS:
        if not isinstance(config.get(name), (dict, type(None))):
            raise UserError(f"{name}: expected keys or null; got {config[name]!r:.80}. Write {{}}.")


def _nodes(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield every mapping that has or needs a target, with its key and slot."""
    if isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _nodes(inner, (*path[:-1], f"{path[-1]}[{place}]"))
    elif isinstance(value, dict):
        if any(name.startswith("_") for name in value) or (len(path) == 1 and path[0] in TARGET_GROUPS):
            yield ".".join(path), value, _slot(path)
        for name, inner in value.items():
            yield from _nodes(inner, (*path, name))


def _slot(path: tuple[str, ...]) -> str:
    if len(path) == 1 and path[0] in TARGET_GROUPS:
        return path[0]
    if len(path) == 2 and (path[0] in NAMED_TARGET_GROUPS or path in NESTED_GROUP_NODES):
        return path[0]
    if len(path) > 1 and path[0] == "augmentation":
        return TRANSFORM_SLOT
    inside = len(path) > 1 and path[0] in (*TARGET_GROUPS, *NAMED_TARGET_GROUPS) and path[0] != "trainer"
    return NESTED_SLOT if inside else ""


def _check_node(key: str, node: Mapping[str, Any], slot: str, refuse: Refuse) -> None:
    target = node.get("_target_")
    if not slot:
        raise UserError(f"{key or 'the top'}: expected plain values; got {one_of(node)}. Remove what starts with '_'.")
    if not isinstance(target, str) or not TARGET.allows(target):
        raise UserError(f"{key}._target_: expected {TARGET.words}; got {target!r:.80}. Write such a name.")
    if expected := refuse(slot, target):
        raise UserError(f"{key}._target_: {expected}")
    for name, value in node.items():
        if name in HYDRA_KEY_VALUES:
            allowed = HYDRA_KEY_VALUES[name]
            if not any(value is option or value == option for option in allowed):
                raise UserError(f"{key}.{name}: expected one of {one_of(map(str, allowed))}; got {value!r:.80}.")
        elif name == "_args_" and not (key.partition(".")[0] == "model" and isinstance(value, list)):
            raise UserError(f"{key}._args_: expected keys by name; got values by place. Write their names.")
        elif name.startswith("_") and name not in ("_target_", "_args_"):
            raise UserError(f"{key}.{name}: expected a key of {target}; got one with '_' before it. Remove it.")
        elif slot == "trainer" and name not in TRAINER_KEYS:
            raise UserError(
                f"{key}.{name}: expected a key that takes neither code nor paths, as {one_of(TRAINER_KEYS[1:], most=8)}"
                "; this folder is not signed by you. Remove the key."
            )
        elif key.startswith("trainer") and isinstance(value, dict):
            raise UserError(f"{key}.{name}: expected a plain value; got keys. Write the value.")
    if key.partition(".")[0] in NAMED_TARGET_GROUPS:
        for name, value in node.items():
            if name not in ("_target_", *HYDRA_KEY_VALUES):
                _check_place(f"{key}.{name}", value, ours=name)


def _check_place(key: str, value: Any, *, ours: str) -> None:
    """Refuse paths of a callback or logger outside the run folder."""
    if isinstance(value, dict):
        if "_target_" not in value:  # else `_nodes` yields it
            for name, inner in value.items():
                _check_place(f"{key}.{name}", inner, ours=name)
    elif isinstance(value, list):
        for inner in value:
            _check_place(key, inner, ours=ours)
    else:
        is_text = isinstance(value, str)
        if _PATH_NAME.search(ours):
            is_safe = is_text and _IN_RUN.fullmatch(value) and ".." not in PurePosixPath(value).parts
        else:
            is_safe = not is_text or any(form.fullmatch(value) for form in (_IN_RUN, _METRIC, _WORD))
        if not is_safe:
            raise UserError(
                f"{key}: expected a name, or a path that starts with {{run}}; got {value!r:.80}, and this folder is not"
                " signed by you. Write {run}/NAME."
            )
