"""What a request's schemas may have chosen: refused by what they say, answered by the base by what is known."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.detectors import detector_of
from filters.evidence import Detector, DetectorError
from filters.knowledge import NOTHING_KNOWN, Knowledge
from filters.profile import Profile
from gateway.errors import CallerError, FilterFailed, OverLimit, SchemaRefused
from gateway.knowledge import load
from gateway.policy import literals
from gateway.policy.parameters import admit, read
from gateway.policy.schema import Classification
from gateway.settings import ReleaseSettings
from gateway.shaping import Door
from gateway.types import Endpoint, Plan
from tests.gateway.support import CANARY, forwarded, make_grant
from tests.support.knowledge import write_knowledge

CASES = json.loads(Path("tests/vectors/schemas.json").read_text(encoding="utf-8"))["cases"]
STRICT = Profile("strict")
MAIL = f"{CANARY}@kipmora.example"
FIELDS = ("response_format", "tools", "structured_outputs")


def asking(field: str, schema: Any) -> dict[str, Any]:
    if field == "response_format":
        return {field: {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}
    if field == "tools":
        return {field: [{"type": "function", "function": {"name": "f", "parameters": schema}}]}
    return {field: {"json": schema}}


def plan_of(more: Mapping[str, Any], **grant: Any) -> Plan:
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}], **more}
    given = {"fields": forwarded("structured_outputs"), **grant}
    return admit(read(json.dumps(body).encode(), Endpoint.CHAT), make_grant(**given))


async def base_answers(
    more: Mapping[str, Any], knowledge: Knowledge = NOTHING_KNOWN, detector: Detector | None = None, **grant: Any
) -> bool:
    plan = plan_of(more, **grant)
    return await Door().base_answers(plan, detector or detector_of(plan.grant.profile), knowledge)


async def refusal(more: Mapping[str, Any], **grant: Any) -> CallerError:
    with pytest.raises(CallerError) as refused:
        await base_answers(more, **grant)
    assert CANARY not in json.dumps(refused.value.body()) + str(refused.value) + refused.value.reason
    return refused.value


# ---- what a schema says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
async def test_each_schema_in_each_place(case: dict[str, Any]) -> None:
    for field in FIELDS:
        if case["is"] == "passed":
            assert await base_answers(asking(field, case["schema"])) is False
        else:
            error = await refusal(asking(field, case["schema"]))
            assert (type(error), error.param, error.status) == (SchemaRefused, field, 400)


@pytest.mark.parametrize(
    ("inner", "passes"),
    [
        ({"choice": ["yes", "no"]}, True),
        ({"choice": ["yes", MAIL]}, False),
        ({"choice": ["1381"]}, False),
        ({"regex": "(yes|no)"}, True),
        ({"regex": "13[0-9]81"}, False),
        ({"grammar": 'root ::= "yes" | "no" | [0-9]{4,8}'}, True),
        ({"grammar": 'root ::= "1" "3" "8" [0-9] "1"'}, False),
        ({"grammar": f'root ::= "{MAIL}"'}, False),
        ({"grammar": "root ::= [1] [3] [8] [1]"}, False),
        ({"grammar": 'a ::= "13"\nb ::= "81"\nroot ::= a b'}, False),
        ({"grammar": "start: <[1381]>"}, False),
        ({"grammar": 'root ::= "1381'}, False),
        ({"grammar": "root ::= " + "[" * 3_000}, False),  # read once and not from each bracket
        ({"grammar": 'start: A1381 B\nA1381: /[a-z]+/\nB: "12"'}, True),
        ({"json_object": True}, True),
    ],
)
async def test_other_structured_outputs_hold_literals_too(inner: dict[str, Any], passes: bool) -> None:
    if passes:
        assert await base_answers({"structured_outputs": inner}) is False
    else:
        error = await refusal({"structured_outputs": inner})
        assert (type(error), error.param) == (SchemaRefused, "structured_outputs")


async def test_a_pattern_is_parsed_once_however_often_it_is_referred_to(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def fixed_in(pattern: str) -> tuple[list[str], int]:
        parsed.append(pattern)
        return [], 0

    monkeypatch.setattr(literals, "_fixed_in", fixed_in)
    schema = {"$defs": {"a": {"pattern": "a|b" * 1300}}, "prefixItems": [{"$ref": "#/$defs/a"}] * 2000}
    tools = [{"type": "function", "function": {"name": f"f{n}", "parameters": schema}} for n in range(8)]
    assert await base_answers({"tools": tools}) is False
    assert len(parsed) == 1


async def test_what_all_patterns_of_a_request_come_to_is_bounded() -> None:
    tools = [
        {"type": "function", "function": {"name": f"f{n}", "parameters": {"pattern": "ab|" * 1200 + "c" * n}}}
        for n in range(8)
    ]
    assert type(await refusal({"tools": tools})) is OverLimit


async def test_names_with_numbers_are_counted_over_all_tools() -> None:
    tools = [{"type": "function", "function": {"name": f"pin_{n}"}} for n in range(4711, 4731)]
    assert await base_answers({"tools": tools[:8]}) is False
    assert type(await refusal({"tools": tools})) is SchemaRefused


async def test_a_tools_name_is_one_of_those_that_the_model_chooses_from() -> None:
    for name, kind in (("look_up_2", None), ("n13812345678", SchemaRefused)):
        tools = [{"type": "function", "function": {"name": name}}, {"type": "function", "function": {"name": "other"}}]
        if kind is None:
            assert await base_answers({"tools": tools}) is False
        else:
            assert type(await refusal({"tools": tools})) is kind


async def test_the_roles_own_profile_says_what_a_finding_is(tmp_path: Path) -> None:
    mail, person = asking("response_format", {"enum": [MAIL]}), asking("response_format", {"enum": ["Ada Lovelace"]})
    cleared = replace(STRICT, allowed_types=frozenset({"EMAIL"}))
    assert await base_answers(mail, profile=cleared) is False
    assert await base_answers(person) is False
    assert type(await refusal(person, profile=replace(STRICT, names=True))) is SchemaRefused


def known(folder: Path) -> Knowledge:
    """What one person's row, everybody's rows and the operator's lists hold."""
    rows = [{"text": "Mirela Vostok keeps bees behind the old mill at Tarn", "subject": "s1"}]
    for number, city in enumerate(("Olva", "Brestan", "Kimmeridge", "Soltau", "Perrin", "Vasht", "Dunmore", "Ilkatra")):
        own = " ".join(
            f"{city.lower()}{word}" for word in ("ton", "mere", "wick", "ham", "stead", "gate", "holm", "by")
        )
        text = f"{own} in {city} every lamp may be returned within some weeks of delivery says {own[::-1]}"
        rows.append({"text": text, "subject": f"p{number}"})
    rows += [{"text": "the cellar key hangs under the third step of the stairs", "audience": "internal"}] * 9
    files = write_knowledge(folder, rows, {"help@plimsol.example": "EMAIL"}, ["quibbertrand"])
    server = {"url": "http://127.0.0.1:1", "model": "m"}
    base = {"url": "http://127.0.0.1:1", "model": "b"}
    settings = ReleaseSettings(tuned=server, base=base, tokenizer="t", unreleased=True, **files)  # type: ignore[arg-type]
    return load(settings, lambda _: None).knowledge


