"""The forward pass against transformers' recorded logits, and against itself cut into pieces."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.embedded import llama
from gateway.embedded.errors import ModelError
from gateway.embedded.llama import KvCache, Llama, load_llama
from tests.embedded.tiny import write_model
from tests.embedded.variants import ADAPTERS, IDS, VARIANTS, write_adapter, write_variant

REFERENCE: Mapping[str, NDArray[np.float32]] = np.load(Path(__file__).parent / "reference.npz")
TOLERANCE = 2e-4  # logits reach 40; float32 sums in another order


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    assert_same(all_logits(load_llama(write_variant(name, tmp_path)), IDS), REFERENCE[name])


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_merged_adapter_gives_the_logits_of_peft(name: str, tmp_path: Path) -> None:
    model = load_llama(write_variant("plain", tmp_path / "base"), write_adapter(name, tmp_path / "adapter"))
    assert_same(all_logits(model, IDS), REFERENCE[name])


def test_the_recorded_variants_differ() -> None:
    """Otherwise a configuration field that is not read would pass."""
    stored_otherwise = {"half", "bfloat", "sharded"}
    for name in {*VARIANTS, *ADAPTERS} - {"plain"} - stored_otherwise:
        assert np.abs(REFERENCE[name] - REFERENCE["plain"]).max() > 100 * TOLERANCE, name


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 8), unique=True))
def test_pieces_give_the_logits_of_the_whole(model: Llama, cuts: list[int]) -> None:
    cache = KvCache(model.config, 1)
    edges = [0, *sorted(cuts), len(IDS)]
    pieces = [model.forward(np.array(IDS[a:b]), cache) for a, b in pairwise(edges)]
    assert_same(model.logits(np.concatenate(pieces)), all_logits(model, IDS))


def test_a_long_prompt_in_passes_gives_the_same(model: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = all_logits(model, IDS * 4)
    monkeypatch.setattr(llama, "PREFILL_ROWS", 5)
    assert_same(all_logits(model, IDS * 4), whole)


def test_a_forked_cache_grows_by_itself(model: Llama) -> None:
    cache = KvCache(model.config)
    model.forward(np.array(IDS[:5]), cache)
    other = cache.fork()
    model.forward(np.array([99, 98]), other)
    assert cache.length == 5
    assert_same(model.logits(model.forward(np.array(IDS[5:]), cache)), all_logits(model, IDS)[5:])


@pytest.mark.parametrize("count", [0, 257])
def test_no_tokens_and_too_many_are_refused(model: Llama, count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} tokens after 0 of 256"):
        model.forward(np.zeros(count, np.int64), KvCache(model.config))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["MistralForCausalLM"], "model_type": "mistral"}, "not a Llama"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "yarn"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
    ],
)
def test_a_folder_that_asks_for_more_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load_llama(write_model(tmp_path, **changes))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path)
    config = (tmp_path / "config.json").read_text().replace('"intermediate_size": 96', '"intermediate_size": 95')
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelError, match=r"gate_proj.weight has the shape \(96, 64\)"):
        load_llama(tmp_path)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    write_model(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        load_llama(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [('"bias": "none"', "bias"), ('"peft_type": "LORA"', "IA3"), ('"inference_mode": true', "use_dora")],
)
def test_an_adapter_of_another_kind_is_refused(tmp_path: Path, text: str, words: str) -> None:
    other = {"bias": '"bias": "all"', "IA3": '"peft_type": "IA3"', "use_dora": '"use_dora": true'}[words]
    adapter = write_adapter("lora", tmp_path / "adapter")
    config = adapter / "adapter_config.json"
    config.write_text(config.read_text().replace(text, other))
    with pytest.raises(ModelError, match=words):
        load_llama(write_model(tmp_path / "base"), adapter)


def test_an_adapter_for_other_modules_is_refused(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"does not fit the model at model\.layers\.1"):
        load_llama(base, write_adapter("lora", tmp_path / "adapter"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Llama:
    return load_llama(write_variant("grouped", tmp_path_factory.mktemp("grouped")))


def all_logits(model: Llama, ids: list[int]) -> NDArray[np.float32]:
    return model.logits(model.forward(np.array(ids), KvCache(model.config)))


def assert_same(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < TOLERANCE
