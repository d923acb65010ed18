"""How many people share a trait: population counts and shares, by country, from JSON files (docs/crowds.md).

A folder holds `common.json`, the kinds of traits with their values, words and international shares, and one file for
each country with its population, places, and the shares in which it differs. The shipped folder is the default; a
deployment may give its own. Everything is read and checked at start; nothing is read later.

A trait is a path from the general to the exact: ("GB", "England", "Leeds"), ("30-39", "34"), ("199", "1991", "03",
"12"). A prefix of a path is a generalisation of it, so that the share of a prefix is never below that of the path.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, TypeVar

import msgspec

SHIPPED = Path(__file__).parent / "crowds"
COMMON = "common.json"
ELSEWHERE = "XX"  # the table whose regions are the countries without a table

TraitPath = tuple[str, ...]
_File = TypeVar("_File")


class CrowdTableError(Exception):
    """A table is missing or wrong. The text names file and key; a table holds nothing private."""


class Kind(enum.StrEnum):
    """The kinds of traits that narrow down who somebody is."""

    AGE = "age"
    GENDER = "gender"
    PLACE = "place"
    EMPLOYER = "employer"
    JOB = "job"
    ILLNESS = "illness"
    ETHNICITY = "ethnicity"
    EDUCATION = "education"
    SCHOOL = "school"
    BIRTH = "birth"
    WEDDING = "wedding"
    JOINING = "joining"
    CHILDREN = "children"
    MARITAL = "marital"


DATES = frozenset({Kind.BIRTH, Kind.WEDDING, Kind.JOINING})
_HEADS = frozenset({Kind.PLACE, Kind.EMPLOYER, Kind.SCHOOL})
_LISTED = frozenset(Kind) - DATES - _HEADS
_YEARS_IN_A_BAND = 10
_MONTHS, _DAYS = 12, 31
_ESCAPED = frozenset('"\\')


# ---- the files -------------------------------------------------------------------------------------------------------

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Heads = Annotated[int, msgspec.Meta(ge=1)]
Wording = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[^\"\\\x00-\x1f]+$")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown keys are errors: a misspelt one would leave its default in force."""


class Group(_Strict, frozen=True):
    """What several values have in common, and how it is said."""

    share: Share
    en: Wording
    zh: Wording


class Value(_Strict, frozen=True):
    """One value of a kind: the share of all people, and the words for it."""

    share: Share
    group: str = ""
    en: tuple[str, ...] = ()
    zh: tuple[str, ...] = ()


class Listed(_Strict, frozen=True):
    """A kind whose values are listed. `default` is the share of a value that is not."""

    default: Share
    values: dict[str, Value]
    groups: dict[str, Group] = {}


class Common(_Strict, frozen=True):
    """`common.json`. `heads`: how many people a place, employer or school that no table names has."""

    source: str
    heads: dict[Kind, Heads]
    per_year: dict[Kind, Share]
    kinds: dict[Kind, Listed]


class Place(_Strict, frozen=True):
    """A region or a city; `region` is the region that a city lies in."""

    population: Heads
    zh: tuple[str, ...] = ()
    en: tuple[str, ...] = ()  # besides its name
    region: str = ""


class Country(_Strict, frozen=True):
    """One country's file. `assumed`: somebody of whom no place is known may live here."""

    code: str
    population: Heads
    source: str
    assumed: bool
    en: tuple[str, ...]
    zh: tuple[str, ...]
    regions: dict[str, Place] = {}
    cities: dict[str, Place] = {}
    shares: dict[Kind, dict[str, Share]] = {}
    heads: dict[Kind, dict[str, Heads]] = {}


def load_crowds(folder: Path = SHIPPED) -> Crowds:
    """Read and check a folder of tables. Raises CrowdTableError, which names the file and the key."""
    common = _read(folder / COMMON, Common)
    _check_common(common)
    countries: dict[str, Country] = {}
    for path in sorted(folder.glob("*.json")):
        if path.name != COMMON:
            country = _read(path, Country)
            _check_country(path.name, country, common)
            countries[country.code] = country
    if not any(country.assumed for country in countries.values()):
        raise CrowdTableError("no country is assumed of somebody of whom no place is known")
    return Crowds(common, countries)


