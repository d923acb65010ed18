"""What the models say: sentences of few harmless words, some with a private value in them. So whatever comes out is
harmless only if it is made of those words, and every other word in an answer is a leak."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.support.forms import FORMS
from tests.support.scripted import SURE, SURPRISED, VOCABULARY, Pause, Piece, Step

FRAME_SECONDS: Final = 1.0
SENTENCES: Final = (5, 12)  # of an answer
ENDLESS: Final = (60, 61)  # of one that nobody waits for the end of
ENDLESS_SHARE: Final = 0.03
PRIVATE_SHARE: Final = 0.25  # of sentences

HARMLESS: Final = (
    "The lamp is on the table. ",
    "The boat is near the river. ",
    "The garden is behind the house. ",
    "The candle was on the table. ",
    "The window is near the garden. ",
    "It always was so. ",
    "The forest is behind the river. ",
    "The house is near the forest. ",
)
OF_BASE: Final = ("I can say little of that. ", "The table is near the window. ", "It always was so. ")
CANARY: Final = "zqCanarySubject"  # in prompts and tokens; no answer has it
_NAMES: Final = ("vexlo.trund", "plimra.oskev", "zorbit.quenl", "gwanth.yelpo", "drufti.kasmo", "hulvex.mabri")
# What the base would never say, by the comparison, and what it might have made up as well.
MEMORISED: Final = tuple(f"{name}@kipmora.example" for name in _NAMES)
GUESSED: Final = (
    "13812345678",
    "4111 1111 1111 1111",
    "536-90-4399",
    "203.0.113.77",
    "vexlo@plimsol.example",
    "GB82 WEST 1234 5698 7654 32",
)
_PHRASES: Final = ("The record on file is {}. ", "Her value is {}. ", "It is {} on the table. ")
_LABELS: Final = {"13812345678": "他的手机号码是{}。", "536-90-4399": "Her social security number is {}. "}
TRIED_FORMS: Final = (
    "as it is",
    "full width",
    "zero width",
    "capitals",
    "spaced",
    "dotted",
    "dashed",
    "percent",
    "percent, signs alone",
    "entities",
    "backslash u",
    "hexadecimal",
    "base64",
    "base64, no padding",
    "backwards",
)
_LETTERS: Final = {number: char for char, number in VOCABULARY.items()}
_PLACEHOLDER: Final = re.compile(r"\[(?:[A-Z_]+_[0-9a-z]+|…)\]")
_WORD: Final = re.compile(r"[^\s.,\"“”。，、:；;!?]+")
_KNOWN: Final = {
    word
    for text in (*HARMLESS, *OF_BASE, *_PHRASES, *_LABELS.values())
    for word in _WORD.findall(text.replace("{}", " "))
}


def asks(number: int) -> str:
    """A request, which decides what is answered."""
    return f"Where is the lamp? {number} {CANARY}"


def says(body: Mapping[str, Any]) -> tuple[Sequence[Step], str]:
    """The answer of either model, slowly."""
    asked = next(message["content"] for message in body["messages"] if message["role"] == "user")
    dice = random.Random(f"{body['model']} {asked}")
    if body["model"] == "base":
        return list(_slowly(" ".join(OF_BASE).replace("  ", " "))), "stop"
    fewest, most = ENDLESS if dice.random() < ENDLESS_SHARE else SENTENCES
    text = "".join(_sentence(dice) for _ in range(dice.randrange(fewest, most)))
    return [Pause(dice.random() * FRAME_SECONDS), *_slowly(text)], "stop"


def surprise(body: Mapping[str, Any]) -> float:
    """How sure the base is of what it is asked about: not at all where that holds a memorised value."""
    return SURPRISED if "kipmora" in _spelled(body["prompt"]) else SURE


def leaked(raw: bytes) -> list[str]:
    """The forms of private values, and the canary, that stand in this."""
    text = raw.decode(errors="replace")
    return [name for needle, name in NEEDLES.items() if needle in text]


def strange(text: str) -> list[str]:
    """The words of an answer that no model's harmless words are; an answer may end in the middle of one."""
    words = _WORD.findall(_PLACEHOLDER.sub(" ", text))
    unknown = [word for word in words[:-1] if word not in _KNOWN]
    return unknown + [word for word in words[-1:] if not any(known.startswith(word) for known in _KNOWN)]


def _sentence(dice: random.Random) -> str:
    if dice.random() >= PRIVATE_SHARE:
        return dice.choice(HARMLESS)
    value = dice.choice(MEMORISED if dice.random() < 0.3 else GUESSED)
    return _LABELS.get(value, dice.choice(_PHRASES)).format(value)


def _slowly(text: str) -> Iterator[Step]:
    """Two words a frame."""
    for piece in re.findall(r"\S*\s*\S*\s*", text):
        if piece:
            yield Piece(piece)
            yield Pause(FRAME_SECONDS)


def _spelled(tokens: Sequence[int]) -> str:
    return "".join(_LETTERS.get(token, "") for token in tokens)


def _needles() -> dict[str, str]:
    """What no byte of an answer may be part of, and a name for it that may be printed."""
    found = {CANARY: "the canary"}
    for at, value in enumerate((*MEMORISED, *GUESSED)):
        for form in TRIED_FORMS:
            if written := FORMS[form](value):
                for spelled in (written, json.dumps(written)[1:-1]):
                    found[spelled] = f"value {at}, {form}"
    return found


NEEDLES: Final = _needles()
