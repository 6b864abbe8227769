"""Find the group of each image, such as an animal or a patient, in its name."""

import re
from collections.abc import Mapping, Sequence

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line, one_of

EXAMPLE = r"data.groups='(.*)_\d+'"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression that has a group in parentheses.

    Raises:
        UserError: where it is none.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(f"data.groups: expected a regular expression; got '{pattern}': {first_line(error)}.") from error
    if not compiled.groups:
        raise UserError(
            f"data.groups: expected a regular expression with a group in parentheses, as {EXAMPLE}; got '{pattern}'."
        )
    return compiled


def find_groups(pattern: str, names: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the group of each name: what the groups of a regular expression match in it, joined by `/`.

    The pattern is searched in the file's name, or where it has a slash, in the whole path as messages print it.

    Args:
        pattern: the regular expression, of Python's `re`.
        names: of the images of each part.

    Raises:
        UserError: where the pattern is none, has no group, or does not match every name.
    """
    compiled, in_path = compile_pattern(pattern), "/" in pattern
    groups = {
        part: [_find_group(compiled, name if in_path else name.rpartition("/")[2]) for name in listed]
        for part, listed in names.items()
    }
    unmatched = [
        name for part, listed in names.items() for name, group in zip(listed, groups[part], strict=True) if not group
    ]
    if unmatched:
        count = sum(map(len, names.values()))
        of = "matches no name" if len(unmatched) == count else f"does not match {len(unmatched)} of {count} names"
        raise UserError(
            f"data.groups: expected a pattern that matches every image's name; '{pattern}' {of}: "
            f"{one_of(unmatched, most=3)}."
        )
    return groups


def _find_group(pattern: re.Pattern[str], name: str) -> str:
    match = pattern.search(name)
    return "" if match is None else "/".join(group or "" for group in match.groups()).strip("/")
