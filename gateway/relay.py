"""One answer from the engine to the caller: ask, read, feed the pipeline, send what it decided.

The shell around `filters.pipeline`. Three kinds of task touch one answer: the tuned stream, the base model's answers to
questions, and fallbacks. Each feeds the pipeline and hands what came out to the sink in one step without a pause, so
that events keep their order; a slow caller blocks the sink, the sink blocks the reading, and the engine's socket fills.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from filters.budget import Budget, Cost
from filters.events import (
    UNAVAILABLE,
    Channel,
    Ending,
    Event,
    FallBack,
    Field,
    Finished,
    Opening,
    Origin,
    Question,
    RawText,
    RawTokens,
    Released,
    Sample,
    Unavailable,
)
from filters.evidence import Detector, Grounds
from filters.grounding import MOST_CHARACTERS
from filters.json_schema import Schema
from filters.knowledge import NOTHING_KNOWN, Knowledge
from filters.pass_through import PassThrough
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile
from filters.specificity.bounded import Bounds
from filters.specificity.described import Described, Describing
from filters.specificity.quasi_identifiers import QUASI_IDENTIFIER
from filters.specificity.sampling import Sampler
from filters.specificity.style import NO_SHIFT, StyleShift
from filters.specificity.suspicion import suspicions_of
from gateway.bounded import BoundedSource
from gateway.budgets import Budgets
from gateway.errors import (
    CallerError,
    GatewayError,
    UpstreamBroken,
    UpstreamError,
    UpstreamUnavailable,
)
from gateway.fallback import Speaker, Texts
from gateway.metering import Meter
from gateway.observe.logs import RequestRecord
from gateway.observe.metrics import Metrics
from gateway.observe.steps import NOTHING, Kind, Steps
from gateway.release.guard import Guard
from gateway.shaping import Door
from gateway.streams import Streams
from gateway.tenant_keys import TenantKeys
from gateway.types import Endpoint, Plan, Principal, Release
from gateway.upstream.client import CHAT, COMPLETIONS, Errand, Server, UpstreamClient
from gateway.upstream.drafts import Drafter
from gateway.upstream.frames import DONE, Ended, FrameReader, Item
from gateway.upstream.places import Questioner
from gateway.upstream.prompt_ids import prompt_ids
from gateway.upstream.replicas import Replica
from gateway.upstream.scoring import Samples, Scorer
from gateway.upstream.sse import SseDecoder
from gateway.upstream.tally import Tally
from gateway.upstream.vocabulary import TokenizerVocabulary

Score = Sequence[float] | Unavailable
MOST_INLINE_CHARACTERS = 2048  # of a request; reading them takes about ten milliseconds at most


@dataclass(frozen=True, slots=True)
class Pair:
    """A served model: the tuned one, the base that it came from, and what is known of the two."""

    release: Release
    tuned: Server
    base: Server
    vocabulary: TokenizerVocabulary
    scorer: Scorer
    substitute: Speaker | Texts  # who answers where a choice falls back
    tuned_scorer: Scorer | None = None  # asks the tuned model, which sends no log-probabilities with its text
    style_shift: StyleShift = NO_SHIFT
    guard: Guard | None = None  # None: served without a release
    released_as: str | None = None  # what its release file calls it
    knowledge: Knowledge = NOTHING_KNOWN

    @property
    def opener(self) -> Speaker:
        """Who is asked how he would begin to answer: whoever would answer a fallback, if that is a model."""
        return self.substitute if isinstance(self.substitute, Speaker) else Speaker(self.base, self.vocabulary, True)

    @property
    def open(self) -> bool:
        """Whether requests may go to these models now."""
        return self.guard is None or self.guard.open

    @property
    def refused(self) -> bool:
        """Whether these are known not to be what the release says."""
        return self.guard is not None and self.guard.refused


@dataclass(frozen=True, slots=True)
class Counts:
    """What a caller is told of tokens: his own and those that were released."""

    prompt: int
    released: int


class Sink(Protocol):
    """Takes what may leave, in order."""

    async def emit(self, events: Sequence[Released | Finished]) -> None: ...


class Relay:
    """All answers of the process."""

    def __init__(
        self,
        client: UpstreamClient,
        serving: Callable[[Principal, str], Pair],
        detectors: Callable[[Profile], Detector],
        grounds: Callable[[Sequence[str], Detector], Grounds],
        persons: Describing,
        metrics: Metrics,
        keys: TenantKeys,
        budgets: Budgets,
        samples: Samples,
        streams: Streams,
    ) -> None:
        """`serving` says which release of a model answers a caller, or why none does; `grounds` makes of a request's
        own texts what the caller gave himself, `persons` of its messages what they have said of anybody."""
        self._client, self._serving, self._metrics = client, serving, metrics
        self._detectors, self._grounds, self._persons, self._keys = detectors, grounds, persons, keys
        self._budgets, self._samples, self._streams = budgets, samples, streams
        self._door = Door()

    async def run(self, plan: Plan, record: RequestRecord, sink: Sink) -> Counts:
        """Answer one request into `sink`. Raises GatewayError; nothing that was held has been sent then."""
        with self._streams.one(plan.grant):
            return await self._run(plan, record, sink)

    def errand(self, plan: Plan, request_id: str) -> Errand:
        """What model servers are told of this request."""
        return Errand(request_id, self._keys.cache_salt(plan.grant.principal), plan.grant.priority)

    async def _run(self, plan: Plan, record: RequestRecord, sink: Sink) -> Counts:
        pair = self._serving(plan.grant.principal, plan.grant.model)
        record.release = pair.release.name  # from here on its withdrawal ends the request
        if not pair.open:
            raise UpstreamUnavailable("release")
        with record.steps.step(Kind.BUDGET):
            admitted = await self._budgets.admit(plan)
        try:
            return await self._answer(admitted.plan, pair, record, sink, admitted.budget)
        finally:
            admitted.end()

    async def _answer(self, plan: Plan, pair: Pair, record: RequestRecord, sink: Sink, budget: Budget) -> Counts:
        profile, role = plan.grant.profile, plan.grant.principal.role
        meter = Meter(self._metrics, record, pair.release, role, filtered=profile.detect)
        try:
            with record.steps.step(Kind.PREPARE):
                pipeline = await self._pipeline(plan, pair, budget, meter)
            errand = self.errand(plan, record.request_id).within(record.steps)
            answer = _Answer(
                self._client, pair, plan, record, sink, pipeline, self._metrics, meter, self._samples, errand
            )
            return await answer.run()
        except (BaseExceptionGroup, UpstreamError) as raised:
            error = _first(raised)
            if isinstance(error, UpstreamError):
                self._metrics.upstream_error(pair.release, _kind(error))
            raise error from None
        finally:
            meter.end()

    async def _pipeline(self, plan: Plan, pair: Pair, budget: Budget, meter: Meter) -> Pipeline | PassThrough:
        profile = plan.grant.profile
        if not profile.detect:
            return PassThrough(plan.stop, pair.vocabulary if plan.tells.anything else None, pair.knowledge.denied)
        detector = self._detectors(profile)
        if await self._door.base_answers(plan, detector, pair.knowledge):
            budget.spend(Cost(profile.memorised_bits, 1))  # somebody guesses at what is in the set
            budget.end()
        request = await self._read_request(plan, pair.knowledge, detector, meter)
        key = self._keys.replacements(plan.grant.principal)
        sampler = Sampler(profile.sample, self._keys.samples(plan.grant.principal))
        return Pipeline(
            profile,
            request,
            detector,
            pair.vocabulary,
            pair.style_shift,
            key,
            knowledge=pair.knowledge,
            budget=budget,
            sampler=sampler,
            scored=pair.tuned_scorer is not None,
        )

    async def _read_request(
        self, plan: Plan, knowledge: Knowledge, detector: Detector, meter: Meter
    ) -> RequestEvidence:
        """What the caller gave himself, what has been said of persons, and whether the base is worth asking first. A
        long request is read beside the event loop, so that the other streams go on."""

        def work() -> RequestEvidence:
            profile = plan.grant.profile
            asks = profile.checks_refusals(suspicious=True)
            suspicious = asks and suspicions_of(profile.refusal_words).about(*plan.own_texts)
            grounds = self._grounds(plan.own_texts, detector)
            return request_evidence(plan, knowledge, grounds, described(plan, self._persons), suspicious=suspicious)

        if sum(len(turn.raw_text) for turn in plan.turns) <= MOST_INLINE_CHARACTERS:
            return meter.filtering(work)
        return await asyncio.to_thread(meter.filtering, work)


def described(plan: Plan, persons: Describing) -> Described | None:
    """What the conversation has said of persons, where the role's profile counts it."""
    profile = plan.grant.profile
    return persons.begin(plan.turns) if profile.persons and QUASI_IDENTIFIER not in profile.allowed_types else None


