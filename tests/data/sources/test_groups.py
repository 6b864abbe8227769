"""Groups that a pattern finds in the names of images."""

import pytest

from copycat.config.errors import UserError
from copycat.data.sources.groups import find_groups

NAMES = {"train": ["train/cat/rex_1.jpg", "train/dog/tom_12.jpg"], "val": ["val/cat/rex_2.jpg"]}


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"(.*)_\d+", {"train": ["rex", "tom"], "val": ["rex"]}),  # in the file's name: the part is no difference
        (r"/(\w+)/", {"train": ["cat", "dog"], "val": ["cat"]}),  # with a slash in the path
        (r"(\w)\w*_(\d)", {"train": ["r/1", "t/1"], "val": ["r/2"]}),
        (r"^(?:(rex)|(tom))", {"train": ["rex", "tom"], "val": ["rex"]}),
    ],
)
def test_a_pattern_finds_groups_in_names_or_with_a_slash_in_paths(pattern: str, groups: dict[str, list[str]]) -> None:
    assert find_groups(pattern, NAMES) == groups


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("(rex", r"expected a regular expression; got '\(rex': missing \), unterminated subpattern"),
        ("rex", r"expected a regular expression with a group in parentheses, as .*; got 'rex'"),
        ("(cow)", r"expected a pattern that matches every image's name; '\(cow\)' matches no name: train/cat/rex_1"),
        (r"(\d{4})", r"'\(\\d\{4\}\)' matches no name"),  # as it was typed, with one backslash
        ("(rex)", r"'\(rex\)' does not match 1 of 3 names: train/dog/tom_12\.jpg"),
        ("(x?)", r"'\(x\?\)' matches no name"),  # a match of nothing is no group
    ],
)
def test_a_pattern_that_does_not_fit_is_one_clear_line(pattern: str, line: str) -> None:
    with pytest.raises(UserError, match=rf"^data\.groups: .*{line}"):
        find_groups(pattern, NAMES)
