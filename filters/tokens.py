"""Which tokens of an answer spell which characters of its channels.

The text is looked for in the bytes that the tokens spell, never inferred from where a delta ended: an engine may send
tokens before their text, split a character over two tokens, or drop the marks around reasoning and tool calls. Text
that the tokens don't hold has no evidence, and the caller must treat it as suspect.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate

from filters.evidence import Vocabulary

SKIP = 256  # bytes that a parser may have taken out between two pieces of text: marks, names of tools


class TokenLedger:
    """The tokens of one choice, and how far its texts have been matched with them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._ends: list[int] = []  # byte offset behind each token
        self._bytes = bytearray()
        self._matched = 0
        self._scored = True

    @property
    def rare_from(self) -> int:
        """Ids from here on are rare tokens."""
        return self._vocabulary.size // 2

    def add(self, ids: tuple[int, ...], logprobs: tuple[float, ...] | None) -> None:
        """Append sampled tokens. Raises KeyError for an id outside the vocabulary."""
        spelled = [self._vocabulary.spell(token) for token in ids]
        self._ends += list(accumulate(map(len, spelled), initial=len(self._bytes)))[1:]
        self._bytes += b"".join(spelled)
        self._ids += ids
        if logprobs is None or len(logprobs) != len(ids):
            self._scored = False
        else:
            self._logprobs += logprobs

    def match(self, raw_text: str) -> int | None:
        """Byte offset at which this text stands in the tokens, moving on behind it; None where they don't hold it."""
        at = self.find(raw_text, self._matched, SKIP)
        if at is not None:
            self._matched = at + len(encoded(raw_text))
        return at

    def find(self, raw_text: str, since: int, skip: int) -> int | None:
        """Byte offset at which this text first stands in the tokens, at most `skip` bytes behind byte `since`."""
        wanted = encoded(raw_text)
        at = self._bytes.find(wanted, since, since + len(wanted) + skip)
        return at if at >= 0 else None

    @property
    def matched(self) -> int:
        """The byte behind the text that was matched last."""
        return self._matched

    def covering(self, start: int, end: int) -> tuple[int, int]:
        """Token indices (from, to) of all tokens that hold a byte of `start` to `end`."""
        first = bisect_right(self._ends, start)
        return first, bisect_left(self._ends, end) + 1

    def holding(self, at: int, raw_text: str, start: int, end: int) -> tuple[int, int]:
        """Token indices (from, to) of characters `start` to `end` of this text, which stands at byte `at`."""
        return self.covering(at + len(encoded(raw_text[:start])), at + len(encoded(raw_text[:end])))

    def ending_in(self, start: int, end: int) -> Iterator[tuple[int, float, int, int]]:
        """(id, log-probability, first byte, byte behind it) of the tokens whose last byte lies in bytes `start` to
        `end`; none unless the engine scored every token. Special tokens spell nothing and end nowhere."""
        if not self._scored:
            return
        for at in range(bisect_right(self._ends, start), bisect_right(self._ends, end)):
            begin = self._ends[at - 1] if at else 0
            if begin < self._ends[at]:
                yield self._ids[at], self._logprobs[at], begin, self._ends[at]

    def spelled(self, start: int, end: int) -> bytes:
        """These bytes."""
        return bytes(self._bytes[start:end])

    def ids_until(self, end: int) -> tuple[int, ...]:
        """The first `end` token ids."""
        return tuple(self._ids[:end])

    def logprobs(self, start: int, end: int) -> list[float] | None:
        """Natural log-probabilities of tokens `start` to `end`; None unless the engine scored every token."""
        return self._logprobs[start:end] if self._scored else None


class TextLedger(TokenLedger):
    """The tokens that our own tokenizer makes of one channel's text, for a model that doesn't tell its own.

    The text is read a segment at a time, so that the tokens are a function of the text alone. White space at a
    segment's end is read with the next one: tokens begin with it. No log-probabilities come with them.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self._scored = False
        self._space = ""

    def match(self, raw_text: str) -> int | None:
        """Reads the next segment: where it begins. None where the tokens spell another text (a normaliser that
        changes it, the mark of a special token); they are context for what comes behind it all the same."""
        at = len(self._bytes) + len(encoded(self._space))
        text = self._space + raw_text
        kept = text.rstrip() or text
        self._space = text[len(kept) :]
        wanted = encoded(kept)
        ids = tuple(self._vocabulary.ids(wanted.decode()))
        spelled = _spelled(self._vocabulary, ids, wanted)
        lengths = [0] * len(ids) if spelled is None else [len(spelling) for spelling in spelled]
        self._ends += list(accumulate(lengths, initial=len(self._bytes)))[1:]
        self._bytes += wanted
        self._ids += ids
        return None if spelled is None else at

    def covering(self, start: int, end: int) -> tuple[int, int]:
        """As above; white space at the end has no tokens yet."""
        first, last = super().covering(start, end)
        return first, min(last, len(self._ids))


def _spelled(vocabulary: Vocabulary, ids: tuple[int, ...], wanted: bytes) -> list[bytes] | None:
    """What each of these tokens spells of the wanted bytes; None if together they spell something else. A space that
    the tokenizer has put before the text (SentencePiece) belongs to none of it."""
    spelled = [vocabulary.spell(token) for token in ids]
    whole = b"".join(spelled)
    if whole == b" " + wanted:
        spelled[0] = spelled[0][1:]
        return spelled
    return spelled if whole == wanted else None


def encoded(raw_text: str) -> bytes:
    """The bytes that tokens would spell it with; what is no character becomes "?", which no tokens hold there."""
    return raw_text.encode("utf-8", "replace")
