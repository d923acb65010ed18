"""The benchmarks' batches say what the server's models say one by one."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.embedded.llama import KvCache, Llama, load_llama
from gateway.embedded.sampling import log_softmax
from tests.bench.batched import Batched
from tests.bench.demo_pair import DEMO

PROMPTS = [(1, 4, 369, 279, 2, 5), (1, 4, 322, 2, 5), (1, 4, 19, 333, 2, 5), (1, 4, 1350, 1856, 2, 5)]
EOS, LENGTH = 2, 12


@pytest.fixture(scope="module")
def model() -> Llama:
    return load_llama(DEMO / "models" / "tuned")


def alone(model: Llama, prompt: tuple[int, ...]) -> tuple[list[int], list[float]]:
    cache, step, ids, logprobs = KvCache(model.config), np.array(prompt), [], []
    while len(ids) < LENGTH and EOS not in ids:
        row = log_softmax(model.logits(model.forward(step, cache)[-1:]))[0]
        ids.append(int(row.argmax()))
        logprobs.append(float(row.max()))
        step = np.array(ids[-1:])
    return ids, logprobs


def test_greedy_answers_and_their_scores_are_those_of_one_at_a_time(model: Llama) -> None:
    answers = Batched(model, EOS).greedy(PROMPTS, LENGTH)
    scored = Batched(model, EOS).scored([(p, a.ids) for p, a in zip(PROMPTS, answers, strict=True)])
    for prompt, answer, scores in zip(PROMPTS, answers, scored, strict=True):
        ids, logprobs = alone(model, prompt)
        assert list(answer.ids) == ids
        assert answer.logprobs == pytest.approx(logprobs, abs=1e-4)
        assert scores == pytest.approx(logprobs, abs=1e-4)


def test_samples_are_drawn_anew_in_each_lane_and_the_same_from_the_same_seed(model: Llama) -> None:
    batch = Batched(model, EOS)
    drawn = batch.sampled(PROMPTS[:1] * 40, LENGTH, seed=3)
    assert drawn == batch.sampled(PROMPTS[:1] * 40, LENGTH, seed=3)
    assert len({answer.ids for answer in drawn}) > 1
