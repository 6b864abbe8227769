"""A web page that classifies images and shows their saliency maps.

Built on Starlette with its own page: it starts in a fifth of a second where Gradio takes six, and installs 340 MB less.
It listens on this machine only, and stores no image.
"""

import os
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
from copycat.deploy.app_server import HOST, make_application
from copycat.deploy.arguments import open_completed
from copycat.inspection.tensorboard.run_names import run_name
from copycat.records.run_loader import Opened

MAX_RUNS = 200


def open_runs(folders: Mapping[Path, Sequence[Path]], *, max_pixels: int, calibrated: bool = True) -> AppRuns:
    """Open the last `MAX_RUNS` runs of several folders, named by their paths below their folders.

    A run that cannot be opened reports why when it is used.
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
    return AppRuns(runs, max_pixels=max_pixels, calibrated=calibrated)


def serve(
    folders: Mapping[Path, Sequence[Path]], *, port: int, browser: bool, max_pixels: int, calibrated: bool = True
) -> None:
    """Serve until Ctrl-C, and print the address to standard output; port 0 is any free one.

    Raises:
        UserError: where the port is taken.
    """
    runs = open_runs(folders, max_pixels=max_pixels, calibrated=calibrated)
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise UserError(f"--port: expected a free port; got {port}, which is taken. Leave it out.") from error
    config = uvicorn.Config(make_application(runs), log_level="error", lifespan="off")
    with listener, _pillow_limit(max_pixels):
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        print_line(f"{address} classifies images by {pluralize(len(runs.opened), 'run')}; Ctrl-C ends it")
        if browser:
            webbrowser.open(address)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            pass
        finally:
            runs.close()
    print()


@contextmanager
def _pillow_limit(pixels: int) -> Iterator[None]:
    """Set Pillow's limit, of which it allows twice: an ICO file holds further images, larger than its header says."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
