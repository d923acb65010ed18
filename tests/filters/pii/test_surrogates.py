"""Surrogates: the form of the value, and a range that is nobody's."""

from __future__ import annotations

import ipaddress
import re

import phonenumbers
import pytest

from filters.pii.chinese import credit_check, resident_check
from filters.pii.detector import PatternDetector
from filters.pii.numbers import digits_of, luhn_ok
from filters.pii.surrogates import surrogate
from tests.support.values import VALUES, Value

SEEDS = [bytes([number]) * 32 for number in range(40)]
NOBODYS = ("PASSPORT", "DRIVER_LICENCE", "ACCOUNT", "CRYPTO_WALLET", "SECRET")


def made(kind: str, value: str) -> list[str]:
    surrogates = [surrogate(kind, value, seed, attempt) for attempt in range(3) for seed in SEEDS]
    assert all(surrogates)
    return [text for text in surrogates if text]


def shape(text: str) -> str:
    return re.sub(r"\d", "0", text)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("13812345678", r"154\d{8}"),
        ("138 1234 5678", r"154 \d{4} \d{4}"),
        ("+86 138-1234-5678", r"\+86 154-\d{4}-\d{4}"),
        ("8613812345678", r"86154\d{8}"),
        ("(415) 555-2671", r"\(\d{3}\) (?:555-01\d\d|\d{3}-\d{4})"),
        ("+1 415 555 2671", r"\+1 \d{3} \d{3} \d{4}"),
        ("1-415-555-2671", r"1-\d{3}-\d{3}-\d{4}"),
        ("010-62345678", r"0(?:10|2[1-4])-0\d{7}"),
        ("0755-79151022", r"0\d{3}-0\d{7}"),
        ("07911 123456", r"07700 900\d{3}"),
        ("+44 20 7123 4567", r"\+99 9\d \d{4} \d{4}"),
        ("415-555-2671 ext 12", r"\d{3}-\d{3}-\d{4}"),
    ],
)
def test_telephone_numbers(value: str, form: str) -> None:
    for number in made("PHONE", value):
        assert re.fullmatch(form, number), number


def test_no_telephone_number_is_possible_in_its_country() -> None:
    for value, region in (("13812345678", "CN"), ("415-555-2671", "US")):
        for number in made("PHONE", value):
            dialled = phonenumbers.parse(number, region)
            reserved = re.search(r"555-01\d\d$", number)
            assert reserved or not phonenumbers.is_valid_number(dialled), number


def test_cards_pass_luhn_and_belong_to_no_scheme() -> None:
    for value in ("4111111111111111", "3782 822463 10005", "6222-0212-3456-7890-128"):
        for card in made("CARD", value):
            assert shape(card) == shape(value)
            assert luhn_ok(digits_of(card))
            assert card[0] == "0"


def test_ibans_pass_modulo_97_and_belong_to_no_country() -> None:
    for value in ("GB82WEST12345698765432", "DE89 3704 0044 0532 0130 00"):
        for iban in made("IBAN", value):
            plain = iban.replace(" ", "")
            assert plain[:2] == "ZZ"
            assert int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1
            assert [len(group) for group in iban.split()] == [len(group) for group in value.split()]


def test_chinese_ids_pass_their_checks_in_no_region() -> None:
    for number in made("RESIDENT_ID", "11010519491231002X"):
        assert number[:2] == "99"
        assert resident_check(number[:17]) == number[17]
    for code in made("CREDIT_CODE", "91110105MA00AB1C0X"):
        assert code[2:4] == "99"
        assert credit_check(code[:17]) == code[17]


def test_addresses_of_hosts_are_for_documentation() -> None:
    networks = [
        ipaddress.ip_network(text)
        for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
    ]
    for value in ("10.20.30.40", "2001:4860:4860::8888"):
        for address in made("IP_ADDRESS", value):
            assert any(ipaddress.ip_address(address) in network for network in networks), address
    for mac in made("MAC_ADDRESS", "02:42:ac:11:00:02"):
        assert re.fullmatch(r"00:00:5e:00:53:[0-9a-f]{2}", mac)


def test_mail_goes_to_hosts_that_cannot_exist() -> None:
    for mail in made("EMAIL", "vexlo@plimsol.com"):
        assert re.fullmatch(r"[a-z]+\.[a-z]+@(?:example\.(?:com|net|org)|[a-z]+\.(?:test|invalid))", mail)


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("US_SSN", "536-90-4399", r"666-\d\d-\d{4}"),
        ("NATIONAL_ID", "AB 12 34 56 C", r"QQ \d\d \d\d \d\d [A-D]"),
        ("PLATE", "京A·12345", r".I·\d{5}"),
        ("PLATE", "粤BD12345", r".I·\d{6}"),
        ("WECHAT", "wx_tamber88", r"0[a-z]+\d\d"),
        ("QQ", "81234567", r"0\d{7}"),
        ("ADDRESS", "221 Kelvo Street", r"\d\d? [A-Z][a-z]+ (?:Street|Lane|Row|Mews), Sampleton"),
        ("ADDRESS", "北京市学院路12号", r"示例市样本区.{3}\d\d?号"),
        ("PERSON", "Vexlo Tamber", r"[A-Z][a-z]+ [A-Z][a-z]+"),
        ("PERSON", "甄妮", r"[\u4e00-\u9fff]{3}"),
    ],
)
def test_other_types(kind: str, value: str, form: str) -> None:
    for text in made(kind, value):
        assert re.fullmatch(form, text), text


def test_the_same_seed_gives_the_same_surrogate_and_others_others(vector: Value) -> None:
    first = [surrogate(vector.type, vector.value, seed) for seed in SEEDS]
    assert first == [surrogate(vector.type, vector.value, seed) for seed in SEEDS]
    assert len(set(first)) > 5 or set(first) == {None}


@pytest.mark.parametrize("kind", NOBODYS)
def test_where_no_range_is_nobodys_there_is_no_surrogate(kind: str) -> None:
    for vector in VALUES:
        if vector.type == kind:
            assert surrogate(kind, vector.value, SEEDS[0]) is None


def test_a_surrogate_still_reads_as_its_type(detector: PatternDetector) -> None:
    """Where the detector judges by form alone; what it knows to be nobody's it leaves alone."""
    for kind, value in (
        ("EMAIL", "vexlo@plimsol.com"),
        ("PHONE", "415-555-2671"),
        ("MAC_ADDRESS", "02:42:ac:11:00:02"),
    ):
        for text in made(kind, value)[:5]:
            assert kind in {span.type for span in detector.find(text)}, text


@pytest.mark.parametrize("value", ["", "x", "1", "+", "+1", "0", "00", "1" * 400, "é", "１３８"])
def test_strange_values_do_no_harm(value: str) -> None:
    for kind in (
        "PHONE",
        "CARD",
        "IBAN",
        "RESIDENT_ID",
        "CREDIT_CODE",
        "US_SSN",
        "QQ",
        "IP_ADDRESS",
        "MAC_ADDRESS",
        "PLATE",
    ):
        surrogate(kind, value, SEEDS[0])
