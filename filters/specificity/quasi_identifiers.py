"""Whether harmless parts add up to one person: traits gathered per described person, and the crowd that shares them.

Where the crowd that shares everything said of somebody (estimate.py) would get smaller than the policy's k, the newest
trait is said in a more general way, the least general with which it does not, in the last resort with words that say
nothing.

Rules:

1. Traits belong to persons by persons.py: when in doubt to everybody in the answer.
2. What the caller said first (`hear`) does not count, nor does what is said of public figures (`is_public`). What an
   earlier answer said first (`prime`) counts although the caller may repeat it. So the messages of a conversation are
   taken in their order.
3. A trait keeps its wording for as long as the ledger lives. A ledger serves one choice (`fork`): were it shared, what
   one choice says would depend on how far the other has come.
4. What was said is never forgotten, also if another filter hid it: the ledger can only be too strict by that.

So k as reported never falls below the policy's by what `feed` lets through; where earlier answers (`prime`) have made
it fall already, it does not fall further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from filters.normalise import normalise
from filters.pii.generalise import around, is_chinese
from filters.pii.view import View
from filters.spans import Span
from filters.specificity.attributes import Attribute, AttributeFinder
from filters.specificity.crowd_tables import Kind, Trait
from filters.specificity.estimate import crowd
from filters.specificity.persons import PRONOUN, ROLE, SELF, Mentions, mentions, sentences
from filters.specificity.wordings import wording

QUASI_IDENTIFIER = "QUASI_IDENTIFIER"
FEWEST = 3  # a smaller crowd than that is none (as for the index: DESIGN)
PERSON = "PERSON"
MOST_OWN_VALUES = 3  # more than a person has of one kind; a request with more is a list of candidates
_QUESTION = ("?", "？", "吗", "呢")  # how a question ends


@dataclass(frozen=True, slots=True)
class Generalisation:
    """`text` is to stand for `raw_text[start:end]`, which states a trait of this kind too exactly."""

    start: int
    end: int
    kind: Kind
    text: str


class OwnTraits:
    """What the caller himself said. It is no oracle: nothing of a kind counts of which there are more than
    MOST_OWN_VALUES values, and nothing that a question holds."""

    def __init__(self) -> None:
        self._told: set[Trait] = set()
        self._asked: set[Trait] = set()

    def add(self, traits: Iterable[Trait], *, asked: bool) -> None:
        """Of one sentence; `asked`: it is a question."""
        (self._asked if asked else self._told).update(traits)

    def cover(self, trait: Trait) -> bool:
        """Whether the caller said this, or something more exact."""
        return (
            any(trait.covers(told) for told in self._told - self._asked) and self._values(trait.kind) <= MOST_OWN_VALUES
        )

    def _values(self, kind: Kind) -> int:
        return sum(trait.kind is kind for trait in self._told | self._asked)


class PersonLedger:
    """What one answer has said of persons. Fed with the segments of a choice in their order."""

    def __init__(
        self,
        finder: AttributeFinder,
        k: int,
        *,
        countries: frozenset[str] = frozenset(),
        is_public: Callable[[str], bool] = lambda name: False,
    ) -> None:
        """`k`: the fewest people who may share what is said of anybody; ValueError under FEWEST. `countries`: where
        the deployment's people live, by code; ValueError for one without a table. `is_public`: whether the base model
        knows a person of this name."""
        if k < FEWEST:
            raise ValueError(f"k must be at least {FEWEST}")
        unknown = countries - finder.crowds.countries
        if unknown:
            raise ValueError(f"no table for {sorted(unknown)}")
        self._finder, self._k, self._countries = finder, k, countries
        self._own, self._is_public = OwnTraits(), is_public
        self._of_all: set[Trait] = set()
        self._of: dict[frozenset[str], set[Trait]] = {}
        self._public_chain = False
        self._given: dict[Trait, Trait] = {}

    def fork(self, is_public: Callable[[str], bool] = lambda name: False) -> PersonLedger:
        """One that goes on from here on its own. What the caller said is shared: hear him before."""
        ledger = PersonLedger(self._finder, self._k, countries=self._countries, is_public=is_public)
        ledger._own = self._own
        ledger._of_all = set(self._of_all)
        ledger._of = {name: set(traits) for name, traits in self._of.items()}
        ledger._given = dict(self._given)
        return ledger

    @property
    def smallest_crowd(self) -> float:
        """The k of the person of whom most was said."""
        return min(self._crowd(traits) for traits in (set[Trait](), *self._of.values()))

    def hear(self, own_text: str) -> None:
        """Take a message of the caller's. Raises DetectorError; what it says then counts."""
        said = self._of_all.union(*self._of.values())
        for start, end in sentences(own_text):
            sentence = own_text[start:end]
            found = {attribute.trait for attribute in self._finder.find(sentence)}
            asked = sentence.rstrip().endswith(_QUESTION)
            self._own.add({trait for trait in found if not any(trait.covers(other) for other in said)}, asked=asked)

    def prime(self, raw_text: str, names: Sequence[Span] = ()) -> None:
        """Take an earlier answer of the conversation, as the client sends it back. Raises DetectorError."""
        for start, end in sentences(raw_text):
            inside = [name.shifted(-start) for name in names if start <= name.start < end]
            for attribute, owners in self._owned(raw_text[start:end], "", inside):
                self._note(attribute.trait, owners)

    def feed(self, raw_text: str, context: str = "", names: Sequence[Span] = ()) -> list[Generalisation]:
        """Take the next segment; what must be generalised in it, in offsets of `raw_text`, sorted, apart.

        `context` is the end of the text before it, `names` are the name model's findings in `raw_text`. Raises
        DetectorError; the segment must then be hidden.
        """
        found = []
        for attribute, owners in self._owned(raw_text, context, names):
            said = self._admitted(attribute.trait, owners)
            self._note(said, owners)
            if said != attribute.trait:
                found.append(self._worded(attribute, said, raw_text))
        return found

    # ---- whose traits ------------------------------------------------------------------------------------------------

    def _owned(
        self, raw_text: str, context: str, names: Sequence[Span]
    ) -> Iterator[tuple[Attribute, list[set[Trait]]]]:
        """New attributes that count, in their order, and the sets that they belong to."""
        people = [span for span in names if span.type == PERSON]
        found = [_shifted(each, -len(context)) for each in self._finder.find(context + raw_text, names=bool(people))]
        found = [each for each in found if each.end > 0]
        if not found and not people:
            return
        for start, end in sentences(raw_text):
            owners = self._owners(raw_text, start, end, people)
            inside = [each for each in found if start < each.end <= end and not self._own.cover(each.trait)]
            yield from ((attribute, owners) for attribute in inside if owners)

    def _owners(self, raw_text: str, start: int, end: int, people: Sequence[Span]) -> list[set[Trait]]:
        """The sets of traits that a sentence adds to; none where it speaks of public figures only."""
        named = [raw_text[span.start : span.end] for span in people if start <= span.start < end]
        private = [name for name in named if not self._is_public(name)]
        text = normalise(raw_text[start:end]).text
        said = mentions(text, View(text).lower, private)
        if said.words & {ROLE, SELF}:
            self._public_chain = False
        elif named:
            self._public_chain = not private
        goes_on = self._public_chain and (named or PRONOUN in said.words)
        return [] if goes_on else self._sets_of(said)

    def _sets_of(self, said: Mentions) -> list[set[Trait]]:
        if not said.names or said.doubtful_name or any(self._is_doubtful(name) for name in said.names):
            return [self._of_all]
        return [self._of.setdefault(name, set()) for name in said.names]

    def _is_doubtful(self, name: frozenset[str]) -> bool:
        return any(name != known and name & known for known in self._of)

    # ---- how exactly -------------------------------------------------------------------------------------------------

    def _admitted(self, trait: Trait, owners: Sequence[set[Trait]]) -> Trait:
        """The trait itself, or the least general prefix of it with which nobody's crowd gets too small."""
        if trait in self._given:
            trait = self._given[trait]
        for said in self._ladder(trait):
            if self._is_known(said, owners) or all(self._suffices(said, traits) for traits in owners):
                if said != trait:
                    self._given[trait] = said
                return said
        raise AssertionError("the empty path is always known")

    def _ladder(self, trait: Trait) -> Iterator[Trait]:
        yield trait
        for length in range(len(trait.path) - 1, -1, -1):
            general = Trait(trait.kind, trait.path[:length])
            if wording(self._finder.crowds, general):
                yield general

    def _is_known(self, said: Trait, owners: Sequence[set[Trait]]) -> bool:
        return all(any(said.covers(other) for other in self._of_all | traits) for traits in owners) or not said.path

    def _suffices(self, said: Trait, traits: set[Trait]) -> bool:
        affected = list(self._of.values()) if traits is self._of_all else []
        return all(self._crowd(each | {said}) >= self._k for each in (traits, *affected))

    def _crowd(self, traits: set[Trait]) -> float:
        return crowd(self._finder.crowds, self._of_all | traits, self._countries)

    def _note(self, said: Trait, owners: Iterable[set[Trait]]) -> None:
        if said.path:
            for traits in owners:
                traits.add(said)

    def _worded(self, attribute: Attribute, said: Trait, raw_text: str) -> Generalisation:
        start = max(0, attribute.start)
        english, chinese = wording(self._finder.crowds, said) or ("", "")
        in_chinese = is_chinese(around(raw_text, start, attribute.end), raw_text[start : attribute.end])
        return Generalisation(start, attribute.end, attribute.trait.kind, chinese if in_chinese else english)


def _shifted(attribute: Attribute, by: int) -> Attribute:
    return Attribute(attribute.start + by, attribute.end + by, attribute.trait)
