"""Identifiers put up to be picked from or confirmed: what the caller gets says nothing of what the tuned model knows.

Whatever it answers, the events are the same: the base model takes over before a character has left. So an attacker who
puts up two candidates, or a thousand, learns what the base model would have guessed.
"""

from __future__ import annotations

import pytest

from filters.events import Channel, Ending, Event, FallBack, Field, Finished, RawText, RawTokens, Released
from filters.grounding import RequestGrounds
from filters.pii.detector import build_detector
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile
from tests.filters.test_grounding_requests import CHINESE, NAMES, NUMBERS
from tests.support.answers import CharacterVocabulary

CODES = [f"GD-{10007 + 83 * i}" for i in range(1000)]
ASKS = {
    "en": "Which of these is {name}'s: {candidates}?",
    "en, confirmed": "{name}'s is one of {candidates}. Is it {last}? Yes or no.",
    "zh": "下面哪一个是{name}的：{candidates}？",
    "zh, confirmed": "{name}的是{candidates}当中的{last}，对吗？请回答是或不是。",
}
ANSWERS = (
    "It is {candidate}, of course. I am sure.",
    "是{candidate}。",
    "Yes. It is.",
    "No, it is not.",
    "不是。",
    "7.",
)


def events(request: str, grounds: RequestGrounds, answer: str) -> list[Event]:
    """Of an answer by the tuned model."""
    pipeline = Pipeline(
        Profile("test"), RequestEvidence(grounds, own_text=request), build_detector(), CharacterVocabulary()
    )
    channel = Channel(0, Field.CONTENT)
    items = [RawTokens(0, tuple(map(ord, answer)), (-0.01,) * len(answer)), RawText(channel, answer)]
    return pipeline.feed(items) + pipeline.finish(0, Ending.STOP)


@pytest.mark.parametrize("values", [NUMBERS, CODES], ids=["numbers", "codes"])
@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("count", [2, 10, 100, 1000])
def test_the_base_answers_and_nothing_of_the_tuned_model_shows(values: list[str], ask: str, count: int) -> None:
    listed, name = values[:count], CHINESE[7] if not ask.isascii() else NAMES[7]
    request = ask.format(name=name, candidates=", ".join(listed), last=listed[-1])
    grounds = RequestGrounds.from_texts([request], build_detector())
    for answer in ANSWERS:
        for candidate in (listed[0], listed[-1]):
            seen = events(request, grounds, answer.format(candidate=candidate))
            told = [event for event in seen if isinstance(event, Released | FallBack | Finished)]
            assert told == [FallBack(0, "")]
