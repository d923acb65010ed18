"""Postal addresses down to the door, by their shapes.

Chinese: administrative names, a road or an estate, a door. English: a number, a street name, a street word, with what
follows (flat, town, region, country, postcode); a street alone by its full word. Other European streets by their
words, before or behind the name. Whatever the street: a flat or suite with what stands around it, a number and a name
over a line that ends in a postcode, a number and a name behind "lives at", "address:" and the like; military mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import regex

from filters.pii.view import View, scan, search
from filters.spans import Span

PROVINCES = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|"
    "陕西|甘肃|青海|内蒙古|广西|西藏|宁夏|新疆|香港|澳门|台湾"
)
_HAN = r"[\u3400-\u4dbf\u4e00-\u9fff]"
_COUNT = r"(?:\d{1,5}|[一二三四五六七八九十百零〇]{1,5})"
_HEAD = rf"(?:(?:{PROVINCES})(?:省|市|(?:壮族|回族|维吾尔)?自治区|特别行政区)?)"
_AREA = rf"{_HAN}{{1,6}}?(?:市|区|县|州|旗|镇|乡|街道|开发区)"
ROAD_WORDS = "路|街|大街|大道|巷|胡同|弄|里|道|村|屯|庄|小区|花园|家园|公寓|大厦|广场|苑|园|城|湾|府|庭|居|中心"
_DOOR_WORDS = "号楼|号院|号|弄|栋|幢|座|单元|室|层|楼|房|户|组"
_DOOR = rf"[A-Za-z]?{_COUNT}(?:[-#]\d{{1,5}}){{0,3}}[A-Za-z]?[ ]?(?:{_DOOR_WORDS})"
_REST = rf"(?:[ ,]?{_HAN}{{0,8}}?(?:{_DOOR}|\d{{1,5}}(?:-\d{{1,4}}){{0,2}}(?![\d.年月日元%件个])))"
_CHINESE = regex.compile(
    rf"(?:{_HEAD}(?:[ ]?{_AREA}){{0,4}}|(?:{_AREA}){{1,3}})[ ]?(?:{_HAN}{{1,8}}?(?:{ROAD_WORDS})){{0,2}}[ ]?"
    rf"{_HAN}{{0,8}}?{_DOOR}{_REST}{{0,4}}"
)
_CHINESE_ROAD = regex.compile(
    rf"{_HAN}{{2,6}}?(?:路|大街|街|大道|巷|胡同|弄|小区|花园|家园|公寓|大厦|村|苑|里)[ ]?{_DOOR}{_REST}{{0,4}}"
)
_CHINESE_SIGN = re.compile(rf"[\d一二三四五六七八九十百零〇][A-Za-z]?[ ]?(?:{_DOOR_WORDS})")
_AREA_SIGN = re.compile(rf"[市区县州旗镇乡]|街道|开发区|{PROVINCES}")
_ROAD_SIGN = re.compile(
    r"(?:路|街|大道|巷|胡同|弄|小区|花园|家园|公寓|大厦|村|苑|里)[ ]?[A-Za-z]?[\d一二三四五六七八九十百零〇]"
)

_STREET = (
    "street|st|avenue|ave|road|rd|boulevard|blvd|drive|dr|lane|ln|court|ct|way|place|pl|square|sq|terrace|highway|hwy|"
    "parkway|pkwy|circle|cir|close|crescent|row|gardens|grove|hill|mews|quay|walk|trail|alley|loop"
)
_WORD = r"(?:\p{Lu}[\w'’.-]*|\d{1,4}(?:st|nd|rd|th)|of|the|de|la|du|do|da|dos|des|der|di|del|van|von|og|i)"
_DOOR_NUMBER = r"(?<![\w.$€£%])\d{1,6}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?"
# Between the lines of an address: a comma, a line break, the marks of a quoted mail.
_BREAK = r"[ \t]*+(?:,[ \t]*+(?:\n[ \t>?]*+,?[ ]?)?|\n[ \t>?]*+,?[ ]?)"
_LINE = rf"(?:{_BREAK}|[ ])"
_UNIT = (
    r"(?:(?i:apt|apartment|suite|ste|unit|flat|floor|fl|room|rm|bldg|building|box|piso|wohnung|lgh|leil)\b\.?[ ]?#?[ ]?"
    r"[A-Za-z]?\d{1,5}[A-Za-z]?\b|\#[ ]?\d{1,5}[A-Za-z]?\b)"
)
_CODE = (
    r"(?:\d{5}(?:-\d{4})?|\d{4}[ ]?[A-Z]{2}|\d{3}[ ]\d{2}|\d{4}|[A-Z]{1,2}\d[A-Z\d]?[ ]?\d[A-Z]{2}"
    r"|[A-Z]\d[A-Z][ ]?\d[A-Z]\d|[A-Z]{1,3}-\d{4,5})\b(?!\w)"
)
_NAMED = r"(?:\p{Lu}[\w'’.-]*+(?:[ -]\p{Lu}[\w'’.-]*+){0,4}+)"
# What may follow a street: a flat, up to three lines of town, region and country, and a code behind or before them.
_AFTER = (
    rf"(?:{_LINE}{_UNIT}){{0,2}}+(?:(?:{_BREAK}[^\n,.;!\d]{{2,40}}){{0,3}}?{_LINE}(?:\p{{Lu}}{{2,3}}[ ])?{_CODE}"
    rf"|(?:{_BREAK}(?:{_CODE}[ ])?{_NAMED}){{0,2}}+)"
)
_ENGLISH = regex.compile(
    rf"{_DOOR_NUMBER},?[ ]+(?:{_WORD}[ ]){{1,5}}?(?i:{_STREET})\b\.?(?:[ ]\d{{1,4}}\b)?"
    rf"(?:[ ](?i:{_STREET})\b\.?)?{_AFTER}"
)
# Cheap tests: a number before a name, and a street word.
_NUMBER_AND_NAME = re.compile(r"\d[A-Za-z]?,?[ ]+(?:[^\W_a-z]|of|the|d|l|v|og|i)")
_STREET_WORD = re.compile(rf"[ ](?:{_STREET})(?![a-z])")
_LOWER = regex.compile(
    r"(?<![\w.$€£%])\d{1,6}[a-z]?[ ]+(?:[a-z'-]{3,15}[ ]){1,2}?(?:street|avenue|road|boulevard|lane|drive)\b"
    rf"{_AFTER}"
)
_PO_BOX = regex.compile(rf"(?i)(?:(?<!\w)\d{{1,5}}[ ])?\bp\.?[ ]?o\.?[ ]?box[ ]?\d{{1,6}}\b(?-i:{_AFTER})")
# The mail of armed forces: a unit and a box, or a ship.
_MILITARY = regex.compile(
    r"(?:\b(?:psc|cmr|unit)[ ]\d{1,5},?[ ]+box[ ]\d{1,5}|\bus(?:s|ns|nv|cgc|av)[ ][\w'’-]+(?:[ ][\w'’-]+)?)"
    r"\s{1,3}(?:apo|fpo|dpo)[ ]a[aep][ ]\d{5}\b",
    regex.IGNORECASE,
)
# A flat or suite by itself, and what shows an address by having one: number and name before it, town and code behind.
_FLAT_ALONE = regex.compile(r"\b(?:apt|apartment|suite|ste)\b\.?[ ]?#?\d{1,5}[A-Za-z]?\b", regex.IGNORECASE)
_FLAT_HEAD = regex.compile(rf"{_DOOR_NUMBER}[ ][^\n,;!?:]{{1,60}}{_LINE}$")
_FLAT_SIGNS = ("apt", "apartment", "suite", "ste")
_FLAT_REACH = 80
_FLAT_TAIL = regex.compile(
    rf"{_LINE}(?:[^\n,.;!\d]{{2,40}}{_BREAK}){{0,3}}(?:[^\n,.;!\d]{{2,40}}[ ])?{_CODE}"
    rf"|{_LINE}{_NAMED}(?:{_BREAK}{_NAMED}){{0,2}}+|\n[ \t>?]*+[^\n,.;!\d]{{2,30}}(?:\n[ \t>?]*+[^\n,.;!\d]{{2,30}})?$"
)
# A number, a name, and lines that end in a postcode.
_BLOCK = regex.compile(
    rf"{_DOOR_NUMBER}[ ](?:\d{{1,4}}[ ])?\p{{Lu}}[^\n]{{1,50}}\n[ \t>?]*+\p{{Lu}}[^\n\d]{{1,40}}"
    rf"(?:\d\n|\n)?(?:[ \t>?,]*+[^\n\d]{{0,40}}\n?){{0,2}}?(?<=[ \n,])(?:\d{{5}}|{_CODE})(?!\d)"
)
# German, Dutch, Scandinavian, Finnish, Baltic, Hungarian street words, which end a name.
_LONG_SUFFIX = (
    "straße|strasse|stasse|straat|gatan|vägen|vegen|veien|gade|stræde|gränd|alléen|allee|gasse|vegur|gata|vej|laan|plein"
    "|gracht|dreef|singel|platz|katu|tänav|iela|gatvė|utca"
)
_SHORT_SUFFIX = (
    "str\\.|weg|ufer|damm|ring|vei|veg|väg|kade|hof|dijk|steeg|torget|backe|kuja|polku|tún|stígur|allé|hólar|hóli"
)
_AFTER_NUMBER = r"[ ](?!(?:19|20)\d\d\b)\d{1,4}(?:[ ]?[a-z]\b)?"
_SUFFIXED = regex.compile(
    rf"(?<![\w.])(?:\d{{1,4}}[ ])?(?:(?:\p{{Lu}}[\w.'’-]*[ ]){{0,3}}(?:[\w.'’-]{{2,30}}(?i:{_LONG_SUFFIX})"
    rf"|\p{{Lu}}[\w.'’-]{{2,30}}(?:{_SHORT_SUFFIX})|(?<=[ \n:])(?i:strasse|straße|weg|vei))){_AFTER_NUMBER}"
    rf"(?:{_BREAK}(?:[A-Z]{{1,3}}-)?\d{{4,5}}[ ]\p{{Lu}}[\w'’-]+)?{_AFTER}"
)
# Cheap tests: read only where a number follows a word, and which.
_NAME_AND_NUMBER = re.compile(r"[^\W\d_]\.?[ ]\d")
_SUFFIX_WORDS = regex.compile(rf"[ ](?=\d)(?<=(?i:{_LONG_SUFFIX}|{_SHORT_SUFFIX})[ ])")
# French, Italian, Spanish, Portuguese, Slavic, Hungarian, Greek street words, which begin or follow a name.
_FRENCH = regex.compile(
    r"(?<!\w)\d{1,4}(?:[ ]?(?:bis|ter))?(?:[ ]\d{1,4})?,?[ ]+"
    r"(?:rue|avenue|boulevard|place|chemin|allée|quai|cours|impasse)[ ]"
    rf"(?:[\w'’-]+[ ]){{0,3}}[\w'’-]+(?:[ ]\d{{1,4}}\b)?(?-i:{_AFTER})",
    regex.IGNORECASE,
)
_SOUTHERN = regex.compile(
    r"(?<!\w)(?:\d{1,4}[ ]+)?(?:calle|c/|avenida|avda\.?|av\.|plaza|paseo|paso|camino|carrer|rúa|via|viale|vicolo"
    r"|corso|piazza"
    r"|strada|rua|travessa|praça|largo|estrada|ulica|ulice|ul\.|odos)[ ](?:[\w'’.-]+[ ]){0,4}?[\w'’-]+,?[ ]"
    rf"(?:n[.º°]?[ ]?)?\d{{1,5}}\b(?-i:{_AFTER})",
    regex.IGNORECASE,
)
_SOUTHERN_SIGNS = (
    *("calle ", "c/ ", "avenida ", "avda", "av. ", "plaza ", "paseo ", "paso ", "camino ", "carrer ", "rúa ", "via "),
    *("viale ", "vicolo ", "corso ", "piazza ", "strada ", "rua ", "travessa ", "praça ", "largo ", "estrada "),
    *("ulica ", "ulice ", "ul. ", "odos "),
)
_HUNGARIAN = regex.compile(
    rf"(?<!\w)(?:\d{{1,4}}[ ])?\p{{Lu}}[\w'’.-]+(?:[ ]\p{{Lu}}[\w'’.-]+)?[ ](?:u\.|út|utca|tér|krt\.)"
    rf"[ ]\d{{1,4}}\.?{_AFTER}"
)
# Behind words that an address follows, a name with a number on either side is enough.
_CUE = (
    r"(?i:\b(?:lives?|living|lived|resid(?:es|ed|ing)|address(?:es)?|office|letters?|sent|ship(?:ped)?|deliver(?:ed|y)?"
    r"|located|"
    r"moved|meet(?: me)?|corner|headquarters)\b[^\n.\d]{0,30}?(?:\bat|\bto|\bis|\bon|\bof|\bwith|:)[ ]{0,8}\n{0,2})"
)
_CUED = regex.compile(
    rf"{_CUE}(?P<value>(?:the[ ]corner[ ]of[ ])?(?:\d{{1,5}}[A-Za-z]?,?[ ]+){{1,2}}\p{{Lu}}[\w'’.-]*"
    rf"(?:[ ]\p{{Lu}}?[\w'’.-]*){{0,4}}?"
    rf"(?:[ ]\d{{1,5}}\b)?(?=[,.;\n?]|[ ](?i:apt|suite)|$){_AFTER})"
)
_CUES = (
    *("live", "living", "reside", "residing", "address", "office", "letter", "sent", "ship", "deliver", "located"),
    *("moved", "meet", "corner", "headquarters"),
)
_CORNER = regex.compile(
    r"\bthe[ ]corner[ ]of[ ](?:[\w'’.-]+[ ]){1,6}and[ ](?:[\w'’.-]+[ ]){0,3}(?:street|avenue|road|\d{1,4})\b",
    regex.IGNORECASE,
)
# A street without a number: its full word and a capital.
_STREET_ALONE = regex.compile(r"(?:\b\p{Lu}[\p{L}'’-]+[ ]){1,3}(?:Street|Avenue|Road|Boulevard|Lane)\b")

_POSTCODE = regex.compile(
    r"\b(?:zip|postal|post)[ ]?codes?[ ](?:is[ ]|:[ ]?)?(?P<value>[A-Z0-9]{2,5}(?:[ -][A-Z0-9]{3,4})?)\b",
    regex.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """`pattern` runs only where one of `signs` stands in the lower-case text. Its group "value", if any, counts."""

    signs: tuple[str, ...]
    pattern: Any
    score: float = 0.7

    def find(self, view: View) -> Iterator[Span]:
        if view.says(self.signs):
            group = "value" if "value" in self.pattern.groupindex else 0
            for match in scan(self.pattern, view.words):
                end = match.start(group) + len(match.group(group).rstrip(" ,.\n\t"))
                yield Span(match.start(group), end, Addresses.kind, self.score)


_WITHOUT_DIGITS = (
    Shape(("street", "avenue", "road", "boulevard", "lane"), _STREET_ALONE, 0.4),
    Shape(("the corner of",), _CORNER, 0.4),
)
_WITH_DIGITS = (
    Shape(("code",), _POSTCODE),
    Shape(("street", "avenue", "road", "boulevard", "lane", "drive"), _LOWER),
    Shape(("box",), _PO_BOX),
    Shape(("apo", "fpo", "dpo"), _MILITARY),
    Shape(("rue", "avenue", "boulevard", "place", "chemin", "allée", "quai", "cours", "impasse"), _FRENCH),
    Shape((" u.", " út", "utca", " tér", "krt."), _HUNGARIAN),
    Shape(_SOUTHERN_SIGNS, _SOUTHERN),
    Shape(_CUES, _CUED),
)
_BY_NUMBER = Shape(("",), _ENGLISH)
_BLOCKS = Shape(("\n",), _BLOCK)
_SUFFIXES = Shape(("",), _SUFFIXED)
_BLOCK_DIGITS = 4  # a door and a postcode


class Addresses:
    """Postal addresses, and streets by name."""

    kind = "ADDRESS"
    digits = digit_run = 0

    def find(self, view: View) -> Iterator[Span]:
        if not view.text.isascii():
            for pattern in _chinese_shapes(view.text):
                for match in scan(pattern, view.text):
                    yield Span(match.start(), match.end(), self.kind, 0.8)
        for shape in _shapes(view):
            yield from shape.find(view)
        if view.digits and view.says(_FLAT_SIGNS):
            yield from self._flats(view.words)

    def _flats(self, text: str) -> Iterator[Span]:
        for flat in scan(_FLAT_ALONE, text):
            floor = max(0, flat.start() - _FLAT_REACH)
            head = search(_FLAT_HEAD, text[floor : flat.start()])
            tail = _FLAT_TAIL.match(text, flat.end())
            start = floor + head.start() if head else flat.start()
            yield Span(start, tail.end() if tail else flat.end(), self.kind, 0.6)


def _chinese_shapes(text: str) -> Iterator[Any]:
    """Those with a door, and with an area before it or a road right before it."""
    door = _CHINESE_SIGN.search(text)
    if door is None:
        return
    if _AREA_SIGN.search(text):
        yield _CHINESE
    if _ROAD_SIGN.search(text):
        yield _CHINESE_ROAD


def _shapes(view: View) -> Iterator[Shape]:
    """The shapes that this text may hold."""
    yield from _WITHOUT_DIGITS
    if not view.digits:
        return
    yield from _WITH_DIGITS
    if _NUMBER_AND_NAME.search(view.words) and _STREET_WORD.search(view.lower):
        yield _BY_NUMBER
    if view.digits >= _BLOCK_DIGITS:
        yield _BLOCKS
    if _NAME_AND_NUMBER.search(view.words) and search(_SUFFIX_WORDS, view.words):
        yield _SUFFIXES
