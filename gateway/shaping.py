"""The door before the model servers for whatever shapes an answer: schemas of answers and tools, structured outputs.

What their literals hold (policy/literals.py) is looked at with the detectors of the role's own profile, and what the
profile clears or the operator published passes:

- Four digits, a typed finding, a schema that can't be read: the request is refused. These follow from its text alone,
  so that the refusal says nothing of what a model has learned. Places, organisations and dates are none, nor what
  belongs to special categories: "convicted" is a plain choice until the answer says whose.
- What few people's rows of the tuning set hold, what is above the caller's clearance, what was denied: a refusal would
  answer the question whether a text is in the set, for thousands of texts a request. So the base model answers, under
  the same schema and from the start, as it does where a budget is spent; its answer is what it would have been anyway.

Detection costs some ten microseconds a character. It is done beside the event loop where there is much to read, once
for a tenant that sends the same schemas again.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from filters.evidence import Detector, DetectorError
from filters.index.lookup import Standing
from filters.knowledge import Knowledge
from filters.pii.types import INDIRECT, OF_PERSONS
from filters.profile import Profile
from filters.segment import Segment
from gateway.errors import FilterFailed, OverLimit, SchemaRefused
from gateway.framing import framed
from gateway.policy.literals import MOST_CHARACTERS, MOST_LITERALS, Extracts, Literals, TooMuch
from gateway.types import Plan

MOST_INLINE_BYTES: Final = 1024  # of JSON; reading them takes some milliseconds
_REMEMBERED: Final = 4096  # of tenants' schemas that hold nothing
# Between literals: a word of nobody's, so that neither a finding nor a run of the index goes from one to the next.
_BETWEEN: Final = "\n\nqzxjv\n\n"
_MOST_ALONE: Final = 64  # literals that are read once more by themselves
_NO_FINDINGS: Final = (INDIRECT - {"PERSON"}) | OF_PERSONS
_SHORT: Final = re.compile(r"[\x00-\x7f]{0,3}", re.ASCII)
_WORDS: Final = re.compile(r"[A-Za-z]{1,24}(?:[ _-][A-Za-z]{1,24}){0,8}", re.ASCII)
_SPELLED: Final = re.compile(r"(?:\A|[ _-])(?:at|dot)(?:[ _-]|\Z)", re.IGNORECASE)  # an address in words


class Door:
    """All requests under one policy."""

    def __init__(self) -> None:
        self._harmless: OrderedDict[bytes, None] = OrderedDict()

    async def base_answers(self, plan: Plan, detector: Detector, knowledge: Knowledge) -> bool:
        """Whether the base model has to answer this request from the start.

        Raises SchemaRefused or OverLimit, which name the field; FilterFailed.
        """
        forms = list(_forms(plan.body))
        if not forms:
            return False
        written = msgspec.json.encode(forms)
        key = _key(plan, written)

        def work() -> bool:
            return _examined(forms, plan, detector, knowledge, harmless=key in self._harmless)

        known = await asyncio.to_thread(work) if len(written) > MOST_INLINE_BYTES else work()
        self._harmless[key] = None
        self._harmless.move_to_end(key)
        if len(self._harmless) > _REMEMBERED:
            self._harmless.popitem(last=False)
        return known


def _key(plan: Plan, written: bytes) -> bytes:
    """Of a tenant's own, so that nobody learns by the clock what others have sent. The whole of the profile: one that
    has expired is another under the same name."""
    who = plan.grant.principal
    known = framed(who.issuer, who.tenant, plan.grant.model, repr(plan.grant.profile))
    return hashlib.sha256(known + written).digest()


def _forms(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Whatever shapes an answer, and the field that it stands in."""
    answer = body.get("response_format", {}).get("json_schema")
    if answer is not None:
        yield "response_format", answer["schema"]
    for tool in body.get("tools", ()):
        yield "tools", {"name": tool["function"]["name"], "parameters": tool["function"].get("parameters", {})}
    if "structured_outputs" in body:
        yield "structured_outputs", body["structured_outputs"]


