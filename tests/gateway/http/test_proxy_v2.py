"""The PROXY protocol's header: what it says, and everything that is none."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.addresses import Announced
from gateway.http.proxy_v2 import FIXED_BYTES, MOST_REST_BYTES, SIGNATURE, Malformed, read, rest_bytes

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "proxy_v2.json").read_text(encoding="utf-8"))["cases"]


def whole(raw: bytes) -> Announced:
    return read(raw[:FIXED_BYTES], raw[FIXED_BYTES:])


@pytest.mark.parametrize("case", VECTORS, ids=[case["name"] for case in VECTORS])
def test_vectors(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["hex"])
    if case.get("malformed"):
        with pytest.raises(Malformed):
            whole(raw)
    else:
        assert whole(raw) == Announced(case["address"], case["local"])


def header(
    source: ipaddress.IPv4Address | ipaddress.IPv6Address,
    tlvs: bytes = b"",
    command: int = 0x21,
) -> bytes:
    addresses = source.packed * 2 + b"\x12\x34\x01\xbb"
    rest = addresses + tlvs
    return SIGNATURE + bytes([command, 0x11 if source.version == 4 else 0x21]) + len(rest).to_bytes(2, "big") + rest


@given(st.ip_addresses(), st.binary(max_size=300))
def test_an_address_comes_out_as_it_went_in_and_nothing_shorter_does(source: Any, tlvs: bytes) -> None:
    raw = header(source, tlvs)
    announced = whole(raw)
    assert announced.address is not None
    assert ipaddress.ip_address(announced.address) == source
    assert not announced.local
    for cut in {0, 12, 15, len(raw) - 1}:
        with pytest.raises(Malformed):
            whole(raw[:cut])


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda tail: SIGNATURE + tail))
@example(SIGNATURE + b"\x21\x11\x00\x00")
def test_garbage_is_refused_or_says_nothing_that_is_no_address(raw: bytes) -> None:
    try:
        announced = whole(raw)
    except Malformed:
        return
    assert raw.startswith(SIGNATURE)
    assert announced.address is None or ipaddress.ip_address(announced.address)


@given(st.binary(min_size=4, max_size=4))
def test_how_much_is_read_is_bounded(said: bytes) -> None:
    try:
        count = rest_bytes(SIGNATURE + said)
    except Malformed:
        return
    assert 0 <= count <= MOST_REST_BYTES
