"""One plain reading of a text as the recognizers see it, and the only way to run a regular expression over it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import regex

from filters.evidence import DetectorError

# The bound on one pattern over one text, in seconds of the process's CPU time: that is what `regex` counts, with
# whatever other threads and a collection of garbage take meanwhile. So there is a second try, and 50 ms in all.
PATTERN_SECONDS = 0.025
_TRIES = 2

T = TypeVar("T")

# Letters that are written without spaces between words: to a Western pattern each of them is as good as a space.
# Kana and Hangul too; CJK punctuation is one already.
CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
)

_CJK = re.compile(f"[{CJK}]+")
# A word with a letter that no hexadecimal digit is.
_LABEL_COLON = regex.compile(r"(?<=[g-zG-Z][A-Za-z]{0,2}|[^\x00-\x7f]):")
_LETTER = re.compile(r"[^\W\d]|_")
# Digits with at most four characters between two of them: no pattern for numbers reaches over a wider gap.
_DIGIT_RUN = re.compile(r"[0-9](?:[^0-9]{0,4}[0-9])*")
_HEX_ID = regex.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|(?=[0-9a-f]*[a-f][0-9a-f]*[a-f])[0-9a-f]{32,})"
    r"(?![0-9A-Za-z])",
    regex.IGNORECASE,
)
_DATE = regex.compile(
    r"(?<![\d.-])(?:(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d)(?![\d-]|\.\d)"
)


class View:
    """`text` and three shadows of it, each as long as it is, so that a match in one is a place in all."""

    def __init__(self, text: str, *, since: int = 0, backwards: bool = False) -> None:
        """`since`: what stands before it is context. `backwards`: parts of the text have been turned round."""
        self.text = text
        self.since = since
        self.backwards = backwards

    @cached_property
    def words(self) -> str:
        """CJK letters and underscores are spaces: `\\b` then holds between a Chinese word and a value."""
        text = self.text if self.text.isascii() else _CJK.sub(_blank, self.text)
        return text.replace("_", " ")

    @cached_property
    def fields(self) -> str:
        """`words` without the colon behind a label ("ip:2001:db8::1", 地址：2001…), which IPv6 patterns take in."""
        return _CJK.sub(_blank, _LABEL_COLON.sub(" ", self.text)).replace("_", " ") if ":" in self.text else self.words

    @cached_property
    def lower(self) -> str:
        """Lower case of `text`, for labels; of ASCII letters alone where another one changes its length by it."""
        lower = self.text.lower()
        return lower if len(lower) == len(self.text) else self.text.translate(_ASCII_LOWER)

    @cached_property
    def numbers(self) -> str:
        """Every letter is a space: values that are glued to a word ("tel4155552671") stand free.

        So are calendar dates and hexadecimal ids (UUIDs, hashes), which hold digits that are no number.
        """
        text = self.text
        if _MAYBE_DATE.search(text):
            text = _DATE.sub(_blank, text)
        if _MAYBE_HEX_ID.search(text):
            text = _HEX_ID.sub(_blank, text)
        return text.translate(_NO_LETTERS)

    @cached_property
    def digits(self) -> int:
        """How many ASCII digits the text holds."""
        return sum(map(self.text.count, "0123456789"))

    @cached_property
    def digit_run(self) -> int:
        """The most digits that stand near each other, with at most four characters between two of them."""
        runs = _DIGIT_RUN.findall(self.text)
        return max((sum(map(run.count, "0123456789")) for run in runs), default=0)

    def says(self, signs: Sequence[str]) -> bool:
        """Whether one of these stands in the lower-case text."""
        lower = self.lower
        for sign in signs:  # noqa: SIM110 -- `any` costs more than all the searches together
            if sign in lower:
                return True
        return False


# Cheap tests for both: most texts with digits hold neither.
_MAYBE_DATE = re.compile(r"[0-9]([-/.])[0-9]{1,2}\1[0-9]")
_MAYBE_HEX_ID = re.compile(r"[0-9A-Fa-f]-[0-9A-Fa-f]{4}-[0-9A-Fa-f]|[0-9A-Fa-f]{32}")
_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


class _NoLetters(dict[int, int]):
    """Letters are spaces. Fills itself on first sight of a character, as normalise.py's table does."""

    def __missing__(self, code: int) -> int:
        read = self[code] = ord(" ") if _LETTER.match(chr(code)) else code
        return read


_NO_LETTERS = _NoLetters()


def label(pattern: str) -> Any:
    """Compile a label in lower case. Its `\\b` are edges of Latin words, which Chinese and digits may touch."""
    heads = regex.sub(r"\\b(?=[a-z(])", "(?<![a-z])", pattern)
    return regex.compile(heads.replace(r"\b", "(?![a-z])"))


def _blank(match: Any) -> str:
    return " " * len(match.group())


def scan(pattern: Any, text: str) -> list[Any]:
    """Matches of a compiled `regex` pattern. Raises DetectorError when it runs out of time: nothing is skipped."""
    return _in_time(lambda: list(pattern.finditer(text, timeout=PATTERN_SECONDS)))


def search(pattern: Any, text: str, start: int = 0) -> Any:
    """The first match from `start` on, or None. Raises as `scan`."""
    return _in_time(lambda: pattern.search(text, start, timeout=PATTERN_SECONDS))


def _in_time(look: Callable[[], T]) -> T:
    for _ in range(_TRIES):
        try:
            return look()
        except TimeoutError:
            continue
    # Raised outside the handler, so that no context of the other exception hangs on it.
    raise DetectorError("pattern out of time")