def _read(field: str, form: Any, literals: Literals) -> Literals:
    if field == "response_format":
        literals.add_schema(form)
    elif field == "tools":
        literals.add_name(form["name"])
        literals.add_schema(form["parameters"])
    else:
        literals.add_schema(form.get("json", {}))
        literals.add_grammar(form.get("grammar", ""))
        if "regex" in form:
            literals.add_pattern(form["regex"])
        for choice in form.get("choice", ()):
            literals.add_value(choice)
    return literals


def _examined(
    forms: Sequence[tuple[str, Any]], plan: Plan, detector: Detector, knowledge: Knowledge, *, harmless: bool
) -> bool:
    if harmless and knowledge.index is None and knowledge.denied is None:
        return False
    texts: dict[str, str] = {}  # and the field that each stands in
    request = Literals()
    for field, form in forms:
        try:
            # what there may be of patterns, and of names with numbers, is the request's
            literals = _read(field, form, Literals(numbered=request.numbered, patterns=request.patterns))
            texts |= dict.fromkeys(literals.values | literals.names, field)
            if len(texts) > MOST_LITERALS or sum(map(len, texts)) > MOST_CHARACTERS:
                raise TooMuch
        except Extracts:
            raise SchemaRefused(param=field) from None
        except TooMuch:
            raise OverLimit(param=field) from None
    try:
        if not harmless and (found := _typed(list(texts), detector, knowledge, plan.grant.profile)) is not None:
            raise SchemaRefused(param=texts[found])
        return _is_known(list(texts), plan, knowledge)
    except DetectorError as error:
        raise FilterFailed(type(error).__name__) from None


# ---- typed findings --------------------------------------------------------------------------------------------------


def _typed(texts: Sequence[str], detector: Detector, knowledge: Knowledge, profile: Profile) -> str | None:
    """The first of these in which a finding is that the role may not have."""
    worth = sorted(text for text in texts if _may_hold_a_value(text, names=profile.names))
    joined, places = _joined(worth)
    again = []
    for start, end in _findings(joined, detector, knowledge, profile):
        for text, (first, last) in zip(worth, places, strict=True):
            if first <= start and end <= last:
                return text
            if start < last and first < end:  # over a border: by itself it may be none
                again.append(text)
    if len(again) > _MOST_ALONE:
        return again[0]
    return next((text for text in again if any(_findings(text, detector, knowledge, profile))), None)


def _may_hold_a_value(text: str, *, names: bool) -> bool:
    """Not so the identifiers and plain words that schemas are full of; some of them may be names."""
    plain = _WORDS.fullmatch(text) and not _SPELLED.search(text)
    return not _SHORT.fullmatch(text) and (names or not plain)


def _joined(texts: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    places, at = [], 0
    for text in texts:
        places.append((at, at + len(text)))
        at += len(text) + len(_BETWEEN)
    return _BETWEEN.join(texts), places


def _findings(text: str, detector: Detector, knowledge: Knowledge, profile: Profile) -> Iterator[tuple[int, int]]:
    for span in detector.find(text) if text else ():
        if span.type in _NO_FINDINGS or span.type in profile.allowed_types:
            continue
        if knowledge.public is None or not knowledge.public.covers(text[span.start : span.end], span.type):
            yield span.start, span.end


# ---- what is known of the tuning set ---------------------------------------------------------------------------------


def _is_known(texts: Sequence[str], plan: Plan, knowledge: Knowledge) -> bool:
    """Whether few people's rows hold any of it, it is above the caller's clearance, or it was denied."""
    joined = _BETWEEN.join(sorted(texts))
    if knowledge.denied is not None and knowledge.denied.find(joined):
        return True
    index = knowledge.text(plan.grant.clearance.audience(knowledge), plan.grant.profile.k)
    if index is None or not joined:
        return False
    return any(run.standing is not Standing.MANY for run in index.read(Segment("", joined, last=True)))
