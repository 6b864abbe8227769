"""The ONNX runtime for browsers: onnxruntime-web from npm, in one version that is checked by its hash."""

import hashlib
import shutil
import subprocess
import tarfile
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from copycat.config.atomic_write import write_whole
from copycat.config.errors import FailedDownloadError, UserError
from copycat.config.places import cache_folder
from copycat.config.printable import Notify
from copycat.config.suggestions import first_line
from copycat.deploy.export_formats import WEB_RUNTIME

PACKAGE = "onnxruntime-web@1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""As npm's registry states it."""
TIMEOUT_SECONDS = 600
"""Time limit of the download of 33 MB, in seconds."""


@dataclass(frozen=True)
class WebRuntime:
    """Hold the files of the runtime."""

    script: bytes
    """JavaScript that defines `ort`."""
    module: bytes
    """JavaScript module that starts the WebAssembly."""
    wasm: bytes


def load_web_runtime(notify: Notify) -> WebRuntime:
    """Return the runtime from the cache; the first time npm downloads it there.

    Raises:
        UserError: where npm is missing.
        FailedDownloadError: where it fails, or what it downloads is something else.
    """
    cached = cache_folder() / WEB_RUNTIME
    content = cached.read_bytes() if cached.is_file() else b""
    if _integrity(content) != INTEGRITY:
        notify(f"downloading {PACKAGE} by npm, once: 33 MB")
        content = _download()
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_whole(cached, content)
    with tarfile.open(cached) as package:
        names = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
        files = [package.extractfile(f"package/dist/{name}") for name in names]
        return WebRuntime(*(file.read() for file in files if file is not None))


def _download() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise UserError("--format web: expected npm; found none. Install Node.js, which brings it.")
    with TemporaryDirectory(prefix="copycat-") as folder:
        command = [npm, "pack", PACKAGE, "--pack-destination", folder, "--ignore-scripts", "--silent"]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True, timeout=TIMEOUT_SECONDS)
            content = b"".join(file.read_bytes() for file in Path(folder).glob("*.tgz"))
        except (OSError, subprocess.SubprocessError) as error:
            message = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
            reason = first_line(RuntimeError(str(message).strip() or "npm failed"))
            raise FailedDownloadError(f"--format web: expected npm to download {PACKAGE}; {reason}.") from error
    if (found := _integrity(content)) != INTEGRITY:
        raise FailedDownloadError(f"--format web: expected {PACKAGE} with {INTEGRITY}; npm downloaded {found}.")
    return content


def _integrity(content: bytes) -> str:
    return f"sha512-{b64encode(hashlib.sha512(content).digest()).decode()}"
