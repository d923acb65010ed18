"""Key files: what is read, and what stops the start."""

from __future__ import annotations

import datetime
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.auth.keys import MAX_FILE_BYTES, KeySet, collect, load
from gateway.config_file import ConfigError
from tests.gateway.support import key_of, private_key, public_pem
from tests.support.tls import Authority, der, of_unknown_version


def jwk(name: str, **more: Any) -> dict[str, Any]:
    maker = {"RS": RSAAlgorithm, "ES": ECAlgorithm, "Ed": OKPAlgorithm}[name[:2]]
    return {**json.loads(maker.to_jwk(private_key(name).public_key())), **more}


def refusal(path: Path, content: bytes | str) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError) as refused:
        load(path)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "algorithms"),
    [
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("ES512", {"ES512"}),
        ("EdDSA", {"EdDSA"}),
        ("Ed448", {"EdDSA"}),
        ("RS256", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ],
)
def test_a_pem_key_serves_the_algorithms_of_its_kind(tmp_path: Path, name: str, algorithms: set[str]) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(public_pem(name))
    (key,) = load(path, "k1")
    assert (key.kid, key.algorithms) == ("k1", algorithms)


def test_a_certificate_serves_as_its_public_key(tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, private_key("ES256").public_key(), 1, day, day)
    (tmp_path / "cert.pem").write_bytes(builder.sign(private_key("ES256"), hashes.SHA256()).public_bytes(Encoding.PEM))
    (key,) = load(tmp_path / "cert.pem")
    assert key.public_key == private_key("ES256").public_key()


def test_a_certificate_of_an_unknown_version_stops_the_start(tmp_path: Path) -> None:
    path = Authority(tmp_path).server()
    pem = ssl.DER_cert_to_PEM_cert(of_unknown_version(der(path)))
    assert "is not a public key in PEM form" in refusal(tmp_path / "cert.pem", pem)


def test_a_jwks_document_gives_its_signing_keys(tmp_path: Path) -> None:
    entries = [
        jwk("ES256", kid="a"),
        jwk("RS256", kid="b", alg="PS256"),
        jwk("EdDSA", kid="c", use="enc"),
        jwk("EdDSA"),
    ]
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": entries}))
    found = {key.kid: key.algorithms for key in load(path)}
    assert found == {"a": {"ES256"}, "b": {"PS256"}, None: {"EdDSA"}}


@pytest.mark.parametrize(
    "other",
    [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"},
        {"kty": "RSA", "alg": "RSA-OAEP", "n": "AAAA", "e": "AQAB"},
        {"kty": "RSA", "key_ops": ["encrypt"], "n": "AAAA", "e": "AQAB"},
        {"kty": "RSA", "use": "enc", "n": "AAAA", "e": "AQAB"},
    ],
)
def test_a_key_of_another_kind_takes_none_of_ours_away(tmp_path: Path, other: dict[str, Any]) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [other, jwk("ES256", kid="a")]}))
    assert [key.kid for key in load(tmp_path / "jwks.json")] == ["a"]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"kty": "oct", "k": "c2VjcmV0LWNhbmFyeQ"}, "symmetric key"),
        ({"kty": "oct", "use": "enc", "k": "c2VjcmV0LWNhbmFyeQ"}, "symmetric key"),
        ({"kty": "AKP", "alg": "ML-DSA-44", "pub": "c2VjcmV0LWNhbmFyeQ"}, "no key for signatures"),
        ({**jwk("RS256"), "e": "AQ"}, "can't be read"),
        ({**jwk("RS256"), "e": "Aw"}, "exponent"),
        ({**jwk("RS256"), "e": "AQAAAAE"}, "somewhat more"),
        ({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, "can't be read"),
        ({"kty": "RSA"}, "can't be read"),
        ({"kty": ["RSA"]}, "not RSA, EC or OKP"),
        (7, "not RSA, EC or OKP"),
        ({**jwk("ES256"), "d": "c2VjcmV0LWNhbmFyeQ"}, "private or"),
        ({**jwk("RS256"), "use": "enc", "d": "c2VjcmV0LWNhbmFyeQ"}, "private or"),
        ({**jwk("ES256"), "alg": "RS256"}, "does not fit"),
        ({**jwk("ES256"), "kid": 7}, "not text"),
    ],
)
def test_a_jwks_document_with_a_wrong_key_stops_the_start(tmp_path: Path, entry: object, says: str) -> None:
    told = refusal(tmp_path / "jwks.json", json.dumps({"keys": [entry]}))
    assert says in told
    assert "c2VjcmV0" not in told


@pytest.mark.parametrize(
    "content",
    [
        "",
        "hello",
        "{",
        "{}",
        '{"keys": 7}',
        '{"keys": []}',
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ],
)
def test_what_is_no_key_file_stops_the_start(tmp_path: Path, content: str) -> None:
    assert str(tmp_path / "key") in refusal(tmp_path / "key", content)


def test_a_private_key_stops_the_start(tmp_path: Path) -> None:
    pem = private_key("ES256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    told = refusal(tmp_path / "key.pem", pem)
    assert "private key" in told
    assert pem.decode().splitlines()[1] not in told


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP256K1()),
        dsa.generate_private_key(1024),
    ],
    ids=["short RSA", "another curve", "DSA"],
)
def test_weak_and_foreign_keys_stop_the_start(tmp_path: Path, key: Any) -> None:
    refusal(tmp_path / "key.pem", key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_a_missing_or_huge_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "nothing.pem")
    assert "larger" in refusal(tmp_path / "huge.pem", b" " * (MAX_FILE_BYTES + 1))


def test_keys_with_one_id_or_too_many_stop_the_start() -> None:
    with pytest.raises(ConfigError, match="same id"):
        collect([key_of("ES256", kid="a"), key_of("EdDSA", kid="a")], Path("x"))
    with pytest.raises(ConfigError, match="more than 16"):
        collect([key_of("ES256", kid=str(number)) for number in range(17)], Path("x"))
    with pytest.raises(ConfigError, match="more than 4 keys without an id"):
        collect([key_of("ES256")] * 5, Path("x"))
    assert collect([*[key_of("ES256")] * 4, *[key_of("EdDSA")] * 4], Path("x")).ready


def test_a_key_id_is_only_compared() -> None:
    keys = KeySet((key_of("ES256", kid="a"),))
    assert keys.candidates("a", "ES256")
    for unverified in ("b", 1, ["a"], {"a": 1}, "a\0"):
        assert not keys.candidates(unverified, "ES256")
    assert not keys.candidates("a", "RS256")


def test_without_an_id_few_keys_are_tried_and_none_of_many() -> None:
    few = KeySet(tuple(key_of("ES256", kid=str(number)) for number in range(4)))
    many = KeySet((*few.keys, key_of("ES256", kid="4")))
    assert len(few.candidates(None, "ES256")) == 4
    assert not many.candidates(None, "ES256")
    assert len(many.candidates("4", "ES256")) == 1
