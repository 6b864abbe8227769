"""Rewrite the records of runs, sweeps and trials as versions did before keys of the configuration were renamed."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from copycat.config.renamed_keys import RENAMED
from copycat.records.digests import key_digests
from copycat.records.run_folder import read_manifest, write_manifest
from copycat.records.safe_yaml import read_yaml
from copycat.records.signature import sign
from copycat.records.trial_file import FORMER
from copycat.records.yaml_text import to_yaml
from tests.support.run_folders import strip_signature

LAST_PARTS = {new.rpartition(".")[2]: old.rpartition(".")[2] for old, new in RENAMED.items()}


def use_old_names(value: Any) -> Any:
    """Return a record with the old names in all its texts and keys."""
    if isinstance(value, Mapping):
        return {use_old_names(name): use_old_names(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [*map(use_old_names, value)]
    if isinstance(value, str):
        for old, new in RENAMED.items():
            value = value.replace(new, old).replace(new.replace(".", "/"), old.replace(".", "/"))
    return value


def rewrite_run(folder: Path, *, signed: bool = True, **changes: Any) -> None:
    """Rewrite run.json and config.yaml.

    Args:
        changes: other keys of run.json.
    """
    manifest = {**read_manifest(folder), **changes}
    config = _use_old_parts(read_yaml((folder / "config.yaml").read_bytes()))
    content = to_yaml(config).encode()
    digest = blake2b(content, digest_size=16).hexdigest()
    (folder / "config.yaml").write_bytes(content)
    asked = use_old_names(manifest["request"]) | {"config_digest": digest, "config_keys": key_digests(config)}
    write_manifest(folder, {**manifest, "request": asked, "files": {**manifest["files"], "config.yaml": digest}})
    if not signed:
        strip_signature(folder)


def rewrite_record(path: Path, **changes: Any) -> None:
    """Rewrite a sweep.json or trial.json as of schema 1, signed.

    Args:
        changes: other keys of it.
    """
    former = {new: old for old, new in FORMER.items()}
    found = {former.get(name, name): value for name, value in json.loads(path.read_text()).items()}
    found.pop("signature", None)
    record = {**use_old_names(found), "schema": 1, **changes}
    path.write_text(json.dumps({**record, "seal": sign(path.stem.encode(), record)}))


def _use_old_parts(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {LAST_PARTS.get(name, name): _use_old_parts(inner) for name, inner in node.items()}
    return node
