"""Instantiate targets, after checking their keys against their signatures."""

import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from copycat.config.annotations import is_factory_of, make_rule
from copycat.config.errors import UserError
from copycat.config.extras import missing_package_error
from copycat.config.moved_names import current_name, with_current_names
from copycat.config.options import is_ours
from copycat.config.own_modules import own_module_importable
from copycat.config.suggestions import describe_refusal, did_you_mean, format_value, one_of

Node = Mapping[str, Any]
_CONVERT_ALL = {"_convert_": "all"}
FRAMEWORKS = ("optuna.", "pytorch_lightning.", "torch.nn.", "torch.optim.", "torchmetrics.")
LATE_NODES = frozenset(["optimizer", "scheduler"])
"""Nodes whose targets get the network's parameters, or an optimizer, later."""
HYDRA_KEYS = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")


def signature_keys(target: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that a callable takes by keyword."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in (_parameters(target) or {}).values() if p.kind in named]


def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """Return the parameters of a callable by name; None where it has no signature."""
    return _inspect_parameters(target) if isinstance(target, Hashable) else _inspect_parameters.__wrapped__(target)


@lru_cache(256)  # every trial of a sweep has the same targets
def _inspect_parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    with suppress(Exception):  # annotations that are text may name what is imported for type checkers alone
        return inspect.signature(target, eval_str=True).parameters
    try:
        return inspect.signature(target).parameters
    except ValueError:  # some builtins have none
        return None


def import_target(key: str, target: str) -> Callable[..., Any]:
    """Import a class or function by its dotted name, also a former one; raise a UserError where that fails."""
    try:
        with own_module_importable(target):
            imported: Callable[..., Any] = _locate(current_name(target))
        if not callable(imported):
            raise TypeError(f"{type(imported).__name__} can't be called")
    except Exception as error:  # a module of the user's own may raise any
        hint = _nearest_attribute(error, target) if isinstance(error, AttributeError) else ""
        raise missing_package_error(error, wanted_by=key) or UserError(
            f"{key}._target_: expected a class or function that can be imported; got {target!r}:"
            f" {describe_refusal(error)}.{hint}"
        ) from error
    return imported


def _nearest_attribute(error: AttributeError, target: str) -> str:
    public = [name for name in dir(error.obj) if not name.startswith("_")]
    return did_you_mean(target.rpartition(".")[2], public, before=f"{target.rpartition('.')[0]}.")


def _locate(target: str) -> Any:
    """Import an attribute of a module, or of a class in a module, by its dotted name."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != module or "." not in module:
            raise
        return getattr(_locate(module), name)


def build_target(key: str, node: Node, *arguments: Any, **more: Any) -> Any:
    """Instantiate the target of a node from the node's keys and the given arguments.

    Keyword arguments replace keys of the node. Where it has `_partial_` and no arguments are given, the result is a
    partial of the target.

    Raises:
        UserError: for a key that is not in the target's signature or has a wrong type, and where the target raises.
    """
    check_node(key, node, given=list(more))
    return instantiate_target(key, node, *arguments, **more)


def instantiate_target(key: str, node: Node, *arguments: Any, **more: Any) -> Any:
    """Instantiate the target of a node that `check_node` has accepted; else as `build_target`."""
    with refusals(key, node):
        # arguments are no configuration and plain values need no resolving: they bypass Hydra, which is slow for each
        plain = {name: deepcopy(value) for name, value in node.items() if name not in HYDRA_KEYS and _is_plain(value)}
        if not any(name in node for name in HYDRA_KEYS[2:]):
            inner = {name: value for name, value in node.items() if isinstance(value, Mapping) and "_target_" in value}
            plain |= {name: instantiate_target(f"{key}.{name}", value) for name, value in inner.items()}
            lists = {name: value for name, value in node.items() if _is_list_of_nodes(value)}
            plain |= {
                name: [instantiate_target(f"{key}.{name}[{place}]", value) for place, value in enumerate(values)]
                for name, values in lists.items()
            }
        rest = {name: value for name, value in node.items() if name not in plain and name != "_partial_"}
        target = import_target(key, node["_target_"])
        if len(rest) == 1 and isinstance(target, type) and _is_exempt(target):
            factory: Callable[..., Any] = target
        elif len(rest) == 1 and isinstance(target, Hashable):
            factory = _hydra_partial(current_name(node["_target_"]), target)
        else:
            factory = instantiate({**with_current_names(rest), "_partial_": True, **_CONVERT_ALL})
        if node.get("_partial_") and not arguments and not more:
            return partial(factory, **plain)
        return factory(*arguments, **{**plain, **more})


@contextmanager
def refusals(key: str, node: Node) -> Iterator[None]:
    """Turn what a node's target raises into a UserError that names the key and the target."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause = (error.__cause__ or error) if isinstance(error, InstantiationException) else error
        if isinstance(cause, UserError):
            raise cause from error
        raise UserError(f"{key}: {node['_target_']} refuses this: {describe_refusal(cause)}") from error


def _is_exempt(target: type) -> bool:
    """Return whether a class needs no check against Hydra's block-list, which is slow: it is ours, or of a framework.

    The block-list holds names of Python's own modules. Functions are checked: theirs may call what they are given.
    """
    return is_ours(target.__module__) or target.__module__.startswith(FRAMEWORKS)


@lru_cache(256)
def _hydra_partial(name: str, target: Callable[..., Any]) -> Callable[..., Any]:  # noqa: ARG001, part of the cache key
    """Return Hydra's partial of a target, which checks its block-list.

    The target is what the name refers to now: an attribute that was replaced gets another cache entry.
    """
    factory: Callable[..., Any] = instantiate({"_target_": name, "_partial_": True, **_CONVERT_ALL})
    return factory


def _is_list_of_nodes(value: Any) -> bool:
    is_node = [isinstance(inner, Mapping) and "_target_" in inner for inner in value] if isinstance(value, list) else []
    return bool(is_node) and all(is_node)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def check_node(key: str, node: Node, *, given: Sequence[str] = ()) -> None:
    """Check a node, and nodes inside it, against the signatures of their targets.

    Parameters in `given` are passed by the caller.

    Raises:
        UserError: for the first unknown or missing key, or value of a wrong type.
    """
    for name, value in node.items():
        if isinstance(value, Mapping) and "_target_" in value:
            check_node(f"{key}.{name}", value)
        elif _is_list_of_nodes(value):
            for place, inner in enumerate(value):
                check_node(f"{key}.{name}[{place}]", inner)
    target = import_target(key, node["_target_"])
    if (parameters := _parameters(target)) is None:
        return
    takes, takes_any = signature_keys(target), any(p.kind == p.VAR_KEYWORD for p in parameters.values())
    for name, value in node.items():
        if name in HYDRA_KEYS:
            continue
        if name not in takes:
            if takes_any:  # what they are for is not in the signature
                continue
            raise UserError(
                f"{key}.{name}: {node['_target_']} takes {one_of(takes) or 'no keys'}; got {name!r}."
                + did_you_mean(name, takes, before=f"{key}.")
            )
        if name in given and value is None:  # the caller passes it
            continue
        annotation = parameters[name].annotation
        if isinstance(value, Mapping) and "_target_" in value and not value.get("_partial_"):
            where, made = f"{key}.{name}", value["_target_"]
            if is_factory_of(annotation, import_target(where, made)):
                raise UserError(f"{where}: expected {made} with _partial_: true; got it without. Add it to the YAML.")
        rule = make_rule(annotation)
        if rule and not rule.allows(value):
            hint = did_you_mean(value, rule.options, before=f"{key}.{name}=")
            raise UserError(f"{key}.{name}: expected {rule.words}; got {format_value(value)}.{hint}")
    if node.get("_partial_") or takes_any:  # what a class with **kwargs needs, it may be given later
        return
    for p in parameters.values():
        if p.default is p.empty and p.name in takes and p.name not in {*node, *given}:
            advice = f"Type {key}.{p.name}=VALUE."
            if not LATE_NODES.isdisjoint(key.split(".")):
                advice = f"It is given later: add _partial_: true to the YAML, or type +{key}._partial_=true."
            raise UserError(f"{key}.{p.name}: {node['_target_']} needs it. {advice}")
