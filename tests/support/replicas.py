"""Gateways inside the test's own process, as many as it wants on one store, with a token for each caller."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client import CollectorRegistry

from gateway import settings
from gateway.app import Gateway, assemble
from gateway.auth.development import Claims, create_key, read_key, sign
from gateway.process import watching
from tests.gateway.http.surface import serving
from tests.support.gateways import MODEL, POLICY
from tests.support.records import said

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}


@asynccontextmanager
async def replica(folder: Path, name: str) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    """One of them; its records are in NAME-records (`log_of`)."""
    loaded = settings.load(folder / "tightlip.yaml")
    log = loaded.log.model_copy(update={"directory": folder / f"{name}-records"})
    loaded = loaded.model_copy(update={"log": log})
    async with (
        assemble(loaded, CollectorRegistry(), print) as gateway,
        watching(gateway),
        serving(gateway.public) as address,
        httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as client,
    ):
        yield gateway, client


def log_of(folder: Path, *names: str) -> str:
    """All that these said."""
    return "".join(said(folder / f"{name}-records") for name in names)


def written(folder: Path, configuration: Mapping[str, Any]) -> None:
    """The files of all of them."""
    (folder / "log.key").write_text("k" * 32)
    (folder / "tightlip.yaml").write_text(yaml.safe_dump({**configuration, "log": {"key_file": "log.key"}}))
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    create_key(folder / "key.pem")


def token(folder: Path, subject: str, role: str = "customer") -> dict[str, str]:
    """The header that carries it."""
    claims = Claims("tightlip-dev", "tightlip", subject, role, None, 600)
    return {"authorization": f"Bearer {sign(read_key(folder / 'key.pem'), claims)}"}


async def stream(
    client: httpx.AsyncClient, headers: Mapping[str, str], began: asyncio.Event, body: Mapping[str, Any] = BODY
) -> tuple[str, float]:
    """All of it, and when it ended."""
    text = ""
    async with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
        async for piece in response.aiter_text():
            text += piece
            began.set()
    return text, time.monotonic()


def last_frame(text: str) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(text.rstrip().rpartition("data: ")[2])
    return frame
