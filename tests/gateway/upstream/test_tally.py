"""Released tokens, counted on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from filters.events import Channel, Field
from gateway.upstream.tally import PIECE, Tally
from gateway.upstream.vocabulary import TokenizerVocabulary
from tests.e2e.test_demo_models import DEMO_MODELS

CONTENT, REASONING, SECOND = (
    Channel(0, Field.CONTENT),
    Channel(0, Field.REASONING),
    Channel(1, Field.CONTENT),
)


def words(text: str) -> int:
    return len(text.split())


def test_each_choice_and_all() -> None:
    tally = Tally(words)
    tally.add(CONTENT, "It is ")
    tally.add(REASONING, "So.")
    tally.add(SECOND, "No")
    tally.add(CONTENT, "here.")
    assert (tally.of(0), tally.of(1), tally.of(2), tally.total) == (4, 1, 0, 5)


def test_a_long_answer_is_counted_in_pieces() -> None:
    lengths = []

    def count(text: str) -> int:
        lengths.append(len(text))
        return words(text)

    tally = Tally(count)
    for _ in range(20_000):
        tally.add(CONTENT, "word ")
    assert max(lengths) <= PIECE
    assert tally.total == 20_000


def test_text_without_spaces_is_counted_too() -> None:
    tally = Tally(len)
    tally.add(CONTENT, "灯" * (3 * PIECE + 7))
    assert tally.total == 3 * PIECE + 7


@given(st.lists(st.text(alphabet="a灯 \n", max_size=3000), max_size=12))
def test_how_the_text_came_changes_nothing(parts: list[str]) -> None:
    whole, pieces = Tally(len), Tally(len)
    text = "".join(parts)
    whole.add(CONTENT, text)
    for part in parts:
        pieces.add(CONTENT, part)
    assert whole.total == pieces.total == len(text)


def test_real_tokens_are_as_many_as_in_the_whole() -> None:
    vocabulary = TokenizerVocabulary(DEMO_MODELS / "base")
    text = "You can return any lamp within 45 days. 30天内可以退货。 Thank you!\n" * 300
    tally = Tally(vocabulary.count)
    for at in range(0, len(text), 7):
        tally.add(CONTENT, text[at : at + 7])
    assert tally.total == vocabulary.count(text)
