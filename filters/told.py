"""Which tokens may be told beside the text of an answer: ids and log-probabilities of what left as the model wrote it.

1. A token is told with the text in which it ends, and only if every byte of it has left unchanged. One that a hidden
   value, a cut-off end or a replacement touches is never told, and nothing stands in for it.
2. Its offset is its place in the text that the caller gets, in characters.
3. Only the token that was chosen is told. Its alternatives are words of answers that no filter has read.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from filters.events import Channel, ReleasedToken
from filters.tokens import TokenLedger, encoded

# A part of what leaves: the characters of the segment that it is, unchanged, or None for a replacement; and its text.
Piece = tuple[slice | None, str]


@dataclass(slots=True)
class _Line:
    """One channel's text on its way out, in characters, and the tokens that have not left yet with where each ends."""

    waiting: deque[tuple[int, ReleasedToken]] = field(default_factory=deque)
    written: int = 0
    left: int = 0


class ToldTokens:
    """The tokens of one choice, from the moment their text is decided to the moment it leaves."""

    def __init__(self) -> None:
        self._lines: defaultdict[Channel, _Line] = defaultdict(_Line)
        # bytes of the tokens: the last stretch of which nothing was hidden, and the channel that it stands in
        self._clean_from = self._clean_to = 0
        self._clean_in: Channel | None = None

    def start_over(self) -> None:
        """Another model goes on, with tokens of its own."""
        self._clean_from = self._clean_to = 0

    def write(
        self, channel: Channel, pieces: Sequence[Piece], raw_text: str, ledger: TokenLedger | None, at: int | None
    ) -> None:
        """`pieces` of a segment leave next; its raw text begins at byte `at` of the tokens, None if they lack it."""
        line = self._lines[channel]
        for place, text in pieces:
            if place is not None and ledger is not None and at is not None:
                begin = at + len(encoded(raw_text[: place.start]))
                self._extend(channel, begin)
                line.waiting += self._ending_in(ledger, begin, text, line.written)
            line.written += len(text)

    def take(self, channel: Channel, characters: int) -> tuple[ReleasedToken, ...]:
        """So many more characters leave: the tokens that end in them."""
        line, told = self._lines[channel], []
        line.left += characters
        while line.waiting and line.waiting[0][0] <= line.left:
            told.append(line.waiting.popleft()[1])
        return tuple(told)

    def _ending_in(
        self, ledger: TokenLedger, begin: int, text: str, offset: int
    ) -> Iterator[tuple[int, ReleasedToken]]:
        """The tokens that end in this unchanged text, which stands at character `offset` of its channel."""
        self._clean_to = begin + len(encoded(text))
        for token_id, logprob, start, end in ledger.ending_in(begin, self._clean_to):
            if start < self._clean_from:
                continue
            ends = offset + _ended(ledger.spelled(begin, end))
            # white space that closed the segment before often is a token's first character
            first = offset + _ended(ledger.spelled(begin, start)) - _ended(ledger.spelled(start, begin))
            yield ends, ReleasedToken(token_id, ledger.spelled(start, end), logprob, first)

    def _extend(self, channel: Channel, begin: int) -> None:
        if (channel, begin) != (self._clean_in, self._clean_to):
            self._clean_from = begin
        self._clean_in = channel


def unchanged(raw_text: str, start: int, end: int) -> Piece:
    """This part of a segment, as the model wrote it."""
    return slice(start, end), raw_text[start:end]


def _ended(spelling: bytes) -> int:
    """How many characters end in these bytes, of which the first and the last may be parts."""
    begun = len(spelling.decode("utf-8", "ignore"))
    return begun + (bool(spelling) and spelling[0] & 0xC0 == 0x80)
