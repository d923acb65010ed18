"""A token bound to a certificate is good with that one alone, and all that goes wrong looks the same outside."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.binding import (
    METHOD,
    MOST_HEADER_BYTES,
    THUMBPRINT_BYTES,
    CallerCertificate,
    check,
    read_der,
    read_header,
    thumbprint,
)
from gateway.errors import NotAuthenticated, Reason
from tests.gateway.support import part
from tests.support.tls import Authority, der, of_unknown_version

DIGEST = hashlib.sha256(b"a certificate").digest()
HELD = CallerCertificate(DIGEST, 100.0, 200.0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder: Path = tmp_path_factory.mktemp("tls")
    return der(Authority(folder).server())


def reason(call: Any) -> str:
    with pytest.raises(NotAuthenticated) as refused:
        call()
    assert type(refused.value) is NotAuthenticated
    assert refused.value.body() == NotAuthenticated().body()
    return refused.value.reason


# ---- the check -------------------------------------------------------------------------------------------------------


def test_the_same_certificate_within_its_time_is_good() -> None:
    for now in (100.0, 199.9):
        check(DIGEST, HELD, now, required=True)


@pytest.mark.parametrize(
    ("certificate", "now"),
    [
        (None, 150.0),
        (CallerCertificate(DIGEST[:-1] + b"\0", 100.0, 200.0), 150.0),
        (CallerCertificate(b"", 100.0, 200.0), 150.0),
        (HELD, 99.9),
        (HELD, 200.0),
    ],
)
def test_another_one_or_none_is_refused_also_where_no_role_asks(
    certificate: CallerCertificate | None, now: float
) -> None:
    for required in (True, False):
        assert reason(lambda need=required: check(DIGEST, certificate, now, required=need)) == Reason.CERTIFICATE


def test_a_token_that_is_bound_to_nothing_is_refused_only_where_it_must_be() -> None:
    check(None, None, 150.0, required=False)
    check(None, HELD, 150.0, required=False)
    assert reason(lambda: check(None, HELD, 150.0, required=True)) == Reason.NOT_BOUND


# ---- the claim -------------------------------------------------------------------------------------------------------


def test_a_thumbprint_is_read() -> None:
    assert thumbprint({METHOD: part(DIGEST)}) == DIGEST
    rfc_8705 = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"  # section 3.1
    assert thumbprint({METHOD: rfc_8705}).hex().startswith("6f070ad1eb1cdc00")


@pytest.mark.parametrize(
    "confirmation",
    [
        None,
        "x5t#S256",
        [],
        {},
        {"jkt": part(DIGEST)},
        {"jwk": {"kty": "EC"}},
        {METHOD: part(DIGEST), "jkt": part(DIGEST)},
        {"X5T#S256": part(DIGEST)},
        {"x5t": part(DIGEST)},
        {METHOD: None},
        {METHOD: 1},
        {METHOD: [part(DIGEST)]},
        {METHOD: ""},
        {METHOD: part(DIGEST) + "="},
        {METHOD: part(DIGEST[:-1])},
        {METHOD: part(DIGEST + b"\0")},
        {METHOD: "/" * 43},
        {METHOD: DIGEST.hex()},
        {METHOD: "é" * 43},
    ],
)
def test_any_other_confirmation_is_refused(confirmation: Any) -> None:
    assert reason(lambda: thumbprint(confirmation)) == Reason.CONFIRMATION


@given(st.binary(min_size=32, max_size=32))
def test_a_thumbprint_comes_out_as_it_went_in(raw: bytes) -> None:
    read = thumbprint({METHOD: part(raw)})
    assert read == raw
    assert len(read) == THUMBPRINT_BYTES


# ---- the header ------------------------------------------------------------------------------------------------------


def line(raw: bytes) -> bytes:
    return b":" + base64.b64encode(raw) + b":"


def test_a_header_is_read(certificate: bytes) -> None:
    read = read_header([line(certificate)])
    assert read == read_der(certificate)
    assert read is not None
    assert read.thumbprint == hashlib.sha256(certificate).digest()
    assert read.ends - read.starts == timedelta(days=2).total_seconds()


def test_no_header_is_no_certificate() -> None:
    assert read_header([]) is None


@pytest.mark.parametrize("kind", range(17))
def test_any_other_header_is_refused(certificate: bytes, kind: int) -> None:
    good, encoded = line(certificate), base64.b64encode(certificate)
    lines = [
        [good, good],
        [good, b""],
        [b""],
        [b"::"],
        [b":====:"],
        [encoded],
        [good[:-1]],
        [good + b";a=1"],
        [good + b", " + good],
        [b'"' + encoded + b'"'],
        [b":" + base64.urlsafe_b64encode(b"\xff" * 300) + b":"],
        [good[:100] + b" " + good[100:]],
        [line(certificate + b"\0")],
        [line(certificate[:-1])],
        [line(b"-----BEGIN CERTIFICATE-----")],
        [b":" + b"A" * MOST_HEADER_BYTES + b":"],
        [line(of_unknown_version(certificate))],
    ][kind]
    assert reason(lambda: read_header(lines)) == Reason.CERTIFICATE


@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_refused(raw: bytes, framed: bool) -> None:
    assert reason(lambda: read_header([line(raw) if framed else raw])) == Reason.CERTIFICATE
