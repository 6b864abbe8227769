"""The web application of `copycat serve` and `copycat app`: an endpoint for programs, and a page on top of it.

Both share their limits: sizes, concurrent requests, timeouts, allowed hosts and origins.
"""

from asyncio import CancelledError
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from copycat.config.errors import UserError
from copycat.data.decode import UnreadableImage
from copycat.deploy.app_cards import make_cards
from copycat.deploy.app_page import page_routes
from copycat.deploy.app_runs import AppRuns
from copycat.deploy.endpoint import endpoint_routes
from copycat.deploy.request_checks import HostCheck, RequestLimits
from copycat.deploy.uploads import RefusedUpload

HOST = "127.0.0.1"
LOCAL_HOSTS = (HOST, "localhost", "[::1]")
"""Names of this machine, by which others do not reach it."""
RETRY_SECONDS = 1
"""When a client that is told to try again may do so."""


def make_application(runs: AppRuns, *, hosts: Sequence[str] = LOCAL_HOSTS) -> Starlette:
    """Build the web application, which answers requests to these hosts; without any, to all."""
    limits, cards = RequestLimits(), make_cards(runs.opened)
    kinds = (RefusedUpload, UnreadableImage, UserError, HTTPException)
    return Starlette(
        routes=[*page_routes(runs, cards, limits), *endpoint_routes(runs, cards, limits)],
        middleware=[Middleware(ShutdownAnswer), Middleware(HostCheck, hosts=hosts)],
        exception_handlers={
            **dict.fromkeys(kinds, _refuse),
            ClientDisconnect: _end_silently,
            Exception: _fail,
        },
    )


class ShutdownAnswer:
    """Answer a request that is canceled as the server ends, where uvicorn would print a traceback."""

    def __init__(self, application: ASGIApp) -> None:
        """Wrap an application."""
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            await self.application(scope, receive, send)
        except CancelledError:
            answer = await _refuse(Request(scope), RefusedUpload(503, "the server is ending: try again later"))
            await answer(scope, receive, send)


async def _refuse(_: Request, error: Exception) -> Response:
    headers: dict[str, str] = {}
    match error:
        case RefusedUpload():
            status, reason = error.status, error.reason
        case UnreadableImage():
            status, reason = 422, error.reason
        case HTTPException():
            status, reason, headers = error.status_code, error.detail, dict(error.headers or {})
        case _:
            status, reason = 409, str(error)
    if status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return JSONResponse({"error": reason}, status, headers)


async def _end_silently(*_: object) -> Response:
    return Response()  # the client is gone


async def _fail(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"failed: {type(error).__name__}"}, 500)  # Starlette logs where
