"""Asks the models: the tuned one with its evidence, the base one, and what a role would have been served."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from filters.events import Channel, Ending, Field, Finished, Released
from filters.grounding import RequestGrounds
from gateway.app import Gateway
from gateway.auth.rbac import authorize
from gateway.compare.marked import Judge, Marked, Said, mark
from gateway.errors import UpstreamError
from gateway.observe.logs import RequestRecord
from gateway.policy.parameters import admit, read
from gateway.relay import Pair, described, request_evidence
from gateway.types import Endpoint, Plan, Principal, RequestId
from gateway.upstream.client import Errand
from gateway.upstream.greedy import Asker, Greedy

DEADLINE: Final = 120.0  # seconds for each answer
WHO: Final = "compare"  # tenant, subject and request id of what this tool asks
_CONTENT: Final = Channel(0, Field.CONTENT)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One prompt, three answers."""

    prompt: str
    role: str
    model: str
    tuned: Marked
    base: str
    served: str
    ending: Ending
    fallback: bool


@dataclass(slots=True)
class _Collected:
    """A sink for one choice's content."""

    text: str = ""
    ending: Ending = Ending.STOP

    async def emit(self, events: Sequence[Released | Finished]) -> None:
        for event in events:
            if isinstance(event, Finished):
                self.ending = event.ending
            elif event.channel == _CONTENT:
                self.text += event.text


async def compare(gateway: Gateway, prompt: str, role: str, model: str, max_tokens: int) -> Comparison:
    """Raises GatewayError: the role may not use this model, or a model server failed."""
    plan = _plan(gateway, prompt, role, model, max_tokens)
    served = _Collected()
    record = RequestRecord(RequestId(WHO), time.time(), time.monotonic())
    await gateway.policies.now.relay.run(plan, record, served)

    pair = gateway.releases.serving(plan.grant.principal, model)
    asker = _asker(gateway, pair)
    messages = plan.body["messages"]
    tuned = await asker.greedy(pair.tuned, messages, max_tokens)
    base = await asker.greedy(pair.base, messages, max_tokens)
    return Comparison(
        prompt=prompt,
        role=role,
        model=model,
        tuned=mark(await _said(asker, pair, tuned), _judge(gateway, plan, pair)),
        base=base.raw_text,
        served=served.text,
        ending=served.ending,
        fallback=record.fallback,
    )


def _asker(gateway: Gateway, pair: Pair) -> Asker:
    return Asker(gateway.client, Errand(WHO), DEADLINE, pair.vocabulary if pair.tuned_scorer else None)


def _plan(gateway: Gateway, prompt: str, role: str, model: str, max_tokens: int) -> Plan:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    body |= {"temperature": 0, "max_tokens": max_tokens}
    caller = Principal(WHO, WHO, WHO, None, role, expires_at=float("inf"))
    grant = authorize(caller, gateway.policies.now.rules, Endpoint.CHAT, model, time.time())
    return admit(read(msgspec.json.encode(body), Endpoint.CHAT), grant)


async def _said(asker: Asker, pair: Pair, answer: Greedy) -> Said:
    try:
        base = await asker.scored(pair.base, [*answer.prompt, *answer.ids], len(answer.prompt))
    except UpstreamError:
        base = None  # the filters know what to do without it
    return Said(answer.raw_text, answer.ids, answer.logprobs, base)


def _judge(gateway: Gateway, plan: Plan, pair: Pair) -> Judge:
    policy = gateway.policies.now
    detector = policy.detector_of(plan.grant.profile)
    grounds = RequestGrounds.from_texts(plan.own_texts, detector)
    return Judge(
        profile=plan.grant.profile,
        request=request_evidence(plan, pair.knowledge, grounds, described(plan, policy.persons), suspicious=False),
        detector=detector,
        vocabulary=pair.vocabulary,
        style_shift=pair.style_shift,
        key=gateway.keys.replacements(plan.grant.principal),
        knowledge=pair.knowledge,
    )
