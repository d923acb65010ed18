"""What stands in for a hidden value.

| action | what is written | the same for one value |
| --- | --- | --- |
| mask | the type and a number: "[EMAIL_1]" | in one answer |
| remove | nothing | – |
| pseudonym | the type and letters made of a keyed hash: "[EMAIL_kzqwtrbnmdpl]" | in every answer under one key |
| generalise | what it has in common with many (generalise.py); else a mask | in one answer |
| surrogate | a made-up value of the same form (surrogates.py); else a mask | in every answer under one key |

Rules:

1. Nothing is copied out of a value. A generalisation is chosen from closed lists; a surrogate and a pseudonym are made
   of a keyed hash, and made anew if they happen to share a run of PART characters with the value (two Chinese ones).
   What can't be made so is masked.
2. Everything written can stand inside a JSON string as it is: no quote, no backslash, no control character.
3. One value, however it is spelled, has one replacement for as long as a `Rewriter` lives, which is one answer.
   Whoever found a value may say what a generalisation of it is (`give`); it stands where no other action is chosen.
4. Placeholders and pseudonyms are no findings themselves: letters, brackets and up to four digits.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Iterator, Mapping

import regex

from filters.pii.canonical import canonical
from filters.pii.generalise import generalise, is_chinese
from filters.pii.surrogates import surrogate
from filters.pii.view import CJK
from filters.profile import Action

SHORTEST_KEY = 16  # bytes; a shorter one could be found by trying
PART = 4  # characters of a value that no replacement holds in a row; of Chinese text two
_PART_CJK = 2
_IN_CJK = regex.compile(f"[{CJK}]+")
_ATTEMPTS = 8
_KEYED = frozenset({Action.PSEUDONYM, Action.SURROGATE})
# No vowels, so that no word comes out; no digits, so that nothing looks like a number. Twelve letters are 51 bits.
_LETTERS = "bcdfghjklmnpqrstvwxz"
_PSEUDONYM_LETTERS = 12


class Placeholders:
    """Typed placeholders of one answer: "[EMAIL_1]", "[PHONE_1]", "[EMAIL_2]" in the order of first sight.

    The form needs no escape in JSON, and no detector finds a value in it. One value, however it is spelled, keeps its
    placeholder for as long as this object lives, which is one answer: numbers that held longer would link answers.
    """

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def mask(self, kind: str, raw_value: str) -> str:
        """The placeholder of this value of the finding type `kind`."""
        key = (kind, canonical(kind, raw_value))
        if key not in self._given:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._given[key] = f"[{kind}_{self._counts[kind]}]"
        return self._given[key]


def check_key(actions: Mapping[str, Action], key: bytes) -> None:
    """ValueError where an action needs a key and this one is shorter than SHORTEST_KEY."""
    if not _KEYED.isdisjoint(actions.values()) and len(key) < SHORTEST_KEY:
        raise ValueError("pseudonyms and surrogates need a key")


class Rewriter:
    """The replacements of one answer, each value by the action of its type."""

    def __init__(self, actions: Mapping[str, Action], key: bytes = b"") -> None:
        """`key` is the tenant's. Raises as `check_key`."""
        check_key(actions, key)
        self._actions, self._key = actions, key
        self._placeholders = Placeholders()
        self._given: dict[tuple[str, str], str] = {}
        self._general: dict[tuple[str, str], str] = {}

    def give(self, kind: str, raw_value: str, general: str) -> None:
        """This is what the value is generalised to. It holds nothing of the value, and no sign that JSON escapes."""
        self._general[kind, canonical(kind, raw_value)] = general

    def mask(self, kind: str, raw_value: str) -> str:
        """As `Placeholders.mask`, whatever the type's action is."""
        return self._placeholders.mask(kind, raw_value)

    def rewrite(self, kind: str, raw_value: str, context: str = "", action: Action | None = None) -> str:
        """What is written instead of this value; `context` is the text around it, which decides the language.
        `action` is that of the type unless it is given."""
        value = (kind, canonical(kind, raw_value))
        usual = Action.GENERALISE if value in self._general else Action.MASK
        action = action or self._actions.get(kind, usual)
        if action is Action.MASK:
            return self.mask(kind, raw_value)
        if action is Action.REMOVE:
            return ""
        if action is Action.GENERALISE and value in self._general:
            return self._general[value]
        if value not in self._given:
            made = self._make(action, kind, raw_value, context)
            self._given[value] = self.mask(kind, raw_value) if made is None else made
        return self._given[value]

    def _make(self, action: Action, kind: str, raw_value: str, context: str) -> str | None:
        if action is Action.GENERALISE:
            return generalise(kind, raw_value, context, chinese=is_chinese(context, raw_value))
        attempts = self._pseudonyms if action is Action.PSEUDONYM else self._surrogates
        return next((made for made, told in attempts(kind, raw_value) if not shares_a_part(told, raw_value)), None)

    def _pseudonyms(self, kind: str, raw_value: str) -> Iterator[tuple[str, str]]:
        """Candidates, and what of each was made of the value."""
        for attempt in range(_ATTEMPTS):
            number = int.from_bytes(self._hash("pseudonym", kind, raw_value, attempt))
            letters = "".join(
                _LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(_PSEUDONYM_LETTERS)
            )
            yield f"[{kind}_{letters}]", letters

    def _surrogates(self, kind: str, raw_value: str) -> Iterator[tuple[str, str]]:
        for attempt in range(_ATTEMPTS):
            made = surrogate(kind, raw_value, self._hash("surrogate", kind, raw_value, attempt), attempt)
            if made is not None:
                yield made, made

    def _hash(self, purpose: str, kind: str, raw_value: str, attempt: int) -> bytes:
        message = "\0".join((purpose, kind, canonical(kind, raw_value), str(attempt)))
        return hmac.digest(self._key, message.encode("utf-8", "backslashreplace"), hashlib.sha256)


def shares_a_part(made: str, raw_value: str) -> bool:
    """Whether PART letters or digits stand in a row in both, or two Chinese ones; spelling aside."""
    ours, theirs = _skeleton(made), _skeleton(raw_value)
    return any(
        run in theirs
        for size in (_PART_CJK, PART)
        for run in (ours[at : at + size] for at in range(len(ours) - size + 1))
        if size == PART or _IN_CJK.fullmatch(run)
    )


def _skeleton(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text))).casefold()
