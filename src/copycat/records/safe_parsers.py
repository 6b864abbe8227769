"""Read untrusted files and parse JSON in them: no content is executed, and none can hang or exhaust a process.

Each function raises ValueError with the end of a sentence where a file is invalid; `naming_file` makes it whole.
"""

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from copycat.config.errors import UserError
from copycat.config.suggestions import first_line

MAX_BYTES = 2**28
"""Maximum size of a file to read, in bytes, where its format allows no smaller one."""
MAX_DEPTH = 24
"""Maximum nesting of containers."""
MAX_DIGITS = 64
RESTORE = "Restore it from a copy, or train the run again."


class DamagedFileError(UserError, ValueError):
    """Report a file of a run folder that cannot be read."""


class NewerSchemaError(ValueError):
    """Report a file that a newer Copycat wrote."""


@contextmanager
def naming_file(path: Path, expected: str) -> Iterator[None]:
    """Raise errors about a file's content, and OSErrors unless it is missing, as one that names the file."""
    try:
        yield
    except (FileNotFoundError, DamagedFileError):
        raise
    except (OSError, ValueError) as error:
        advice = "Update Copycat." if isinstance(error, NewerSchemaError) else RESTORE
        raise DamagedFileError(f"{path}: expected {expected}; {reason(error):.200}. {advice}") from error


def reason(error: Exception) -> str:
    """Return why a file could not be read, as the end of a sentence."""
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else first_line(error)


def check_schema_number(content: Any, readable: Sequence[int]) -> None:
    """Raise a ValueError unless parsed JSON has the number of a schema that this version reads."""
    schema = content.get("schema") if isinstance(content, Mapping) else None
    if schema in readable:
        return
    problem = f"expected schema {' or '.join(map(str, readable))}; got {schema!r:.20}"
    if isinstance(schema, int) and schema > max(readable):
        raise NewerSchemaError(f"{problem}, of a newer Copycat")
    raise ValueError(problem)


def read_file(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a plain file of limited size, which must be no link, pipe or device.

    Raises:
        OSError: where it cannot be read.
    """
    # without O_NONBLOCK, opening a pipe waits for a writer
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink():
        raise ValueError("it is a link")
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
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
    if len(word) > MAX_DIGITS:
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
