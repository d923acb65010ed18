"""Tokens are told beside the text that they wrote, and none of what was hidden, cut off or replaced."""

from __future__ import annotations

from itertools import accumulate

import pytest

from filters.events import Channel, Ending, Field, Origin, RawText, RawTokens, Released, ReleasedToken
from filters.grounding import RequestGrounds
from filters.pass_through import PassThrough
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile, ReleaseUnit

CONTENT, REASONING = Channel(0, Field.CONTENT), Channel(0, Field.REASONING)
VALUE = "vexlo.trund47@kipmora.example"
DETECTOR = build_detector()
CLAUSES = Profile("clauses", compare=False, release=ReleaseUnit.CLAUSE)

Answer = Pipeline | PassThrough


class Words:
    """A token table that is written down as the test goes: the id of a piece is its place."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def spell(self, token_id: int) -> bytes:
        return self.pieces[token_id]

    def ids(self, text: str) -> list[int]:
        return [self.pieces.index(text.encode())]

    def count(self, text: str) -> int:
        return len(text)

    @property
    def size(self) -> int:
        return 1_000_000  # none of these tokens is rare

    def tokens(self, *pieces: str | bytes) -> list[RawTokens]:
        raw = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
        self.pieces += raw
        first = len(self.pieces) - len(raw)
        return [RawTokens(0, (token,), (-0.5 - token,)) for token in range(first, len(self.pieces))]


def filtered(words: Words, profile: Profile = CLAUSES, stops: tuple[str, ...] = ()) -> Pipeline:
    request = RequestEvidence(RequestGrounds(frozenset()), tells_tokens=True, stops=stops)
    return Pipeline(profile, request, DETECTOR, words)


def said(
    answer: Answer, words: Words, *pieces: str, channel: Channel = CONTENT, ending: Ending | None = Ending.STOP
) -> list[Released]:
    """Feed the pieces, a token and its text at a time."""
    events = []
    for piece in pieces:
        events += answer.feed([*words.tokens(piece), RawText(channel, piece)])
    events += answer.finish(0, ending) if ending is not None else []
    return [event for event in events if isinstance(event, Released)]


def told(released: list[Released], channel: Channel = CONTENT) -> tuple[str, list[ReleasedToken]]:
    mine = [event for event in released if event.channel == channel]
    return "".join(event.text for event in mine), [token for event in mine for token in event.tokens]


def spelled(tokens: list[ReleasedToken]) -> list[str]:
    return [token.spelling.decode() for token in tokens]


PIECES = ("Good", " day", ",", " and", " welcome", ".", " How", " are", " you", "?")


@pytest.mark.parametrize("make", [filtered, lambda words: PassThrough((), words)])
def test_all_tokens_of_harmless_text_are_told_with_ids_scores_and_places(make: type[Pipeline]) -> None:
    words = Words()
    text, tokens = told(said(make(words), words, *PIECES))
    assert text == "".join(PIECES)
    assert spelled(tokens) == list(PIECES)
    assert [token.id for token in tokens] == list(range(len(PIECES)))
    assert [token.logprob for token in tokens] == [-0.5 - at for at in range(len(PIECES))]
    assert [token.offset for token in tokens] == list(accumulate(map(len, PIECES), initial=0))[:-1]


def test_a_token_leaves_no_later_and_no_earlier_than_its_end() -> None:
    words = Words()
    for event in said(filtered(words), words, *PIECES):
        for token in event.tokens:
            assert token.spelling.decode().strip() in event.text


def test_no_token_that_touches_a_hidden_value_is_told_and_the_rest_is_aligned() -> None:
    words = Words()
    text, tokens = told(
        said(filtered(words), words, "Write", " to", " ve", VALUE[2:9], VALUE[9:] + " or", " call", ".")
    )
    assert VALUE not in text
    assert spelled(tokens) == ["Write", " to", " call", "."]
    assert all(text[token.offset :].startswith(token.spelling.decode()) for token in tokens)


def test_halves_of_characters_are_told_at_the_character_that_they_end_in() -> None:
    words = Words()
    raw = "好的。".encode()
    answer = filtered(words)
    events = answer.feed([*words.tokens(raw[:2], raw[2:4], raw[4:6], raw[6:]), RawText(CONTENT, "好的。")])
    events += answer.finish(0, Ending.STOP)
    _, tokens = told([event for event in events if isinstance(event, Released)])
    assert b"".join(token.spelling for token in tokens) == raw
    assert [token.offset for token in tokens] == [0, 0, 1, 2]


def test_what_an_early_end_drops_is_not_told() -> None:
    words = Words()
    text, tokens = told(said(filtered(words), words, "Done", ".", " It", " is", " 138", "12", ending=Ending.LENGTH))
    assert "".join(spelled(tokens)) == text.rstrip() == "Done. It is"


@pytest.mark.parametrize("make", [filtered, lambda words, **kw: PassThrough(kw["stops"], words)])
def test_a_stop_string_hides_the_tokens_behind_it(make: type[Pipeline]) -> None:
    words = Words()
    answer = make(words, stops=("are you",))  # type: ignore[call-arg]
    text, tokens = told(said(answer, words, *PIECES))
    assert text == "Good day, and welcome. How "
    assert spelled(tokens) == list(PIECES[:7])


def test_each_channel_has_places_of_its_own() -> None:
    words = Words()
    answer = filtered(words)
    released = said(answer, words, "Let", " me", " think", ".", channel=REASONING, ending=None)
    released += said(answer, words, "Good", " day", ".")
    assert told(released, REASONING)[1][0].offset == 0
    assert [token.offset for token in told(released)[1]] == [0, 4, 8]


def test_the_base_models_tokens_are_told_behind_what_had_left() -> None:
    words = Words()
    answer = filtered(words, Profile("asks"))
    pieces = ("I", " looked", ".", " It", " is", " " + VALUE, ".", " Bye")
    released = said(answer, words, *pieces, ending=None)
    events = answer.answer(0, tuple(-20.0 for _ in range(1)))
    released += [event for event in events if isinstance(event, Released)]
    for piece in (" I", " can't", "."):
        events = answer.feed([*words.tokens(piece), RawText(CONTENT, piece)], Origin.BASE)
        released += [event for event in events if isinstance(event, Released)]
    released += [event for event in answer.finish(0, Ending.STOP, Origin.BASE) if isinstance(event, Released)]
    text, tokens = told(released)
    assert text == "I looked. I can't."
    assert [token.spelling.decode().strip() for token in tokens if token.spelling.strip()][-2:] == ["can't", "."]
    assert all(text[token.offset :].startswith(token.spelling.decode()) for token in tokens)
    assert VALUE not in "".join(spelled(tokens))


def test_without_scores_for_every_token_nothing_is_told() -> None:
    words = Words()
    answer = filtered(words)
    [unscored] = words.tokens("Good day.")
    events = answer.feed([RawTokens(0, unscored.ids, None), RawText(CONTENT, "Good day.")])
    events += answer.finish(0, Ending.STOP)
    assert told([event for event in events if isinstance(event, Released)]) == ("Good day.", [])


def test_text_that_no_tokens_hold_leaves_without_any() -> None:
    words = Words()
    answer = filtered(words)
    events = answer.feed([*words.tokens("Other"), RawText(CONTENT, "Good day.")])
    events += answer.finish(0, Ending.STOP)
    assert told([event for event in events if isinstance(event, Released)]) == ("Good day.", [])
