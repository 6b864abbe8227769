"""The page of `copycat app`: its HTML, its predictions with pictures, and its example images."""

import secrets
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from copycat.deploy.app_cards import RunCard, make_page_title
from copycat.deploy.app_runs import MAX_NETWORKS, AppRuns
from copycat.deploy.request_checks import RequestLimits, check_origin, find_run
from copycat.deploy.uploads import MAX_BYTES, RefusedUpload
from copycat.inspection.reports.page import make_printable, stylesheet


def page_routes(runs: AppRuns, cards: Sequence[RunCard], shared: RequestLimits) -> Sequence[Route]:
    """Return the page, and what its script asks for."""
    environment = Environment(
        loader=PackageLoader(__package__, ""), autoescape=True, finalize=make_printable, undefined=StrictUndefined
    )
    page = environment.get_template("app.html")
    settings = {"maxBytes": MAX_BYTES, "maxRuns": MAX_NETWORKS}
    limits = f"{MAX_BYTES >> 20} MB and {runs.max_pixels / 1e6:g} megapixels"
    texts = {"title": make_page_title(cards), "cards": cards, "settings": settings, "limits": limits}

    async def index(_: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; img-src data:; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}';"
            " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = page.render(nonce=nonce, stylesheet=stylesheet(), **texts)
        return HTMLResponse(text, headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"})

    async def examples(request: Request) -> Response:
        found = await run_in_threadpool(runs.examples, find_run(request, runs))
        return JSONResponse([{"name": one.name, "label": one.label, "thumbnail": one.thumbnail} for one in found])

    async def predict(request: Request) -> Response:
        check_origin(request)
        name = find_run(request, runs)
        async with shared.uploads.receive(request) as content:
            async with shared.decoders:
                example = await run_in_threadpool(_read_example, request, runs)
                image = await run_in_threadpool(runs.read, name, content if example is None else example)
            async with shared.network:
                return JSONResponse(await run_in_threadpool(runs.predict, name, image))

    return [
        Route("/", index),
        Route("/page/examples", examples),
        Route("/page/predict", predict, methods=["POST"]),
    ]


def _read_example(request: Request, runs: AppRuns) -> bytes | None:
    """Return the content of the example that a request names by its run and its index; None where it names none."""
    place, source = request.query_params.get("example", ""), request.query_params.get("source", "")
    if not place:
        return None
    found = runs.examples(source) if source in runs.opened else ()
    if not (place.isascii() and place.isdecimal()) or int(place) >= len(found):
        raise RefusedUpload(404, "no such example: load the page again")
    return found[int(place)].read()
