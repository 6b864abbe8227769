"""Read the options in conf/ with their keys, defaults and comments."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from copycat.config.places import CONF, EXPERIMENTS, MAIN

OTHER_GROUPS = (
    *("scheduler/first", "scheduler/second"),
    *("hydra/sweeper", "hydra/sweeper/sampler", "hydra/sweeper/pruner", "hydra/launcher"),
)
"""Groups that the defaults of the main file do not name, or name without their parents."""


@dataclass(frozen=True)
class Key:
    """Hold a key as one option defines it."""

    name: str
    """Dotted, such as `optimizer.lr`."""
    default: str
    """As written in the file; the class of a node that has one."""
    comment: str


@dataclass(frozen=True)
class Option:
    """Hold one YAML file of a group."""

    name: str
    summary: str
    """The comment in the first line."""
    target: str
    """The class or function that it builds; empty where it builds none or several."""
    keys: tuple[Key, ...]
    file: str
    """Path in the repository."""


def read_groups() -> Mapping[str, tuple[str, str]]:
    """Return each group of the main file with its default option and its comment, in the order of the file."""
    text = (CONF / f"{MAIN}.yaml").read_text(encoding="utf-8")
    found = re.findall(r"^  - (?:override )?([\w/]+): (\w+) *(?:# (.*))?$", text, re.MULTILINE)
    groups = {group: (default, comment) for group, default, comment in found if not group.endswith("_logging")}
    return groups | {group: groups.get(group, ("", "")) for group in OTHER_GROUPS}


def read_options(group: str) -> list[Option]:
    """Return the options of a group, sorted by name."""
    folder = EXPERIMENTS if group == "experiment" else CONF / group
    return [_read_option(file, group) for file in sorted(folder.glob("*.yaml"))]


def read_main() -> list[Key]:
    """Return the keys of the main file, without those of Hydra."""
    file = CONF / f"{MAIN}.yaml"
    return [key for key in _read_keys(file.read_text(encoding="utf-8"), "") if not key.name.startswith("hydra")]


def _read_option(file: Path, group: str) -> Option:
    text = file.read_text(encoding="utf-8")
    first = next((line for line in text.splitlines() if not line.startswith("# @package")), "")
    target = re.search(r"^_target_: (\S+)", text, re.MULTILINE)
    found = [] if group == "experiment" else _read_keys(text, group.replace("/", ".") + ".")
    keys = tuple(key for key in found if not key.name.startswith(("sweep.params.", "sweep.when.")))  # axes, not keys
    where = "experiments" if group == "experiment" else f"conf/{group}"
    summary = first.removeprefix("# ") if first.startswith("# ") else ""
    return Option(file.stem, summary, target[1] if target else "", keys, f"{where}/{file.name}")


def _read_keys(text: str, prefix: str) -> Iterator[Key]:
    node = yaml.compose(text)
    if isinstance(node, yaml.MappingNode):
        yield from _walk(node, text.splitlines(), text, prefix)


def _walk(node: yaml.MappingNode, lines: list[str], text: str, prefix: str) -> Iterator[Key]:
    for name, value in node.value:
        if name.value == "defaults" or re.fullmatch(r"_\w+_", name.value):
            continue
        is_block = isinstance(value, yaml.MappingNode) and not value.flow_style
        # the comment stands behind the value, or behind the key of a value that begins in the next line
        marks = [name.end_mark] if is_block or value.start_mark.line > name.end_mark.line else [value.end_mark]
        rests = [lines[mark.line][mark.column :] for mark in marks]
        comment = next((found[1] for rest in rests if (found := re.search(r"# (.*)$", rest))), "")
        default = " ".join(text[value.start_mark.index : value.end_mark.index].split())
        if not is_block:
            yield Key(prefix + name.value, default, comment)
            continue
        target = next((inner.value for key, inner in value.value if key.value == "_target_"), "")
        if target or (comment and prefix):
            yield Key(prefix + name.value, target, comment)
        yield from _walk(value, lines, text, f"{prefix}{name.value}.")
