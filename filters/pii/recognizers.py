"""Presidio's pattern recognizers behind the pure interface: its patterns and checksums, our clock, labels and text.

Microsoft Presidio (presidio-analyzer 2.2.366) brings patterns and validators for many countries. Only those parts of it
run here: not its engine, which needs a language model, and not its `analyze`, which logs a pattern that ran out of time
and goes on without it. Here running out of time is an error (view.scan).

Chosen: patterns that are precise by their form or checksum stand alone; those that any order number could meet (nine or
eleven digits and a weak checksum) count only near a label that names them. A label can only add a finding, never take
one away: what stands before a number is the model's to choose.

Not taken from Presidio, with the reason: e-mail (quadratic in a long word; asks the network for the suffix list; takes
Chinese words in), credit card (only some groupings), IBAN (logs candidates; misses one before capitals), phone (parses
each number once per region and again), dates, URLs and postcodes (no identifiers), US bank, passport and driver licence
(any number; `labelled.py` instead).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import regex
from presidio_analyzer import PatternRecognizer
from presidio_analyzer import predefined_recognizers as presidio

from filters.pii.internals import is_internal
from filters.pii.view import View, label, scan
from filters.spans import Span


class Recognizer(Protocol):
    """Finds values of one type in one reading of a text."""

    @property
    def kind(self) -> str: ...

    @property
    def digits(self) -> int:
        """The fewest digits of a text that is worth showing."""
        ...

    @property
    def digit_run(self) -> int:
        """The same of digits that stand near each other (view.View.digit_run)."""
        ...

    def find(self, view: View) -> Iterator[Span]:
        """Spans in offsets of `view.text`. Raises DetectorError when a pattern runs out of time."""
        ...


def silence_presidio() -> None:
    """Presidio's logger passes nothing on: some of its records quote the text. A filter outlives logging.config."""
    logging.getLogger("presidio-analyzer").addFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Choice:
    """One Presidio recognizer and how far it is trusted.

    `shadow` is the text it reads (view.View), `digits` the fewest that the text must hold near each other. Without a
    `label` nearby a match needs `score`; a recognizer whose `score` is over 1 needs the label always.
    """

    name: str
    kind: str
    shadow: str
    digits: int
    score: float
    label: str | None = None
    keep: Callable[[str], object] | None = None
    needs: Callable[[str], object] | None = None  # a cheap test: false for a text in which no match can be
    apart: bool = False  # more than four characters may stand between its digits

    @property
    def digit_run(self) -> int:
        return min(self.digits, 1) if self.apart else self.digits


# A label counts from this many characters before a value to this many after it.
LABEL_BEFORE = 48
LABEL_AFTER = 24

_NEEDS_LABEL = 2.0


def _plausible_ip(value: str) -> bool:
    """No "::", no "std::abc": three groups and a digit at least."""
    groups = [group for group in value.split(":") if group]
    return not is_internal(value) and ("." in value or (len(groups) > 2 and _has_digit(value)))


def _has_digit(value: str) -> bool:
    return any(map(str.isdigit, value))


def _dotted(value: str) -> bool:
    """IPv4 only, and no private one: without its letters, an IPv6 address falls apart into others."""
    return ":" not in value and not is_internal(value)


def _singapore_check(value: str) -> bool:
    """The check letter of NRIC and FIN numbers: weights 2 7 6 5 4 3 2, an offset and a table per prefix."""
    prefix, digits, letter = value[0].upper(), value[1:8], value[8].upper()
    total = sum(int(d) * w for d, w in zip(digits, (2, 7, 6, 5, 4, 3, 2), strict=True))
    offset, table = {
        "S": (0, "JZIHGFEDCBA"),
        "T": (4, "JZIHGFEDCBA"),
        "F": (0, "XWUTRQPNMLK"),
        "G": (4, "XWUTRQPNMLK"),
        "M": (3, "KLJNPQRTUWX"),
    }.get(prefix, (0, ""))
    return bool(table) and table[(total + offset) % 11] == letter


def _holds(sign: str, times: int) -> Callable[[str], bool]:
    return lambda text: text.count(sign) >= times


# What the cheap tests look for, and of a PAN what makes it one: a word of ten letters near "pan" is none.
_MAC = re.compile(r"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.")
_SIXTEEN = re.compile(r"[A-Za-z0-9]{16}")
_NINE = re.compile(r"[A-Z0-9]{9}")
_PAN = re.compile(r"[A-Za-z@#$%^?~-]\d{4}|\d{4}[A-Za-z@#$%^?~-]")
_WALLET = re.compile(r"(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25}")


