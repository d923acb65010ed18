"""Made-up text with names in it: customer records, chats, letters, JSON and logs, in English and Chinese.

    python deploy/names/generate.py --count 20 --seed 7

Names are put together from given names and surnames (the `faker` package, MIT, read when training, and the lists below)
so that nobody is meant. A template holds slots; what fills a slot of a person, an organisation or a place is marked:

    P full name  F given name  S surname  O organisation  L place  H street with a number
    N number  I identifier  E e-mail  D date  A amount  R role  T title  V number plate

Only P, F, S (PER), O (ORG) and L, H (LOC) are marked.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Marked = tuple[str, list[tuple[int, int, str]]]

# The share of names that come from English-speaking lists; the others share the rest evenly.
_ENGLISH = ("en_US", "en_GB", "en_IN", "en_NZ", "en_IE")
_ENGLISH_SHARE = 0.55


@dataclass
class Names:
    """Lists to compose names from, by locale."""

    given: dict[str, list[str]] = field(default_factory=dict)
    surnames: dict[str, list[str]] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    streets: list[str] = field(default_factory=list)
    cjk_given: list[str] = field(default_factory=list)
    cjk_surnames: list[str] = field(default_factory=list)
    cjk_places: list[str] = field(default_factory=list)


def load_names() -> Names:
    names = Names()
    for locale in LISTS["latin"]:
        given = _attributes("person", locale, r"first_names.*")
        surnames = _attributes("person", locale, r".*last_names.*")
        if given and surnames:
            names.given[locale], names.surnames[locale] = given, surnames
        places = _attributes("address", locale, r"cities|city_names|real_city_names|states|countries")
        names.places += [p for p in places if p[:1].isupper() and "{" not in p]
        names.streets += _attributes("address", locale, r"streets|street_names|frequent_street_names")
    names.given["pinyin"] = [_pinyin(k) for k in range(600)]
    names.surnames["pinyin"] = LISTS["pinyin_surnames"]
    names.places = sorted(set(names.places) | set(LISTS["places"]))
    names.cjk_given = sorted(set(_attributes("person", "zh_CN", r"first_names.*")))
    names.cjk_surnames = sorted(set(_attributes("person", "zh_CN", r"last_names")))
    places = _attributes("address", "zh_CN", r"cities|countries|provinces|districts") + LISTS["cjk_places"]
    names.cjk_places = sorted(set(places))
    return names


def _attributes(provider: str, locale: str, pattern: str) -> list[str]:
    try:
        module = importlib.import_module(f"faker.providers.{provider}.{locale}")
    except ModuleNotFoundError:
        return []
    found: set[str] = set()
    for name in dir(module.Provider):
        value = getattr(module.Provider, name)
        if re.fullmatch(pattern, name) and isinstance(value, (tuple, list, dict)):
            found.update(v for v in value if isinstance(v, str) and "{" not in v and v.strip())
    return sorted(found)


def _pinyin(seed: int) -> str:
    rng = random.Random(seed)
    syllables = [rng.choice(LISTS["pinyin"]) for _ in range(rng.choice((1, 2, 2)))]
    joined = rng.choice(("", "", "-", "'")).join(syllables) if len(syllables) > 1 else syllables[0]
    return joined.capitalize()


# ---- names -----------------------------------------------------------------------------------------------------------


class Maker:
    """Draws values for slots. Everything comes from `rng`."""

    def __init__(self, names: Names, rng: random.Random) -> None:
        self.names = names
        self.rng = rng
        self._locales = sorted(names.given)

    def _pick(self, name: str) -> str:
        return self.rng.choice(LISTS[name])

    def _several(self, name: str, count: int) -> str:
        return "".join(self._pick(name) for _ in range(count))

    def text(self, language: str) -> Marked:
        templates = TEMPLATES[language]
        count = self.rng.choice((1, 1, 1, 1, 2))
        parts = [self._fill(self.rng.choice(templates), language) for _ in range(count)]
        return joined(parts, " " if language == "en" else "")

    def person(self, language: str) -> str:
        return self._latin_person() if language == "en" else self._chinese_person()

    def given(self, language: str) -> str:
        return self._given(self._locale()) if language == "en" else self._chinese_given()

    def surname(self, language: str) -> str:
        return self._surname(self._locale()) if language == "en" else self._chinese_surname()

    def place(self, language: str) -> str:
        if language == "en":
            return self.rng.choice(self.names.places) if self.rng.random() < 0.8 else self._village()
        return self._chinese_place()

    def organisation(self, language: str) -> str:
        return self._latin_organisation() if language == "en" else self._chinese_organisation()

    # English

    def _locale(self) -> str:
        return self.rng.choice(_ENGLISH if self.rng.random() < _ENGLISH_SHARE else self._locales)

    def _given(self, locale: str) -> str:
        return self.rng.choice(self.names.given[locale])

    def _surname(self, locale: str) -> str:
        return self.rng.choice(self.names.surnames[locale])

    def _latin_person(self) -> str:
        locale, rng = self._locale(), self.rng
        given, surname = self._given(locale), self._surname(locale)
        form = rng.random()
        if form < 0.68:
            return f"{given} {surname}"
        if form < 0.78:
            return f"{given} {rng.choice('ABCDEFGHJKLMNPRSTVW')}. {surname}"
        if form < 0.82:
            return f"{given} {self._given(locale)} {surname}"
        if form < 0.86:
            return f"{given} {surname}-{self._surname(locale)}"
        if form < 0.90:
            return f"{given[0]}. {surname}"
        if form < 0.93:
            return f"{given} {self._pick('particles')} {surname}"
        if form < 0.95:
            return f"{given} {rng.choice(('Mc', 'Mac', 'O’', chr(39).join(('O', ''))))}{surname}"
        if form < 0.97:
            return f"{surname}, {given}"
        return f"{given} {surname} {rng.choice(('Jr.', 'Sr.', 'II', 'III'))}"

    def _village(self) -> str:
        rng = self.rng
        head = self._surname("en_GB") if rng.random() < 0.5 else self._pick("place_heads")
        if rng.random() < 0.5:
            return head + self._pick("place_tails")
        return f"{rng.choice(('North', 'New', 'Port', 'Lake', 'Upper', 'St.'))} {head}"

    def _street(self) -> str:
        rng = self.rng
        if rng.random() < 0.6:
            return f"{rng.randint(1, 990)} {self._surname('en_US')} {self._pick('streets')}"
        return f"{rng.choice(self.names.streets)} {rng.randint(1, 250)}"

    def _latin_organisation(self) -> str:
        rng = self.rng
        name = self._surname(self._locale())
        form = rng.random()
        if form < 0.3:
            return f"{name} {self._pick('company_tails')}"
        if form < 0.45:
            return f"{name} & {self._surname('en_US')}"
        if form < 0.6:
            return f"{self._pick('company_heads')} {self._pick('company_tails')}"
        if form < 0.7:
            return f"University of {rng.choice(self.names.places)}"
        if form < 0.8:
            return f"{rng.choice(self.names.places)} {self._pick('public_tails')}"
        if form < 0.9:
            return self._pick("company_heads") + rng.choice(("soft", "tech", "ly", "corp", "ware", "nova", "data"))
        return "".join(rng.choice("ABCDEFGHIKLMNOPRSTUW") for _ in range(rng.choice((3, 3, 4))))

    # Chinese

    def _chinese_surname(self) -> str:
        draw = self.rng.random()
        if draw < 0.7:
            return self._pick("common_surnames")
        if draw < 0.94:
            return self._pick("other_surnames")
        return self._pick("double_surnames")

    def _chinese_given(self) -> str:
        draw = self.rng.random()
        if draw < 0.25:
            return self.rng.choice(self.names.cjk_given)
        return self._several("given_characters", self.rng.choice((1, 2, 2, 2, 2)))

    def _chinese_person(self) -> str:
        rng = self.rng
        form = rng.random()
        if form < 0.72:
            return self._chinese_surname() + self._chinese_given()
        if form < 0.84:
            return self._transliterated()
        if form < 0.89:
            return self._pick("japanese_surnames") + self._pick("japanese_given")
        if form < 0.92:
            return self._latin_person()
        if form < 0.95:
            return rng.choice("小老阿大") + self._pick("common_surnames")
        if form < 0.97:
            return self._pick("given_characters") * 2
        return self._chinese_surname() + rng.choice(("某", "某某", "总", "太太", "×", "*", "**"))

    def _transliterated(self) -> str:
        rng = self.rng

        def word() -> str:
            return self._several("sounds", rng.choice((2, 2, 3, 3, 4)))

        form = rng.random()
        if form < 0.4:
            return word()
        return rng.choice(("·", "·", "·", "・", "．", "‧")).join(word() for _ in range(2 if form < 0.9 else 3))

    def _chinese_place(self) -> str:
        rng = self.rng
        form = rng.random()
        if form < 0.6:
            return rng.choice(self.names.cjk_places)
        if form < 0.75:
            return rng.choice(self.names.cjk_places) + self._pick("place_ends")
        return self._several("place_characters", 2) + self._pick("place_ends")

    def _chinese_street(self) -> str:
        rng = self.rng
        city = rng.choice(self.names.cjk_places) + rng.choice("市县区")
        road = self._several("place_characters", 2) + rng.choice(("路", "街", "大道", "巷", "东路", "弄"))
        door = rng.choice(
            (
                f"{rng.randint(1, 999)}号",
                f"{rng.randint(1, 99)}号{rng.randint(1, 30)}幢{rng.randint(101, 2909)}",
                f"{rng.randint(1, 50)}号楼{rng.randint(1, 6)}单元{rng.randint(101, 1909)}室",
            )
        )
        return city + road + door

    def _chinese_organisation(self) -> str:
        rng = self.rng
        head = rng.choice((rng.choice(self.names.cjk_places), self._several("brand_characters", 2)))
        middle = rng.choice(("", "", self._several("brand_characters", 2)))
        return head + middle + self._pick("organisation_ends")

    # slots

    def _fill(self, template: str, language: str) -> Marked:
        text, spans, at = "", [], 0
        for slot in re.finditer(r"\{([A-Z])\}", template):
            text += template[at : slot.start()]
            value, kind = self._value(slot.group(1), language)
            if kind:
                spans.append((len(text), len(text) + len(value), kind))
            text += value
            at = slot.end()
        return text + template[at:], spans

    def _value(self, slot: str, language: str) -> tuple[str, str]:
        named: dict[str, tuple[Callable[[str], str], str]] = {
            "P": (self.person, "PER"),
            "F": (self.given if language == "en" else self.person, "PER"),
            "S": (self.surname, "PER"),
            "O": (self.organisation, "ORG"),
            "L": (self.place, "LOC"),
            "H": ((lambda _: self._street()) if language == "en" else (lambda _: self._chinese_street()), "LOC"),
        }
        if slot in named:
            make, kind = named[slot]
            return make(language), kind
        return self._plain(slot, language), ""

    def _host(self) -> str:
        return self.rng.choice(
            ("example", "example", "mail", "post", "box", self._pick("pinyin") + self._pick("pinyin"))
        )

    def _plain(self, slot: str, language: str) -> str:
        rng = self.rng
        digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(3, 16)))
        english = language == "en"
        sender = rng.choice(("info", "sales", "k.w", "user", *(self._pick("pinyin") for _ in range(6))))
        sender += rng.choice(("", ".", "_", "-", "_.")) + rng.choice(("", self._pick("pinyin")))
        end = rng.choice(("com", "org", "net", "cn"))
        plate = rng.choice("京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼") + rng.choice("ABCDEFGH")
        month, day = rng.randint(1, 12), rng.randint(1, 28)
        date = f"{self._pick('months')} {day}" if english else f"{month}月{day}日"
        values = {
            "N": digits,
            "I": rng.choice(("", "A", "HT-", "SF", "REF-", "#")) + digits,
            "E": f"{sender}{digits[: rng.randint(0, 3)]}@{self._host()}.{end}",
            "V": plate + rng.choice(("", "·")) + rng.choice("ABCDEFGHJK") + digits[:4],
            "D": rng.choice((f"{rng.randint(1950, 2026)}-{month:02}-{day:02}", date)),
            "A": f"${rng.randint(3, 9000)}" if english else f"{rng.randint(3, 9000)}元",
            "R": self._pick(f"roles_{language}"),
            "T": self._pick(f"titles_{language}"),
        }
        return values[slot]


def joined(parts: Sequence[Marked], glue: str) -> Marked:
    text, spans = "", []
    for part, marked in parts:
        text += glue if text else ""
        spans += [(s + len(text), e + len(text), kind) for s, e, kind in marked]
        text += part
    return text, spans


def generate(names: Names, seed: int, counts: Iterable[tuple[str, int]]) -> list[Marked]:
    """`counts` of texts by language; the same seed gives the same texts."""
    maker = Maker(names, random.Random(seed))
    return [maker.text(language) for language, count in counts for _ in range(count)]


# ---- lists -----------------------------------------------------------------------------------------------------------

_HERE = Path(__file__).parent


def _lists() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (_HERE / "lists.txt").read_text(encoding="utf-8").split("\n"):
        if line.startswith("["):
            items = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            items += line.split("|")
    return found


def _templates(language: str) -> list[str]:
    lines = (_HERE / f"templates_{language}.txt").read_text(encoding="utf-8").split("\n")
    return [line.replace("\\n", "\n").replace("\\t", "\t") for line in lines if line]


LISTS = _lists()
TEMPLATES = {language: _templates(language) for language in ("en", "zh")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="texts in each language")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    for text, spans in generate(load_names(), options.seed, (("en", options.count), ("zh", options.count))):
        print(json.dumps({"text": text, "spans": spans}, ensure_ascii=False))


if __name__ == "__main__":
    main()
