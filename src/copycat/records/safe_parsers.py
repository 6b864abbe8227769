"""Parse untrusted JSON and YAML files: no content is executed, and none can hang or exhaust a process.

Each function raises ValueError with the end of a sentence where a file is invalid.
"""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

import yaml
from yaml import events
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

MAX_BYTES = 2**28
"""Maximum size of a file to read, in bytes, where its format allows no smaller one."""
MAX_DEPTH = 24
"""Maximum nesting of containers."""
_MAX_DIGITS = 64
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_file(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a plain file of limited size, which must be no link, pipe or device.

    Raises:
        OSError: where it cannot be read.
    """
    # without O_NONBLOCK, opening a pipe waits for a writer
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink():
        raise ValueError("it is a link")
    with os.fdopen(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no plain file")
        if status.st_size > max_bytes:
            raise ValueError(f"it has {status.st_size} bytes, more than {max_bytes}")
        return file.read(status.st_size)  # read allocates this size


def read_json(content: bytes) -> Any:
    """Parse mappings with unique keys, lists, strings, booleans, null and finite numbers."""
    try:
        parsed = json.loads(
            content.decode(), parse_constant=_float, parse_float=_float, parse_int=_int, object_pairs_hook=_unique
        )
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is no text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON at line {error.lineno}") from error
    level = [parsed]
    for _ in range(MAX_DEPTH + 1):
        inner = (value.values() if isinstance(value, dict) else value for value in level)
        level = [value for values in inner if not isinstance(values, _PLAIN) for value in values]
    if level:
        raise ValueError("it is nested too deep")
    return parsed


_PLAIN = (str, int, float, type(None))


def _int(word: str) -> int:
    if len(word) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(word)} digits")
    return int(word)


def _float(word: str) -> float:
    if not math.isfinite(number := float(word)):
        raise ValueError(f"{word:.80} is no finite number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key comes twice")
    return mapping


def read_yaml(content: bytes) -> Any:
    """Parse mappings, lists, strings, numbers, booleans and null, the content of a resolved configuration.

    Refuse aliases, which can expand a line to gigabytes, tags, which can name code, and repeated keys.
    """
    try:
        text = content.decode()
        documents: list[Any] = []
        stack: list[_Container] = []
        for event in yaml.parse(text, Loader=_Loader):
            line = event.start_mark.line + 1 if event.start_mark else 0
            if isinstance(event, events.AliasEvent) or getattr(event, "anchor", None):
                raise ValueError(f"line {line}: it has an anchor or alias")
            if tag := getattr(event, "tag", None):
                raise ValueError(f"line {line}: it has a tag, {tag!r:.80}")
            if isinstance(event, events.CollectionStartEvent):
                if len(stack) == MAX_DEPTH:
                    raise ValueError(f"line {line}: it is nested too deep")
                stack.append(_Container(isinstance(event, events.MappingStartEvent)))
                continue
            if isinstance(event, events.ScalarEvent):
                value = _scalar(event, line)
            elif isinstance(event, events.CollectionEndEvent):
                value = stack.pop().content
            else:
                continue
            if stack:
                stack[-1].take(value, line)
            else:
                documents.append(value)
    except UnicodeDecodeError as error:
        raise ValueError("it is no text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"it is no YAML{f' at line {mark.line + 1}' if mark else ''}") from error
    if len(documents) != 1:
        raise ValueError(f"it holds {len(documents)} documents")
    return documents[0]


class _Container:
    """Collect the items of a mapping or list during parsing."""

    def __init__(self, is_mapping: bool) -> None:
        self.content: Any = {} if is_mapping else []
        self._key: Any = None
        self._has_key = False

    def take(self, value: Any, line: int) -> None:
        if isinstance(self.content, list):
            self.content.append(value)
        elif self._has_key:
            self.content[self._key], self._has_key = value, False
        elif type(value) not in (str, int):
            raise ValueError(f"line {line}: a key is no word")
        elif value in self.content:
            raise ValueError(f"line {line}: the key {value!r:.80} comes twice")
        else:
            self._key, self._has_key = value, True


def _scalar(event: events.ScalarEvent, line: int) -> Any:
    tag = _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit).rpartition(":")[2]
    if tag == "str":
        return event.value
    make = _CONSTRUCTORS.get(tag)
    if make is None or len(event.value) > _MAX_DIGITS:
        raise ValueError(f"line {line}: expected a word, number, switch or null; got {event.value!r:.80}")
    try:
        return make(_CONSTRUCTOR, yaml.ScalarNode(tag, event.value))
    except (ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"line {line}: expected a number; got {event.value!r:.80}") from error


_RESOLVER: Any = Resolver()
_CONSTRUCTOR = SafeConstructor()
_CONSTRUCTORS = {
    "null": SafeConstructor.construct_yaml_null,
    "bool": SafeConstructor.construct_yaml_bool,
    "int": SafeConstructor.construct_yaml_int,
    "float": SafeConstructor.construct_yaml_float,
}
