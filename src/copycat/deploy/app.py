"""Serve runs over HTTP: an endpoint for programs, and a page that classifies images and shows their saliency maps.

Built on Starlette with its own page: it starts in a fifth of a second where Gradio takes six, and installs 340 MB less.
It listens on this machine only, unless another address is named, and stores no image.
"""

import errno
import ipaddress
import os
import signal
import socket
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from PIL import Image

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.config.suggestions import pluralize
from copycat.deploy.app_runs import AppRuns
from copycat.deploy.app_server import HOST, LOCAL_HOSTS, make_application
from copycat.deploy.arguments import open_completed
from copycat.inspection.tensorboard.run_names import run_name
from copycat.records.run_loader import Opened

MAX_RUNS = 200
MAX_CONNECTIONS = 1000
"""Open connections, at most."""
GRACE_SECONDS = 10
"""How long requests may take once the server is told to end."""


def open_runs(folders: Mapping[Path, Sequence[Path]], *, max_pixels: int, calibrated: bool = True) -> AppRuns:
    """Open the last `MAX_RUNS` runs of several folders, named by their paths below their folders.

    A run that cannot be opened reports why when it is used, among others.

    Raises:
        UserError: where the only run cannot predict.
    """
    found = {os.path.realpath(run): (run, folder) for folder, runs in folders.items() for run in runs}
    runs: dict[str, Opened | str] = {}
    for run, folder in list(found.values())[-MAX_RUNS:]:
        opened: Opened | str
        try:
            opened = open_completed(run)
        except UserError as error:
            opened = str(error)
        manifest = opened.manifest if isinstance(opened, Opened) else None
        name = run_name(run, root=folder.absolute(), manifest=manifest)
        runs[name if name not in runs else f"{name} ({len(runs)})"] = opened
    served = AppRuns(runs, max_pixels=max_pixels, calibrated=calibrated)
    if len(runs) == 1:
        served.load(*runs)
    return served


def serve(runs: AppRuns, *, host: str = HOST, port: int = 0, browser: bool = False) -> None:
    """Serve runs until Ctrl-C or SIGTERM, and print the address to standard output.

    Port 0 is any free one.

    Raises:
        UserError: where the port is taken, or the host is no address of this machine.
    """
    listener, is_local = _listen(host, port), _is_local(host)
    hosts = LOCAL_HOSTS if is_local else ()
    config = uvicorn.Config(
        make_application(runs, hosts=hosts),
        log_config=None,  # that of uvicorn closes streams of other libraries' handlers, such as a notebook's
        log_level="error",
        lifespan="off",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    with listener, _pillow_limit(runs.max_pixels), _sigterm_as_interrupt():
        port = listener.getsockname()[1]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        print_line(f"{address} classifies images by {pluralize(len(runs.opened), 'run')}; Ctrl-C ends it")
        if not is_local:
            warning = f"{host} is no address of this machine alone: whoever reaches port {port} can use these runs"
            print_line(f"copycat: {warning}", error=True)
        if browser:
            webbrowser.open(address)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            pass
        finally:
            runs.close()
    print()


def _listen(host: str, port: int) -> socket.socket:
    no_address = f"--host: expected an address of this machine; got {host!a}. Type 127.0.0.1, or 0.0.0.0."
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (socket.gaierror, UnicodeError) as error:
        raise UserError(no_address) from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UserError(no_address) from error
        reason = "which is taken" if error.errno == errno.EADDRINUSE else (error.strerror or "").lower()
        raise UserError(f"--port: expected a free port; got {port}, {reason}. Type another, or 0 for any.") from error


def _is_local(host: str) -> bool:
    """Return whether other machines cannot reach this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM, by which containers and services end a server, end it as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _pillow_limit(pixels: int) -> Iterator[None]:
    """Set Pillow's limit, of which it allows twice: an ICO file holds further images, larger than its header says."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
