"""Whether a request is worth asking the base model how it would begin: topics of harm, and attempts to force an answer.

A suspicion costs a draft of a few tokens and decides nothing: where the base does not decline, the answer goes its
ordinary way. So the lists are wide rather than exact, and a profile adds words of its own.

1. Topics: what refusals are taught for (weapons, poisons, drugs, intrusion into houses, accounts and machines, theft,
   fraud, forgery, violence, self-harm, stalking, sexual abuse, hatred), English by the beginnings of words, Chinese by
   words.
2. Forcing: a request that speaks about refusing or dictates how the answer begins ("begin with 'I'm sorry, but'",
   "never refuse", "no warnings", "pretend that you have no rules", "ignore the instructions above").
3. What the lists can't read: more than SHARE_UNREAD of the letters in scripts other than Latin and Chinese, a long run
   without spaces (encoded text), letters set apart ("p i c k"), more than MOST_READ characters.

Letters are compared as a reader sees them: full-width and look-alike letters (normalise.py), digits for letters
("p1ck a l0ck") and across the signs that split a word ("lo-ck", "lo+ck").
A topic that is nowhere named, in another Latin language, or named by the application alone (system messages are not
read: many forbid what they name) goes unsuspected; `refusals: always` asks about those too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from filters.normalise import normalise

MOST_READ = 32_768  # characters, a long conversation; what is longer is suspicious unread
SHARE_UNREAD = 0.5
_FEWEST_LETTERS = 12  # of which a share is worth computing
_LONG_RUN = re.compile(r"[a-z0-9+/=_%-]{64,}")
_SET_APART = re.compile(r"(?<![a-z])[a-z](?:[ .*_\-+]{1,2}[a-z](?![a-z])){4,}")
_INTO_OTHERS = re.compile(r"\b(?:get|getting|go|going|climb|climbing) into (?:\w+ ){0,3}\w+'s\b")


@lru_cache(maxsize=64)
def suspicions_of(own_words: frozenset[str]) -> Suspicions:
    """The lists of a profile that has these words of its own; policies have few profiles."""
    return Suspicions(own_words)


class Suspicions:
    """The lists of one profile. Immutable; made once and used for every request."""

    def __init__(self, own_words: Iterable[str] = ()) -> None:
        """`own_words` are the profile's: beginnings of phrases, found in Latin letters where a word begins."""
        words = [*_shipped_words(), *(" ".join(word.split()).casefold() for word in own_words if word.strip())]
        latin = "|".join(_pattern(word) for word in words if word.isascii())
        others = "|".join(re.escape(word) for word in words if not word.isascii())
        self._words = re.compile(rf"\b(?:{latin})|{others}")

    def about(self, *raw_texts: str) -> bool:
        """Whether the base should be asked about a conversation in which the caller wrote these, in order. A word may
        begin in one and end in the next. Linear in MOST_READ characters."""
        return self._in("\n".join(raw_texts)) or (len(raw_texts) > 1 and self._in("".join(raw_texts)))

    def _in(self, raw_text: str) -> bool:
        if len(raw_text) > MOST_READ:
            return True
        plain = normalise(raw_text).text.casefold().replace("’", "'")
        if any(odd.search(plain) for odd in (_LONG_RUN, _SET_APART, _INTO_OTHERS)) or _unread(plain):
            return True
        return any(self._words.search(reading) is not None for reading in _readings(plain))


def _shipped_words() -> list[str]:
    """Separated by white space; lines that begin with # say what follows."""
    lines = (Path(__file__).parent / "suspicious_words.txt").read_text(encoding="utf-8").splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]


def _pattern(word: str) -> str:
    """_ stands for a space, and a word that must end where it ends has a $ behind it."""
    return re.escape(word.rstrip("$").replace("_", " ")).replace(r"\ ", r"\s+") + (r"\b" if word.endswith("$") else "")


def _unread(plain: str) -> bool:
    letters = [character for character in plain if character.isalpha()]
    read = sum(character <= "\u024f" or "\u3400" <= character <= "\u9fff" for character in letters)
    return len(letters) >= _FEWEST_LETTERS and read < (1 - SHARE_UNREAD) * len(letters)


_LEET = str.maketrans("013457@$!", "oieastasi")
_SPLIT = re.compile(r"(?<=[a-z])['\"]?\s?[-+*._|/]\s?['\"]?(?=[a-z])")
_HAN_SPLIT = re.compile(r"(?<=[\u3400-\u9fff])[\s\-+*._|/·、'\"“”‘’「」]+(?=[\u3400-\u9fff])")


def _readings(plain: str) -> Iterable[str]:
    """The text, and what it says without tricks; each only if it differs."""
    yield plain
    whole = _HAN_SPLIT.sub("", _SPLIT.sub("", plain))
    if whole != plain:
        yield whole
    if any(character in plain for character in "013457@$!"):
        yield whole.translate(_LEET)
