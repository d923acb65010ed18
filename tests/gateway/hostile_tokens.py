"""The tokens of tests/vectors/tokens.json, made from what the file says of them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from gateway.auth.keys import KeySet
from gateway.auth.tokens import Issuer, Issuers
from tests.gateway.support import (
    CLAIMS,
    HEADER,
    ISSUER,
    OTHER_ISSUER,
    key_of,
    make_issuer,
    part,
    private_key,
    sign,
)

Case = dict[str, Any]
Parts = list[str]

CASES: Final[list[Case]] = json.loads(Path("tests/vectors/tokens.json").read_text(encoding="utf-8"))["cases"]
OTHER_AUDIENCE: Final = "other-app"

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER: Final = 2**252 + 27742317777372353535851937790883648493


def token_of(case: Case) -> str:
    """The finished token."""
    key, algorithm = case.get("key", "ES256"), case.get("algorithm", "ES256")
    header = _encoded(_merged(HEADER, case.get("header")), case.get("header_encoding", "utf-8"))
    claims = _encoded(_merged(CLAIMS, case.get("claims")), case.get("encoding", "utf-8"))
    signed = f"{part(header)}.{part(claims)}"
    token = f"{signed}.{part(sign(signed, key, algorithm))}"
    if "edit" in case:
        return ".".join(EDITS[case["edit"]](token.split(".")))
    return token


def issuers_of(case: Case) -> Issuers:
    """Two issuers with keys, audiences and roles of their own; the first one as the case wants it."""
    other = make_issuer(
        name=OTHER_ISSUER,
        audiences=frozenset({OTHER_AUDIENCE}),
        algorithms=frozenset({"ES256"}),
        keys=KeySet((key_of("ES256/other", "ES256"),)),
        roles=frozenset({"admin"}),
        tenant="elsewhere",
    )
    return {ISSUER: _changed(make_issuer(), case.get("issuer", {})), OTHER_ISSUER: other}


def _changed(issuer: Issuer, changes: Mapping[str, Any]) -> Issuer:
    kinds = {"roles": frozenset, "types": frozenset, "tenants": frozenset, "audiences": frozenset, "role_path": tuple}
    changes = {name: kinds.get(name, lambda value: value)(value) for name, value in changes.items()}
    if changes.pop("keys", None) == "unnamed":
        changes["keys"] = KeySet(tuple(replace(key, kid=None) for key in issuer.keys.keys))  # type: ignore[attr-defined]
    return replace(issuer, **changes)


def _merged(good: Mapping[str, Any], changes: Any) -> str:
    """JSON text: the case's own, or the good one with changes."""
    if isinstance(changes, str | list):
        return "".join(map(_resolved, [changes] if isinstance(changes, str) else changes))
    kept = {name: value for name, value in {**good, **(changes or {})}.items() if value is not None}
    return json.dumps({name: _resolved(value) for name, value in kept.items()})


def _resolved(value: Any) -> Any:
    if value == {"null": True}:
        return None
    if isinstance(value, dict) and value.keys() == {"repeat", "times"}:
        return value["repeat"] * value["times"]
    return value


def _encoded(text: str, encoding: str) -> bytes:
    if encoding == "deflate":
        packer = zlib.compressobj(9, wbits=-15)
        return packer.compress(text.encode()) + packer.flush()
    return text.encode(encoding, "surrogatepass")


# ---- edits -----------------------------------------------------------------------------------------------------------


