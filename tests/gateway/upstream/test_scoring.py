"""Questions to a server that speaks vLLM's protocol: bounds, outcomes, and what is left undone while it is busy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from filters.events import UNAVAILABLE, Sample
from gateway.observe.metrics import Metrics
from gateway.types import ONLY, Release
from gateway.upstream.client import Errand, Server, Timeouts, UpstreamClient
from gateway.upstream.places import Places, Questioner, Shares
from gateway.upstream.scoring import Bounds, Samples, Scorer
from tests.support import scripted
from tests.support.scripted import Engine, Error
from tests.support.waiting import until_async

WHO = Questioner(("issuer", "acme"), Errand("req_1"))
SPECIAL = 0
BOUNDS = Bounds(context_tokens=8, deadline=10.0)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with scripted.engine() as engine:
        engine.score = -0.5
        yield engine


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@asynccontextmanager
async def scoring(
    engine: Engine, registry: CollectorRegistry, bounds: Bounds = BOUNDS, places: Places | None = None
) -> AsyncIterator[Scorer]:
    metrics = Metrics(registry, models={"assistant": ["default"]})
    async with aclosing(UpstreamClient(Timeouts())) as client:
        server = Server(engine.url, "base", schedules=True)
        yield Scorer(client, server, bounds, places or Places(Shares()), metrics, Release("assistant"), [SPECIAL])


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, {"model": "assistant", "release": ONLY} | labels) or 0.0


async def test_what_is_scored_are_the_last_tokens_and_what_is_read_is_counted(
    engine: Engine, registry: CollectorRegistry
) -> None:
    async with scoring(engine, registry, replace(BOUNDS, priority=3)) as scorer:
        assert await scorer.score([1, 2], [3, 4, 5], 1, WHO) == (-0.5, -0.5)
    (question,) = engine.questions()
    assert (question["prompt"], question["priority"]) == ([1, 2, 3, 4, 5], 3)
    assert counted(registry, "tightlip_base_prefilled_tokens_total", purpose="question") == 5
    assert counted(registry, "tightlip_base_questions_total", outcome="answered") == 1


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        ([*range(20, 30)], [*range(24, 30), 3, 4]),
        ([20, 21, 22, 23, 24, 25, SPECIAL, 27, 28, 29], [SPECIAL, 27, 28, 29, 3, 4]),
    ],
    ids=["anywhere", "at a message"],
)
async def test_a_long_context_is_cut(
    engine: Engine, registry: CollectorRegistry, prompt: list[int], kept: list[int]
) -> None:
    async with scoring(engine, registry) as scorer:
        assert len(await scorer.score(prompt, [3, 4], 0, WHO)) == 2  # type: ignore[arg-type]
    (question,) = engine.questions()
    assert question["prompt"] == kept


async def test_more_than_the_context_holds_is_not_asked(engine: Engine, registry: CollectorRegistry) -> None:
    async with scoring(engine, registry) as scorer:
        assert await scorer.score([1], [2] * 20, 0, WHO) is UNAVAILABLE
    assert engine.questions() == []


async def test_who_gets_no_answer_in_time_knows_nothing(engine: Engine, registry: CollectorRegistry) -> None:
    engine.score_after = 60.0
    async with scoring(engine, registry, replace(BOUNDS, deadline=0.3)) as scorer:
        assert await scorer.score([1], [2], 0, WHO) is UNAVAILABLE
    assert counted(registry, "tightlip_base_questions_total", outcome="late") == 1


async def test_who_gets_no_place_in_time_knows_nothing(engine: Engine, registry: CollectorRegistry) -> None:
    places = Places(Shares(server=2, tenant=2, answer=1))
    async with scoring(engine, registry, replace(BOUNDS, deadline=0.3), places) as scorer, places.place(WHO):
        assert await scorer.score([1], [2], 0, WHO) is UNAVAILABLE
    assert engine.questions() == []
    assert counted(registry, "tightlip_base_questions_total", outcome="over_limit") == 1


async def test_samples_wait_for_nobody_and_keep_nobody_waiting(engine: Engine, registry: CollectorRegistry) -> None:
    sample = Sample(0, (2, 3), 0, (-0.1, -0.1))
    async with scoring(engine, registry, places=Places(Shares(server=2))) as scorer:
        go_on = threading.Event()
        engine.score_when = lambda _: go_on
        question = asyncio.create_task(scorer.score([1], [2], 0, WHO))
        await until_async(engine.questions)
        samples = Samples()
        samples.take(scorer, [1], sample, WHO)
        await until_async(lambda: counted(registry, "tightlip_specificity_samples_total", outcome="skipped"))
        go_on.set()
        await question
        await scorer.sample([1], sample, WHO)
        engine.score = Error(500)
        await scorer.sample([1], sample, WHO)
        await samples.aclose()
    for outcome in ("skipped", "scored", "failed"):
        assert counted(registry, "tightlip_specificity_samples_total", outcome=outcome) == 1
    assert counted(registry, "tightlip_specificity_bits_per_token_sum") == pytest.approx(0.4 / 0.6931, rel=0.01)
    assert counted(registry, "tightlip_base_questions_total", outcome="answered") == 1, "samples are no questions"
