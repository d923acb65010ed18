"""How many people share what was said of somebody: k = N * product of shares.

N are the inhabitants of the country, the shares come from the tables (crowd_tables.py). Traits of different kinds are
taken as independent, as the estimates from census tables do (Sweeney 2000, "Simple Demographics Often Identify People
Uniquely"; Golle 2006, "Revisiting the Uniqueness of Simple Demographics in the US Population"); what no table lists
has a small share.

1. Everybody's gender counts as known from the start: pronouns tell it, and they can't be taken back.
2. Of several countries that a person may live in, the one with the smallest crowd counts.
3. A trait that another one implies adds nothing; two of one kind add up ("a nurse", later "a pilot").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from filters.specificity.crowd_tables import Crowds, Kind, Trait

_GENDER_SHARE = 0.5


def crowd(crowds: Crowds, traits: Iterable[Trait], countries: frozenset[str] = frozenset()) -> float:
    """How many people share all these traits. `countries`: where those of no known place may live; the tables'
    assumed ones where it is empty."""
    told = _most_exact(traits)
    homes = {trait.path[0] for trait in told if trait.kind is Kind.PLACE} & crowds.countries
    return min(_crowd_in(crowds, country, told) for country in homes or countries or crowds.assumed)


def _crowd_in(crowds: Crowds, country: str, traits: Iterable[Trait]) -> float:
    genders = [crowds.share(country, trait) for trait in traits if trait.kind is Kind.GENDER]
    others = [trait for trait in traits if trait.kind is not Kind.GENDER]
    return crowds.population(country) * min([_GENDER_SHARE, *genders]) * math.prod(_shares(crowds, country, others))


def _shares(crowds: Crowds, country: str, traits: Iterable[Trait]) -> Iterator[float]:
    """The share of each trait among those who have the traits before it: of two with a common general trait (two jobs
    in one trade, two towns of one region) the second is a part of those who have that."""
    implied: set[Trait] = set()
    for trait in traits:
        shared = [general for general in _generals(trait) if general in implied]
        share = crowds.share(country, trait)
        yield min(1.0, share / crowds.share(country, shared[-1])) if shared else share
        implied.update(_generals(trait))


def _generals(trait: Trait) -> list[Trait]:
    """What the trait implies, from the most general on."""
    return [Trait(trait.kind, trait.path[:length]) for length in range(1, len(trait.path))]


def _most_exact(traits: Iterable[Trait]) -> list[Trait]:
    """Without those that another one implies."""
    told = set(traits)
    exact = [trait for trait in told if not any(trait != other and trait.covers(other) for other in told)]
    return sorted(exact, key=lambda trait: (trait.kind, trait.path))  # the order decides how the product is rounded
