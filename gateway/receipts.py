"""What was looked at for one person, what was found, what was erased, and what stays: `tightlip subject`.

Every place where something of a person could be is named, also those where nothing is looked for, each with the reason
and how long it stays. The texts are fixed and say nothing of anybody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.admin.shapes import ItemShown, MarkShown, PlaceShown, Receipt
from gateway.last_use import EVERY
from gateway.observe.pseudonyms import Pseudonyms
from gateway.policy.load import Rules
from gateway.state import Store
from gateway.subjects import (
    LAST_USES,
    LEAK_BUDGET,
    LIMITS,
    REVOCATIONS,
    Item,
    Person,
    Whereabouts,
    is_alone,
    revocations,
    whereabouts,
)

RECORDS, SECURITY_EVENTS = "records", "security_events"

# What an erasure leaves where it is: why, and until when.
_STAYS: Final = {
    REVOCATIONS: (
        "A revocation outlives an erasure: without it tokens that were taken back would be good again.",
        "its end, or a week after it is withdrawn (tightlip revoke withdraw)",
    )
}
# Why nobody looks among last uses for somebody whose mark may be another's.
_AMONG_OTHERS: Final = (
    "Callers stand there under plain marks (log.subject: plain), and this one's may be another's too.",
    "400 days after the last",
)
# Where nothing is looked for: why, and until when what may be there is there.
_LINES: Final[Sequence[tuple[str, str]]] = (
    (
        RECORDS,
        "Records of requests leave the gateway as lines and are not changed any more. They hold metadata only, under "
        "these marks; read them with --records.",
    ),
    (
        SECURITY_EVENTS,
        "So do security events: requests that were refused, and what he administrated. They are found by --records, "
        "too.",
    ),
)
_ELSEWHERE: Final[Sequence[tuple[str, str, str]]] = (
    (
        "audit_log",
        "It shows who administrated what, and proves that nothing was taken away: a line that went would break the "
        "chain. It has this call too. A person whom a call was about stands there under a mark.",
        "audit.keep_days, or the retention of whoever collects it",
    ),
    (
        "own_counts",
        "A gateway that lets callers in while the store is away counts for itself then, in memory "
        "(state.limits_on_failure: allow).",
        "two days at most, or its end",
    ),
    (
        "encrypted_requests",
        "A hash of the caller and of a random id, which can't be found by the caller alone.",
        "twelve minutes",
    ),
    ("metrics", "No series has a caller.", "nothing is there"),
    (
        "tuning_index",
        "It knows no callers. Whether somebody stands in the fine-tuning set is another question: erase him there, "
        "train and build the index anew.",
        "the next release",
    ),
    ("deny_list", "Its entries are keyed hashes of what an operator listed, not of callers.", "it is taken off"),
    ("answers_under_way", "Answers that are running hold their text in memory, and count what they find.", "they end"),
    (
        "model_servers",
        "Prompts and answers stand in their memory, prefix caches among it, and they are told of no caller.",
        "they are displaced, or the server ends",
    ),
)
_LOOKED: Final = (LIMITS, LEAK_BUDGET, LAST_USES, REVOCATIONS)
# All that a receipt names, in its order.
PLACES: Final = (*_LOOKED, *(place for place, _ in _LINES), *(place for place, _, _ in _ELSEWHERE))
_COLLECTED: Final = "the retention of whoever keeps the lines"


@dataclass(frozen=True, slots=True)
class Subjects:
    """What a receipt is made with. `tell_uses` has the store know what this process knows of last uses. `audit_mark`
    is somebody's mark in the audit log, by issuer, tenant and name. `audit_head` is how far that has come. `kept_days`:
    for how long records and security events are kept, where they are files that the gateway deletes."""

    store: Store
    pseudonyms: Pseudonyms
    audit_mark: Callable[[str, str, str], str | None]
    audit_head: Callable[[], str | None]
    tell_uses: Callable[[], Awaitable[None]]
    shared: bool
    marks_kept: bool
    kept_days: Mapping[str, int] = field(default_factory=dict)

    async def export(self, who: Person, rules: Rules, now: float) -> Receipt:
        """All that is kept of him, with its values. Raises StateUnavailable."""
        found, names = await self._looked(who, rules, now)
        kept = [names.item(each) for each in await self.store.kept(names.names)]
        return self._receipt("export", who, rules, now, [*kept, *found], values=True)

    async def erase(self, who: Person, rules: Rules, now: float) -> Receipt:
        """What is kept of him is gone, but for what has to stay. Raises StateUnavailable."""
        found, names = await self._looked(who, rules, now)
        erased = await self.store.erase(names.names)
        items = [*map(names.item, erased.kept), *found]
        return self._receipt("erase", who, rules, now, items, values=False, left=erased.left)

    async def _looked(self, who: Person, rules: Rules, now: float) -> tuple[list[Item], Whereabouts]:
        await self.tell_uses()
        names = await whereabouts(self.store, who, rules, self._mark(who, rules))
        return await revocations(self.store, who, now), names

    def _mark(self, who: Person, rules: Rules) -> str | None:
        """His own in last uses; none names an end user."""
        alone = is_alone(who.caller, rules)
        return None if who.end_users else self.pseudonyms.own_lasting(who.caller, alone=alone)

    def _hides_among_others(self, who: Person, mark: str | None) -> bool:
        """Whether he may be among last uses under a mark that is not his alone."""
        return mark is None and not who.end_users and self.pseudonyms.lasting(who.caller) is not None

    def _receipt(
        self,
        call: str,
        who: Person,
        rules: Rules,
        now: float,
        items: Sequence[Item],
        *,
        values: bool,
        left: Sequence[str] = (),
    ) -> Receipt:
        caller, mark = who.caller, self._mark(who, rules)
        looked = [_place(place, items, values=values) for place in _LOOKED]
        if self._hides_among_others(who, mark):
            looked[_LOOKED.index(LAST_USES)] = PlaceShown(LAST_USES, *_AMONG_OTHERS)
        return Receipt(
            call=call,
            at=now,
            issuer=caller.issuer,
            tenant=caller.tenant,
            subject=caller.subject,
            end_user=who.name if who.end_users else None,
            known=who.known,
            mark=mark,
            record_marks=list(self._record_marks(who, rules, now)),
            marks_kept=self.marks_kept,
            audit_mark=self.audit_mark(who.issuer, caller.tenant, who.name),
            audit_head=self.audit_head(),
            shared=self.shared,
            places=[*looked, *self._lines(), *(PlaceShown(*each) for each in _ELSEWHERE)],
            left=list(left),
            again_after=EVERY,
        )

    def _lines(self) -> list[PlaceShown]:
        return [PlaceShown(place, why, _until(self.kept_days.get(place))) for place, why in _LINES]

    def _record_marks(self, who: Person, rules: Rules, now: float) -> Iterator[MarkShown]:
        if not who.end_users:
            for each in self.pseudonyms.own_subjects(who.caller, now, alone=is_alone(who.caller, rules)):
                yield MarkShown(each.mark, each.first, each.last)


def _until(days: int | None) -> str:
    return _COLLECTED if days is None else f"{days} days after their day is over; copies elsewhere: {_COLLECTED}"


def _place(place: str, items: Sequence[Item], *, values: bool) -> PlaceShown:
    """One in which was looked."""
    found = [item for item in items if item.place == place]
    why, until = _STAYS.get(place, (None, None))
    erased = 0 if values or why is not None else len(found)
    shown = [ItemShown(each.what, each.role, each.signed_by, each.amount, each.time, each.ends) for each in found]
    return PlaceShown(place, why, until, True, len(found), erased, shown if values else [])
