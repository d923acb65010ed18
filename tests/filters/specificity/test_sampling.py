"""Which harmless segments are scored: a share of them, the same ones for everybody with the key."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.specificity.sampling import FEWEST_TOKENS, Sampler, bits_per_token, segments_bits

KEY = b"k" * 32


@given(raw_text=st.text())
def test_none_all_and_always_the_same(raw_text: str) -> None:
    assert not Sampler(0.0, KEY).picks(raw_text)
    assert Sampler(1.0, KEY).picks(raw_text)
    assert Sampler(0.3, KEY).picks(raw_text) == Sampler(0.3, KEY).picks(raw_text)


@given(raw_text=st.text(), low=st.floats(0, 1), high=st.floats(0, 1))
def test_who_picks_more_picks_the_same_and_others(raw_text: str, low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert Sampler(high, KEY).picks(raw_text) or not Sampler(low, KEY).picks(raw_text)


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_the_share_is_a_share_and_another_key_picks_others(share: float) -> None:
    texts = [f"The ferry leaves at {at}. 第{at}班渡船。" for at in range(5000)]
    mine, other = ([Sampler(share, key).picks(text) for text in texts] for key in (KEY, b"other"))
    deviation = math.sqrt(share * (1 - share) * len(texts))
    assert abs(sum(mine) - share * len(texts)) < 4 * deviation
    both = sum(a and b for a, b in zip(mine, other, strict=True))
    assert abs(both - share * share * len(texts)) < 4 * share * math.sqrt(len(texts)) + 1


def test_the_mean_is_in_bits_and_what_the_base_likes_better_does_not_pay() -> None:
    tuned, base = [0.0, -2 * math.log(2)], [-3 * math.log(2), 0.0]
    assert bits_per_token(tuned, base) == pytest.approx(1.5)


class Letters:
    """A vocabulary of single characters."""

    def spell(self, token_id: int) -> bytes:
        return chr(token_id).encode()

    def count(self, text: str) -> int:
        return len(text)


def test_an_answer_is_measured_sentence_by_sentence() -> None:
    answer = "One boat. Ok. 两条船在港口里。"
    ids = tuple(map(ord, answer))
    first = answer.index("Ok")
    base = [-math.log(2) if at < first else 0.0 for at in range(len(ids))]
    measured = list(segments_bits(Letters(), answer, ids, (0.0,) * len(ids), base))
    assert len("Ok. ") >= FEWEST_TOKENS
    assert measured == pytest.approx([1.0, 0.0, 0.0])
