"""Special categories that the caller told himself, so that an answer may speak of them: of the same person only.

"I have diabetes. What illness does Ada Plimsol have?" must not free "she has diabetes". So a finding of an answer
counts where the caller told the same of somebody, and its sentence speaks of nobody else:

1. Whoever it names, or calls a relative ("her mother"), stood in the caller's own sentence too.
2. Where it has only a pronoun or a role ("she", "the customer"), nobody else is named or called a relative in all that
   the caller wrote.
3. Where it speaks to the caller ("I see that you have diabetes"), he told it of himself.

What was asked about, is one of many or up for choice does not count at all (filters/grounding.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import regex

from filters.normalise import normalise
from filters.persons import Person, names_in
from filters.pii.canonical import canonical
from filters.spans import Span
from filters.specificity.persons import KIN, PRONOUN, ROLE, SELF, hits, sentences

_YOU = regex.compile(r"\byou(?:r|rs|rself)?\b|[您你]")


@dataclass(frozen=True, slots=True)
class Whom:
    """Of whom a sentence speaks."""

    names: frozenset[Person] = frozenset()
    kin: frozenset[str] = frozenset()  # words for relatives
    somebody: bool = False  # a pronoun, or a word for a role
    oneself: bool = False  # who writes it
    reader: bool = False  # who reads it

    @property
    def named(self) -> bool:
        return bool(self.names or self.kin)

    @property
    def another(self) -> bool:
        """Whether it may be of somebody who is neither its writer nor a relative of his."""
        return bool(self.names) or (self.somebody and not self.kin)


@dataclass(frozen=True, slots=True)
class ToldCategories:
    """What one caller told, by type and canonical form, and everybody of whom he wrote."""

    told: Mapping[tuple[str, str], Sequence[Whom]] = field(default_factory=dict)
    names: frozenset[Person] = frozenset()
    kin: frozenset[str] = frozenset()

    @classmethod
    def read(cls, own_texts: Iterable[str], told: Mapping[tuple[str, str], Sequence[Whom]]) -> ToldCategories:
        """`told` of these texts. Raises DetectorError."""
        if not told:
            return cls()
        everybody = [whom(text) for text in own_texts]
        names = frozenset(name for each in everybody for name in each.names)
        return cls(told, names, frozenset(word for each in everybody for word in each.kin))

    def covers(self, seen: str, finding: Span) -> bool:
        """Whether the caller told this of the same person. Raises DetectorError."""
        told = self.told.get((finding.type, canonical(finding.type, seen[finding.start : finding.end])), ())
        if not told:
            return False
        said = whom_of(seen, finding)
        return any(self._is_same(said, each) for each in told)

    def _is_same(self, said: Whom, told: Whom) -> bool:
        if said.named:
            return said.kin <= told.kin and all(any(name <= own for own in told.names) for name in said.names)
        if said.somebody:
            another = told.named or told.somebody
            return another and (self.names, self.kin) == (told.names, told.kin)
        return said.reader and told.oneself and not told.named


def whom_of(text: str, finding: Span) -> Whom:
    """Of whom the sentence of a finding speaks; the finding itself is nobody's name. Raises DetectorError."""
    for start, end in sentences(text):
        if start <= finding.start < end:
            blank = "\0" * (min(finding.end, end) - finding.start)
            return whom(text[start : finding.start] + blank + text[min(finding.end, end) : end])
    return Whom()


def whom(text: str) -> Whom:
    """Of whom a text speaks. Raises DetectorError."""
    lower = normalise(text).text.lower()
    words = {(hit.entry, lower[hit.start : hit.end]) for hit in hits(lower)}
    kinds = {kind for kind, _ in words}
    return Whom(
        names=frozenset(name.person for name in names_in(text)),
        kin=frozenset(word for kind, word in words if kind == KIN),
        somebody=not kinds.isdisjoint((PRONOUN, ROLE)),
        oneself=SELF in kinds,
        reader=_YOU.search(lower) is not None,
    )
