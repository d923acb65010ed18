"""The crowd that shares some traits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.specificity.crowd_tables import Kind, Trait, age_band, shipped_crowds
from filters.specificity.estimate import crowd

CROWDS = shipped_crowds()
LEEDS = Trait(Kind.PLACE, ("GB", "England", "Leeds"))
YORK = Trait(Kind.PLACE, ("GB", "England", "York"))
NURSE, DENTIST = Trait(Kind.JOB, ("health", "nurse")), Trait(Kind.JOB, ("health", "dentist"))
AGE = Trait(Kind.AGE, ("30-39", "34"))


def test_it_is_the_product_of_the_shares() -> None:
    assert crowd(CROWDS, []) == pytest.approx(5_100_000 / 2)  # the smallest country that is assumed, one gender
    assert crowd(CROWDS, [LEEDS]) == pytest.approx(810_000 / 2)
    assert crowd(CROWDS, [LEEDS, NURSE]) == pytest.approx(810_000 / 2 * 0.006)
    assert crowd(CROWDS, [LEEDS, NURSE, AGE]) == pytest.approx(810_000 / 2 * 0.006 * 0.014)


def test_a_gender_that_is_told_adds_nothing_unless_it_is_rare() -> None:
    woman, other = Trait(Kind.GENDER, ("female",)), Trait(Kind.GENDER, ("other",))
    assert crowd(CROWDS, [LEEDS, woman]) == crowd(CROWDS, [LEEDS])
    assert crowd(CROWDS, [LEEDS, other]) < crowd(CROWDS, [LEEDS]) / 50


def test_what_is_implied_counts_once() -> None:
    for general in (("GB",), ("GB", "England")):
        assert crowd(CROWDS, [LEEDS, Trait(Kind.PLACE, general)]) == crowd(CROWDS, [LEEDS])


def test_two_of_a_group_are_a_part_of_those_who_have_it() -> None:
    both = crowd(CROWDS, [LEEDS, NURSE, DENTIST])
    assert crowd(CROWDS, [LEEDS, NURSE]) * 0.0004 < both < crowd(CROWDS, [LEEDS, NURSE])
    assert both == pytest.approx(810_000 / 2 * 0.006 * 0.0004 / 0.05)


def test_a_deployment_says_where_its_people_live() -> None:
    assert crowd(CROWDS, [NURSE], frozenset({"CN"})) > 100 * crowd(CROWDS, [NURSE])
    assert crowd(CROWDS, [LEEDS], frozenset({"CN"})) == crowd(CROWDS, [LEEDS])  # what is told comes first


def test_of_two_homes_the_smaller_crowd_counts() -> None:
    auckland = Trait(Kind.PLACE, CROWDS.places["auckland"])
    assert crowd(CROWDS, [LEEDS, auckland]) <= min(crowd(CROWDS, [LEEDS]), crowd(CROWDS, [auckland]))


ALL = [
    *(Trait(kind, path) for kind in (Kind.JOB, Kind.ILLNESS, Kind.ETHNICITY) for _, path in CROWDS.words(kind)),
    *(Trait(Kind.PLACE, path) for path in CROWDS.places.values()),
    *(Trait(Kind.AGE, (age_band(age), str(age))) for age in range(100)),
    Trait(Kind.EMPLOYER, ("plimsol",)),
    Trait(Kind.PLACE, ("~kelvo",)),
    Trait(Kind.BIRTH, ("199", "1991", "03")),
]


@given(st.lists(st.sampled_from(ALL), max_size=8), st.randoms())
def test_order_does_not_matter_and_generalising_never_shrinks(traits: list[Trait], random: object) -> None:
    assert crowd(CROWDS, traits) == crowd(CROWDS, traits[::-1])
    countries = frozenset({"GB"})
    known = [trait for trait in traits if trait.kind is not Kind.PLACE]
    for at, trait in enumerate(known):
        general = [*known[:at], Trait(trait.kind, trait.path[:-1]), *known[at + 1 :]]
        assert crowd(CROWDS, general, countries) >= crowd(CROWDS, known, countries) * (1 - 1e-9)
