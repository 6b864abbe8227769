"""Describe the contents of a package, as in its package.json."""

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from copycat.archives.entry_names import why_not_portable
from copycat.records.dataclass_parser import parse_dataclass
from copycat.records.safe_parsers import check_schema_number, read_json

SCHEMA = 1
MAX_BYTES = 2**24
"""Maximum size of package.json, in bytes."""
RUN, SWEEP = "run", "sweep"
"""Folder of the run, or of the sweep, in a package."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Hold the content of package.json."""

    kind: Literal["run", "sweep"]
    copycat: str
    """Version of Copycat that packed it."""
    files: dict[str, str]
    """Digest of each other entry, by its name."""
    environments: dict[str, str] = field(default_factory=dict)
    """File with the exact versions of packages, by the folder of the run."""
    data: dict[str, str] = field(default_factory=dict)
    """Folder with the images, by the folder of the run; without an entry they are not in the package."""

    @property
    def runs(self) -> list[str]:
        """Return the folders of its runs, trials by number."""
        return sorted(self.environments, key=lambda name: (len(name), name))


def encode_contents(contents: Contents) -> bytes:
    """Return the content of package.json."""
    text = json.dumps({"schema": SCHEMA, **asdict(contents)}, indent=2, ensure_ascii=False, sort_keys=True)
    return f"{text}\n".encode()


def decode_contents(content: bytes) -> Contents:
    """Parse package.json; raise a ValueError where it is invalid, or names what cannot be in a package."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"package.json has {len(content)} bytes, more than {MAX_BYTES}")
    values = read_json(content)
    check_schema_number(values, [SCHEMA])
    contents = parse_dataclass(Contents, {name: value for name, value in values.items() if name != "schema"})
    for place in (contents.environments, contents.data):
        for run, folder in place.items():
            is_run = run == RUN if contents.kind == "run" else run.startswith(f"{SWEEP}/") and run[6:].isdecimal()
            if not is_run or why_not_portable(f"{folder}/x"):
                raise ValueError(f"package.json: {run[:80]!a}: expected a folder of the package")
    return contents
