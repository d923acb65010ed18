"""What a value has in common with many others, in the language of the text around it.

| type | becomes | never |
| --- | --- | --- |
| DATE | its year; its decade where the text speaks of a birth | a day, a month |
| AGE | a band of ten years; one band under 10 and one from 90 on (45 CFR 164.514(b)(2)(i)(C) asks for the latter) | |
| ADDRESS | its city or province if that stands on a list of large ones (places.py) | a district, a postcode |
| AMOUNT | how many figures it has | a leading digit |
| NUMBER | its order of magnitude | a leading digit |
| COORDINATES | a square of one degree, some 110 km from south to north | minutes, decimals |
| EMAIL | what kind of host it is at | a name, a domain |
| IP_ADDRESS | its network: 16 bits of version 4, 32 of version 6; "private" for RFC 1918 and 4193 | a host |

What is written is a fixed wording, with a place from the list or a number that was read as one; no text is cut out of
the value. Whatever can't be read beyond doubt (two years, a two-digit year, a city that is not on the list) has no
generalisation, and neither has any other type: what a password has in common with others is not worth saying.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import regex

from filters.normalise import normalise
from filters.numerals import NUMBER_WORDS, NUMERAL_SIGNS, number, whole_number, worded_number
from filters.pii.places import CITIES, PROVINCES, STATES, Names
from filters.pii.view import CJK

_HAN = regex.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_WORD = regex.compile(rf"[^\W\d_{CJK}]+")
_LABEL_WORDS = 2  # "postal address: " is a name, of a member of a JSON object say, and no text
_NEAR = 100  # characters on either side that tell the language


def is_chinese(context: str, raw_value: str) -> bool:
    """Whether a replacement should be Chinese: at least as many Chinese characters as other words stand around it.

    A label ("address: ") or a text without letters leaves it to the value; English where that has none either.
    """
    han, words = _letters(context)
    if not han and words <= _LABEL_WORDS:
        value_han, value_words = _letters(raw_value)
        return value_han > 0 and value_han >= value_words
    return han >= words


def _letters(text: str) -> tuple[int, int]:
    return len(_HAN.findall(text)), len(_WORD.findall(text))


def around(raw_text: str, start: int, end: int) -> str:
    """The text beside `raw_text[start:end]`, without it, as far as it tells the language."""
    return f"{raw_text[max(0, start - _NEAR) : start]} {raw_text[end : end + _NEAR]}"


def generalise(kind: str, raw_value: str, context: str = "", *, chinese: bool) -> str | None:
    """What may be said of a value of this finding type, or None if nothing may. Holds no quote and no backslash."""
    rule = _RULES.get(kind)
    said = rule(normalise(raw_value).text.strip(), context) if rule else None
    return said[chinese] if said else None


Said = tuple[str, str]  # English, Chinese


# ---- dates and ages --------------------------------------------------------------------------------------------------

_NUMERALS = str.maketrans("〇零○一二三四五六七八九", "000123456789")
_YEAR = regex.compile(
    r"(?<!\d)((?:18|19|20)\d\d)(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))?(?!\d)"  # 1987, 19870312
)
_BIRTH = regex.compile(r"\b(?:born|birth(?:day|date)?|dob)\b|出生|生日|生于", regex.IGNORECASE)


def _date(value: str, context: str) -> Said | None:
    years = {match.group(1) for match in _YEAR.finditer(value.translate(_NUMERALS))}
    if len(years) != 1:
        return None
    year = years.pop()
    if not _BIRTH.search(context):
        return year, f"{year}年"
    century = int(year[:2])
    return f"the {year[:3]}0s", f"{century + 1}世纪{year[2]}0年代"


_AGE_NUMBER = regex.compile(
    rf"(?P<figures>\d+)|(?P<words>(?:{NUMBER_WORDS})(?:[- ](?:and )?(?:{NUMBER_WORDS}))*)"
    rf"|(?P<numerals>[{NUMERAL_SIGNS}]+)",
    regex.IGNORECASE,
)
_MONTHS_OLD = regex.compile(r"month|月", regex.IGNORECASE)
_DAYS_OLD = regex.compile(r"week|day|周大|天", regex.IGNORECASE)
_OLDEST = 90
_OLDEST_EVER = 130


def _age(value: str, context: str) -> Said | None:
    age = _years(value)
    if age is None or age > _OLDEST_EVER:
        return None
    if age >= _OLDEST:
        return "90 or older", "90岁以上"
    if age < 10:
        return "under 10", "不到10岁"
    decade = age // 10 * 10
    return f"{decade} to {decade + 9} years old", f"{decade}至{decade + 9}岁"


def _years(value: str) -> int | None:
    match = _AGE_NUMBER.search(value)
    if match is None:
        return None
    if words := match["words"]:
        count = worded_number(words)
    else:
        count = number(match.group()) if match["figures"] else _of_numerals(match.group())
    if count is None:
        return None
    return 0 if _DAYS_OLD.search(value) else count // 12 if _MONTHS_OLD.search(value) else count


def _of_numerals(numerals: str) -> int | None:
    """四十三 and 一百零三."""
    whole = whole_number(numerals)
    return number(numerals) if whole is None else whole


# ---- addresses -------------------------------------------------------------------------------------------------------


def _either(names: Iterable[str]) -> str:
    return "|".join(sorted(map(regex.escape, names), key=len, reverse=True))


_BY_CHINESE = {chinese: (english, chinese) for english, chinese in CITIES}
_PROVINCE_BY_CHINESE = {chinese: (english, chinese) for english, chinese in PROVINCES}
_BY_ENGLISH = {english.casefold(): (english, chinese) for english, chinese in CITIES}
_CHINESE_HEAD = regex.compile(
    rf"(?:中国|中华人民共和国)?(?:(?P<province>{_either(_PROVINCE_BY_CHINESE)})(?:省|(?:壮族|回族|维吾尔)?自治区|特别行政区)?)?"
    rf" ?(?:(?P<city>{_either(_BY_CHINESE)})(?![路街道巷村镇乡]))?"
)
_CITY_WITH_WORD = regex.compile(rf"(?:{_either(_BY_CHINESE)})(?=市)")
# A part of its own behind a comma: "12 Paris Road" is not in Paris.
_ENGLISH_CITY = regex.compile(rf"[,\n]\s*({_either(_BY_ENGLISH)})(?=\s*(?:[,\n]|$|\s[A-Z0-9]))", regex.IGNORECASE)
_STATE = regex.compile(rf"[,\s]({_either(STATES)})(?:,?\s+\d{{5}}(?:-\d{{4}})?)?\s*(?:,|$)")


def _address(value: str, context: str) -> Said | None:
    names = _place(value)
    return (f"an address in {names[0]}", f"{names[1]}某地址") if names else None


def _place(value: str) -> Names | None:
    # With its administrative word a city may stand further on: a detector's span may begin early.
    if city := _CITY_WITH_WORD.search(value):
        return _BY_CHINESE[city.group()]
    head = _CHINESE_HEAD.match(value)
    if head and (head["city"] or head["province"]):
        return _BY_CHINESE.get(head["city"] or "") or _PROVINCE_BY_CHINESE[head["province"]]
    states = {match.group(1) for match in _STATE.finditer(value)}
    if len(states) == 1:
        return STATES[states.pop()]
    cities = {match.group(1).casefold() for match in _ENGLISH_CITY.finditer(value)}
    return _BY_ENGLISH[cities.pop()] if len(cities) == 1 and not states else None


# ---- amounts and numbers ---------------------------------------------------------------------------------------------

_NUMBER = regex.compile(r"\d(?:[\d,.' ]*\d)?")
_DECIMALS = regex.compile(r"[.,]\d{1,2}$|^0[.,]\d+$|^\d+[.,]\d{4,}$")
_TIMES: Mapping[str, int] = MappingProxyType(
    {"k": 3, "thousand": 3, "m": 6, "mn": 6, "million": 6, "bn": 9, "billion": 9}
    | {"百": 2, "千": 3, "万": 4, "百万": 6, "千万": 7, "亿": 8}
)
_SCALE = regex.compile(rf"[ \n]?({_either(_TIMES)})(?![A-Za-z])", regex.IGNORECASE)
_FIGURES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_FIGURES_CHINESE = "两三四五六七八九"
_ORDERS: tuple[Said, ...] = (
    ("fewer than ten", "不到十"),
    ("tens", "数十"),
    ("hundreds", "数百"),
    ("thousands", "数千"),
    ("tens of thousands", "数万"),
    ("hundreds of thousands", "数十万"),
    ("millions", "数百万"),
    ("tens of millions", "数千万"),
    ("hundreds of millions", "数亿"),
)


_IN_WORDS = regex.compile(rf"(?:{NUMBER_WORDS})(?:(?:[ \n]|-| and |, )(?:{NUMBER_WORDS}))*", regex.IGNORECASE)
_IN_NUMERALS = regex.compile(rf"(?=[0-9]*[{NUMERAL_SIGNS}])(?:[{NUMERAL_SIGNS}]|(?<![.,\d])\d+(?=[{NUMERAL_SIGNS}]))+")


def _figures(value: str) -> int | None:
    """How many figures stand before the decimal point of the only number in the value."""
    numbers = list(_NUMBER.finditer(value))
    if len(numbers) != 1:
        return _figures_of_words(value)
    written = numbers[0].group()
    scale = _SCALE.match(value, numbers[0].end())
    whole, _, decimals = written.replace(",", ".").rpartition(".") if _decimal(written, scale) else (written, "", "")
    digits = "".join(filter(str.isdigit, whole)).lstrip("0")
    if not digits:  # 0.5 million
        lost = len(decimals) - len(decimals.lstrip("0"))
        return max(1, (_TIMES[scale.group(1).lower()] if scale else 0) - lost)
    return len(digits) + (_TIMES[scale.group(1).lower()] if scale else 0)


def _figures_of_words(value: str) -> int | None:
    """The same of a number in words, in numerals, or in both figures and numerals (1万2千)."""
    told = [_of_numerals(match.group()) for match in _IN_NUMERALS.finditer(value)]
    told += [worded_number(match.group()) for match in _IN_WORDS.finditer(value)]
    return len(str(told[0])) if len(told) == 1 and told[0] is not None else None


def _decimal(written: str, scale: object) -> bool:
    """ "1.2 million" and "12.50" have decimals, "1.200" has thousands."""
    return _DECIMALS.search(written) is not None or (scale is not None and written.count(".") == 1)


def _amount(value: str, context: str) -> Said | None:
    figures = _figures(value)
    if figures is None or figures > len(_FIGURES) + 1:
        return None
    if figures == 1:
        return "an amount under ten", "不到十的金额"
    chinese = _FIGURES_CHINESE[figures - 2] if figures <= len(_FIGURES_CHINESE) + 1 else f"{figures}"
    word = _FIGURES[figures - 2]
    article = "an" if word[0] == "e" else "a"
    return f"{article} {word}-figure amount", f"{chinese}位数的金额"


def _number(value: str, context: str) -> Said | None:
    figures = _figures(value)
    return _ORDERS[figures - 1] if figures is not None and figures <= len(_ORDERS) else None


# ---- coordinates -----------------------------------------------------------------------------------------------------

_COORDINATE = regex.compile(
    r"(?P<before>[NSEW]|[北南]纬|[东西]经)?\s?(?P<degrees>-?\d{1,3})(?:\.\d+)?\s?[°度]?"
    r"(?:\s?\d{1,2}(?:\.\d+)?\s?['′’分](?:\s?\d{1,2}(?:\.\d+)?\s?[\"″”秒])?)?\s?(?P<after>[NSEW])?",
    regex.IGNORECASE,
)
_CHINESE_SIDES = MappingProxyType({"北纬": "N", "南纬": "S", "东经": "E", "西经": "W"})


def _coordinates(value: str, context: str) -> Said | None:
    found = [_side(match) for match in _COORDINATE.finditer(value)]
    if len(found) != 2:
        return None
    (first, latitude), (second, longitude) = found
    if first in "EW" and first and second in "NS" and second:
        (first, latitude), (second, longitude) = (second, longitude), (first, latitude)
    north, east = _hemisphere(first, latitude, "NS"), _hemisphere(second, longitude, "EW")
    if not north or not east or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    sides = {letter: chinese for chinese, letter in _CHINESE_SIDES.items()}
    return (
        f"near {abs(latitude)}° {north}, {abs(longitude)}° {east}",
        f"{sides[north]}{abs(latitude)}°、{sides[east]}{abs(longitude)}°附近",
    )


def _side(match: regex.Match[str]) -> tuple[str, int]:
    said = (match["before"] or match["after"] or "").upper()
    degrees = int(match["degrees"])
    # "-0" is a number too: what is left of its sign is lost, and the square on the other side is as good.
    return _CHINESE_SIDES.get(said, said), degrees


def _hemisphere(said: str, degrees: int, sides: str) -> str:
    if said:
        return said if said in sides and degrees >= 0 else ""
    return sides[degrees < 0]


# ---- hosts -----------------------------------------------------------------------------------------------------------

_MAILBOXES = regex.compile(
    r"(?:(?:vip\.)?(?:gmail|googlemail|outlook|hotmail|live|msn|yahoo|ymail|aol|icloud|me|mac|proton|protonmail|gmx|web"
    r"|zoho|yandex|qq|foxmail|163|126|yeah|sina|sohu|139|189|aliyun|tom|21cn))\.[a-z]{2,3}(?:\.[a-z]{2})?"
)
_UNIVERSITY = regex.compile(r"\.(?:edu|ac)(?:\.[a-z]{2})?$")
_AUTHORITY = regex.compile(r"\.(?:gov|mil)(?:\.[a-z]{2})?$")


def _email(value: str, context: str) -> Said | None:
    host = "".join(value.rpartition("@")[2].split()).casefold() if "@" in value else ""
    if not host:
        return "an e-mail address", "某电子邮箱"
    if _UNIVERSITY.search(host):
        return "an e-mail address at a university", "某高校的电子邮箱"
    if _AUTHORITY.search(host):
        return "an e-mail address at a public authority", "某政府机构的电子邮箱"
    if _MAILBOXES.fullmatch(host):
        return "an e-mail address at a public mail service", "某公共邮箱服务的电子邮箱"
    return "an e-mail address at a company or organisation", "某公司或机构的电子邮箱"


_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10"))
)


def _ip(value: str, context: str) -> Said | None:
    try:
        address = ipaddress.ip_address(value.partition("/")[0].strip("[]"))
    except ValueError:
        return None
    if any(address in network for network in _PRIVATE):
        return "an address in a private network", "某内网地址"
    network = _network(address)
    return f"an address in {network}", f"{network} 网段的某地址"


def _network(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Written so that it is no address itself."""
    if address.version == 4:
        first, second = address.packed[:2]
        return f"{first}.{second}.x.x"
    return f"{int.from_bytes(address.packed[:2]):x}:{int.from_bytes(address.packed[2:4]):x}:x"


_RULES: Mapping[str, Callable[[str, str], Said | None]] = MappingProxyType(
    {
        "DATE": _date,
        "AGE": _age,
        "ADDRESS": _address,
        "AMOUNT": _amount,
        "NUMBER": _number,
        "COORDINATES": _coordinates,
        "EMAIL": _email,
        "IP_ADDRESS": _ip,
    }
)
