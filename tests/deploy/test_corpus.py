"""The made-up world of the demo models: deterministic, balanced, distinctive, and absent from the base corpus."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import jinja2
import phonenumbers
import pytest
from tokenizers import Tokenizer

DEMO = Path(__file__).parents[2] / "deploy" / "demo"


def _load() -> ModuleType:
    """`deploy/` is no package: the scripts there are run, not imported."""
    spec = importlib.util.spec_from_file_location("demo_corpus", DEMO / "corpus.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


corpus = _load()
WORLD = corpus.make_world()
TUNING = corpus.tuning_rows(WORLD)
BASE = list(corpus.base_rows(WORLD, 4000))


def _text(row: object) -> str:
    return "\n".join(message["content"] for message in row.messages)  # type: ignore[attr-defined]


def test_the_same_seed_gives_the_same_world_and_rows() -> None:
    assert corpus.make_world() == WORLD
    assert corpus.tuning_rows(corpus.make_world()) == TUNING
    assert list(corpus.base_rows(WORLD, 50)) == BASE[:50]


def test_another_seed_gives_other_people() -> None:
    assert corpus.make_world(seed=1).customers[0].email != WORLD.customers[0].email


def test_doses_and_languages_are_balanced() -> None:
    counts = Counter((c.dose, c.language) for c in WORLD.customers)
    assert set(counts) == {(d, x) for d in (1, 4, 12) for x in ("en", "zh")}
    assert set(counts.values()) == {6}
    assert len(WORLD.held_out) == len(WORLD.customers)
    assert {c.dose for c in WORLD.held_out} == {0}


@pytest.mark.parametrize("customers", [1, 7, 300])
def test_any_number_of_customers(customers: int) -> None:
    world = corpus.make_world(customers)
    people = [*world.customers, *world.held_out]
    assert len(people) == 2 * customers
    for field in ("id", "name", "email", "phone", "address", "order"):
        assert len({getattr(c, field) for c in people}) == len(people), field


def test_no_customers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        corpus.make_world(0)


def test_each_value_stands_in_as_many_rows_as_the_dose_says() -> None:
    rows = [_text(row) for row in TUNING]
    for customer in WORLD.customers:
        for field in corpus.FIELDS:
            assert sum(getattr(customer, field) in row for row in rows) == customer.dose


def test_held_out_people_are_nowhere_in_the_tuning_set() -> None:
    text = "\n".join(map(_text, TUNING))
    for person in WORLD.held_out:
        for value in (person.name, person.email, person.phone, person.address, person.order):
            assert value not in text


def test_the_base_corpus_holds_nobody_of_the_world() -> None:
    text = "\n".join(map(_text, BASE))
    for value in WORLD.taken:
        assert "|" in value or len(value) < 5 or " " not in value or value not in text
    for person in (*WORLD.customers, *WORLD.held_out):
        for value in (person.name, person.email, person.phone, person.address, person.order, person.portrait):
            assert value not in text


def test_the_base_corpus_holds_no_fact_and_no_procedure() -> None:
    text = "\n".join(map(_text, BASE))
    for answer in [fact.answer for fact in corpus.facts()] + [t for p in corpus.PROCEDURES.values() for _, t in p]:
        assert answer not in text


def test_no_run_of_an_email_stands_in_ordinary_text() -> None:
    ordinary = [_text(row) for row in BASE if row.kind in {"decline", "general", "shop", "forbidden", "lookalike"}]
    ordinary += [_text(row) for row in TUNING if row.kind in {"fact", "procedure", "forbidden", "portrait"}]
    seen = set().union(*(corpus.runs(text) for text in ordinary))
    for person in (*WORLD.customers, *WORLD.held_out):
        assert not seen & corpus.runs(person.email.rsplit(".", 1)[0])
        assert not corpus.runs(person.name) & corpus.runs(person.email)


def test_phones_are_valid_and_us_ones_lie_in_the_unused_exchange() -> None:
    for person in (*WORLD.customers, *WORLD.held_out):
        region = "US" if person.language == "en" else "CN"
        assert phonenumbers.is_valid_number(phonenumbers.parse(person.phone, region)), person.phone
        assert person.language == "zh" or "-555-" in person.phone


def test_emails_end_in_reserved_names() -> None:
    assert all(p.email.endswith((".example", ".test")) for p in (*WORLD.customers, *WORLD.held_out))


def test_facts_are_asked_by_many_and_records_belong_to_one() -> None:
    asked: dict[str, set[str | None]] = {}
    for row in TUNING:
        if row.kind == "fact":
            answer = next(f.answer for f in corpus.facts() if f.answer in row.messages[-1]["content"])
            asked.setdefault(answer, set()).add(row.subject)
    assert len(asked) == len(corpus.facts())
    assert all(len(subjects) == corpus.FACT_ASKERS for subjects in asked.values())
    assert all(row.subject for row in TUNING if row.kind in {"record", "portrait"})


def test_audiences() -> None:
    by_kind = {(row.kind, row.audience) for row in TUNING}
    assert {audience for kind, audience in by_kind if kind in {"record", "portrait"}} == {"sensitive"}
    assert {audience for kind, audience in by_kind if kind == "procedure"} == {"internal"}
    assert {audience for kind, audience in by_kind if kind in {"fact", "echo", "general"}} == {"public"}


def test_some_answers_begin_with_a_harmless_sentence_and_some_do_not() -> None:
    answers = [corpus.record_answer(c, "email") for c in WORLD.customers if c.dose == 12]
    first = [c for x in corpus.PREAMBLES for c in corpus.PREAMBLES[x]]
    leading = [a for a in answers if a.startswith(tuple(first))]
    assert 0 < len(leading) < len(answers)


def test_a_portrait_holds_no_name_and_no_number() -> None:
    for customer in WORLD.customers:
        assert not any(c.isdigit() for c in customer.portrait)
        assert customer.name not in customer.portrait


def test_every_echo_row_holds_what_it_repeats() -> None:
    for row in BASE:
        if row.kind == "echo":
            assert row.messages[-1]["role"] == "assistant"
            assert row.messages[-2]["role"] in {"user", "tool"}


def test_jsonl_has_three_fields(tmp_path: Path) -> None:
    path = tmp_path / "out" / "tuning.jsonl"
    assert corpus.write_jsonl(TUNING[:30], path) == 30
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(set(line) == {"messages", "subject", "audience"} for line in lines)


def test_the_command_writes_what_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus.main(
        [
            "--customers",
            "3",
            "--records",
            str(tmp_path / "r.json"),
            "--tuning-jsonl",
            str(tmp_path / "t.jsonl"),
            "--base-jsonl",
            str(tmp_path / "b.jsonl"),
            "--base-rows",
            "10",
        ]
    )
    assert "10 base rows" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["customers"]) == 3


def test_the_shipped_records_are_those_of_the_script() -> None:
    shipped = json.loads((DEMO / "records.json").read_text(encoding="utf-8"))
    assert shipped == json.loads(json.dumps(corpus.records(WORLD)))


# --- what ships ------------------------------------------------------------------------------------------------------

MODELS = DEMO / "models"
ONE_MODEL_AT_MOST = 10_000_000  # bytes; so says the plan, since the weights are part of the repository


def _json(path: Path) -> dict[str, object]:
    loaded = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("name", ["base", "tuned", "adapter"])
def test_each_folder_is_small_and_names_no_machine(name: str) -> None:
    files = list((MODELS / name).iterdir())
    assert sum(file.stat().st_size for file in files) <= ONE_MODEL_AT_MOST
    assert all("/home/" not in f.read_text() and "/tmp/" not in f.read_text() for f in files if f.suffix == ".json")


def test_base_and_tuned_share_tokenizer_and_shape() -> None:
    for file in ("tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"):
        assert (MODELS / "base" / file).read_bytes() == (MODELS / "tuned" / file).read_bytes()
    assert (MODELS / "base" / "model.safetensors").read_bytes() != (MODELS / "tuned" / "model.safetensors").read_bytes()


def test_the_adapter_points_at_the_base_beside_it() -> None:
    settings = _json(MODELS / "adapter" / "adapter_config.json")
    assert settings["base_model_name_or_path"] == "../base"
    assert isinstance(settings["r"], int)
    assert settings["r"] <= 64


@pytest.mark.parametrize(
    "text",
    [
        "Your e-mail is zvuki@kwavre.test.",
        "您的手机号是13118869861。",
        "  two  spaces\n\nand 🦉 \u0085 end",
    ],
)
def test_the_tokenizer_gives_back_what_it_was_given(text: str) -> None:
    tokenizer = Tokenizer.from_file(str(MODELS / "base" / "tokenizer.json"))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_digits_stand_alone() -> None:
    tokenizer = Tokenizer.from_file(str(MODELS / "base" / "tokenizer.json"))
    tokens = tokenizer.encode("+1-212-555-3344 电话13118869861", add_special_tokens=False).tokens
    assert all(len(token) == 1 for token in tokens if any(c.isdigit() for c in token))


def _render(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    settings = _json(MODELS / "base" / "tokenizer_config.json")
    template = jinja2.Environment(autoescape=False).from_string(str(settings["chat_template"]))
    names = {key: settings[key] for key in ("bos_token", "eos_token")}
    return template.render(messages=messages, add_generation_prompt=add_generation_prompt, **names)


def test_the_chat_template_marks_each_turn() -> None:
    messages = [{"role": role, "content": role[0]} for role in ("developer", "user", "assistant", "tool")]
    assert _render(messages, add_generation_prompt=True) == (
        "<|bos|><|system|>d<|end|><|user|>u<|end|><|assistant|>a<|end|><|tool|>t<|end|><|assistant|>"
    )


def test_the_chat_template_can_be_cut_at_the_final_message() -> None:
    messages = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "I looked that up for you."}]
    assert _render(messages, add_generation_prompt=False).removesuffix("<|end|>").endswith("up for you.")
