"""What a run ran on: code and environment. docs/run-folder.md names every key."""

from collections.abc import Mapping
from typing import Any

from copycat.provenance.code import code
from copycat.provenance.environment import environment


def fingerprint(config: Mapping[str, Any]) -> dict[str, Any]:
    """Plain containers. Taken inside a run, once its parts are built: threads and imported packages belong to it."""
    return {"code": code(config), "environment": environment(config)}
