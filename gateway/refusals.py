"""Which refusals are written down one by one, in the audit log and as security events. Anybody who reaches a listener
can be refused, as often as he likes; a log is on a disk. So each caller has so many records a minute, and so have all
together; what is beyond is counted, and the count is a record of its own. Those whose token is good have places of
their own: who floods the log without one hides nobody's who has. Pure: no clock, no log."""

from __future__ import annotations

from collections import Counter
from typing import Final

MINUTE: Final = 60.0
MOST_OF_ONE: Final = 10  # records a minute: of an address, or of somebody whose token is good
MOST: Final = 60  # of all with a good token, and as many of all without: 60 million a year, some 30 GB


class Refusals:
    """For one event loop. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._written: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._untold = 0

    def take(self, who: str, now: float, *, known: bool) -> bool:
        """Whether one more of his is written down by itself; otherwise it is counted. `known`: his token is good."""
        if now - self._began >= MINUTE:
            self._began = now
            for written in self._written.values():
                written.clear()
        written = self._written[known]
        if written.total() >= MOST or written[who] >= MOST_OF_ONE:
            self._untold += 1
            return False
        written[who] += 1
        return True

    def untold(self) -> int:
        """How many were only counted since this was asked last."""
        untold, self._untold = self._untold, 0
        return untold

    def tell_again(self, count: int) -> None:
        """That many could not be written after all."""
        self._untold += count