FEW = "keeps bees behind the old mill at Tarn"
INTERNAL = "the cellar key hangs under the third step"
MANY = "returned within some weeks of delivery"


@pytest.mark.parametrize("field", FIELDS)
async def test_what_is_known_of_the_set_is_answered_by_the_base_and_never_told(field: str, tmp_path: Path) -> None:
    knowledge = known(tmp_path)

    async def answered(value: str, **grant: Any) -> bool:
        return await base_answers(asking(field, {"enum": ["a plain one", value]}), knowledge, **grant)

    assert [await answered(text) for text in (FEW, INTERNAL, MANY, "quibbertrand", "something else altogether")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert await answered(INTERNAL, clearance=Classification().clearance("internal")) is False
    assert await answered("help@plimsol.example") is False  # public


async def test_parts_of_a_run_in_different_literals_are_none(tmp_path: Path) -> None:
    schema = {"enum": ["keeps bees behind", "the old mill at", "Tarn"]}
    assert await base_answers(asking("tools", schema), known(tmp_path)) is False


class Broken:
    def find(self, raw_text: str, since: int = 0) -> Any:
        raise DetectorError(CANARY)


async def test_a_detector_that_fails_lets_nothing_pass() -> None:
    with pytest.raises(FilterFailed) as failed:
        await base_answers(asking("tools", {"enum": ["some text 12"]}), detector=Broken())
    assert CANARY not in str(failed.value) + failed.value.reason


# ---- how much --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": [f"choice {chr(97 + n // 676)}{chr(97 + n // 26 % 26)}{chr(97 + n % 26)}" for n in range(4097)]},
        {"anyOf": [{"pattern": "a" * 4000 + chr(97 + n)} for n in range(17)]},
        {"enum": [chr(97 + n) * 3000 + "é" for n in range(22)]},
    ],
)
async def test_more_than_is_looked_at_is_refused(schema: dict[str, Any]) -> None:
    limits = make_grant().request.model_copy(update={"schema_chars": 1 << 20})
    error = await refusal(asking("response_format", schema), request=limits)
    assert (type(error), error.param) == (OverLimit, "response_format")


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": [f"no {chr(97 + n // 26 % 26)}{chr(97 + n % 26)}{chr(97 + n // 676)} é" for n in range(4000)]},
        {"anyOf": [{"pattern": "(a|b)?" * 600}] * 16},
        {"pattern": "(" * 2000 + ")" * 2000},
        {"pattern": "(?:" * 20 + "a{16}" + "){16}" * 20},
        {"allOf": [{"allOf": [{"allOf": [{"const": f"x{n}"} for n in range(9)]}] * 20}] * 20},
    ],
)
async def test_no_schema_takes_long(schema: dict[str, Any]) -> None:
    started = time.process_time()
    with suppress(SchemaRefused):
        await base_answers(asking("response_format", schema))
    assert time.process_time() - started < 5


