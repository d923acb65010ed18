"""Every form that a typed value can be written in, and which values are tried in which.

`FORMS` writes a value otherwise, or returns None where the value holds nothing that could be written so. `EXCLUDED`
states which types a form is not tried with, and why.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from filters.pii.types import OF_LISTS, OF_PERSONS, ON_REQUEST, QUANTITIES
from tests.support.values import VALUES, Value

SENTENCES = ("Here it is: {}, as you asked.", "资料如下：{}，请查收。")

Form = Callable[[str], str | None]

_DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SIGNS = {" ": "", "-": "", "(": "", ")": "", "+": "plus", ".": "dot", ":": "colon"}


def _spaced(separator: str) -> Form:
    return lambda value: separator.join(value.replace(" ", ""))


def _translated(alphabet: str, others: str) -> Form:
    table = str.maketrans(alphabet, others)

    def form(value: str) -> str | None:
        written = value.translate(table)
        return written if written != value else None

    return form


def _numerals(digits: str) -> Form:
    """Digits, grouping and the check letter X alone: letters have no numeral."""
    table = str.maketrans("0123456789", digits)
    return lambda value: value.translate(table) if set(value) <= set("0123456789 -()+Xx") else None


def _in_words(value: str) -> str | None:
    said = [_DIGIT_WORDS[int(c)] if c.isdigit() else _SIGNS.get(c, c) for c in value]
    return " ".join(filter(None, said)) if sum(map(str.isdigit, value)) > 4 and value.isascii() else None


def _doubled(value: str) -> str | None:
    words = (_in_words(value) or "").split()
    out: list[str] = []
    for word in words:
        if out and out[-1] == word and len(word) > 1:
            out[-1] = f"double {word}"
        else:
            out.append("oh" if word == "zero" else word)
    return " ".join(out) if any(" " in word for word in out) else None


def _told(at: str, dot: str) -> Form:
    return lambda value: value.replace("@", at).replace(".", dot) if "@" in value and "://" not in value else None


def in_base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


FORMS: dict[str, Form] = {
    "as it is": lambda value: value,
    "full width": lambda value: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value),
    "zero width": lambda value: "\u200b".join(value),
    "soft hyphen": lambda value: "\u00ad".join(value),
    "Arabic digits": _translated("0123456789", "٠١٢٣٤٥٦٧٨٩"),
    "Devanagari digits": _translated("0123456789", "०१२३४५६७८९"),
    "circled digits": _translated("0123456789", "⓪①②③④⑤⑥⑦⑧⑨"),
    "mathematical digits": _translated("0123456789", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗"),
    "look-alike letters": _translated("aeocxp", "аеосхр"),
    "capitals": lambda value: value.upper(),
    "spaced": _spaced(" "),
    "dotted": _spaced("."),
    "dashed": _spaced("-"),
    "one a line": _spaced("\n"),
    "percent": lambda value: "".join(f"%{byte:02X}" for byte in value.encode()),
    "percent, signs alone": lambda value: quote(value, safe="") if quote(value, safe="") != value else None,
    "percent, twice": lambda value: "".join(f"%25{byte:02x}" for byte in value.encode()),
    "entities": lambda value: "".join(f"&#{ord(c)};" for c in value),
    "entities, hexadecimal": lambda value: "".join(f"&#x{ord(c):X};" for c in value),
    "backslash u": lambda value: "".join(f"\\u{ord(c):04x}" for c in value),
    "backslash u, twice": lambda value: "".join(f"\\\\u{ord(c):04x}" for c in value),
    "backslash x": lambda value: "".join(f"\\x{byte:02x}" for byte in value.encode()),
    "code points": lambda value: " ".join(f"U+{ord(c):04X}" for c in value),
    "hexadecimal": lambda value: value.encode().hex(),
    "hexadecimal, apart": lambda value: value.encode().hex(" "),
    "hexadecimal, 0x": lambda value: " ".join(f"0x{byte:02x}" for byte in value.encode()),
    "hexadecimal, UTF-16": lambda value: value.encode("utf-16-be").hex() if value.isascii() else None,
    "base64": in_base64,
    "base64, no padding": lambda value: in_base64(value).rstrip("="),
    "base64, URL": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "base64, twice": lambda value: in_base64(in_base64(value)),
    "base64 of percent": lambda value: in_base64("".join(f"%{byte:02X}" for byte in value.encode())),
    "Chinese numerals": _numerals("零一二三四五六七八九"),
    "Chinese numerals, spoken": _numerals("洞幺二三四五六七八九".replace("洞", "〇")),
    "Chinese numerals, 大写": _numerals("零壹贰叁肆伍陆柒捌玖"),
    "in words": _in_words,
    "in words, doubled": _doubled,
    "backwards": lambda value: value[::-1],
    "at and dot": _told(" at ", " dot "),
    "(at) and (dot)": _told(" (at) ", " (dot) "),
    "[at] and [dot]": _told("[at]", "[dot]"),
    "AT and DOT": _told(" AT ", " DOT "),
    "艾特 and 点": _told("艾特", "点"),
}

_CASE = "upper and lower case tell two values apart: in capitals it is another value"
_LETTERS = "most of it is letters, which nobody tells as numbers"
_NAME = "any word is one behind its label, and turned round it is another word"
EXCLUDED: dict[str, dict[str, str]] = {
    "capitals": {"SECRET": _CASE, "CRYPTO_WALLET": _CASE},
    "in words": dict.fromkeys(("EMAIL", "ADDRESS", "SECRET", "CRYPTO_WALLET", "WECHAT", "MAC_ADDRESS"), _LETTERS),
    "in words, doubled": dict.fromkeys(("EMAIL", "ADDRESS", "SECRET", "CRYPTO_WALLET", "WECHAT"), _LETTERS),
    "backwards": {"WECHAT": _NAME},
}
WITHOUT_GROUPS = {"in words", "in words, doubled", "spaced", "dashed", "one a line"}
WITHOUT_WORDS = {"spaced", "dotted", "dashed", "one a line", "backwards"}


# Blocks and lines of a form, and names of hosts: tried as they stand in test_internals.py; people's in test_names.py.
INTERNALS = {"HIGH_ENTROPY_KEY", "INTERNAL_HOST", "FILE_PATH", "STACK_TRACE", "INTERNAL_RECORD", "ADMIN_NOTE"}
ELSEWHERE = INTERNALS | ON_REQUEST | QUANTITIES | OF_PERSONS | OF_LISTS


def is_tried(vector: Value, form: str) -> bool:
    if vector.type == "US_SSN" and not vector.label and form in WITHOUT_GROUPS:
        return False  # nothing but its grouping tells it from any other nine digits; with a label it is tried
    if vector.type == "ADDRESS" and vector.value.isascii() and form in WITHOUT_WORDS:
        return False  # an English street is told by its words: run together or turned round it has none
    return vector.type not in EXCLUDED.get(form, {}) and FORMS[form](vector.value) is not None


@dataclass(frozen=True, slots=True)
class Written:
    """A value in a form, in a sentence: it is `text[start:end]`."""

    vector: Value
    form: str
    text: str
    start: int
    end: int

    @property
    def value(self) -> str:
        return self.text[self.start : self.end]

    def __str__(self) -> str:
        return f"{self.vector.type} {self.vector.value!r} {self.form}: {self.text!r}"


def write(vector: Value, form: str, sentence: str) -> Written:
    """The value in that form, behind its label if it needs one."""
    written = FORMS[form](vector.value)
    assert written is not None
    label = f"{vector.label.rstrip()} " if vector.label else ""
    start = sentence.index("{}") + len(label)
    return Written(vector, form, sentence.format(label + written), start, start + len(written))


def every_form() -> Iterator[tuple[Value, str]]:
    """Every value with every form that it is tried in."""
    return ((vector, form) for vector in VALUES for form in FORMS if is_tried(vector, form))
