"""Made-up values of the same type and form, each out of a range that can't be anybody's.

Every digit and letter is made of a keyed hash of the value; nothing is copied out of it but its length and its
separators. The same key and value give the same surrogate.

| type | range that nobody has |
| --- | --- |
| EMAIL | example.com/.net/.org, .example, .test, .invalid (RFC 2606) |
| PHONE, North America | 555-0100 to 555-0199; area codes 37x and 96x, which are not in use |
| PHONE, China | mobiles with the unassigned prefix 154; land-lines whose local number begins with 0 |
| PHONE, Britain | 07700 900xxx and 020 7946 0xxx (Ofcom, for drama) |
| PHONE with "+" | country code 999 (ITU-T E.164: reserved) |
| CARD | first digit 0, which no payment scheme has (ISO/IEC 7812); passes Luhn |
| IBAN | country ZZ (ISO 3166: free for users); passes modulo 97 (ISO 13616) |
| IP_ADDRESS | the documentation networks of RFC 5737, 3849 and 9637 |
| MAC_ADDRESS | 00-00-5E-00-53-xx (RFC 7042) |
| US_SSN | area 666, never issued |
| RESIDENT_ID, CREDIT_CODE | region 99 (GB/T 2260 ends at 83); their checksums hold |
| NATIONAL_ID | British insurance numbers with QQ; nothing else has a range |
| PLATE | Chinese plates with the letter I, which none has (GA 36) |
| WECHAT, QQ | ids that begin with 0, which none does |
| ADDRESS | a town that does not exist |
| PERSON | names of the project's own making |

Other types have no such range: a made-up account or passport number may be somebody's. Neither have secrets, since a
made-up password is an invitation to try it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from types import MappingProxyType

import regex

from filters.normalise import normalise
from filters.pii.chinese import PLATE_PROVINCES, credit_check, resident_check
from filters.pii.numbers import digits_of, luhn_ok
from filters.pii.view import CJK


def surrogate(kind: str, raw_value: str, seed: bytes, attempt: int = 0) -> str | None:
    """A made-up value in the form of this one, or None where no range is known to be nobody's.

    `seed` is a keyed hash of the value; `attempt` counts from 0, and later ones try other ranges.
    """
    make = _MAKERS.get(kind)
    return make(normalise(raw_value).text.strip(), _Stream(seed), attempt) if make else None


class _Stream:
    """Numbers that follow from a seed."""

    def __init__(self, seed: bytes) -> None:
        self._state = int.from_bytes(hashlib.shake_256(seed).digest(128))

    def below(self, bound: int) -> int:
        """0 to bound - 1. 1,024 bits are enough for some 250 digits."""
        self._state, number = divmod(self._state, bound)
        return number

    def pick(self, choices: str) -> str:
        return choices[self.below(len(choices))]

    def digits(self, count: int) -> str:
        return "".join(self.pick("0123456789") for _ in range(count))

    def word(self, syllables: int) -> str:
        return "".join(self.pick("bdfgklmnprstvz") + self.pick("aeiou") for _ in range(syllables))


_LONGEST = 40  # characters; what is longer is no value of a type that has a form
_SLOT = regex.compile(r"[0-9A-Za-z]")
_SEPARATORS = frozenset(" -.()/·+:\t")


def _filled(form: str, content: str) -> str | None:
    """`content` in the groups of `form`, whose letters and digits it replaces one for one."""
    if len(_SLOT.findall(form)) != len(content) or len(form) > _LONGEST:
        return None
    left = iter(content)
    kept = [char for char in form if char in _SEPARATORS or _SLOT.match(char)]
    return "".join(next(left) if _SLOT.match(char) else char for char in kept)


# ---- e-mail, names, addresses ----------------------------------------------------------------------------------------

_HOSTS = ("example.com", "example.net", "example.org", "beispiel.test", "kolvano.invalid", "zumo.test", "rivad.invalid")


def _email(value: str, stream: _Stream, attempt: int) -> str:
    host = _HOSTS[stream.below(3)] if attempt == 0 else _HOSTS[stream.below(len(_HOSTS))]
    return f"{stream.word(2)}.{stream.word(3)}@{host}"


_HAN = regex.compile(rf"[{CJK}]")
_SURNAMES = "甄贾虞郎柏苗盛纪舒屈"
_GIVEN = "禾芃珂砚澍蔚屿霖苒淙昀笙"


def _person(value: str, stream: _Stream, attempt: int) -> str:
    if _HAN.search(value):
        return stream.pick(_SURNAMES) + "".join(stream.pick(_GIVEN) for _ in range(2))
    names = max(1, min(3, len(value.split())))
    return " ".join(stream.word(2 + stream.below(2)).capitalize() for _ in range(names))


_STREETS = ("Street", "Lane", "Row", "Mews")


def _address(value: str, stream: _Stream, attempt: int) -> str:
    number = 1 + stream.below(98)
    if _HAN.search(value):
        return f"示例市样本区{stream.pick('甲乙丙丁戊己庚辛')}{stream.pick('云松竹梅兰荷桂菊')}路{number}号"
    return f"{number} {stream.word(3).capitalize()} {_STREETS[attempt % len(_STREETS)]}, Sampleton"


# ---- telephone numbers -----------------------------------------------------------------------------------------------

_AREAS = ("202", "303", "415", "512", "617", "713", "808", "919")
_UNUSED_AREAS = ("370", "371", "372", "373", "374", "376", "960", "961", "962", "963")
_EXTENSION = regex.compile(r",? ?(?:x|#|ext\.?|extension|转|分机号?) ?\d{1,6}$", regex.IGNORECASE)


def _phone(value: str, stream: _Stream, attempt: int) -> str | None:
    written = _EXTENSION.sub("", value).strip()
    digits = digits_of(written)
    if written.startswith("+"):
        content = _dialled(digits, stream, attempt)
    elif digits.startswith("0"):
        content = _trunk(digits, stream)
    else:
        content = _domestic(digits, written, stream, attempt)
    return _filled(written, content) if content else None


def _dialled(digits: str, stream: _Stream, attempt: int) -> str | None:
    if digits.startswith("86") and len(digits) == 13:
        return "86" + _mobile(stream)
    if digits.startswith("1") and len(digits) == 11:
        return "1" + _american(stream, attempt)
    return "999" + stream.digits(len(digits) - 3) if len(digits) > 6 else None


_COUNTRY_ONE = regex.compile(r"1[ \-.(]{1,2}\d{3}")


def _domestic(digits: str, written: str, stream: _Stream, attempt: int) -> str | None:
    if len(digits) == 13 and digits.startswith("86"):
        return "86" + _mobile(stream)
    if len(digits) == 10:
        return _american(stream, attempt)
    if len(digits) != 11 or digits[0] != "1":
        return None
    return "1" + _american(stream, attempt) if _COUNTRY_ONE.match(written) else _mobile(stream)


def _mobile(stream: _Stream) -> str:
    return "154" + stream.digits(8)


def _american(stream: _Stream, attempt: int) -> str:
    if attempt < 2:
        return _AREAS[stream.below(len(_AREAS))] + "55501" + stream.digits(2)
    return _UNUSED_AREAS[stream.below(len(_UNUSED_AREAS))] + stream.pick("23456789") + stream.digits(6)


_CHINESE_AREAS = {3: ("010", "021", "022", "023", "024"), 4: ("0311", "0512", "0532", "0755", "0871")}


def _trunk(digits: str, stream: _Stream) -> str | None:
    if len(digits) == 11 and digits[1] == "7":
        return "07700900" + stream.digits(3)
    if digits.startswith("00"):
        return None
    area = 3 if digits.startswith(("010", "02")) else 4
    if len(digits) - area in (7, 8):
        areas = _CHINESE_AREAS[area]
        return areas[stream.below(len(areas))] + "0" + stream.digits(len(digits) - area - 1)
    return "02079460" + stream.digits(3) if len(digits) == 11 else None


# ---- numbers with a checksum -----------------------------------------------------------------------------------------


def _card(value: str, stream: _Stream, attempt: int) -> str | None:
    count = len(digits_of(value))
    if count < 2:
        return None
    body = "0" + stream.digits(count - 2)
    return _filled(value, next(body + check for check in "0123456789" if luhn_ok(body + check)))


def _iban(value: str, stream: _Stream, attempt: int) -> str | None:
    form = "".join(_SLOT.findall(value))
    if len(form) < 5:
        return None
    account = "".join(stream.pick("0123456789" if c.isdigit() else "ABCDEFGHJKLMNPRSTUVWXY") for c in form[4:])
    number = int("".join(str(int(char, 36)) for char in f"{account}ZZ00"))
    return _filled(value, f"ZZ{98 - number % 97:02d}{account}")


def _resident(value: str, stream: _Stream, attempt: int) -> str | None:
    day = f"{1 + stream.below(12):02d}{1 + stream.below(28):02d}"
    if len(_SLOT.findall(value)) == 15:
        return _filled(value, f"99{stream.digits(4)}{stream.digits(2)}{day}{stream.digits(3)}")
    body = f"99{stream.digits(4)}{1930 + stream.below(80)}{day}{stream.digits(3)}"
    return _filled(value, body + resident_check(body))


def _credit_code(value: str, stream: _Stream, attempt: int) -> str | None:
    body = "91" + "99" + stream.digits(4) + "".join(stream.pick("0123456789ABCDEFGHJKLMNPQRTUWXY") for _ in range(9))
    return _filled(value, body + credit_check(body))


def _ssn(value: str, stream: _Stream, attempt: int) -> str | None:
    return _filled(value, "666" + stream.digits(6))


_NINO = regex.compile(r"[A-Z]{2} ?(?:\d\d ?){3}[A-D]", regex.IGNORECASE)


def _national_id(value: str, stream: _Stream, attempt: int) -> str | None:
    return _filled(value, f"QQ{stream.digits(6)}{stream.pick('ABCD')}") if _NINO.fullmatch(value) else None


# ---- others ----------------------------------------------------------------------------------------------------------

_PLATE = regex.compile(rf"[{PLATE_PROVINCES}] ?[A-Z][ ·.\-•]?([A-Z0-9]{{5,6}})", regex.IGNORECASE)


def _plate(value: str, stream: _Stream, attempt: int) -> str | None:
    match = _PLATE.fullmatch(value)
    return f"{stream.pick(PLATE_PROVINCES)}I·{stream.digits(len(match.group(1)))}" if match else None


def _wechat(value: str, stream: _Stream, attempt: int) -> str:
    return f"0{stream.word(3)}{stream.digits(2)}"


def _qq(value: str, stream: _Stream, attempt: int) -> str | None:
    digits = len(digits_of(value))
    return "0" + stream.digits(digits - 1) if 5 <= digits <= 12 else None


_TEST_NETS = ("192.0.2", "198.51.100", "203.0.113")


def _ip(value: str, stream: _Stream, attempt: int) -> str | None:
    try:
        version = ipaddress.ip_address(value.partition("/")[0].strip("[]")).version
    except ValueError:
        return None
    if version == 4:
        return f"{_TEST_NETS[stream.below(3)]}.{1 + stream.below(254)}"
    network = f"2001:db8:{stream.below(1 << 16):x}" if attempt < 2 else f"3fff:{stream.below(1 << 12):x}"
    return f"{network}::{stream.below(1 << 16):x}:{stream.below(1 << 16):x}:{stream.below(1 << 16):x}"


def _mac(value: str, stream: _Stream, attempt: int) -> str | None:
    content = f"00005E0053{stream.below(256):02X}"
    return _filled(value, content if value.upper() == value else content.lower())


_MAKERS: Mapping[str, Callable[[str, _Stream, int], str | None]] = MappingProxyType(
    {
        "EMAIL": _email,
        "PERSON": _person,
        "ADDRESS": _address,
        "PHONE": _phone,
        "CARD": _card,
        "IBAN": _iban,
        "RESIDENT_ID": _resident,
        "CREDIT_CODE": _credit_code,
        "US_SSN": _ssn,
        "NATIONAL_ID": _national_id,
        "PLATE": _plate,
        "WECHAT": _wechat,
        "QQ": _qq,
        "IP_ADDRESS": _ip,
        "MAC_ADDRESS": _mac,
    }
)
