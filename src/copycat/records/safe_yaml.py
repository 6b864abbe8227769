"""Parse untrusted YAML: no content is executed, and none can hang or exhaust a process."""

from typing import Any

import yaml
from yaml import events
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from copycat.records.safe_parsers import MAX_DEPTH, MAX_DIGITS

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
        raise ValueError(f"it holds {len(documents)} documents" if documents else "it is empty")
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
    if make is None or len(event.value) > MAX_DIGITS:
        raise ValueError(f"line {line}: expected a string, number, boolean or null; got {event.value!r:.80}")
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
