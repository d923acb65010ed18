"""What was promised: nothing private leaves, nothing hangs, memory is flat, every request has exactly one record.

Pure: figures in, broken promises out, each as a sentence.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

FLAT_SHARE: Final = 0.10
LATE_SECONDS: Final = 55.0  # that an end may come after the deadline, on a machine that stands still now and then
KILL_SECONDS: Final = 15.0  # between a kill and when the last caller has seen it
END_SECONDS: Final = 0.5  # between an answer's last byte and its record
EXAMPLES: Final = 3


@dataclass(frozen=True)
class Told:
    """What a caller has to say of one request; see callers.py."""

    id: str | None
    outcome: str
    began: float
    ended: float
    leaks: Sequence[str] = ()
    strange: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def clean(self) -> bool:
        """Whether nothing is in it but what is harmless."""
        return not (self.leaks or self.strange)


def private(answers: Iterable[Told]) -> list[str]:
    """Answers with something in them that no model's harmless words are."""
    bad = [answer for answer in answers if not answer.clean]
    kinds = Counter(each for answer in bad for each in (*answer.leaks, *(f"word {word!r}" for word in answer.strange)))
    return [f"{len(bad)} answers hold private text: {_examples(kinds)}"] if bad else []


def hanging(answers: Iterable[Told], deadline: float) -> list[str]:
    """Answers that went on past their deadline."""
    late = [answer for answer in answers if answer.outcome == "hung" or answer.seconds > deadline + LATE_SECONDS]
    longest = max((answer.seconds for answer in late), default=0.0)
    return [f"{len(late)} requests went past the deadline of {deadline:g} s, up to {longest:.1f} s"] if late else []


def growing(samples: Sequence[tuple[float, float]]) -> list[str]:
    """Memory (moment, MiB) of a process that ran all the time: the second quarter against the last one."""
    before, after = quarters(samples)
    if after <= before * (1 + FLAT_SHARE):
        return []
    return [f"memory grew from {before:.0f} to {after:.0f} MiB after the first quarter"]


def quarters(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The medians of the second quarter of the time, and of the last."""
    first, last = samples[0][0], samples[-1][0]

    def median(begin: float, end: float) -> float:
        since, until = (first + share * (last - first) for share in (begin, end))
        return statistics.median(mib for at, mib in samples if since <= at <= until)

    return median(0.25, 0.5), median(0.75, 1.0)


def unrecorded(answers: Sequence[Told], records: Iterable[str], kills: Sequence[tuple[float, float]]) -> list[str]:
    """Requests with another number of records than one. `records`: the ids of all; `kills`: since when a gateway that
    is killed has written no records, and until when it is. A request that ended in between may have none."""
    times = Counter(records)
    several = sum(count > 1 for count in times.values())
    without = [answer for answer in answers if answer.id is not None and not times[answer.id]]
    missing = [answer for answer in without if not _ended_by(answer, kills)]
    headless = sum(answer.id is None for answer in answers)
    unknown = len(times.keys() - {answer.id for answer in answers})
    found = []
    if several:
        found.append(f"{several} requests have more than one record")
    if missing:
        found.append(f"{len(missing)} requests have no record: {_examples(Counter(each.outcome for each in missing))}")
    if unknown > headless:
        found.append(f"{unknown} records are of nobody's request: only {headless} got no answer at all")
    return found


def _ended_by(answer: Told, kills: Iterable[tuple[float, float]]) -> bool:
    return any(since - END_SECONDS <= answer.ended <= until + KILL_SECONDS for since, until in kills)


def _examples(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(EXAMPLES))
