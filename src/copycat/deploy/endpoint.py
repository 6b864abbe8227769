"""The endpoint of `copycat serve`: predictions in the JSON of `copycat predict`, the runs, and its own description."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from copycat.data.decode import UnreadableImage
from copycat.deploy.app_cards import RunCard
from copycat.deploy.app_runs import AppRuns
from copycat.deploy.openapi import make_openapi
from copycat.deploy.request_checks import RequestLimits, check_origin, find_run
from copycat.deploy.uploads import RefusedUpload
from copycat.records.run_loader import Opened


def endpoint_routes(runs: AppRuns, cards: Sequence[RunCard], shared: RequestLimits) -> Sequence[Route]:
    """Return the routes for programs."""
    description = make_openapi(runs)
    listed = [_describe_run(card, runs.opened[card.name]) for card in cards]

    async def predict(request: Request) -> Response:
        check_origin(request)
        name = find_run(request, runs)
        async with shared.uploads.receive_images(request) as images:
            inputs = []
            for image in images:
                async with shared.decoders:
                    try:
                        decoded = await run_in_threadpool(runs.read_input, name, image.content)
                    except UnreadableImage as error:
                        raise RefusedUpload(422, f"{image.name}: {error.reason}") from None
                    inputs.append((image.name, decoded))
            async with shared.network:
                rows = await run_in_threadpool(runs.classify, name, inputs)
        return JSONResponse({"run": name, "predictions": rows})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "runs": len(listed)})

    async def list_runs(_: Request) -> Response:
        return JSONResponse({"runs": listed})

    async def openapi(_: Request) -> Response:
        return JSONResponse(description)

    return [
        Route("/predict", predict, methods=["POST"]),
        Route("/health", health),
        Route("/runs", list_runs),
        Route("/openapi.json", openapi),
    ]


def _describe_run(card: RunCard, opened: Opened | str) -> Mapping[str, Any]:
    classes = [] if isinstance(opened, str) else list(opened.manifest["data"]["classes"])
    return {
        "name": card.name,
        "title": card.title,
        "classes": classes,
        "val_accuracy": card.accuracy,
        "problem": card.problem or None,
    }