def _signature(change: Callable[[bytes], bytes]) -> Callable[[Parts], Parts]:
    """An edit of the signature's bytes."""

    def edit(parts: Parts) -> Parts:
        return [*parts[:2], part(change(_bytes(parts[2])))]

    return edit


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _with_spare_bits(text: str) -> str:
    """Where the last character has spare bits: another last character, the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4 != 0
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def _ecdsa(change: Callable[[int, int], tuple[int, int]]) -> Callable[[Parts], Parts]:
    """An edit of the two numbers of a P-256 signature."""

    def edited(raw: bytes) -> bytes:
        pair = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        return b"".join((number % 2**256).to_bytes(32, "big") for number in change(*pair))

    return _signature(edited)


def _eddsa(change: Callable[[int], int]) -> Callable[[Parts], Parts]:
    """An edit of the number S of an Ed25519 signature."""

    def edited(raw: bytes) -> bytes:
        return raw[:32] + (change(int.from_bytes(raw[32:], "little")) % 2**256).to_bytes(32, "little")

    return _signature(edited)


def _rsa(change: Callable[[int, int], int]) -> Callable[[Parts], Parts]:
    """An edit of an RSA signature as a number, given the modulus."""
    return _signature(
        lambda raw: (
            change(int.from_bytes(raw, "big"), private_key("RS256").public_key().public_numbers().n) % 2**2048
        ).to_bytes(256, "big")
    )


def _self_vouched(parts: Parts) -> Parts:
    """A JWE's five parts, the last two of them another token's."""
    return [*parts, *parts[1:]]


EDITS: Final[dict[str, Callable[[Parts], Parts]]] = {
    "no_signature": lambda p: [*p[:2], ""],
    "no_header": lambda p: ["", *p[1:]],
    "no_claims": lambda p: [p[0], "", p[2]],
    "only_dots": lambda _: ["", "", ""],
    "empty": lambda _: [""],
    "no_last_part": lambda p: p[:2],
    "one_part": lambda p: p[:1],
    "fourth_part": lambda p: [*p, "AA"],
    "empty_fourth_part": lambda p: [*p, ""],
    "empty_first_part": lambda p: ["", *p],
    "five_parts": lambda p: [*p, "AA", "AA"],
    "five_real_parts": _self_vouched,
    "thousand_parts": lambda p: [*p, *["A"] * 1000],
    "doubled": lambda p: [*p, *p],
    "padded": lambda p: [*p[:2], p[2] + "=="],
    "padded_header": lambda p: [p[0] + "=" * (-len(p[0]) % 4 or 4), *p[1:]],
    "padded_claims": lambda p: [p[0], p[1] + "=" * (-len(p[1]) % 4 or 4), p[2]],
    "encoded_padding": lambda p: [*p[:2], p[2] + "%3D%3D"],
    "space_inside": lambda p: [p[0], p[1][:4] + " " + p[1][4:], p[2]],
    "space_after_dot": lambda p: [p[0], " " + p[1], p[2]],
    "space_at_end": lambda p: [*p[:2], p[2] + " "],
    "tab_inside": lambda p: [p[0], p[1][:4] + "\t" + p[1][4:], p[2]],
    "line_break": lambda p: [*p[:2], p[2] + "\n"],
    "null_at_end": lambda p: [*p[:2], p[2] + "\0"],
    "quoted": lambda p: ['"' + p[0], p[1], p[2] + '"'],
    "comma": lambda p: [*p[:2], p[2] + "," + ".".join(p)],
    "scheme_twice": lambda p: ["Bearer " + p[0], *p[1:]],
    "standard_letters": lambda p: [*p[:2], "+/" + p[2][2:]],
    "unicode": lambda p: [*p[:2], "\u0661" + p[2][1:]],
    "full_width": lambda p: [p[0], p[1], "\uff21" + p[2][1:]],
    "full_width_dot": lambda p: [p[0] + "\uff0e" + p[1], p[2]],
    "latin_letter": lambda p: [*p[:2], "\xc3" + p[2][1:]],
    "bom": lambda p: ["\xef\xbb\xbf" + p[0], *p[1:]],
    "spare_bits": lambda p: [*p[:2], _with_spare_bits(p[2])],
    "spare_bits_in_header": lambda p: [_with_spare_bits(p[0]), *p[1:]],
    "spare_bits_in_claims": lambda p: [p[0], _with_spare_bits(p[1]), p[2]],
    "two_characters_more": lambda p: [*p[:2], p[2] + "AA"],
    "impossible_length": lambda p: [p[0], p[1] + "A" * (1 + -len(p[1]) % 4), p[2]],
    "cut_signature": lambda p: [*p[:2], p[2][:-4] + "AA"],
    "one_byte_signature": _signature(lambda raw: raw[:1]),
    "half_signature": _signature(lambda raw: raw[:32]),
    "byte_too_few": _signature(lambda raw: raw[:-1]),
    "byte_too_many": _signature(lambda raw: raw + b"\0"),
    "byte_before": _signature(lambda raw: b"\0" + raw),
    "signature_twice": _signature(lambda raw: raw + raw),
    "long_signature": _signature(lambda raw: raw * 60),
    "flipped_bit": _signature(lambda raw: bytes([raw[0] ^ 1]) + raw[1:]),
    "zero_signature": _signature(lambda raw: bytes(len(raw))),
    "all_ones": _signature(lambda raw: b"\xff" * len(raw)),
    "der_signature": _signature(lambda _: encode_dss_signature(1, 1)),
    "der_of_the_good_one": _signature(
        lambda raw: encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    ),
    "r_zero": _ecdsa(lambda r, s: (0, s)),
    "s_zero": _ecdsa(lambda r, s: (r, 0)),
    "orders": _ecdsa(lambda r, s: (P256_ORDER, P256_ORDER)),
    "one_and_one": _ecdsa(lambda r, s: (1, 1)),
    "swapped": _ecdsa(lambda r, s: (s, r)),
    "s_above_order": _eddsa(lambda s: s + ED25519_ORDER),
    "s_high_bit": _eddsa(lambda s: s | 2**255),
    "r_high_bit": _signature(lambda raw: raw[:31] + bytes([raw[31] ^ 0x80]) + raw[32:]),
    "identity_point": _signature(lambda raw: b"\1" + bytes(63)),
    "rsa_one": _rsa(lambda s, n: 1),
    "rsa_modulus": _rsa(lambda s, n: n),
    "rsa_negated": _rsa(lambda s, n: n - s),
    "rsa_less_one": _rsa(lambda s, n: n - 1),
    "other_claims": lambda p: [p[0], part(json.dumps({**CLAIMS, "sub": "bob"})), p[2]],
    "other_header": lambda p: [part(json.dumps({**HEADER, "x": 1})), *p[1:]],
    "parts_swapped": lambda p: [p[1], p[0], p[2]],
    "signature_of_nothing": lambda p: [*p[:2], part(sign("", "ES256", "ES256"))],
    "signature_of_claims": lambda p: [*p[:2], part(sign(p[1], "ES256", "ES256"))],
    "huge": lambda p: [p[0], p[1] + "A" * 16384, p[2]],
    "one_too_long": lambda p: [p[0], p[1], p[2] + "A" * (8193 - len(".".join(p)))],
    "megabyte": lambda p: [p[0], p[1] + "A" * 2**20, p[2]],
    "json_serialised": lambda p: [json.dumps({"protected": p[0], "payload": p[1], "signature": p[2]})],
    "json_flattened": lambda p: [part(json.dumps({"payload": p[1], "signatures": [{"protected": p[0]}]})), "A", "A"],
    "deep": lambda p: [p[0], part("[" * 5000), p[2]],
    "deep_header": lambda p: [part('{"a":' * 900), *p[1:]],
    "latin": lambda p: [p[0], part(b'{"iss":"\xe9"}'), p[2]],
    "overlong": lambda p: [p[0], part(b'{"iss":"\xc0\xafissuer"}'), p[2]],
    "encoded_surrogate": lambda p: [p[0], part(b'{"iss":"\xed\xa0\x80"}'), p[2]],
}