@cache
def shipped_crowds() -> Crowds:
    """The tables that come with the package, read once."""
    return load_crowds()


def _read(path: Path, kind: type[_File]) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise CrowdTableError(f"{path.name}: can't be read ({error.strerror})") from error
    except msgspec.DecodeError as error:
        raise CrowdTableError(f"{path.name}: {error}") from error


def _check_common(common: Common) -> None:
    _need(COMMON, "heads", _HEADS - common.heads.keys())
    _need(COMMON, "per_year", DATES - common.per_year.keys())
    _need(COMMON, "kinds", _LISTED - common.kinds.keys())
    _need(COMMON, "kinds.age.values", set(map(age_band, range(0, 100, 10))) - common.kinds[Kind.AGE].values.keys())
    for kind, listed in common.kinds.items():
        for name, value in listed.values.items():
            at = f"{COMMON}: kinds.{kind}.values.{name}"
            if value.group and value.group not in listed.groups:
                raise CrowdTableError(f"{at}: no group {value.group!r}")
            if value.group and value.share > listed.groups[value.group].share:
                raise CrowdTableError(f"{at}: a larger share than its group's")
            _check_words(at, (*value.en, *value.zh))


def _check_country(name: str, country: Country, common: Common) -> None:
    if name != f"{country.code}.json":
        raise CrowdTableError(f"{name}: the file of {country.code!r} must be called {country.code}.json")
    for place, entry in [*country.regions.items(), *country.cities.items()]:
        _check_words(f"{name}: {place}", (place, *entry.en, *entry.zh))
        if entry.population > country.population:
            raise CrowdTableError(f"{name}: {place} has more people than the country")
        if entry.region and entry.region not in country.regions:
            raise CrowdTableError(f"{name}: cities.{place}: no region {entry.region!r}")
        if entry.region and entry.population > country.regions[entry.region].population:
            raise CrowdTableError(f"{name}: cities.{place} has more people than its region")
    for kind, shares in country.shares.items():
        if kind not in _LISTED:
            raise CrowdTableError(f"{name}: shares.{kind}: this kind has no shares")
        _need(name, f"shares.{kind}: not in {COMMON}:", shares.keys() - common.kinds[kind].values.keys(), "unknown")


def _check_words(at: str, words: Collection[str]) -> None:
    """They are looked for by their first letter (lexicon.py), and may be said in a JSON string."""
    if not all(word[:1].isalpha() for word in words):
        raise CrowdTableError(f"{at}: a word that doesn't begin with a letter")
    if not all(word.isprintable() and _ESCAPED.isdisjoint(word) for word in words):
        raise CrowdTableError(f"{at}: a word with a quote, a backslash or a control character")


def _need(name: str, at: str, missing: Collection[str], what: str = "missing") -> None:
    if missing:
        raise CrowdTableError(f"{name}: {at} {what} {', '.join(sorted(missing))}")


# ---- looking up ------------------------------------------------------------------------------------------------------


def age_band(age: int) -> str:
    """The band of ten years that an age lies in: "30-39"; "90+" from 90 on."""
    decade = age // 10 * 10
    return f"{decade}-{decade + 9}" if decade < 90 else "90+"


@dataclass(frozen=True, slots=True)
class Trait:
    """Something that is said of a person, without where it was said."""

    kind: Kind
    path: TraitPath

    def covers(self, other: Trait) -> bool:
        """Whether this says nothing that the other doesn't."""
        return self.kind is other.kind and other.path[: len(self.path)] == self.path