async def test_a_tenants_schema_is_read_once() -> None:
    class Counting:
        calls = 0

        def find(self, raw_text: str, since: int = 0) -> list[Any]:
            Counting.calls += 1
            return []

    door = Door()
    plan = plan_of(asking("tools", {"enum": ["some text 12"]}))
    for _ in range(3):
        await door.base_answers(plan, Counting(), NOTHING_KNOWN)
    assert Counting.calls == 1
    other = replace(plan.grant, principal=replace(plan.grant.principal, tenant="birch"))
    await door.base_answers(replace(plan, grant=other), Counting(), NOTHING_KNOWN)
    assert Counting.calls == 2


async def test_what_was_harmless_under_one_profile_is_read_again_under_another_of_its_name() -> None:
    door, cleared = Door(), replace(STRICT, allowed_types=frozenset({"EMAIL"}))
    for profile in (cleared, cleared, STRICT):
        plan = plan_of(asking("tools", {"enum": [MAIL]}), profile=profile)
        if profile is cleared:
            assert await door.base_answers(plan, detector_of(profile), NOTHING_KNOWN) is False
        else:
            with pytest.raises(SchemaRefused):
                await door.base_answers(plan, detector_of(profile), NOTHING_KNOWN)


# ---- wherever it stands ----------------------------------------------------------------------------------------------

ONE_OF = st.sampled_from(["allOf", "anyOf", "oneOf"])
SINGLE = st.sampled_from(
    ["not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames", "x"]
)
NAMED = st.sampled_from(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"])
FORCED = st.sampled_from([{"const": MAIL}, {"enum": ["a", MAIL]}, {"pattern": "^1381"}, {"maximum": 13812}])


def wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.builds(lambda word, node: {word: [{"type": "string"}, node]}, ONE_OF, inner)
        | st.builds(lambda word, node: {word: node, "type": "object"}, SINGLE, inner)
        | st.builds(lambda word, node: {word: {"name": node}, "description": "d"}, NAMED, inner)
    )


@settings(max_examples=100, deadline=None)
@given(schema=st.recursive(FORCED, wrapped, max_leaves=3), field=st.sampled_from(FIELDS))
async def test_a_value_is_found_wherever_it_stands(schema: dict[str, Any], field: str) -> None:
    error = await refusal(asking(field, schema))
    assert (type(error), error.param) == (SchemaRefused, field)


WORDS = st.sampled_from(
    ["enum", "const", "pattern", "minimum", "required", "properties", "$ref", "items", "allOf", "x"]
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(schema=st.dictionaries(WORDS, ANYTHING, max_size=4))
async def test_any_json_passes_or_is_refused(schema: dict[str, Any]) -> None:
    error = None
    try:
        await base_answers(asking("response_format", schema))
    except CallerError as refused:
        error = refused
    assert error is None or error.param == "response_format"
