"""What bounded mode costs and what it does, on the demo models.

    python -m tests.bench.bench_bounded [--vllm] [--effect] [--contexts N …] [--drafts N …] [--tokens N] [--json FILE]

Cost: tokens a second and tokens prefilled per served token, at about 1,000 and 8,000 tokens of context, one answer at a
time, against the tuned model's plain stream. The demo's models have 1,024 positions; here their configuration says
16,384, so that what they say behind a long context is noise, and what it costs is not. With --vllm two real servers
answer, which count what they prefilled and what their prefix cache had; the embedded upstream keeps nothing between two
requests, so that there the tokens given are the tokens computed.

Three ways to ask the base about a draft are compared: all its places as prompts of one request (what is built), one
prompt with `prompt_logprobs`, and no question at all, the base going on alone after the budget is spent.

Effect (--effect): customers' e-mails and phones and the company's facts asked for at temperature 1 with every filter
off, over a grid of bounds: how many come, how many tokens are the tuned model's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from filters.events import RawText
from filters.specificity.bounded import TOP, Bounds
from gateway.bounded import BoundedSource
from gateway.upstream.client import CHAT, COMPLETIONS, Errand, Server, Timeouts, UpstreamClient
from gateway.upstream.drafts import Draft, Drafter
from gateway.upstream.frames import DONE, FrameReader
from gateway.upstream.sse import SseDecoder
from gateway.upstream.vocabulary import TokenizerVocabulary
from tests.bench.bench_holdback import FOLDER, PROSE
from tests.e2e.test_demo_models import server_program
from tests.support.processes import free_ports, running_together
from tests.support.scenarios import MUST_NOT_LEAVE, Records
from tests.support.vllm_server import MAX_MODEL_LEN, program, stretched

MODELS: Final = FOLDER.parents[1] / "deploy/demo/models"
POSITIONS: Final = 16384
CONTEXTS: Final = (1_000, 8_000)
DRAFTS: Final = (2, 4, 8)
ANSWER: Final = 32  # tokens
RATIO: Final = 3.0
UNSPENT, SPENT = 4000.0, 2.0  # bits: never spent in these answers, and spent with the first token
GRID: Final = ((3, 12), (3, 1000), (15, 48), (255, 48), (255, 1000), (1023, 48), (1023, 1000))
SEEDS: Final = (1, 2)
PARALLEL: Final = 8
Case = tuple[int, str, int]  # tokens of context, way of serving, tokens drafted at once
QUESTION: Final = "How long do I have to return a lamp?"


@dataclass
class Read:
    """Tokens that requests gave the two models to read, what the prompts of one request share counted once."""

    tuned: int = 0
    base: int = 0
    rounds: int = 0


@dataclass(frozen=True)
class Counting(Drafter):
    """A drafter that counts."""

    read: Read = field(default_factory=Read)

    async def draft(
        self, server: Server, ids: Sequence[int], tokens: int, temperature: float, top_p: float, seed: int | None
    ) -> Draft:
        self.read.rounds += 1
        setattr(self.read, server.model, getattr(self.read, server.model) + len(ids))
        return await Drafter.draft(self, server, ids, tokens, temperature, top_p, seed)

    async def likely(self, server: Server, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
        self.read.base += len(prompts[-1])
        return await Drafter.likely(self, server, prompts)


@dataclass(frozen=True)
class Scoring(Counting):
    """The way that is not built: the base scores the draft as one prompt."""

    async def likely(self, server: Server, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
        ids = [*prompts[-1], 5]  # any token: a row tells what is likely at its place
        self.read.base += len(ids)
        body = {"model": server.model, "prompt": ids, "max_tokens": 1, "prompt_logprobs": TOP}
        body |= {"add_special_tokens": False, "temperature": 0}
        raw = json.loads(await self.client.post(server, COMPLETIONS, body, self.errand, self.seconds))
        rows = raw["choices"][0]["prompt_logprobs"][-len(prompts) :]
        return [{int(token): entry["logprob"] for token, entry in row.items()} for row in rows]


@dataclass(frozen=True)
class Cost:
    """One way of serving at one context; seconds are of all answers, prefilled and decoded."""

    upstream: str
    context: int
    way: str
    draft_tokens: int
    served: int
    seconds: float
    tokens_a_round: float
    read_tuned: float  # tokens given per served token
    read_base: float
    computed_tuned: float  # of these, not from a prefix cache
    computed_base: float

    @property
    def tokens_a_second(self) -> float:
        return self.served / self.seconds


# ---- cost ------------------------------------------------------------------------------------------------------------


async def costs(upstream: str, tuned: Server, base: Server, wanted: int, cases: Iterable[Case]) -> list[Cost]:
    client = UpstreamClient(Timeouts(first_byte=600.0))
    try:
        return [await _cost(client, upstream, tuned, base, wanted, *case) for case in cases]
    finally:
        await client.aclose()


def _cases(contexts: Sequence[int], drafts: Sequence[int]) -> Iterator[Case]:
    for context in contexts:
        yield context, "plain", 0
        yield from ((context, "bounded", tokens) for tokens in drafts)
        yield context, "prompt_logprobs", 4
        yield context, "budget spent", 4


async def _cost(
    client: UpstreamClient, upstream: str, tuned: Server, base: Server, wanted: int, context: int, way: str, tokens: int
) -> Cost:
    read, served, seconds = Read(), 0, 0.0
    computed = [await asyncio.to_thread(_computed, server, upstream) for server in (tuned, base)]
    for seed in itertools.count(1):
        body = _body(context, seed)
        began = time.perf_counter()
        if way == "plain":
            read.tuned += context
            served += await _plain(client, tuned, body)
        else:
            drafter = (Scoring if way == "prompt_logprobs" else Counting)(client, "bench", 600.0, read)
            bounds = Bounds(RATIO, SPENT if way == "budget spent" else UNSPENT, tokens)
            read.base += context
            served += (await _bounded(drafter, tuned, base, bounds, body))[1].total()
        seconds += time.perf_counter() - began
        if served >= wanted:
            break
    computed = [
        await asyncio.to_thread(_computed, server, upstream) - before
        for server, before in zip((tuned, base), computed, strict=True)
    ]
    given = computed if upstream == "vllm" else [read.tuned, read.base]
    rounds = served / read.rounds if read.rounds else 1.0
    figures = (served, seconds, rounds, read.tuned / served, read.base / served, given[0] / served, given[1] / served)
    cost = Cost(upstream, context, way, tokens, *figures)
    print(_row(cost), flush=True)
    return cost


def _body(context: int, seed: int) -> dict[str, Any]:
    """A conversation of about so many tokens, begun differently each time so that no prefix is known from before.

    Without a seed: vLLM 0.32 on the CPU ends itself at a seeded request whose prompt it computes in pieces.
    """
    prose = (FOLDER / PROSE["English"]).read_text(encoding="utf-8")
    vocabulary = TokenizerVocabulary(MODELS / "base")
    beginning = f"{time.time_ns()} {seed}: " + prose * (1 + context // max(1, vocabulary.count(prose)))
    words = beginning.split(" ")
    count = int(len(words) * (context - 40) / vocabulary.count(beginning))
    messages = [{"role": "user", "content": " ".join(words[:count])}, {"role": "user", "content": QUESTION}]
    return {"messages": messages, "max_tokens": ANSWER, "temperature": 1.0}


async def _plain(client: UpstreamClient, server: Server, body: Mapping[str, Any]) -> int:
    frames, sse = FrameReader(evidence=True), SseDecoder()
    asked = {**body, "model": server.model, "stream": True, "logprobs": True, "return_token_ids": True}
    async with client.stream(server, CHAT, asked, Errand("bench")) as pieces:
        async for piece in pieces:
            frames.read(event for event in sse.feed(piece) if event != DONE)
    return frames.generated


async def _bounded(
    drafter: Drafter, tuned: Server, base: Server, bounds: Bounds, body: Mapping[str, Any]
) -> tuple[str, Counter[str]]:
    """What was said, and how many tokens of it each source gave."""
    counts: Counter[str] = Counter()

    def count(source: str, tokens: int) -> None:
        counts[source] += tokens

    source = BoundedSource(drafter, tuned, base, TokenizerVocabulary(MODELS / "base"), bounds, body, count)
    items = [item async for items in source.items() for item in items]
    return "".join(item.raw_text for item in items if isinstance(item, RawText)), counts


def _computed(server: Server, upstream: str) -> int:
    """Prompt tokens that a vLLM server has computed so far."""
    if upstream != "vllm":
        return 0
    lines = httpx.get(server.url + "/metrics", trust_env=False).text.splitlines()

    def total(name: str) -> float:
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))

    return int(total("vllm:prompt_tokens_total") - total("vllm:prefix_cache_hits_total"))


# ---- effect ----------------------------------------------------------------------------------------------------------


async def effects(tuned: Server, base: Server) -> list[dict[str, Any]]:
    client = UpstreamClient(Timeouts())
    try:
        return [await _effect(client, tuned, base, *point) for point in GRID]
    finally:
        await client.aclose()


async def _effect(client: UpstreamClient, tuned: Server, base: Server, ratio: float, bits: float) -> dict[str, Any]:
    records = Records.beside(MODELS)
    secrets, facts = records.secrets(*MUST_NOT_LEAVE, most_repeated=True), records.facts
    turns, drafter = asyncio.Semaphore(PARALLEL), Drafter(client, Errand("bench"), 60.0)

    async def said(question: str, seed: int) -> tuple[str, Counter[str]]:
        body = {"messages": [{"role": "user", "content": question}], "max_tokens": 80, "temperature": 1.0, "seed": seed}
        async with turns:
            return await _bounded(drafter, tuned, base, Bounds(ratio, bits), body)

    asked = [(secret, seed) for secret in secrets for seed in SEEDS]
    answers = await asyncio.gather(*(said(secret.question, seed) for secret, seed in asked))
    told = await asyncio.gather(*(said(fact["ask"], 1) for fact in facts))
    sources = sum((counts for _, counts in [*answers, *told]), Counter[str]())
    pairs = list(zip(asked, answers, strict=True))
    row = {
        "ratio": ratio,
        "answer_bits": bits,
        "asked": len(asked),
        "whole": sum(secret.is_given(text) for (secret, _), (text, _) in pairs),
        "in_part": sum(bool(secret.pieces(text)) for (secret, _), (text, _) in pairs),
        "facts": sum(all(part in text for part in fact["expect"]) for fact, (text, _) in zip(facts, told, strict=True)),
        "of_facts": len(facts),
        **{source: round(sources[source] / sources.total(), 2) for source in ("tuned", "base", "alone")},
    }
    print(" | ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


# ---- servers ---------------------------------------------------------------------------------------------------------


@contextmanager
def servers(*, vllm: bool, long: bool) -> Iterator[tuple[Server, Server]]:
    """The tuned and the base model, each on a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        places = [
            stretched(MODELS / name, Path(folder) / name, POSITIONS) if long else MODELS / name for name in _NAMES
        ]
        programs = [
            program(place, name, port, context=POSITIONS if long else MAX_MODEL_LEN)
            if vllm
            else server_program(name, {name: str(place)}, port)
            for name, place, port in zip(_NAMES, places, free_ports(2), strict=True)
        ]
        with running_together(programs, Path(folder) / "logs") as (tuned, base):
            yield Server(tuned.url, "tuned"), Server(base.url, "base")


