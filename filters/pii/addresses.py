"""Postal addresses down to the door, in a first simple form: the ways that have a number and a street word.

Chinese: administrative names, a road or an estate, a door. English: a number, a street name, a street word, with what
follows (flat, town, state, postcode). German, French, Spanish and Italian streets by their words. A place without a
door is not found here.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from filters.pii.view import View, scan
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
_CHINESE_SIGN = regex.compile(rf"{_COUNT}[A-Za-z]?[ ]?(?:{_DOOR_WORDS})")

_STREET = (
    "street|st|avenue|ave|road|rd|boulevard|blvd|drive|dr|lane|ln|court|ct|way|place|pl|square|sq|terrace|highway|hwy|"
    "parkway|pkwy|circle|cir|close|crescent|row|gardens|grove|hill|mews|quay|walk|trail|alley|loop"
)
_NAME = r"(?:[A-Z0-9][\w'.-]*|of|the|de|la)"
_UNIT_WORDS = "apt|apartment|suite|ste|unit|flat|floor|fl|room|rm|bldg|building|box|#"
_UNIT = rf"(?:(?i:{_UNIT_WORDS})\.?[ ]?#?[ ]?[A-Za-z]?\d{{0,5}}[A-Za-z]?)"
_TOWN = r"(?:[A-Z][\w'.-]*(?:[ ][A-Z][\w'.-]*){0,3})"
_CODE = r"(?:\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]?[ ]?\d[A-Z]{2}|[A-Z]\d[A-Z][ ]?\d[A-Z]\d)"
_GAP = r"[ \t]*[,\n]?[ \t]*"
_COMMA = r"[ \t]*[,\n][ \t]*"
_AFTER = rf"(?:{_GAP}{_UNIT})?(?:{_COMMA}{_TOWN}){{0,2}}(?:{_GAP}[A-Z]{{2}}\b)?(?:{_GAP}{_CODE})?"
_NUMBER = r"(?<![\w.$€£%])\d{1,6}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?"
_ENGLISH = regex.compile(rf"{_NUMBER},?[ ]+(?:{_NAME}[ ]+){{1,4}}?(?i:{_STREET})\b\.?{_AFTER}")
_LOWER = regex.compile(
    r"(?<![\w.$€£%])\d{1,6}[a-z]?[ ]+(?:[a-z'-]{3,15}[ ]+){1,2}(?:street|avenue|road|boulevard|lane|drive)\b"
)
_PO_BOX = regex.compile(r"\bp\.?[ ]?o\.?[ ]?box[ ]?\d{1,6}\b", regex.IGNORECASE)
_GERMAN = regex.compile(
    r"(?<!\w)[A-ZÄÖÜ][\w.-]{1,30}(?:straße|strasse|str\.|weg|gasse|platz|allee|ufer|damm|ring)[ ]\d{1,4}[ ]?[a-z]?\b"
    r"(?:,?[ ]\d{5}[ ][A-ZÄÖÜ][\w-]+)?"
)
_FRENCH = regex.compile(
    r"(?<!\w)\d{1,4}(?:[ ]?(?:bis|ter))?,?[ ]+(?:rue|avenue|boulevard|place|chemin|allée|quai)[ ](?:[\w'’-]+[ ]?){1,4}",
    regex.IGNORECASE,
)
_SOUTHERN = regex.compile(
    r"(?<!\w)(?:calle|avenida|plaza|paseo|via|viale|corso|piazza|rua)[ ](?:[\w'’-]+[ ]){0,4}?[\w'’-]+,?[ ]"
    r"(?:n[.º°]?[ ]?)?\d{1,4}\b",
    regex.IGNORECASE,
)


class Addresses:
    """Postal addresses with a door number."""

    kind = "ADDRESS"

    def find(self, view: View) -> Iterator[Span]:
        if not view.text.isascii() and _CHINESE_SIGN.search(view.text):
            for pattern in (_CHINESE, _CHINESE_ROAD):
                for match in scan(pattern, view.text):
                    yield Span(match.start(), match.end(), self.kind, 0.8)
        if not view.digits:
            return
        for pattern in (_ENGLISH, _LOWER, _PO_BOX, _GERMAN, _FRENCH, _SOUTHERN):
            for match in scan(pattern, view.words):
                end = match.start() + len(match.group().rstrip(" ,.\n\t"))
                yield Span(match.start(), end, self.kind, 0.7)
