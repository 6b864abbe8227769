"""Fingerprint the code and environment of a run. docs/reference/run-folder.md names every key."""

from collections.abc import Mapping
from typing import Any

from copycat.provenance.code import code_record
from copycat.provenance.environment import environment_record


def fingerprint(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return code and environment of this process as plain containers.

    Call inside a run, after its parts are built: thread counts and imported packages belong to it.
    """
    return {"code": code_record(config), "environment": environment_record(config)}
