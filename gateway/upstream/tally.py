"""How many tokens have been released, counted on the way: a long answer is neither kept nor counted at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from filters.events import Channel

PIECE = 4096  # characters


class Tally:
    """Of one answer. Pieces end where a word does, so that a tokenizer which keeps words apart (all that byte-pair
    encodings of today do) counts as many as in the whole; another may be off by one a piece. A function of the text
    alone, however it came."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._closed: Counter[int] = Counter()  # tokens of whole pieces, by choice
        self._open: dict[Channel, list[str]] = {}
        self._length: Counter[Channel] = Counter()

    def add(self, channel: Channel, text: str) -> None:
        """This has been released."""
        self._open.setdefault(channel, []).append(text)
        self._length[channel] += len(text)
        if self._length[channel] > PIECE:
            self._close_pieces(channel)

    def of(self, choice: int) -> int:
        """Tokens that this choice has released."""
        parts = (parts for channel, parts in self._open.items() if channel.choice == choice)
        return self._closed[choice] + sum(self._count("".join(each)) for each in parts)

    @property
    def total(self) -> int:
        """Tokens that all choices have released."""
        return sum(self.of(choice) for choice in {channel.choice for channel in self._open})

    def _close_pieces(self, channel: Channel) -> None:
        text = "".join(self._open[channel])
        while len(text) > PIECE:
            end = max(text.rfind(" ", 1, PIECE), text.rfind("\n", 1, PIECE))
            piece, text = (text[:end], text[end:]) if end > 0 else (text[:PIECE], text[PIECE:])
            self._closed[channel.choice] += self._count(piece)
        self._open[channel], self._length[channel] = [text], len(text)
