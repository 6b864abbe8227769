"""Measure the page of `copycat app` under load.

    python benchmarks/app.py [--clients 50] [--rounds 5]

Serves logistic regression, whose quick answers make the effect of a decompression bomb most visible. In turn, 50
clients post at once: all of them a photograph of 500×400 pixels; or one of them a bomb: a WebP of 34 bytes that claims
9400×9400 pixels, or a 16-bit PNG of 7000×7000 pixels, just below the limit, in 0.1 MB. Prints how long the slowest
photograph waited for its answer, and the peak memory of the server. The exit status is 1 if a bomb makes that wait
more than three times as long.
"""

import argparse
import http.client
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path

import machine
import numpy as np
from PIL import Image
from rounds import alternate, at_most, ratio, report_limits, run_process

TRAIN = ("model=logistic", "trainer.max_epochs=2")
NONE, CLAIMED, DEEP = "no bomb", "WebP of 88 megapixels", "16-bit PNG of 49 megapixels"
ANSWERS = {NONE: 200, CLAIMED: 422, DEEP: 200}
MOST = 3.0


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    image.save(file := BytesIO(), kind, **options)
    return file.getvalue()


def photograph() -> bytes:
    """Return a JPEG of 500×400 pixels without flat areas."""
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8))
    return encode(smooth.resize((500, 400), Image.Resampling.BICUBIC), "JPEG", quality=90)


def encode_bomb(side: int) -> bytes:
    """Return a WebP of one color whose header claims a square of that side: it decodes to as many pixels."""
    content = bytearray(encode(Image.new("RGB", (1, 1)), "WEBP", lossless=True))
    place = content.index(b"VP8L") + 9
    (bits,) = struct.unpack_from("<I", content, place)
    struct.pack_into("<I", content, place, bits & ~0xFFFFFFF | (side - 1) << 14 | (side - 1))
    return bytes(content)


@contextmanager
def serve(at: Path) -> Iterator[tuple[str, int]]:
    """Serve the page, and yield the host with its port, and the server's process id."""
    command = [sys.executable, "-m", "copycat", "app", "outputs", "--no-browser"]
    with subprocess.Popen(command, cwd=at, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield urllib.parse.urlsplit(server.stdout.readline().split()[0]).netloc, server.pid
        finally:
            server.terminate()


def post(host: str, path: str, content: bytes, start: threading.Barrier) -> tuple[int, float]:
    """Post an image; return the HTTP status and the seconds until the answer."""
    connection = http.client.HTTPConnection(host, timeout=300)
    start.wait()
    began = time.perf_counter()
    connection.request("POST", path, content)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, time.perf_counter() - began


def post_at_once(host: str, path: str, good: bytes, bomb: bytes | None, expected: int, clients: int) -> float:
    """Return the seconds until the slowest photograph was answered."""
    contents = [good] * (clients - 1) + [bomb or good]
    start = threading.Barrier(clients)
    with ThreadPoolExecutor(clients) as pool:
        found = [*pool.map(lambda content: post(host, path, content, start), reversed(contents))]
    (status, _), *answers = found
    assert status == expected, status
    assert {status for status, _ in answers} == {200}
    return max(seconds for _, seconds in answers)


def peak(process: int) -> float:
    """Return the peak memory of a process, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**10


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine.description(), flush=True)
    bombs = {NONE: None, CLAIMED: encode_bomb(9400), DEEP: encode(Image.new("I;16", (7000, 7000), 99), "PNG")}
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        run_process([sys.executable, "-m", "copycat", "train", *TRAIN], at=at)
        with serve(at) as (host, process):
            connection = http.client.HTTPConnection(host, timeout=60)
            connection.request("GET", "/")
            page = connection.getresponse().read().decode()
            run = page.partition('name="run" value="')[2].partition('"')[0]
            path = f"/predict?{urllib.parse.urlencode({'run': run})}"
            good = photograph()
            sides = {
                side: partial(post_at_once, host, path, good, bomb, ANSWERS[side], options.clients)
                for side, bomb in bombs.items()
            }
            sides[NONE]()  # opens the run
            before = peak(process)
            found = alternate(sides, rounds=options.rounds)
            after = peak(process)
    print(f"{options.clients} clients at once, median of {options.rounds} rounds: the slowest answer to a photograph")
    for side, bomb in bombs.items():
        size = f", {len(bomb)} bytes" if bomb else ""
        print(f"  {side + size:45} {statistics.median(found[side]):6.2f} s")
    print(f"peak memory of the server: {before:.0f} MiB before any bomb, {after:.0f} MiB after", flush=True)
    return report_limits(
        [at_most(f"{side} ÷ {NONE}", MOST, ratio(found[side], found[NONE])) for side in (CLAIMED, DEEP)]
    )


if __name__ == "__main__":
    sys.exit(main())
