"""What requests to `copycat app` and `copycat serve` share: limits, and the checks of host, origin and run."""

import re
from asyncio import Semaphore
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from copycat.deploy.app_runs import AppRuns
from copycat.deploy.uploads import RefusedUpload, Uploads

DECODERS = 2
"""Images decoded in parallel, so that a slow one does not block the others."""


@dataclass(frozen=True)
class RequestLimits:
    """Hold the limits over all requests."""

    uploads: Uploads = field(default_factory=Uploads)
    decoders: Semaphore = field(default_factory=lambda: Semaphore(DECODERS))
    network: Semaphore = field(default_factory=lambda: Semaphore(1))


class HostCheck:
    """Refuse requests to another host: a page elsewhere can reach this machine by a name of its own for it."""

    def __init__(self, application: ASGIApp, *, hosts: Sequence[str]) -> None:
        """Wrap an application; without hosts, all are allowed."""
        self.application, self.hosts = application, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        application = self.application
        if scope["type"] == "http" and self.hosts:
            host = Request(scope).headers.get("host", "")
            if re.sub(r":\d+$", "", host.lower()) not in self.hosts:
                application = JSONResponse({"error": f"expected one of the hosts {', '.join(self.hosts)}"}, 400)
        await application(scope, receive, send)


def find_run(request: Request, runs: AppRuns) -> str:
    """Return the run that a request names, or the only one there is.

    Raises:
        RefusedUpload: where it names none of several, or one that is not there.
    """
    name = request.query_params.get("run")
    if name is None and len(runs.opened) == 1:
        return next(iter(runs.opened))
    if name is None:
        raise RefusedUpload(400, "expected a run, as predict?run=NAME; got none. See them: /runs")
    if name not in runs.opened:
        raise RefusedUpload(404, "no such run: load the page again, or see /runs")
    return name


def check_origin(request: Request) -> None:
    """Refuse a request that a page of another address sent; a client that is no browser sends no origin."""
    own = f"{request.url.scheme}://{request.headers.get('host')}"
    if request.headers.get("origin", own) != own:
        raise RefusedUpload(403, "sent by another page: load this one again")