def request_evidence(
    plan: Plan, knowledge: Knowledge, grounds: Grounds, said: Described | None, *, suspicious: bool
) -> RequestEvidence:
    """What the filters must know of a request. `suspicious`: the base is worth asking whether it would decline."""
    return RequestEvidence(
        grounds=grounds,
        described=said,
        own_text="\n".join(plan.own_texts)[-MOST_CHARACTERS:],
        chat=plan.grant.endpoint is Endpoint.CHAT,
        json_mode=plan.json_mode,
        continued=plan.continued,
        json_keys=plan.json_keys,
        tool_names=plan.tool_names,
        answer_schema=Schema(plan.answer_schema) if plan.answer_schema is not None else None,
        tool_schemas={name: Schema(schema) for name, schema in plan.tool_schemas.items()},
        stops=plan.stop,
        clearance=plan.grant.clearance.audience(knowledge),
        tells_tokens=plan.tells.anything,
        suspicious=suspicious,
    )


class _Answer:
    """The run of one request."""

    def __init__(
        self,
        client: UpstreamClient,
        pair: Pair,
        plan: Plan,
        record: RequestRecord,
        sink: Sink,
        pipeline: Pipeline | PassThrough,
        metrics: Metrics,
        meter: Meter,
        samples: Samples,
        errand: Errand,
    ) -> None:
        self._client, self._pair, self._plan, self._record = client, pair, plan, record
        self._sink, self._pipeline, self._metrics, self._samples = sink, pipeline, metrics, samples
        self._meter, self._filtered = meter, meter.filtering
        self._body: dict[str, Any] = pair.vocabulary.defused(dict(plan.body))
        self._errand = errand
        self._sending, self._tokenizing = asyncio.Lock(), asyncio.Lock()
        self._prompt_ids: list[int] | None = None  # from its server, where they don't come with the answer
        self._engine_open = set(range(plan.n))  # choices that the tuned model has not ended
        self._wanted = set(range(plan.n))  # choices whose text from the tuned model is still of use
        self._open = set(range(plan.n))  # choices that have not finished
        # evidence that no filter will look at is not even read
        filtered = plan.grant.profile.evidence and not isinstance(pipeline, PassThrough)
        self._frames = FrameReader(evidence=filtered or plan.tells.anything, choices=plan.n)
        self._released = Tally(pair.vocabulary.count)

    async def run(self) -> Counts:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._begin()
                await self._speak()
            if self._open:
                raise UpstreamBroken("cut")
        finally:
            self._pipeline.abandon()
            counts = self._count()
        return counts

    async def _begin(self) -> None:
        """Of a caller who was moved to the base model the tuned one only reads the request, so that his answers count
        the same tokens of it as all others."""
        begun = self._filtered(self._pipeline.begin, range(self._plan.n))
        if any(isinstance(event, FallBack) for event in begun):
            self._metrics.leak_budget(self._plan.grant.principal.role, "moved")
        await self._emit(begun)

    # ---- the three sources ------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        bounds = self._plan.grant.profile.bounded
        await (self._bounded(bounds) if bounds is not None and self._wanted else self._tuned())
        if self._wanted:
            raise UpstreamBroken("cut")

    @property
    def _path(self) -> str:
        return CHAT if self._plan.grant.endpoint is Endpoint.CHAT else COMPLETIONS

    @property
    def _substitute(self) -> Speaker | Texts:
        """Who answers where a choice falls back; of a legacy completion only the base can, and only from the start."""
        if self._path == CHAT:
            return self._pair.substitute
        return Speaker(self._pair.base, self._pair.vocabulary, is_base=True)

    async def _tuned(self) -> None:
        body = self._body | self._evidence() | {"model": self._pair.tuned.model, **_STREAMED}
        await self._follow(self._pair.tuned, self._path, body, self._take_tuned, self._errand)

    async def _take_tuned(self, events: list[bytes]) -> bool:
        await self._feed(self._frames.read(events), Origin.TUNED)
        return bool(self._wanted) or not self._engine_open

    async def _bounded(self, bounds: Bounds) -> None:
        pair = self._pair
        drafter = Drafter(self._client, self._errand, self._client.timeouts.first_byte, self._asks)
        count = partial(self._metrics.bounded, pair.release)
        source = BoundedSource(drafter, pair.tuned, pair.base, pair.vocabulary, bounds, self._body, count)
        async with aclosing(source.items()) as rounds:
            async for items in rounds:
                self._frames.prompt, self._frames.generated = source.prompt, source.generated
                self._record.base_questions += source.asked
                self._metrics.prefilled(pair.release, "bounded", source.read)
                await self._feed(items, Origin.TUNED)
                if not self._wanted:
                    return

    async def _ask(self, question: Question) -> None:
        self._record.base_questions += 1
        with self._record.steps.step(Kind.QUESTION) as step:
            scores = await self._scores(question, self._questioner(step))
        await self._emit(self._filtered(self._pipeline.answer, question.id, *scores))

    def _questioner(self, steps: Steps) -> Questioner:
        return questioner(self._plan.grant.principal, self._errand.within(steps))

    async def _scores(self, question: Question, who: Questioner) -> tuple[Score, Score | None]:
        """The base's, and the tuned model's where it sends none with its text."""
        pair, asked = self._pair, (question.ids, question.start, who)
        if pair.tuned_scorer is None:
            return await pair.scorer.score(self._frames.prompt, *asked), None
        if not (prompt := await self._prompt()):
            return UNAVAILABLE, UNAVAILABLE
        return await asyncio.gather(pair.scorer.score(prompt, *asked), pair.tuned_scorer.score(prompt, *asked))

    async def _prompt(self) -> list[int]:
        """The request's tokens, which the tuned model's server is asked for once; none if it does not say."""
        async with self._tokenizing:
            if self._prompt_ids is None:
                errand, deadline = self._errand, self._pair.scorer.deadline
                try:
                    server, body = self._pair.tuned, self._body
                    self._prompt_ids = await prompt_ids(self._client, server, body, errand, deadline)
                except GatewayError:
                    self._prompt_ids = []
            return self._prompt_ids

    async def _ask_opening(self) -> None:
        self._record.base_questions += 1
        opener = self._pair.opener
        with self._record.steps.step(Kind.OPENING) as step:
            request = opener.opening(self._plan.body)
            opening = await self._pair.scorer.opening(opener.server, request, self._questioner(step))
        await self._emit(self._filtered(self._pipeline.answer_opening, opening))

    async def _fall_back(self, fallback: FallBack) -> None:
        self._record.fallback = True
        self._metrics.fallback(self._pair.release)
        with self._record.steps.step(Kind.FALL_BACK) as step:
            await self._answer_instead(fallback, self._errand.within(step))

    async def _answer_instead(self, fallback: FallBack, errand: Errand) -> None:
        substitute, left = self._substitute, self._tokens_left(fallback.choice)
        if left == 0:
            await self._say(fallback.choice, "", Ending.LENGTH)
        elif isinstance(substitute, Texts):
            await self._say(fallback.choice, substitute.speech(self._plan.body, fallback), Ending.STOP)
        else:
            await self._let_speak(substitute, fallback, left, errand)
        if fallback.choice in self._open:
            raise UpstreamBroken("cut")

    async def _say(self, choice: int, text: str, ending: Ending) -> None:
        said = [RawText(Channel(choice, Field.CONTENT), text)] if text else []
        await self._feed([*said, Ended(choice, ending)], Origin.BASE)

    async def _let_speak(self, speaker: Speaker, fallback: FallBack, tokens_left: int | None, errand: Errand) -> None:
        body = speaker.body(self._plan.body, fallback, tokens_left) | {**_STREAMED}
        tells = self._plan.tells.anything and speaker.is_base
        if tells:
            body |= self._evidence()
        frames = FrameReader(evidence=tells, only=fallback.choice)

        async def take(events: list[bytes]) -> bool:
            await self._feed(frames.read(events), Origin.BASE)
            return True

        try:
            await self._follow(speaker.server, self._path, body, take, errand)
        except CallerError:
            raise UpstreamError("refused") from None  # the request was good enough for the tuned model
        if speaker.is_base and frames.usage is not None:
            self._metrics.prefilled(self._pair.release, "fallback", frames.usage.prompt_tokens)

    async def _follow(
        self,
        server: Server,
        path: str,
        body: Mapping[str, Any],
        take: Callable[[list[bytes]], Awaitable[bool]],
        errand: Errand,
    ) -> None:
        """Hand over the events of each read, up to the end mark or until `take` has no use for more; leaving closes
        the connection, which ends the generation."""
        sse = SseDecoder()
        async with self._client.stream(server, path, body, errand, partial(self._asks, server)) as pieces:
            async for piece in pieces:
                events = sse.feed(piece)
                ended = DONE in events
                if ended:
                    del events[events.index(DONE) :]
                if events and not await take(events):
                    return
                if ended:
                    return

    def _asks(self, server: Server, replica: Replica) -> None:
        """A record names the replica that answers for the tuned model."""
        self._meter.asks(replica.place if server is self._pair.tuned else None)

    def _evidence(self) -> dict[str, Any]:
        if self._pair.tuned_scorer is not None:
            return {}
        if not (self._plan.grant.profile.evidence or self._plan.tells.anything):
            return {}
        logprobs: bool | int = True if self._plan.grant.endpoint is Endpoint.CHAT else 0
        return {"logprobs": logprobs, "return_token_ids": True}

    # ---- in and out of the pipeline ---------------------------------------------------------------------------------

    async def _feed(self, items: Iterable[Item], origin: Origin) -> None:
        events: list[Event] = []
        batch: list[RawText | RawTokens] = []
        for item in items:
            if isinstance(item, Ended):
                events += self._filtered(self._pipeline.feed, batch, origin)
                events += self._ended(item, origin)
                batch = []
            else:
                batch.append(item)
        await self._emit(events + self._filtered(self._pipeline.feed, batch, origin))

    def _ended(self, ended: Ended, origin: Origin) -> list[Event]:
        if origin is Origin.TUNED:
            self._engine_open.discard(ended.choice)
            self._wanted.discard(ended.choice)
        return self._filtered(self._pipeline.finish, ended.choice, ended.ending, origin)

    async def _emit(self, events: Sequence[Event]) -> None:
        out: list[Released | Finished] = []
        for event in events:
            if isinstance(event, Released):
                self._released.add(event.channel, event.text)
                out.append(event)
            elif isinstance(event, Finished):
                self._record.endings[event.choice] = event.ending
                self._open.discard(event.choice)
                self._wanted.discard(event.choice)
                out.append(event)
            elif isinstance(event, Question):
                self._tasks.create_task(self._ask(event))
            elif isinstance(event, Opening):
                self._tasks.create_task(self._ask_opening())
            elif isinstance(event, FallBack):
                self._wanted.discard(event.choice)
                self._tasks.create_task(self._fall_back(event))
            elif isinstance(event, Sample):
                who = self._questioner(NOTHING)  # it is no part of the answer, and may go on after it
                self._samples.take(self._pair.scorer, self._frames.prompt, event, who)
            else:
                self._meter.decided(event)
        self._meter.held(holds=self._pipeline.holds, released=bool(out))
        if out:
            if any(isinstance(event, Released) for event in out):
                self._meter.released()
            async with self._sending:
                await self._sink.emit(out)

    # ---- counting ----------------------------------------------------------------------------------------------------

    def _tokens_left(self, choice: int) -> int | None:
        if self._plan.max_tokens is None:
            return None
        return max(0, self._plan.max_tokens - self._released.of(choice))

    def _count(self) -> Counts:
        counts = self._counts()
        self._record.tokens_in, self._record.tokens_out = counts.prompt, counts.released
        self._metrics.tokens(
            self._pair.release, counts.prompt, counts.released, self._frames.generated or counts.released
        )
        return counts

    def _counts(self) -> Counts:
        usage = self._frames.usage
        if isinstance(self._pipeline, PassThrough) and not self._pipeline.has_hidden and usage is not None:
            return Counts(usage.prompt_tokens, usage.completion_tokens)
        prompt = len(self._frames.prompt) or (usage.prompt_tokens if usage else 0)
        return Counts(prompt, self._released.total)


def questioner(principal: Principal, errand: Errand) -> Questioner:
    """For whom the base is asked."""
    return Questioner((principal.issuer, principal.tenant), errand)


def _first(raised: BaseException) -> BaseException:
    """The error that ended the tasks; the others are its consequences."""
    while isinstance(raised, BaseExceptionGroup):
        raised = raised.exceptions[0]
    return raised


_STREAMED: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def _kind(error: UpstreamError) -> str:
    """Of `metrics.UPSTREAM_KINDS`."""
    if error.reason == "cut":
        return "cut"
    if error.reason == "refused":
        return "refused"
    return {"upstream_unavailable": "unavailable", "upstream_timeout": "timeout", "rate_limit_exceeded": "busy"}.get(
        error.code or "", "broken" if isinstance(error, UpstreamBroken) else "error"
    )
