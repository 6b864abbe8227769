"""Builds what a `_target_` names, once its keys are held against its signature."""

import inspect
import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Union, get_args, get_origin

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from copycat.config.errors import UserError
from copycat.config.hints import did_you_mean, first_line, one_of, shown

Node = Mapping[str, Any]
SPECIAL = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")


def signature_keys(target: Callable[..., Any]) -> list[str]:
    """The keywords that a callable takes by name."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in inspect.signature(target).parameters.values() if p.kind in named]


def find(key: str, target: str) -> Callable[..., Any]:
    """The callable of that dotted name.

    Raises:
        UserError: where there is none.
    """
    module, _, name = target.rpartition(".")
    # a console script has its own folder where `python` has the current one: a user's ./mypackage.py is found so too,
    # and last, so that a file there never hides an installed package
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise UserError(
            f"{key}._target_: expected a class or function that can be imported; got {target!r}: {first_line(error)}."
        ) from error
    return found


def build(key: str, node: Node, *arguments: Any, **more: Any) -> Any:
    """What the node names, made from its keys and from those given here.

    Raises:
        UserError: where a key is not in the target's signature, has a wrong type, or the target refuses it.
    """
    check_node(key, node, given=list(more))
    try:
        return instantiate(dict(node), *arguments, _convert_="all", **more)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, UserError):
            raise cause from error
        raise UserError(f"{key}: {node['_target_']} refuses this: {first_line(cause)}") from error


def check_node(key: str, node: Node, *, given: Sequence[str] = ()) -> None:
    """Hold a node, and those inside it, against the signatures of their targets.

    Raises:
        UserError: for the first key that does not fit.
    """
    for name, value in node.items():
        if isinstance(value, Mapping) and "_target_" in value:
            check_node(f"{key}.{name}", value)
    target = find(key, node["_target_"])
    try:
        parameters = inspect.signature(target).parameters
    except ValueError:  # some builtins have none
        return
    if any(p.kind == inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    takes = signature_keys(target)
    for name, value in node.items():
        if name in SPECIAL:
            continue
        if name not in takes:
            raise UserError(
                f"{key}.{name}: {node['_target_']} takes {one_of(takes)}; got {name!r}."
                + did_you_mean(name, takes, before=f"{key}.")
            )
        wanted = _plain_type(parameters[name])
        if wanted and not _fits(value, wanted):
            words = " or ".join("null" if t is types.NoneType else t.__name__ for t in wanted)
            raise UserError(f"{key}.{name}: expected {words}; got {shown(value)}.")
    if node.get("_partial_"):
        return
    for p in parameters.values():
        if p.default is p.empty and p.name in takes and p.name not in {*node, *given}:
            raise UserError(f"{key}.{p.name}: {node['_target_']} needs it. Type {key}.{p.name}=VALUE.")


def _plain_type(parameter: inspect.Parameter) -> tuple[type, ...]:
    """The plain types that a parameter takes, by its annotation or default; empty where they are not all plain."""
    annotation: Any = parameter.annotation
    if annotation is parameter.empty or isinstance(annotation, str):
        default = parameter.default
        if isinstance(default, int) and not isinstance(default, bool):
            return (int, float)  # many a 0 stands for 0.0
        return (type(default),) if isinstance(default, (bool, float, str)) else ()
    union = get_origin(annotation) in (Union, types.UnionType)
    found = get_args(annotation) if union else (annotation,)
    return tuple(found) if all(t in (bool, int, float, str, types.NoneType) for t in found) else ()


def _fits(value: Any, wanted: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in wanted
    if isinstance(value, int) and float in wanted:
        return True
    if isinstance(value, float) and int in wanted and float not in wanted:
        return False
    return isinstance(value, wanted)
