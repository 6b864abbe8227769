"""Download the lecture's cats, and resume downloads that stopped."""

import os
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from copycat.config.errors import FailedDownloadError, UserError
from copycat.config.printable import make_console, printable

OWNER_AND_REPOSITORY = "Hiren2002/Logistic-Regression"
COMMIT = "5aa70859e5a6890e07d9a4c3294e8adb4b6a033f"
BASE_URL = f"https://raw.githubusercontent.com/{OWNER_AND_REPOSITORY}/{COMMIT}/datasets"
SHA256 = {
    "train_catvnoncat.h5": "fbe56ab67c3ae28d564e3a644189117976d6b31af0a3ce9bb17dbf22908af242",
    "test_catvnoncat.h5": "6a9d39ce52fa85953c5834695b8534a30ed8cfd54971fb2f080b5a24d002b951",
}

ATTEMPTS = 5
RETRY_DELAY = 1.0  # seconds between two attempts
BLOCK_BYTES = 1024  # bytes; small, since a block is lost where the connection breaks inside it
TIMEOUT = (10.0, 30.0)  # seconds to connect, seconds without a byte
TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})  # HTTP statuses of temporary errors


def fetch_cats(folder: Path) -> list[Path]:
    """Download the cats' two files into `folder` where they are missing or have the wrong SHA-256.

    They lie at the address in COPYCAT_MIRROR, else in the public copy on GitHub. An interrupted download stays as
    FILE.part, and the next call resumes it.

    Raises:
        FailedDownloadError: where there is no connection, or the server lacks the file or sends another one.
        UserError: where the address is none, or `folder` cannot be written.
    """
    base = (os.environ.get("COPYCAT_MIRROR") or BASE_URL).rstrip("/")
    pooch.get_logger().setLevel("WARNING")  # the messages below replace pooch's
    return [_fetch(f"{base}/{name}", folder / name, sha256=sha256) for name, sha256 in SHA256.items()]


def _fetch(url: str, target: Path, *, sha256: str) -> Path:
    console = make_console(error=True)
    by_hand = f"or put {BASE_URL}/{target.name} by hand into {target.parent}"
    again = f"Type `{shlex.join(['copycat', 'data', 'fetch', 'cats', str(target.parent)])}`"
    try:
        if target.is_file() and pooch.file_hash(str(target)) == sha256:
            console.print(f"{printable(str(target))}: already there", soft_wrap=True)
            return target
        download = ResumingDownload(part=target.with_name(f"{target.name}.part"), console=console)
        pooch.retrieve(url, f"sha256:{sha256}", fname=target.name, path=target.parent, downloader=download)
    except requests.HTTPError as error:
        status = error.response.status_code
        what = "the server has no such file" if status in (404, 410) else "the server does not give it"
        raise FailedDownloadError(
            f"data fetch: {url}: {what} (HTTP {status}). Try later, set COPYCAT_MIRROR to another server, {by_hand}."
        ) from error
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise FailedDownloadError(
            f"data fetch: no connection to {urlsplit(url).netloc}, or it broke {ATTEMPTS} times. "
            f"{again} to resume where it stopped, {by_hand}."
        ) from error
    except requests.RequestException as error:
        raise UserError(f"data fetch: expected an http or https address; got {url!r} ({error}).") from error
    except OSError as error:
        raise UserError(f"data fetch: can't write {target}: {error.strerror or error}.") from error
    except ValueError as error:  # pooch raises it for a wrong checksum, and has deleted the file
        raise FailedDownloadError(
            f"data fetch: {url}: expected the SHA-256 {sha256}; got another file, and threw it away. "
            f"{again} to try again, {by_hand}."
        ) from error
    return target


@dataclass(kw_only=True)
class ResumingDownload:
    """Download for pooch, keeping incomplete bytes in the file `part` and requesting only the rest."""

    part: Path
    console: Console

    def __call__(self, url: str, output_file: str, _: pooch.Pooch | None) -> None:
        """Download `url` without a check and move it to `output_file`, the temporary name that pooch checks."""
        columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
        with Progress(TextColumn("{task.description}"), *columns, console=self.console) as progress:
            task = progress.add_task(self.part.stem, total=None)
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    for done, total in self._download_rest(url):
                        progress.update(task, completed=done, total=total)
                    break
                except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                    if attempt == ATTEMPTS:
                        raise
                except requests.HTTPError as error:
                    if attempt == ATTEMPTS or error.response.status_code not in TRANSIENT_STATUSES:
                        raise
                time.sleep(RETRY_DELAY)
        os.replace(self.part, output_file)

    def _download_rest(self, url: str) -> Iterator[tuple[int, int | None]]:
        """Request the missing bytes and append them to `part`, yielding (bytes so far, bytes in total)."""
        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"}  # ranges count transferred bytes, which compression would change
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            span = response.headers.get("Content-Range", "")  # bytes 100-199/200, or bytes */200
            if response.status_code == 416:  # nothing follows `have`: `part` is complete, or belongs to another file
                if span != f"bytes */{have}":
                    self.part.unlink(missing_ok=True)
                    raise requests.ConnectionError(f"{self.part.name} is longer than the file")
                return
            response.raise_for_status()
            is_resuming = response.status_code == 206 and span.startswith(f"bytes {have}-")
            done = have if is_resuming else 0  # a server without ranges sends the whole file again
            length = response.headers.get("Content-Length", "")
            total = done + int(length) if length.isdecimal() else None
            with self.part.open("ab" if is_resuming else "wb") as file:
                for block in response.iter_content(BLOCK_BYTES):
                    file.write(block)
                    done += len(block)
                    yield done, total
        if total is not None and done < total:
            raise requests.ConnectionError(f"{done} of {total} bytes came")
