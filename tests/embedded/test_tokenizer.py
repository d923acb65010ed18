"""Detokenisation: a stream's deltas never hold half a character that later becomes whole, and add up to the text."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from gateway.embedded.errors import ModelError
from gateway.embedded.tokenizer import HALF, TextTokenizer
from tests.embedded.tiny import byte_tokenizer, write_model

TEXT = "the answer: 快递, 𝄞 ëë Ω the in"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return TextTokenizer(write_model(tmp_path_factory.mktemp("tokenizer")))


@settings(deadline=None)
@given(text=st.text(max_size=40))
def test_deltas_add_up_to_the_text(tokenizer: TextTokenizer, text: str) -> None:
    stream = tokenizer.stream(tokenizer.encode("p", special=True), skip_special=True)
    deltas = [stream.feed(token) for token in tokenizer.encode(text, special=False)]
    assert "".join(deltas) == text
    assert HALF in text or not any(HALF in delta for delta in deltas)


def test_half_a_character_gives_an_empty_delta(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode("a𝄞b", special=False)
    stream = tokenizer.stream([], skip_special=True)
    assert [stream.feed(token) for token in ids] == ["a", "", "", "", "𝄞", "b"]


def test_a_broken_character_is_told_once_it_cannot_become_whole(tokenizer: TextTokenizer) -> None:
    half = tokenizer.encode("𝄞", special=False)[:2]
    stream = tokenizer.stream([], skip_special=True)
    assert "".join(stream.feed(token) for token in [*half, *tokenizer.encode("xy", special=False)]) == f"{HALF}xy"


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 269), max_size=60))
def test_any_ids_can_be_told(tokenizer: TextTokenizer, ids: list[int]) -> None:
    stream = tokenizer.stream(ids[:3], skip_special=False)
    assert all(isinstance(stream.feed(token), str) for token in ids)
    assert all(isinstance(tokenizer.token_text(token, ids[:at]), str) for at, token in enumerate(ids))


def test_special_tokens_are_told_only_where_asked_for(tokenizer: TextTokenizer) -> None:
    ids = [tokenizer.encode("x", special=False)[0], 2]
    for skip, text in ((True, "x"), (False, "x<|role|>")):
        stream = tokenizer.stream([], skip_special=skip)
        assert "".join(stream.feed(token) for token in ids) == text


def test_token_names_give_a_character_to_its_last_piece(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode(TEXT, special=True)
    names = [tokenizer.token_text(token, ids[:at]) for at, token in enumerate(ids)]
    assert names[0] == "<s>"
    assert "".join(names[1:]) == TEXT
    assert "快" in names
    assert names[names.index("快") - 1] == ""


def test_pieces_that_mark_spaces_keep_a_leading_one(tmp_path: Path) -> None:
    """Decoding one SentencePiece-like token drops its space; as a name it has it."""
    raw = Tokenizer(models.BPE(vocab={"▁": 0, "a": 1, "▁a": 2, "▁▁a": 3}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    raw.save(str(tmp_path / "tokenizer.json"))
    tokenizer = TextTokenizer(tmp_path)
    assert [tokenizer.token_text(token, []) for token in range(4)] == [" ", "a", " a", "  a"]


@pytest.mark.parametrize("eos", ["</s>", {"content": "</s>", "special": True}])
def test_the_end_token_may_be_named_in_both_ways(tmp_path: Path, eos: object) -> None:
    byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos}))
    assert TextTokenizer(tmp_path).eos == 1
    assert TextTokenizer(tmp_path).template is None


def test_of_several_templates_the_default_one_is_taken(tmp_path: Path) -> None:
    byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    several = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    template = TextTokenizer(tmp_path).template
    assert template is not None
    assert template.render([{"role": "user", "content": "x"}]) == "d"


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        TextTokenizer(tmp_path)
