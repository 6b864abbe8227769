"""Recognize packaged options by their targets, so that conf/ alone holds dotted names of Copycat's classes."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from copycat.config.errors import UserError
from copycat.config.moved_names import current_name
from copycat.config.places import CONF

PACKAGE = __name__.partition(".")[0]
_TARGET = re.compile(r"^\s*_target_:\s*([\w.]+)", re.MULTILINE)


@cache
def packaged_targets(group: str) -> Mapping[str, Sequence[str]]:
    """Return the targets of each packaged option of a group; the user's own conf/ is ignored."""
    files = (CONF / group).glob("*.yaml")
    return {file.stem: _TARGET.findall(file.read_text(encoding="utf-8")) for file in files}


def is_option(target: object, group: str, *options: str) -> bool:
    """Return whether a target belongs to one of the named packaged options, or to any of the group without names."""
    targets = packaged_targets(group)
    return any(current_name(str(target)) in targets[option] for option in options or targets)


def is_ours(target: object) -> bool:
    """Return whether a target lies in Copycat."""
    return str(target).startswith(f"{PACKAGE}.")


def missing_target(group: str) -> UserError:
    """Return the error for a group whose chosen option has no `_target_`."""
    return UserError(
        f"{group}: expected an option with a _target_; got none. Type {group}=OPTION, or write one into your own file:"
        " 'defaults: [OPTION]'."
    )
