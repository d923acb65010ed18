"""Hostile requests, by the vectors: each is refused for what is wrong with it, and nothing of it is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.encryption.compact import MOST_HEADER_CHARS, Key, open_request
from gateway.encryption.keys import read_key
from gateway.errors import EncryptionFault, NotDecrypted, UnknownEncryptionKey
from gateway.jose import decoded, encoded
from tests.support.encryption import own, pinned, private_jwk
from tightlip_client.protocol import Exchange

CASES = json.loads((Path(__file__).parent.parent.parent / "vectors" / "encryption.json").read_text("utf-8"))["cases"]
PATH = "/v1/chat/completions"
CURVES = {"gateway-1": "P-256", "gateway-2": "P-256", "gateway-x": "X25519"}
KEYS: Mapping[str, Key] = {kid: read_key(private_jwk(kid, curve), private=True) for kid, curve in CURVES.items()}


def good(body: bytes = b"{}") -> str:
    return Exchange(pinned(), "gateway-1", [own()]).seal(body, token="t", path=PATH)


def made(case: Mapping[str, Any]) -> str:
    """The message of a case."""
    if "message" in case:
        return str(case["message"])
    if "plain" in case:
        exchange = Exchange(pinned(), "gateway-1", [own()])
        exchange._secret = b"s" * case["plain"]
        return exchange.seal(b"", token="t", path=PATH)
    parts = good().split(".")
    if "part" in case:
        parts[case["part"]] = _part(parts[case["part"]], case)
    else:
        parts[0] = encoded(_header(json.loads(decoded(parts[0])), case).encode())
    return ".".join(parts)


def _part(before: str, case: Mapping[str, Any]) -> str:
    if "with_flipped" in case:
        return ("B" if before[0] == "A" else "A") + before[1:]
    if "with_spare_bits" in case:
        return before[:-1] + chr(ord(before[-1]) + 1)
    if "with_long" in case:
        return "A" * int(case["with_long"])
    return str(case.get("with", before)) + str(case.get("append", ""))


def _header(header: dict[str, Any], case: Mapping[str, Any]) -> str:
    if "header_text" in case:
        return str(case["header_text"])
    if "header_nested" in case:
        return "[" * case["header_nested"]
    if "header_merge_null" in case:
        return json.dumps(header | {case["header_merge_null"]: None})
    changes = dict(case["header"])
    if "pad" in changes:
        changes["path"] += "a" * changes.pop("pad")
    return json.dumps({name: value for name, value in (header | changes).items() if value is not None})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_hostile_request_is_refused_for_what_it_is(case: dict[str, Any]) -> None:
    with pytest.raises(NotDecrypted) as refused:
        open_request(made(case).encode("latin-1"), KEYS.get)
    assert refused.value.reason == EncryptionFault(case["is"])
    assert isinstance(refused.value, UnknownEncryptionKey) == (case["is"] == "key")
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("kid", CURVES)
def test_a_good_one_is_opened_on_either_curve(kid: str) -> None:
    from tests.support.encryption import jwks, public_jwk
    from tightlip_client import GatewayKeys

    keys = GatewayKeys(jwks(public_jwk(kid, CURVES[kid])))
    message = Exchange(keys, kid, [own()]).seal(b'{"a":1}', token="t", path=PATH)
    opened = open_request(message.encode(), KEYS.get)
    assert (opened.body, opened.head.path, opened.head.answer_kid) == (b'{"a":1}', PATH, "client-1")
    assert len(message.split(".")[0]) < MOST_HEADER_CHARS / 2
    assert "secret" not in repr(opened)


def test_bytes_that_are_no_text_are_refused() -> None:
    for message in (b"\xff.\xff.\xff.\xff.\xff", b"AA.AA.AA.AA.\x00", "é.A.A.A.A".encode()):
        with pytest.raises(NotDecrypted):
            open_request(message, KEYS.get)


GOOD = good().encode()
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
POINTS = st.text(alphabet="ABCwxyz019-_=+ \u00e9", max_size=64)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.binary(max_size=4))
def test_whatever_is_written_over_is_refused_and_nothing_else_is_raised(at: int, value: int, more: bytes) -> None:
    message = GOOD[:at] + bytes([value]) + more + GOOD[at + 1 :]
    if message != GOOD:
        with pytest.raises(NotDecrypted):
            open_request(message, KEYS.get)


@given(
    st.sampled_from(["alg", "enc", "kid", "typ", "epk", "iat", "jti", "ath", "path", "akid"]),
    JSON_VALUES | st.fixed_dictionaries({"kty": st.just("EC"), "crv": st.just("P-256"), "x": POINTS, "y": POINTS}),
)
def test_whatever_a_member_holds_is_refused_and_nothing_else_is_raised(name: str, value: Any) -> None:
    first, *rest = GOOD.decode().split(".")
    header = json.loads(decoded(first))
    if header[name] != value:
        changed = encoded(json.dumps(header | {name: value}).encode())
        with pytest.raises(NotDecrypted):
            open_request(".".join([changed, *rest]).encode(), KEYS.get)