CHOICES = (
    Choice("IpRecognizer", "IP_ADDRESS", "fields", 1, 0.5, keep=_plausible_ip, needs=_holds(":", 2)),
    Choice("IpRecognizer", "IP_ADDRESS", "numbers", 4, 0.5, keep=_dotted, needs=_holds(".", 3)),
    Choice("MacAddressRecognizer", "MAC_ADDRESS", "words", 1, 0.5, keep=_has_digit, needs=_MAC.search),
    Choice("UsSsnRecognizer", "US_SSN", "numbers", 9, 0.5, r"\bssns?\b|social.{0,3}sec|tax ?payer"),
    Choice("UsItinRecognizer", "US_SSN", "numbers", 9, 0.5, r"\bitin\b|tax ?payer|\btin\b"),
    Choice("UsMbiRecognizer", "NATIONAL_ID", "words", 5, _NEEDS_LABEL, r"medicare|\bmbi\b"),
    Choice("NhsRecognizer", "NATIONAL_ID", "numbers", 10, _NEEDS_LABEL, r"\bnhs\b|health service"),
    Choice("UkNinoRecognizer", "NATIONAL_ID", "words", 6, 0.5),
    Choice("UkDrivingLicenceRecognizer", "DRIVER_LICENCE", "words", 6, 0.3),
    Choice("EsNifRecognizer", "NATIONAL_ID", "words", 7, 1.0),
    Choice("EsNieRecognizer", "NATIONAL_ID", "words", 7, 1.0),
    Choice("ItFiscalCodeRecognizer", "NATIONAL_ID", "words", 3, 1.0, needs=_SIXTEEN.search, apart=True),
    Choice("PlPeselRecognizer", "NATIONAL_ID", "numbers", 11, _NEEDS_LABEL, r"pesel"),
    Choice("DeTaxIdRecognizer", "NATIONAL_ID", "numbers", 11, _NEEDS_LABEL, r"steuer|tax id|\bidnr"),
    Choice(
        "DeIdCardRecognizer", "NATIONAL_ID", "words", 1, _NEEDS_LABEL, r"ausweis|id card|perso\b", needs=_NINE.search
    ),
    Choice("SePersonnummerRecognizer", "NATIONAL_ID", "numbers", 10, _NEEDS_LABEL, r"personnummer|personal identity"),
    Choice("FiPersonalIdentityCodeRecognizer", "NATIONAL_ID", "words", 9, 1.0),
    Choice("InAadhaarRecognizer", "NATIONAL_ID", "numbers", 12, _NEEDS_LABEL, r"aadhaar|aadhar|uidai"),
    Choice(
        *("InPanRecognizer", "NATIONAL_ID", "words", 4, 0.5, r"\bpan\b|permanent account"),
        keep=_PAN.search,
        needs=_PAN.search,
    ),
    Choice("SgFinRecognizer", "NATIONAL_ID", "words", 7, 0.5, keep=_singapore_check),
    Choice("KrRrnRecognizer", "NATIONAL_ID", "numbers", 13, 1.0, r"\brrn\b|resident registration|주민등록"),
    Choice("AuTfnRecognizer", "NATIONAL_ID", "numbers", 9, _NEEDS_LABEL, r"\btfn\b|tax file"),
    Choice("AuMedicareRecognizer", "NATIONAL_ID", "numbers", 10, _NEEDS_LABEL, r"medicare"),
    Choice("CaSinRecognizer", "NATIONAL_ID", "numbers", 9, 1.0, r"\bsin\b|social insurance"),
    Choice("TrNationalIdRecognizer", "NATIONAL_ID", "numbers", 11, _NEEDS_LABEL, r"kimlik|\btckn\b|\bt\.?c\.? ?no"),
    Choice("ThTninRecognizer", "NATIONAL_ID", "numbers", 13, _NEEDS_LABEL, r"thai|citizen id|บัตรประชาชน"),
    Choice(
        "ZaIdNumberRecognizer", "NATIONAL_ID", "numbers", 13, _NEEDS_LABEL, r"south african|\brsa id|\bid (?:number|no)"
    ),
    Choice("CryptoRecognizer", "CRYPTO_WALLET", "words", 1, 1.0, needs=_WALLET.search),
)


class PresidioPatterns:
    """One Presidio pattern recognizer, run by our rules."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._presidio: Any = getattr(presidio, choice.name)()
        self._patterns = [
            (regex.compile(p.regex, self._presidio.global_regex_flags), float(p.score)) for p in self._presidio.patterns
        ]
        self._label = label(choice.label) if choice.label else None
        self._validates = type(self._presidio).validate_result is not PatternRecognizer.validate_result

    @property
    def name(self) -> str:
        return self._choice.name

    @property
    def kind(self) -> str:
        return self._choice.kind

    @property
    def digits(self) -> int:
        return self._choice.digits

    @property
    def digit_run(self) -> int:
        return self._choice.digit_run

    def find(self, view: View) -> Iterator[Span]:
        choice = self._choice
        if choice.needs and not choice.needs(view.text):
            return
        has_label = _labelled(self._label, view, 0, len(view.text))
        text = getattr(view, choice.shadow)
        for pattern, score in self._patterns:
            # Without a label in the whole text a pattern that is too weak to stand alone has nothing to say.
            if has_label or (choice.score <= 1 and (self._validates or score >= choice.score)):
                yield from self._matches(pattern, score, text, view)

    def _matches(self, pattern: Any, score: float, text: str, view: View) -> Iterator[Span]:
        choice = self._choice
        for match in scan(pattern, text):
            judged = self._judge(match.group(), score)
            start, end = match.span()
            if judged >= choice.score or (judged > 0 and _labelled(self._label, view, start, end)):
                yield Span(start, end, choice.kind, judged)

    def _judge(self, value: str, score: float) -> float:
        """Presidio's own rule: a validator's yes is 1, its no is 0, no opinion leaves the pattern's score."""
        if not value or (self._choice.keep is not None and not self._choice.keep(value)):
            return 0.0
        valid = self._presidio.validate_result(value)
        if valid is not None:
            score = 1.0 if valid else 0.0
        return 0.0 if self._presidio.invalidate_result(value) else score


def _labelled(pattern: Any, view: View, start: int, end: int) -> bool:
    if pattern is None:
        return False
    near = view.lower[max(0, start - LABEL_BEFORE) : end + LABEL_AFTER]
    return pattern.search(near) is not None