class Crowds:
    """The tables of all countries."""

    def __init__(self, common: Common, countries: Mapping[str, Country]) -> None:
        self._common = common
        self._countries = MappingProxyType(dict(countries))
        self._places = MappingProxyType(dict(self._place_paths()))

    @property
    def places(self) -> Mapping[str, TraitPath]:
        """The path of every place that a table names, by its name in lower case."""
        return self._places

    def words(self, kind: Kind) -> Iterator[tuple[str, TraitPath]]:
        """Every word for a listed value or group of this kind, in lower case, and its path."""
        listed = self._common.kinds[kind]
        for name, group in listed.groups.items():
            yield from ((word.lower(), (name,)) for word in (group.en, group.zh))
        for name, value in listed.values.items():
            path = (value.group, name) if value.group else (name,)
            yield from ((word.lower(), path) for word in (*value.en, *value.zh))

    def group(self, kind: Kind, name: str) -> Group | None:
        """The group of this name, if this kind has one."""
        listed = self._common.kinds.get(kind)
        return listed.groups.get(name) if listed else None

    def unlisted(self, kind: Kind, word: str) -> TraitPath:
        """The path of a value that no table names: in the kind's group if it has only one, the illnesses say."""
        listed = self._common.kinds.get(kind)
        return (*listed.groups, word) if listed and len(listed.groups) == 1 else (word,)

    def place_names(self, path: TraitPath) -> tuple[str, str] | None:
        """A listed place's English and Chinese names."""
        if not path or path[0] not in self._countries:
            return None
        country = self._countries[path[0]]
        if len(path) == 1:
            return (country.en[0], country.zh[0]) if country.en and country.zh else None
        place = country.regions.get(path[-1]) or country.cities.get(path[-1])
        return (path[-1], place.zh[0]) if place and place.zh else None

    @property
    def countries(self) -> frozenset[str]:
        """The codes of all tables."""
        return frozenset(self._countries)

    @property
    def assumed(self) -> frozenset[str]:
        """The countries that somebody may live in of whom no place is known."""
        return frozenset(code for code, country in self._countries.items() if country.assumed)

    def population(self, country: str) -> int:
        """Raises KeyError for a country without a table."""
        return self._countries[country].population

    def share(self, country: str, trait: Trait) -> float:
        """The share of this country's inhabitants who have the trait, over 0 and at most 1; small where unknown."""
        if not trait.path:
            return 1.0
        if trait.kind in _HEADS:
            return min(1.0, self._heads(country, trait) / self._countries[country].population)
        if trait.kind in DATES:
            return self._share_of_date(trait)
        return self._share_of_listed(country, trait)

    def _heads(self, country: str, trait: Trait) -> int:
        name = trait.path[-1]
        if trait.kind is not Kind.PLACE:
            return self._countries[country].heads.get(trait.kind, {}).get(name, self._common.heads[trait.kind])
        home = self._countries.get(trait.path[0])
        if home is None:
            return self._common.heads[Kind.PLACE]
        if len(trait.path) == 1:
            return home.population
        place = home.cities.get(name) or home.regions.get(name)
        return place.population if place else self._common.heads[Kind.PLACE]

    def _share_of_date(self, trait: Trait) -> float:
        """A path of decade, year, month and day; "--" for a year that is not said."""
        decade, *rest = trait.path
        per_year = self._common.per_year[trait.kind]
        share = 1.0 if decade == "--" else min(1.0, per_year * _YEARS_IN_A_BAND)
        if rest and rest[0] != "--":
            share = per_year
        return share / (_MONTHS if len(rest) > 1 else 1) / (_DAYS if len(rest) > 2 else 1)

    def _share_of_listed(self, country: str, trait: Trait) -> float:
        listed = self._common.kinds[trait.kind]
        first, last = trait.path[0], trait.path[-1]
        if trait.kind is Kind.AGE:
            return listed.values[first].share / (_YEARS_IN_A_BAND if len(trait.path) > 1 else 1)
        here = self._countries[country].shares.get(trait.kind, {})
        if last in listed.values:
            return here.get(last, listed.values[last].share)
        if len(trait.path) == 1 and first in listed.groups:
            members = (share for name, share in here.items() if listed.values[name].group == first)
            return max(listed.groups[first].share, *members, 0.0)
        return listed.default

    def _place_paths(self) -> Iterator[tuple[str, TraitPath]]:
        # Later ones win: a city that shares its name with a region is the smaller crowd.
        for code, country in self._countries.items():
            yield from ((name.lower(), (code,)) for name in (*country.en, *country.zh))
        for code, country in self._countries.items():
            for name, place in country.regions.items():
                yield from ((word.lower(), (code, name)) for word in (name, *place.en, *place.zh))
        for code, country in self._countries.items():
            for name, place in country.cities.items():
                path = (code, place.region, name) if place.region else (code, name)
                yield from ((word.lower(), path) for word in (name, *place.en, *place.zh))
