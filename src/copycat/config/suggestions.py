"""Format error messages: the nearest valid word, lists of words, quoted values."""

import re
from collections.abc import Iterable
from shlex import quote
from typing import Any

from copycat.config.errors import UserError

_MIN_SIMILARITY = 0.6
"""Minimum similarity of a suggestion, as in difflib."""
_PLAIN = re.compile(r"(?!(null|true|false)$)[A-Za-z./~]([^\"'\\$\[\]{}(),=]*[^\"'\\$\[\]{}(),=\s])?")
"""A value that is the text itself in Hydra's grammar."""


def nearest_word(word: str, words: Iterable[str], *, above: float = _MIN_SIMILARITY) -> str | None:
    """Return the most similar word, compared whole or by its last dotted component; None where none is similar."""
    best, score = None, above
    parent, _, name = word.rpartition(".")
    for candidate in words:
        its_parent, _, its_name = candidate.rpartition(".")
        last = _similarity(name, its_name)
        # a parent that both share would raise the similarity of the whole
        similarity = last if parent == its_parent else max(_similarity(word, candidate), last - 0.01)
        if similarity > score:
            best, score = candidate, similarity
    return best


def _similarity(a: str, b: str) -> float:
    """Return the similarity of two words in [0, 1], nearly 1 where letters are transposed, as in `adma`.

    An abbreviation of three letters or more, as `min` of `minimize`, is similar.
    """
    from difflib import SequenceMatcher  # which only a mistake needs

    a, b = a.lower(), b.lower()
    ratio = SequenceMatcher(None, a, b).ratio()
    if len(a) >= 3 and b.startswith(a):
        ratio = max(ratio, _MIN_SIMILARITY + 0.01)
    return max(ratio, 0.99) if sorted(a) == sorted(b) else ratio


def one_of(words: Iterable[str], *, most: int = 16) -> str:
    """Return the words as a sorted list for a message, abbreviated to `most` entries."""
    names = sorted(words)
    if len(names) > most:
        names = [*names[: most - 2], "…", names[-1]]
    return ", ".join(names)


def pluralize(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun: `1 epoch`, `2 epochs`."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def format_epochs(trained: int, *, of: Any) -> str:
    """Return `20 epochs`, or `4 of 20 epochs` of a run that was configured for more."""
    if isinstance(of, int) and of > trained:
        return f"{trained} of {pluralize(of, 'epoch')}"
    return pluralize(trained, "epoch")


def did_you_mean(word: Any, words: Iterable[str], *, before: str = "", after: str = "") -> str:
    """Return a question with the nearest word, quoted for a shell, for a message; empty where none is similar."""
    best = nearest_word(word, words) if isinstance(word, str) else None  # from Python it may be anything
    return f" Did you mean {before}{quote(best + after)}?" if best else ""


def format_value(value: Any) -> str:
    """Return a value as a user would type it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {format_value(inner)}' for key, inner in value.items())}}}"
    return repr(value)


def is_plain_value(text: str) -> bool:
    """Return whether Hydra's grammar takes a text as it is."""
    return bool(_PLAIN.fullmatch(text))


def quote_value(text: str, *, mark: str = "'") -> str:
    r"""Return a text as a quoted value in Hydra's grammar, where a backslash escapes only before a quote.

    `${` stays text, as `\${`: OmegaConf would read the name of a folder or class as a reference.
    """
    text = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", text)
    inner = re.sub(rf"(\\*)({mark}|\Z)", lambda found: 2 * found[1] + ("\\" + mark if found[2] else ""), text)
    return f"{mark}{inner}{mark}"


def quoted_override(key: str, value: str) -> str:
    """Return `"KEY='VALUE'"` for any text, with quotes for Hydra around the value and for a shell around the whole."""
    mark = '"' if "'" in value and '"' not in value else "'"
    word = f"{key}={quote_value(value, mark=mark)}"
    return '"' + re.sub(r'(["$`\\])', r"\\\1", word) + '"'


def type_override(key: str, value: str) -> str:
    """Return `KEY=VALUE` as it is typed, quoted for Hydra and for a shell where they need it."""
    return quote(f"{key}={value}") if is_plain_value(value) else quoted_override(key, value)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without the full stop; the last of one from a DataLoader worker."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and re.match("Caught .* in DataLoader worker process", lines[0]):  # before the worker's whole traceback
        lines = lines[-1:]
    return re.sub(r"\s+", " ", lines[0]).removesuffix(".") if lines else type(error).__name__


def describe_refusal(error: BaseException) -> str:
    """Return why a target raised an error: its first line, with the type where the line alone is no sentence."""
    if isinstance(error, SyntaxError) and error.filename:  # whose own message has the file's name without its folder
        return f"SyntaxError: {error.filename}, line {error.lineno}: {error.msg}"
    line = first_line(error)
    is_sentence = " " in line and not isinstance(error, KeyError)  # its message is the repr of a key
    return line if is_sentence or line == type(error).__name__ else f"{type(error).__name__}: {line}"


def describe_error(failure: BaseException) -> str:
    """Return an error's type and first line, if it has one; for a UserError only the line."""
    line, kind = first_line(failure), type(failure).__name__
    return line if isinstance(failure, UserError) or line == kind else f"{kind}: {line}"
