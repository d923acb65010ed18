"""The management listener: probes and metrics, and nothing else."""

from __future__ import annotations

import httpx
from prometheus_client import CollectorRegistry

from gateway.http import management
from gateway.http.lifecycle import Lifecycle
from gateway.observe.metrics import Metrics
from tests.gateway.http.surface import serving
from tests.support.waiting import PATIENCE_S


async def test_probes_tell_the_processs_own_state() -> None:
    registry, lifecycle = CollectorRegistry(), Lifecycle()
    Metrics(registry).auth_failure("missing")
    async with (
        serving(management.create_app(registry, lambda: lifecycle.ready)) as url,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client,
    ):
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        lifecycle.ready = True
        assert (await client.get("/readyz")).status_code == 200
        lifecycle.drain()
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        page = await client.get("/metrics")
        assert page.headers["content-type"].startswith("text/plain")
        assert 'tightlip_auth_failures_total{reason="missing"} 1.0' in page.text
        for path in ("/", "/v1/models", "/v1/chat/completions", "/docs"):
            assert (await client.get(path)).status_code == 404
