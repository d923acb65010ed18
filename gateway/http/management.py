"""The other listener: for probes, Prometheus and administrators, never for callers."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from gateway.admin.shapes import PREFIX


def create_app(
    registry: CollectorRegistry, is_ready: Callable[[], bool], administration: ASGIApp | None = None
) -> Starlette:
    """/healthz: the loop turns. /readyz: as `is_ready` says. /metrics. Below /admin/v1 the `administration`."""

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        return PlainTextResponse("ready\n") if is_ready() else PlainTextResponse("not ready\n", 503)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    routes: list[BaseRoute] = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ]
    if administration is not None:
        routes.append(Mount(PREFIX, administration))
    return Starlette(routes=routes)