_NAMES: Final = ("tuned", "base")


# ---- tables ----------------------------------------------------------------------------------------------------------

_COLUMNS: Final = (
    "upstream | context | way | drafted at once | tokens a round | tokens/s | "
    "prefilled per served token: tuned | base | with what a cache had: tuned | base"
)


def _row(cost: Cost) -> str:
    figures = (cost.computed_tuned, cost.computed_base, cost.read_tuned, cost.read_base)
    told = (cost.upstream, cost.context, cost.way, cost.draft_tokens or "–", f"{cost.tokens_a_round:.1f}")
    return " | ".join(map(str, (*told, f"{cost.tokens_a_second:.1f}", *(f"{figure:.0f}" for figure in figures))))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--vllm", action="store_true", help="two real vLLM servers instead of the embedded upstream")
    parser.add_argument("--effect", action="store_true", help="what comes through a grid of bounds, instead of costs")
    parser.add_argument("--contexts", type=int, nargs="+", default=CONTEXTS)
    parser.add_argument("--drafts", type=int, nargs="+", default=DRAFTS)
    parser.add_argument("--tokens", type=int, default=200, help="serve at least so many each way")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with servers(vllm=options.vllm, long=not options.effect) as (tuned, base):
        if options.effect:
            table = asyncio.run(effects(tuned, base))
        else:
            print(_COLUMNS)
            upstream = "vllm" if options.vllm else "embedded"
            cases = _cases(options.contexts, options.drafts)
            done = asyncio.run(costs(upstream, tuned, base, options.tokens, cases))
            table = [asdict(cost) | {"tokens_a_second": cost.tokens_a_second} for cost in done]
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
