"""For the same text and evidence, every way of cutting and delaying them gives the same answer (DESIGN 2 and 3)."""

from __future__ import annotations

import json
import os
from functools import cache

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from filters.events import Channel, Ending, Field, Verdict
from filters.evidence import Detector
from filters.grounding import RequestGrounds
from filters.json_schema import Schema
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import OnFailure, Profile, ReleaseUnit
from tests.support.answers import CharacterVocabulary, Outcome, Script, mixed, run, sure

DEEP = bool(os.environ.get("TIGHTLIP_DEEP"))
EXAMPLES = 5000 if DEEP else 500

VALUES = (  # made up; the ids and the card pass their checksums
    "vexlo.trund47@kipmora.example",
    "13812345678",
    "+1 415-555-2671",
    "4111 1111 1111 1111",
    "192.0.2.44",
    "536-90-4399",
    "11010519491231002X",
    "2001:db8::ff00:42:8329",
)
PROSE = (
    "The harbour was quiet that morning. ",
    "Returns are free within 45 days, and refunds take a week. ",
    "您可以在四十五天内免费退货。",
    "我们的营业时间是上午九点到晚上八点，",
    "She said “perhaps”, then left…\n\n",
    "Her number is ",
    "他的邮箱是",
    "。",
    ", ",
    " ",
    "\u2028",
    "🙂",
    "\u200b",
)
CHANNELS = (Field.CONTENT, Field.REASONING, Field.REFUSAL, Field.TEXT)

texts = st.lists(
    st.one_of(st.sampled_from(PROSE), st.sampled_from(VALUES), st.text(max_size=12)), min_size=1, max_size=14
).map(lambda parts: "".join(parts).encode("utf-8", "replace").decode())


@cache
def detector() -> Detector:
    return build_detector()


def pipeline(profile: Profile, kind: Field, *, scored: bool = False, **request: object) -> Pipeline:
    grounds = RequestGrounds.from_texts(["My address is 192.0.2.44."], detector())
    evidence = RequestEvidence(grounds=grounds, chat=kind is not Field.TEXT, **request)  # type: ignore[arg-type]
    return Pipeline(profile, evidence, detector(), CharacterVocabulary(), scored=scored)


def profiles() -> st.SearchStrategy[Profile]:
    return st.builds(
        Profile,
        name=st.just("test"),
        compare=st.booleans(),
        release=st.sampled_from(list(ReleaseUnit)),
        on_memorised=st.sampled_from([Verdict.FALL_BACK, Verdict.MASK, Verdict.STOP]),
        on_failure=st.sampled_from(list(OnFailure)),
    )


def same(first: Outcome, second: Outcome) -> bool:
    """Text, tokens and ends always; questions too, unless a verdict ended the tuned model's part before it asked."""
    told = (first.texts, first.tokens, first.endings) == (second.texts, second.tokens, second.endings)
    cut_short = first.fallbacks or Ending.CONTENT_FILTER in first.endings.values()
    return told and (bool(cut_short) or questions(first) == questions(second))


def questions(outcome: Outcome) -> list[tuple[int, tuple[int, ...], int]]:
    return sorted((question.choice, question.ids, question.start) for question in outcome.questions)


@pytest.mark.parametrize("kind", CHANNELS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=texts, profile=profiles(), ending=st.sampled_from([Ending.STOP, Ending.LENGTH]), seed=st.integers(0, 2**32))
def test_every_way_of_cutting_gives_the_same(
    kind: Field, text: str, profile: Profile, ending: Ending, seed: int
) -> None:
    script = Script([(Channel(0, kind), text)], ending, evidence=mixed)
    whole = run(pipeline(profile, kind), script)
    assert same(whole, run(pipeline(profile, kind), script, seed))
    with_tokens = run(pipeline(profile, kind, tells_tokens=True), script, seed + 1)
    assert with_tokens.texts == whole.texts
    assert same(with_tokens, run(pipeline(profile, kind, tells_tokens=True), script, seed + 2))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(st.tuples(st.integers(0, 1), st.sampled_from(CHANNELS[:3]), texts), min_size=1, max_size=5),
    profile=profiles(),
    seed=st.integers(0, 2**32),
)
def test_several_choices_and_channels_do_not_disturb_each_other(
    parts: list[tuple[int, Field, str]], profile: Profile, seed: int
) -> None:
    script = Script([(Channel(choice, kind), text) for choice, kind, text in parts])
    assert same(run(pipeline(profile, Field.CONTENT), script), run(pipeline(profile, Field.CONTENT), script, seed))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(st.tuples(st.sampled_from(CHANNELS[:3]), texts), min_size=1, max_size=4),
    profile=profiles(),
    ending=st.sampled_from([Ending.STOP, Ending.LENGTH]),
    seed=st.integers(0, 2**32),
)
def test_without_the_models_tokens_what_is_asked_depends_on_the_text_alone(
    parts: list[tuple[Field, str]], profile: Profile, ending: Ending, seed: int
) -> None:
    script = Script([(Channel(0, kind), text) for kind, text in parts], ending, evidence=mixed, tuned=sure)
    whole, cut = (run(pipeline(profile, Field.CONTENT, scored=True), script, at) for at in (None, seed))
    assert same(whole, cut)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    before=st.sampled_from(PROSE[:6]),
    value=st.sampled_from([v for v in VALUES if v != "192.0.2.44"]),
    after=st.sampled_from(PROSE),
    profile=profiles(),
    ending=st.sampled_from([Ending.STOP, Ending.LENGTH]),
    cut=st.integers(0, 60),
    seed=st.integers(0, 2**32),
)
def test_no_part_of_a_hidden_value_leaves(
    before: str, value: str, after: str, profile: Profile, ending: Ending, cut: int, seed: int
) -> None:
    text = before + " " + value + " " + after
    if ending is Ending.LENGTH:
        text = text[: len(before) + 1 + cut]
    script = Script([(Channel(0, Field.CONTENT), text)], ending)
    outcome = run(pipeline(profile, Field.CONTENT, tells_tokens=True), script, seed)
    told = "".join(chr(token.id) for tokens in outcome.tokens.values() for token in tokens)
    for seen in (outcome.everything, told):
        assert not any(value[at : at + 4] in seen for at in range(len(value) - 3))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=texts, stop=st.sampled_from(["days", "。", "number", "@", "the morning"]), seed=st.integers(0, 2**32))
