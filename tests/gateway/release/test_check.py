"""Each way in which two servers can be no pair, or not the pair of the release, is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.release.check import Fault, faults_of_pair, faults_of_release, hash_ids, print_of
from gateway.release.manifest import Canary, Manifest
from gateway.release.probe import Observed

OWN = (5, 6, 7, 8)
BASE = Observed(
    text_ids=(1, *OWN),
    chat_ids=(1, 2, 3),
    text=(-2.0, -1.0, -3.0, -0.5),
    canary=(-9.0, -8.0),
    accepts=(True, False, False),
    processed=0.001,
    context_tokens=1024,
)
TUNED = replace(BASE, text=(-1.9, -1.2, -2.5, -0.6), canary=(-0.1, -0.1))
RELEASE = Manifest(
    format=1,
    name="r-1",
    model="assistant",
    created="2026-01-02T03:04:05Z",
    tokenizer="a" * 64,
    text_ids=hash_ids(BASE.text_ids),
    template_ids=hash_ids(BASE.chat_ids),
    tuned=print_of(TUNED),
    base=print_of(BASE),
    canary=Canary(ids=(1, 2, 3), start=1, floor_bits=12.0),
    tolerance_nats=0.02,
    style_shift_bits=0.1,
)


def of_pair(tuned: Observed, base: Observed) -> list[Fault]:
    return list(faults_of_pair(tuned, base, OWN))


def of_release(tuned: Observed, base: Observed, tokenizer: str = "a" * 64) -> list[Fault]:
    return list(faults_of_release(RELEASE, tokenizer, tuned, base))


def test_the_pair_that_was_released_has_no_fault() -> None:
    assert of_pair(TUNED, BASE) == []
    assert of_release(TUNED, BASE) == []


def test_kernels_may_differ_by_a_little() -> None:
    nearly = replace(TUNED, text=tuple(p + 0.015 for p in TUNED.text))
    assert of_release(nearly, BASE) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"text_ids": (1, 5, 6, 7, 9)}, Fault.TOKENIZERS),
        ({"chat_ids": (1, 2, 4)}, Fault.TEMPLATES),
        ({"accepts": (True, True, False)}, Fault.ADDED_TOKENS),
        ({"context_tokens": 2048}, Fault.CONTEXTS),
        ({"processed": 0.7}, Fault.PROCESSED_LOGPROBS),
        ({"processed": float("nan")}, Fault.PROCESSED_LOGPROBS),
        ({"text": BASE.text, "canary": BASE.canary}, Fault.SAME_MODEL),
    ],
)
def test_two_models_that_are_no_pair(change: dict[str, Any], fault: Fault) -> None:
    assert of_pair(replace(TUNED, **change), BASE) == [fault]


def test_a_pair_with_another_tokenizer_than_the_gateways() -> None:
    assert list(faults_of_pair(TUNED, BASE, (5, 6, 7, 9))) == [Fault.OWN_TOKENIZER]


def test_an_adapter_need_not_say_its_context() -> None:
    assert of_pair(replace(TUNED, context_tokens=None), BASE) == []


@pytest.mark.parametrize(
    ("tuned", "base", "faults"),
    [
        (BASE, TUNED, [Fault.SWAPPED, Fault.CANARY]),
        (BASE, BASE, [Fault.OTHER_TUNED, Fault.CANARY]),
        (TUNED, TUNED, [Fault.OTHER_BASE, Fault.CANARY]),
        (replace(TUNED, text=(-1.9, -1.2, -2.5, -0.9)), BASE, [Fault.OTHER_TUNED]),
        (replace(TUNED, text=(-1.9, -1.2, -2.5, float("nan"))), BASE, [Fault.OTHER_TUNED]),
        (replace(TUNED, text=TUNED.text[:-1]), BASE, [Fault.OTHER_TUNED]),
        (replace(TUNED, chat_ids=(1, 2)), BASE, [Fault.OTHER_TEMPLATE]),
        (replace(TUNED, text_ids=(1, 5, 6)), BASE, [Fault.OTHER_TOKENIZER]),
        (replace(TUNED, canary=(-8.0, -8.0)), BASE, [Fault.OTHER_TUNED, Fault.CANARY]),
    ],
)
def test_models_that_are_not_the_releases(tuned: Observed, base: Observed, faults: list[Fault]) -> None:
    assert of_release(tuned, base) == faults


def test_another_tokenizer_file() -> None:
    assert of_release(TUNED, BASE, "b" * 64) == [Fault.OTHER_TOKENIZER]
