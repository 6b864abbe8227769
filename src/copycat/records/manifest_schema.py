"""Check a manifest: its required and optional keys, and plain types. docs/reference/run-folder.md explains them."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from copycat.config.printable import printable, printable_lines
from copycat.config.rule_builders import is_integer, is_number

RECORDED_STATUSES = ("running", "completed", "pruned", "failed", "interrupted")
_EXPERIMENT = re.compile(r"(?=.{1,100}\Z)[\w+-][\w.+ -]*(/[\w+-][\w.+ -]*)*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?")
_VERSION = re.compile(r"[\w.+!-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{32}")
_ABSENT = object()
_ENDED_EARLY = ("by", "epoch", "batch", "max_epochs")

Test = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 10_000


def _time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _count(value: Any) -> bool:
    return is_integer(value) and 0 <= value < 2**63


def _null_or(test: Test) -> Test:
    return lambda value: value is None or test(value)


def _each(test: Test) -> Test:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _named(test: Test) -> Test:
    return lambda value: isinstance(value, dict) and all(map(test, value.values()))


REQUIRED: dict[str, tuple[str, Test]] = {
    "status": (f"one of {', '.join(RECORDED_STATUSES)}", lambda v: isinstance(v, str) and v in RECORDED_STATUSES),
    "error": ("text or null", _null_or(_text)),
    "started": ("a time", _time),
    "ended": ("a time or null", _null_or(_time)),
    "seconds": ("a number or null", _null_or(is_number)),
    "request": ("keys", lambda v: isinstance(v, dict)),
    "request.experiment": ("text", _text),
    "request.overrides": ("a list of words", _each(_text)),
    "request.config_digest": ("a hash", _text),
    "provenance": ("keys", lambda v: isinstance(v, dict)),
    "provenance.code": ("keys", lambda v: isinstance(v, dict)),
    "provenance.code.version": ("a version", lambda v: isinstance(v, str) and _VERSION.fullmatch(v) is not None),
    "provenance.environment": ("keys", lambda v: isinstance(v, dict)),
    "provenance.environment.threads": ("a whole number ≥ 1", lambda v: _count(v) and 1 <= v <= 1024),
    "provenance.data": ("a hash a part", _named(_text)),
    "data": ("keys", lambda v: isinstance(v, dict)),
    "data.source": ("text", _text),
    "data.synthetic": ("true or false", lambda v: isinstance(v, bool)),
    "data.classes": ("a list of names", _each(_text)),
    "data.images": ("a count a part", _named(_count)),
    "data.warnings": ("a list of lines", _each(_text)),
    "results": ("keys", lambda v: isinstance(v, dict)),
}
"""Required keys, each with its description and its test."""
OPTIONAL: dict[str, tuple[str, Test]] = {
    "data.multi_label": ("true or false", lambda v: isinstance(v, bool)),
    "data.groups": ("a count a part", _named(_count)),
    "data.majority": ("a share a part", _named(is_number)),
    "data.image_shape": ("a list of counts", _each(_count)),
    "files": ("a hash a file", _named(_text)),
    "cleaned": ("a hash or null a file", _named(_null_or(_text))),
    "signature": ("text or null", _null_or(_text)),
    "request.copy_of": ("keys or null", _null_or(_named(_null_or(_text)))),
    "resumed": ("a list", _each(_named(lambda v: v is None or _text(v) or _count(v)))),
    "results.epochs": ("a count", _count),
    "results.parameters": ("a count", _count),
    "results.steps": ("a count", _count),
    "results.final": ("a number a metric", _named(is_number)),
    "results.best": ("keys", lambda v: isinstance(v, dict)),
    "provenance.backbone": ("a hash", lambda v: isinstance(v, str) and _HASH.fullmatch(v) is not None),
    "results.ended_early": ("its four keys", lambda v: isinstance(v, dict) and {*_ENDED_EARLY} <= v.keys()),
    "results.ended_early.by": ("text", _text),
    "results.ended_early.epoch": ("a count", _count),
    "results.ended_early.batch": ("a count", _count),
    "results.ended_early.max_epochs": ("a count", _count),
    "results.best.monitor": ("text", _text),
    "results.best.mode": ("min or max", lambda v: v in ("min", "max")),
    "results.best.epoch": ("a count", _count),
    "results.best.metrics": ("a number a metric", _named(is_number)),
    "results.predictions_digest": ("a hash", _text),
    "results.history_digest": ("a hash", _text),
    "results.weights_digest": ("a hash", _text),
}
"""Optional keys, likewise."""
SINGLE_LINE_KEYS = ("status", "error", "request", "data", "results", "resumed")
"""Keys whose texts are printed on one line each."""


def check_schema(manifest: Mapping[str, Any]) -> None:
    """Raise a ValueError for the first key of a manifest that is missing or of another type."""
    for key, (words, fits) in {**REQUIRED, **OPTIONAL}.items():
        value: Any = manifest
        for name in key.split("."):
            value = value.get(name, _ABSENT) if isinstance(value, dict) else _ABSENT
        if value is _ABSENT and key in REQUIRED:
            raise ValueError(f"{key}: expected {words}; got nothing")
        if value is not _ABSENT and not fits(value):
            raise ValueError(f"{key}: expected {words}; got {value!r:.80}")


def check_texts(manifest: Mapping[str, Any]) -> None:
    """Raise a ValueError where an untrusted manifest's experiment cannot name a folder, or a text cannot be printed."""
    experiment = manifest["request"]["experiment"]
    if not _EXPERIMENT.fullmatch(experiment):
        raise ValueError(
            f"request.experiment: expected a name of letters, digits, '-', '+', '_', '.', '/'; got {experiment!r:.80}"
        )
    for key, text in _texts(manifest):
        safe = printable(text) if key.partition(".")[0] in SINGLE_LINE_KEYS else printable_lines(text)
        if safe != text:
            raise ValueError(f"{key!a:.80}: expected text that can be printed; got {text!a:.80}")


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield f"{key}.{name}".lstrip("."), str(name)
            yield from _texts(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