def test_stop_strings_end_the_released_text_however_it_is_cut(text: str, stop: str, seed: int) -> None:
    script = Script([(Channel(0, Field.CONTENT), text)])
    profile = Profile("test", compare=False)
    whole = run(pipeline(profile, Field.CONTENT, stops=(stop,)), script)
    assert same(whole, run(pipeline(profile, Field.CONTENT, stops=(stop,)), script, seed))
    assert stop not in whole.content


# ---- JSON ------------------------------------------------------------------------------------------------------------

KEYS = ("name", "phone", "note")
CANARIES = ("trund47", "13812345678", "555-2671", "4111 1111", "90-4399", "1231002X", "2001:db8")  # parts of VALUES
SCHEMA = Schema(
    {
        "properties": {
            "name": {"type": "string", "maxLength": 24},
            "phone": {"type": ["integer", "string"]},
            "note": {"items": {"type": ["number", "string", "object", "array"]}},
        }
    }
)
SCALARS = st.one_of(
    st.sampled_from([*VALUES, *PROSE, "".join(PROSE), "a" * 30]),
    st.sampled_from(["138", "1234", "5678", "vexlo", "@", "kipmora.example"]),
    st.sampled_from([138, 1234, 5678, 13812345678, 1.3812345678e10, True, None, 0.5]),
    st.text(max_size=8),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*KEYS, "x", "138", "13812345678"]), inner, max_size=4)
    ),
    max_leaves=12,
)
JSON_TEXTS = st.builds(
    lambda document, indent, ascii_only, at, noise: _with_noise(
        json.dumps(document, indent=indent, ensure_ascii=ascii_only), at, noise
    ),
    DOCUMENTS,
    st.sampled_from([None, 1]),
    st.booleans(),
    st.integers(0, 400),
    st.sampled_from(["", "", "", "]", '"', "\\ud83d", "NaN", "{", ",", "\x01", " {}"]),
)


def _with_noise(text: str, at: int, noise: str) -> str:
    return text[:at] + noise + text[at:]


def _is_whole(canary: str, text: str) -> bool:
    """Whether this part stands in whole values only: noise may have made an address into two words."""
    for value in VALUES:
        text = text.replace(value, "")
    return canary not in text


@pytest.mark.parametrize("kind", [Field.CONTENT, Field.TEXT, Field.TOOL_ARGUMENTS])
@example(  # a bracket that ends nothing, and a stretch behind it that begins with a comma
    text='{\n "name": [\n  "13812345678"]\n ],\n "phone": [\n  '
    + json.dumps("".join(PROSE), ensure_ascii=False)
    + "\n ]\n}",
    reasoning="The harbour was quiet that morning. ",
    profile=Profile("test", compare=True, release=ReleaseUnit.CLAUSE, on_memorised=Verdict.FALL_BACK),
    ending=Ending.STOP,
    seed=0,
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=JSON_TEXTS,
    reasoning=texts,
    profile=profiles(),
    ending=st.sampled_from([Ending.STOP, Ending.TOOL_CALLS, Ending.LENGTH]),
    seed=st.integers(0, 2**32),
)
def test_every_way_of_cutting_json_gives_the_same(
    kind: Field, text: str, reasoning: str, profile: Profile, ending: Ending, seed: int
) -> None:
    parts = [(Channel(0, Field.REASONING), reasoning)] if kind is not Field.TEXT else []
    if kind is Field.TOOL_ARGUMENTS:
        parts.append((Channel(0, Field.TOOL_NAME), "send"))
    request = {
        "json_mode": kind is not Field.TOOL_ARGUMENTS,
        "json_keys": frozenset(KEYS),
        "tool_names": frozenset({"send"}),
        "answer_schema": SCHEMA,
        "tool_schemas": {"send": SCHEMA},
    }
    script = Script([*parts, (Channel(0, kind), text)], ending, base="null", evidence=mixed)
    whole = run(pipeline(profile, kind, **request), script)
    assert same(whole, run(pipeline(profile, kind, **request), script, seed))
    assert same(whole, run(pipeline(profile, kind, **request), script, seed + 1))
    told = whole.texts.get(Channel(0, kind), "")
    assert not any(canary in told for canary in CANARIES if _is_whole(canary, text))
    if whole.endings[0] in (Ending.STOP, Ending.TOOL_CALLS) and (told or not whole.fallbacks):
        json.loads(told)
