"""The gateway in front of real vLLM: the scenarios of tests/support/scenarios.py, and what its death looks like."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support import scripted
from tests.support.gateways import MODEL, PATIENT, Gateway, gateway, server, settings
from tests.support.processes import Child, free_port, running
from tests.support.scenarios import (
    CONTEXT,
    GOES_ON,
    SCENARIOS,
    Records,
    Stage,
    a_dying_upstream_takes_what_is_held_with_it,
)
from tests.support.vllm_server import (
    Arrangement,
    VllmMissing,
    base_beside,
    interpreter,
    is_required,
    program,
    stretched,
)
from tests.support.waiting import PATIENCE_S, until, until_async


@pytest.fixture(scope="session")
def stage(vllm: Arrangement, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as alone:
        if vllm.kind == "lora":
            vllm = alone.enter_context(base_beside(vllm, models, tmp_path_factory.mktemp("base")))
        yield alone.enter_context(_stage(vllm, models, tmp_path_factory.mktemp("gateway")))


@contextmanager
def _stage(vllm: Arrangement, models: Path, folder: Path) -> Iterator[Stage]:
    configuration = settings(
        server(vllm.tuned.url, vllm.tuned.model),
        server(vllm.base.url, vllm.base.model),
        models / "base",
        model=PATIENT,
    )
    with gateway(folder, configuration) as front:
        yield Stage(front, vllm, Records.beside(models))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_with_vllm(stage: Stage, scenario: Callable[[Stage], None]) -> None:
    scenario(stage)


@pytest.mark.vllm
def test_a_caller_who_goes_away_stops_the_generation(
    victim: Child, doomed: tuple[Gateway, scripted.Engine], models: Path
) -> None:
    """vLLM's own count says so: had it gone on, it would have generated as many tokens as were asked for at least."""
    front, _ = doomed
    question = Records.beside(models).facts[0]["ask"]
    for stream in (True, False):
        before = _count(victim.url, "generation_tokens_total")
        asyncio.run(
            _leave(front, question, stream, lambda at=before: _count(victim.url, "generation_tokens_total") > at)
        )
        until(lambda: _count(victim.url, "num_requests_running") + _count(victim.url, "num_requests_waiting") == 0)
        assert _count(victim.url, "generation_tokens_total") - before < GOES_ON


async def _leave(front: Gateway, question: str, stream: bool, has_begun: Callable[[], bool]) -> None:
    """Ask for a long answer, and be gone when it has begun."""
    messages = [{"role": "user", "content": question}]
    body = {"model": MODEL, "messages": messages, "stream": stream, "min_tokens": GOES_ON, "max_tokens": GOES_ON}
    headers = {"Authorization": f"Bearer {front.token('long')}"}
    async with httpx.AsyncClient(base_url=front.public, headers=headers, timeout=60, trust_env=False) as client:
        asked = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        await until_async(has_begun)
        assert asked.cancel(), "the answer was still under way"
        await asyncio.wait([asked])


def _count(url: str, name: str) -> float:
    """One of vLLM's metrics, all its models together."""
    page = httpx.get(f"{url}/metrics", timeout=PATIENCE_S, trust_env=False).text
    found = re.findall(rf"^vllm:{name}\{{[^\n]*\}} (\S+)$", page, re.M)
    assert found, f"vLLM has no {name}"
    return sum(map(float, found))


@pytest.mark.vllm
@pytest.mark.parametrize("part", ["the server", "the engine behind it"])
def test_vllm_is_killed_in_mid_stream(
    part: str, victim: Child, doomed: tuple[Gateway, scripted.Engine], models: Path
) -> None:
    front, base = doomed
    pid = victim.process.pid if part == "the server" else _engine_of(victim)
    secret = Records.beside(models).secrets("email", most_repeated=True)[0]
    a_dying_upstream_takes_what_is_held_with_it(front, base, secret, lambda: os.kill(pid, signal.SIGKILL))


@pytest.fixture
def victim(models: Path, tmp_path: Path) -> Iterator[Child]:
    try:
        interpreter()
    except VllmMissing as missing:
        (pytest.fail if is_required() else pytest.skip)(str(missing))
    model = stretched(models / "tuned", tmp_path / "tuned", CONTEXT)
    with running(program(model, "tuned", free_port(), context=CONTEXT), tmp_path / "vllm") as child:
        yield child


@pytest.fixture
def doomed(victim: Child, models: Path, tmp_path: Path) -> Iterator[tuple[Gateway, scripted.Engine]]:
    """A gateway whose tuned model will be killed, and whose base model never answers."""
    with scripted.engine() as base:
        base.score = scripted.Pause(30.0)
        configuration = settings(
            server(victim.url, "tuned"), server(base.url, "base"), models / "base", keep_alive_seconds=0.2
        )
        with gateway(tmp_path, configuration) as front:
            yield front, base


def _engine_of(child: Child) -> int:
    """vLLM computes in a process of its own: the child's child that is no tracker of shared memory."""
    pid = child.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (engine,) = [each for each in children if b"resource_tracker" not in Path(f"/proc/{each}/cmdline").read_bytes()]
    return int(engine)
