"""The web application of `copycat app`: one page, its predictions and its example images."""

import secrets
from asyncio import Semaphore

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from copycat.config.errors import UserError
from copycat.data.decode import UnreadableImage
from copycat.deploy.app_cards import make_cards, make_page_title
from copycat.deploy.app_runs import MAX_NETWORKS, AppRuns
from copycat.deploy.uploads import MAX_BYTES, RefusedUpload, Uploads
from copycat.inspection.reports.page import make_printable, stylesheet

HOST = "127.0.0.1"
DECODERS = 2
"""Images decoded in parallel, so that a slow one does not block the others."""


def make_application(runs: AppRuns) -> Starlette:
    """Build the web application."""
    environment = Environment(
        loader=PackageLoader(__package__, ""), autoescape=True, finalize=make_printable, undefined=StrictUndefined
    )
    page, cards = environment.get_template("app.html"), make_cards(runs.opened)
    settings = {"maxBytes": MAX_BYTES, "maxRuns": MAX_NETWORKS}
    limits = f"{MAX_BYTES >> 20} MB and {runs.max_pixels / 1e6:g} megapixels"
    texts = {"title": make_page_title(cards), "cards": cards, "settings": settings, "limits": limits}
    uploads, decoders, network = Uploads(), Semaphore(DECODERS), Semaphore(1)

    async def index(_: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; img-src data:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}';"
            " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = page.render(nonce=nonce, stylesheet=stylesheet(), **texts)
        return HTMLResponse(text, headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"})

    async def examples(request: Request) -> Response:
        found = await run_in_threadpool(runs.examples, _run_name(request, runs))
        return JSONResponse([{"name": one.name, "label": one.label, "thumbnail": one.thumbnail} for one in found])

    async def predict(request: Request) -> Response:
        _check_origin(request)
        name = _run_name(request, runs)
        async with uploads.receive(request) as content:
            async with decoders:
                example = await run_in_threadpool(_read_example, request, runs)
                image = await run_in_threadpool(runs.read, name, content if example is None else example)
            async with network:
                return JSONResponse(await run_in_threadpool(runs.predict, name, image))

    return Starlette(
        routes=[Route("/", index), Route("/examples", examples), Route("/predict", predict, methods=["POST"])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        exception_handlers={
            RefusedUpload: _refuse,
            UnreadableImage: _refuse,
            UserError: _refuse,
            ClientDisconnect: _end_silently,
        },
    )


def _run_name(request: Request, runs: AppRuns) -> str:
    """Return the run that a request names; refuse a name that no run has."""
    name = request.query_params.get("run", "")
    if name not in runs.opened:
        raise RefusedUpload(404, "no such run: load the page again")
    return name


def _read_example(request: Request, runs: AppRuns) -> bytes | None:
    """Return the content of the example that a request names by its run and its index; None where it names none."""
    place, source = request.query_params.get("example", ""), request.query_params.get("source", "")
    if not place:
        return None
    found = runs.examples(source) if source in runs.opened else ()
    if not (place.isascii() and place.isdecimal()) or int(place) >= len(found):
        raise RefusedUpload(404, "no such example: load the page again")
    return found[int(place)].read()


def _check_origin(request: Request) -> None:
    """Refuse a request that a page of another address sent; a client that is no browser sends no origin."""
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
