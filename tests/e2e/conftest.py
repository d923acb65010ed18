"""One gateway process in front of a scripted engine, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support import obliging, scripted
from tests.support.gateways import MODEL, POLICY, Gateway, gateway, server, settings
from tests.support.redis import DURABLE, needs_redis, redis


@pytest.fixture(scope="session")
def _engine() -> Iterator[scripted.Engine]:
    with scripted.engine() as engine:
        yield engine


@pytest.fixture
def engine(_engine: scripted.Engine) -> scripted.Engine:
    _engine.reset()
    return _engine


@pytest.fixture(scope="session")
def front(_engine: scripted.Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with _front(_engine, tmp_path_factory.mktemp("gateway")) as front:
        yield front


@pytest.fixture(scope="session")
def impatient(_engine: scripted.Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The same for what never comes, which it waits for only so long."""
    more = {
        "model": {"question_deadline_seconds": 3.0},
        "upstream": {"stall_seconds": 3.0},
        "limits": {"write_seconds": 3.0},
    }
    with _front(_engine, tmp_path_factory.mktemp("impatient"), **more) as front:
        yield front


def _front(engine: scripted.Engine, folder: Path, **more: Any) -> AbstractContextManager[Gateway]:
    """No comment begins an answer before it has a status."""
    pair = server(engine.url, "tuned"), server(engine.url, "base")
    more |= {"keep_alive_seconds": 60.0, "drain_seconds": 2.0}
    return gateway(folder, settings(*pair, scripted.tokenizer(folder), **more))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=needs_redis)])
def state(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
    """The settings of a store that gateways of one file's tests share."""
    folder = tmp_path_factory.mktemp("state")
    if request.param == "sqlite":
        yield {"file": str(folder / "state.db")}
        return
    with redis(folder, *DURABLE) as running:
        yield {"url": running.url}


@pytest.fixture(scope="session")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway as an operator would set it up for ordinary clients, in front of an engine that does as it is asked.

    One pair of models has several names: some clients take only names that they know.
    """
    folder = tmp_path_factory.mktemp("ordinary")
    with scripted.engine() as engine:
        engine.replies = obliging.steps
        configuration = settings(server(engine.url, "tuned"), server(engine.url, "base"), scripted.tokenizer(folder))
        (pair,) = configuration["models"].values()
        names = [MODEL, "gpt-4o-mini", "gpt-5-acme"]
        roles = {"customer": ["chat", "models"], "legacy": ["chat", "completions", "models"]}
        policy = POLICY | {
            "roles": {
                role: {"models": names, "endpoints": endpoints, "max_choices": 4, "max_output_tokens": 4096}
                for role, endpoints in roles.items()
            },
            "issuers": [POLICY["issuers"][0] | {"roles": list(roles)}],
        }
        with gateway(folder, configuration | {"models": dict.fromkeys(names, pair)}, policy) as front:
            yield front


def canary_free(front: Gateway, *canaries: str) -> bool:
    """Nothing that the process wrote holds any of these."""
    files = [path.read_text(errors="replace") for path in Path(front.folder / "logs").iterdir()]
    return not any(canary in text for text in files for canary in canaries)
