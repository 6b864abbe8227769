"""The packaged options, by their targets: a dotted name of Copycat's stands in conf/, and nowhere in the code."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from copycat.config.moved_names import current_name
from copycat.config.places import CONF

PACKAGE = __name__.partition(".")[0]
_TARGET = re.compile(r"^\s*_target_:\s*([\w.]+)", re.MULTILINE)


@cache
def packaged_targets(group: str) -> Mapping[str, Sequence[str]]:
    """Return the targets that each packaged option of a group names; the user's own conf/ is not asked."""
    files = (CONF / group).glob("*.yaml")
    return {file.stem: _TARGET.findall(file.read_text(encoding="utf-8")) for file in files}


def is_option(target: object, group: str, *options: str) -> bool:
    """Return whether a target is that of a packaged option: of one of these, or of any where none is named."""
    targets = packaged_targets(group)
    return any(current_name(str(target)) in targets[option] for option in options or targets)


def is_ours(target: object) -> bool:
    """Return whether a target lies in Copycat."""
    return str(target).startswith(f"{PACKAGE}.")
