"""Sign configuration and manifest with a key that stays on this machine, so that own runs are recognized."""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from copycat.config.places import settings_folder

KEY = "key"
SIZE = 32


def sign(config: bytes, manifest: Mapping[str, Any]) -> str | None:
    """Sign the contents of config.yaml and run.json, but for a signature in it; None where no key can be made."""
    key = _read_key() or _make_key()
    return None if key is None else _code(key, config, manifest)


def is_signed(config: bytes, manifest: Mapping[str, Any]) -> bool:
    """Return whether the manifest's signature, called seal before schema 3, was made here for these contents."""
    key, signature = _read_key(), manifest.get("signature", manifest.get("seal"))
    if key is None or not isinstance(signature, str):
        return False
    import hmac

    return hmac.compare_digest(_code(key, config, manifest).encode(), signature.encode(errors="replace"))


def _code(key: bytes, config: bytes, manifest: Mapping[str, Any]) -> str:
    unsigned = {name: value for name, value in manifest.items() if name not in ("signature", "seal")}
    # equal before writing and after reading: keys are strings, and floats read back to the same bits
    text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"))
    import hmac  # late: tables of runs whose index is written read no signature

    message = b"copycat run\0" + len(config).to_bytes(8, "big") + config + text.encode()
    return hmac.digest(key, message, "sha256").hex()


def _read_key() -> bytes | None:
    try:
        key = (settings_folder() / KEY).read_bytes()
    except OSError:
        return None
    return key if len(key) == SIZE else None


def _make_key() -> bytes | None:
    """Make and return a new key, or return that of another process that was first."""
    folder = settings_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = folder / f".{KEY}.{os.urandom(3).hex()}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(SIZE))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, folder / KEY)  # unlike renaming, it replaces no key of another process
            except OSError:
                if not os.path.lexists(folder / KEY):  # the file system has no links
                    temporary.rename(folder / KEY)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        _warn(folder, error.strerror or type(error).__name__)
        return None
    if (key := _read_key()) is None:
        _warn(folder / KEY, f"expected {SIZE} bytes; got others. Remove it, and the next run makes a new one")
    return key


@cache
def _warn(path: Path, why: str) -> None:
    import logging

    logging.getLogger(__name__).warning(
        "this run is not signed, so that a rerun takes it for a stranger's: %s: %s", path, why
    )
