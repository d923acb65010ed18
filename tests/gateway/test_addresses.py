"""Where a caller is: forwarded headers count only from machines of ours, and only as far as those wrote them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.addresses import MAX_CHAIN_BYTES, NO_PROXIES, Announced, Proxies, read_address

OURS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
ONE, TWO = Proxies(OURS, 1), Proxies(OURS, 2)
RFC7239 = Proxies(OURS, 2, "forwarded")


def caller(proxies: Proxies, peer: str | None, *lines: str) -> str | None:
    return proxies.caller(peer, [(proxies.header.encode(), line.encode("latin-1")) for line in lines])


@pytest.mark.parametrize(
    ("proxies", "peer", "lines", "address"),
    [
        (NO_PROXIES, "203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        (ONE, "203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        (ONE, "10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        (ONE, "10.0.0.1", ["192.0.2.9, 198.51.100.1"], "198.51.100.1"),
        (ONE, "10.0.0.1", ["192.0.2.9", "198.51.100.1"], "198.51.100.1"),
        (ONE, "10.0.0.1", ["198.51.100.1, 10.0.0.2"], "10.0.0.2"),
        (TWO, "10.0.0.1", ["192.0.2.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        (TWO, "10.0.0.1", ["192.0.2.9, 198.51.100.1"], "198.51.100.1"),
        (TWO, "10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (ONE, "10.0.0.1", [], "10.0.0.1"),
        (ONE, "10.0.0.1", ["unknown"], None),
        (ONE, "10.0.0.1", ["198.51.100.1,"], None),
        (ONE, "10.0.0.1", ["198.51.100.1, "], None),
        (ONE, "10.0.0.1", ["1" * (MAX_CHAIN_BYTES + 1)], None),
        (ONE, "10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        (ONE, "10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        (ONE, "10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        (ONE, "::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        (ONE, "fd00::1", ["fe80::1%eth0"], None),
        (ONE, None, ["198.51.100.1"], None),
        (ONE, "/run/socket", ["198.51.100.1"], None),
        (RFC7239, "10.0.0.1", ["for=198.51.100.1"], "198.51.100.1"),
        (RFC7239, "10.0.0.1", ['For="[2001:db8::7]:4711";proto=https;by=10.0.0.1'], "2001:db8::7"),
        (RFC7239, "10.0.0.1", ["for=192.0.2.9, for=198.51.100.1, for=10.0.0.2"], "198.51.100.1"),
        (RFC7239, "10.0.0.1", ["for=192.0.2.9;for=198.51.100.1"], None),
        (RFC7239, "10.0.0.1", ["proto=https"], None),
        (RFC7239, "10.0.0.1", ["for=_hidden"], None),
        (RFC7239, "10.0.0.1", ['for="198.51.100.1, for=192.0.2.1"'], None),
    ],
)
def test_the_address(proxies: Proxies, peer: str | None, lines: list[str], address: str | None) -> None:
    assert caller(proxies, peer, *lines) == address


def test_the_other_header_is_not_looked_at() -> None:
    headers = [(b"forwarded", b"for=192.0.2.1"), (b"x-forwarded-for", b"198.51.100.1"), (b"x-real-ip", b"192.0.2.2")]
    assert ONE.caller("10.0.0.1", headers) == "198.51.100.1"


@pytest.mark.parametrize(
    ("proxies", "peer", "announced", "lines", "address", "writes"),
    [
        (ONE, "10.0.0.1", Announced("198.51.100.1"), [], "198.51.100.1", False),
        (ONE, "10.0.0.1", Announced("198.51.100.1"), ["192.0.2.9"], "198.51.100.1", False),
        (ONE, "10.0.0.1", Announced("10.0.0.2"), ["192.0.2.9"], "10.0.0.2", False),
        (TWO, "10.0.0.1", Announced("198.51.100.1"), ["192.0.2.9"], "198.51.100.1", False),
        (TWO, "10.0.0.1", Announced("10.0.0.2"), ["192.0.2.9, 198.51.100.1"], "198.51.100.1", True),
        (TWO, "10.0.0.1", Announced("10.0.0.2"), [], "10.0.0.2", True),
        (TWO, "::ffff:10.0.0.1", Announced("::ffff:10.0.0.2"), ["198.51.100.1"], "198.51.100.1", True),
        (TWO, "10.0.0.1", Announced(None), ["198.51.100.1"], None, False),
        (TWO, "10.0.0.1", Announced(None, local=True), ["198.51.100.1"], "10.0.0.1", False),
        (TWO, "203.0.113.7", Announced("10.0.0.2"), ["198.51.100.1"], "203.0.113.7", False),
        (TWO, None, Announced("10.0.0.2"), ["198.51.100.1"], None, False),
        (RFC7239, "10.0.0.1", Announced("10.0.0.2"), ["for=192.0.2.9, for=198.51.100.1"], "198.51.100.1", True),
        (ONE, "10.0.0.1", None, ["198.51.100.1"], "198.51.100.1", True),
        (ONE, "203.0.113.7", None, [], "203.0.113.7", False),
        (NO_PROXIES, "10.0.0.1", None, [], "10.0.0.1", False),
        (NO_PROXIES, None, None, [], None, False),
    ],
)
def test_what_is_announced_stands_right_of_every_header(
    proxies: Proxies, peer: str | None, announced: Announced | None, lines: list[str], address: str | None, writes: bool
) -> None:
    headers = [(proxies.header.encode(), line.encode()) for line in lines]
    assert proxies.caller(peer, headers, announced) == address
    assert proxies.write_headers(peer, announced) == writes


def test_only_machines_of_ours_that_speak_it_must_announce() -> None:
    speaks = Proxies(OURS, proxy_protocol=True)
    assert speaks.must_announce("10.0.0.1")
    assert speaks.must_announce("::ffff:10.0.0.1")
    assert not any(map(speaks.must_announce, ("203.0.113.7", "", None)))
    assert not ONE.must_announce("10.0.0.1")


@given(
    written=st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=80),
    header=st.sampled_from(["x-forwarded-for", "forwarded"]),
)
def test_nothing_that_a_caller_writes_moves_him(written: str, header: str) -> None:
    """What our machine adds comes last, on the same line or on one of its own."""
    proxies = Proxies(OURS, 1, header)  # type: ignore[arg-type]
    ours = "for=198.51.100.1" if header == "forwarded" else "198.51.100.1"
    assert caller(proxies, "10.0.0.1", written, ours) == "198.51.100.1"
    assert caller(proxies, "10.0.0.1", f"{written}, {ours}") == "198.51.100.1"
    assert caller(proxies, "203.0.113.7", written) == "203.0.113.7"


@given(st.text(max_size=40))
def test_anything_can_be_read(text: str) -> None:
    read_address(text)
