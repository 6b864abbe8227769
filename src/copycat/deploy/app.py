"""A web page that classifies dropped images and shows their saliency maps.

Built on Starlette with its own page: it starts in a fifth of a second where Gradio takes six, and installs 340 MB less.
It listens on this machine only, and stores no image.
"""

import secrets
import socket
import webbrowser
from asyncio import Semaphore
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from copycat.config.errors import UserError
from copycat.config.printable import print_line
from copycat.data.decode import UnreadableImage
from copycat.deploy.app_runs import AppRuns
from copycat.deploy.arguments import open_completed
from copycat.deploy.uploads import MAX_BYTES, RefusedUpload, Uploads
from copycat.inspection.tensorboard.run_names import run_name
from copycat.records.run_loader import Opened

HOST = "127.0.0.1"
MAX_RUNS = 200
DECODERS = 2
"""Images decoded in parallel, so that a slow one does not block the others."""


def make_application(runs: AppRuns, *, title: str) -> Starlette:
    """Build the web application."""
    environment = Environment(loader=PackageLoader(__package__, ""), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("app.html")
    uploads, decoders, network = Uploads(), Semaphore(DECODERS), Semaphore(1)

    async def index(_: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; img-src data: blob:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}';"
            " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        limits = {"most": MAX_BYTES, "megapixels": runs.max_pixels / 1e6}
        text = page.render(runs=list(runs.opened), title=title, nonce=nonce, **limits)
        return HTMLResponse(text, headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"})

    async def predict(request: Request) -> Response:
        _check_origin(request)
        name = request.query_params.get("run", "")
        if name not in runs.opened:
            raise RefusedUpload(404, "no such run: load the page again")
        async with uploads.receive(request) as content:
            async with decoders:
                image = await run_in_threadpool(runs.read, name, content)
            async with network:
                return JSONResponse(await run_in_threadpool(runs.predict, name, image))

    return Starlette(
        routes=[Route("/", index), Route("/predict", predict, methods=["POST"])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        exception_handlers={
            RefusedUpload: _refuse,
            UnreadableImage: _refuse,
            UserError: _refuse,
            ClientDisconnect: _end_silently,
        },
    )


def _check_origin(request: Request) -> None:
    """Check that a request comes from this page; a client that is no browser sends no origin.

    Raises:
        RefusedUpload: where a page of another address sent it.
    """
    own = f"http://{request.headers.get('host')}"
    if request.headers.get("origin", own) != own:
        raise RefusedUpload(403, "sent by another page: load this one again")


async def _refuse(_: Request, error: Exception) -> Response:
    match error:
        case RefusedUpload():
            status, reason = error.status, error.reason
        case UnreadableImage():
            status, reason = 422, error.reason
        case _:
            status, reason = 409, str(error)
    return JSONResponse({"error": reason}, status_code=status)


async def _end_silently(*_: object) -> Response:
    return Response()  # the client is gone


def open_runs(folder: Path, folders: Sequence[Path], *, max_pixels: int) -> AppRuns:
    """Open the last `MAX_RUNS` run folders, named by their paths below a folder.

    A run that cannot be opened reports why when it is used.
    """
    runs: dict[str, Opened | str] = {}
    for run in folders[-MAX_RUNS:]:
        opened: Opened | str
        try:
            opened = open_completed(run)
        except UserError as error:
            opened = str(error)
        manifest = opened.manifest if isinstance(opened, Opened) else None
        name = run_name(run, root=folder.absolute(), manifest=manifest)
        runs[name if name not in runs else f"{name} ({len(runs)})"] = opened
    return AppRuns(runs, max_pixels=max_pixels)


def serve(folder: Path, completed: Sequence[Path], *, port: int, browser: bool, max_pixels: int) -> None:
    """Serve until Ctrl-C, and print the address to standard output; port 0 is any free one.

    Raises:
        UserError: where the port is taken.
    """
    runs = open_runs(folder, completed, max_pixels=max_pixels)
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise UserError(f"--port: expected a free port; got {port}, which is taken. Leave it out.") from error
    config = uvicorn.Config(make_application(runs, title=str(folder)), log_level="error", lifespan="off")
    with listener, _pillow_limit(max_pixels):
        address = f"http://{HOST}:{listener.getsockname()[1]}/"
        print_line(f"{address} takes images for {folder}; Ctrl-C ends it")
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
