"""A listener's TLS: files that can't be used are named, and a bad new pair changes nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import time
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate

from gateway.config_file import ConfigError
from gateway.http import tls
from gateway.http.tls import Reloaded, ServerTls, load, peer_certificate
from gateway.settings import TlsSettings
from tests.support.tls import DAY, Authority, der, of_unknown_version

CANARY = "zqCanaryWordxv"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def of(path: Path, **more: object) -> TlsSettings:
    return TlsSettings.model_validate({"certificate": path, "key": path, **more})


def refusal(settings: TlsSettings, now: float | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        load(settings, time.time() if now is None else now)
    return str(refused.value)


def test_what_is_served(authority: Authority) -> None:
    found = load(of(authority.server()), time.time())
    context = found.context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_TICKET
    assert context.num_tickets == 0
    assert context.verify_mode is ssl.CERT_NONE
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert names
    assert all("GCM" in name or "CHACHA20" in name for name in names)
    assert found.ends == pytest.approx(time.time() + DAY.total_seconds(), abs=60)


def test_the_version_may_be_raised_and_a_number_in_yaml_is_one(authority: Authority) -> None:
    for version in (1.3, "1.3"):
        context = load(of(authority.server(), min_version=version), time.time()).context
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_callers_certificates_are_asked_for(authority: Authority) -> None:
    for asked, mode in (("optional", ssl.CERT_OPTIONAL), ("required", ssl.CERT_REQUIRED)):
        settings = of(authority.server(), client_ca=authority.ca_file, client_certificates=asked)
        assert load(settings, time.time()).context.verify_mode is mode


def test_files_that_are_not_there_or_hold_something_else_are_named_and_not_quoted(authority: Authority) -> None:
    good, other = authority.server(), authority.folder / "other.pem"
    assert f"{other}: can't be read" in refusal(of(good, certificate=other))
    assert f"{other}: can't be read" in refusal(of(good, key=other))
    other.write_text(CANARY)
    told = [
        refusal(of(good, certificate=other)),
        refusal(of(good, key=other)),
        refusal(of(good, client_ca=other, client_certificates="required")),
    ]
    assert [text.split(": ")[1] for text in told] == [
        "holds no certificate in PEM form",
        "holds no private key in PEM form",
        "holds no certificate in PEM form",
    ]
    assert all(text.startswith(str(other)) and CANARY not in text for text in told)


def test_a_key_of_another_certificate_is_named(authority: Authority) -> None:
    good, other = authority.server(), authority.server("other")
    assert refusal(of(good, key=other)).startswith(f"{other}: is not the key of {good}")
    chain = authority.folder / "chain.pem"
    chain.write_bytes(authority.ca_file.read_bytes() + good.read_bytes())  # the wrong way round
    assert "is not the key of" in refusal(of(good, certificate=chain))


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(authority: Authority) -> None:
    good, locked = authority.server(), authority.folder / "locked.pem"
    key = load_pem_private_key(good.read_bytes(), None)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(CANARY.encode())))
    assert refusal(of(good, key=locked)) == f"{locked}: is encrypted; the gateway takes a key that is not"


def test_a_certificate_out_of_its_time_is_refused(authority: Authority) -> None:
    good = authority.server(ends=timedelta(minutes=5))
    assert "has expired" in refusal(of(good), time.time() + 301)
    assert "is not valid yet" in refusal(of(good), time.time() - 2 * DAY.total_seconds())


def test_a_key_that_openssl_does_not_take_is_refused(authority: Authority) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    path = authority.folder / "weak.pem"
    path.write_bytes(
        weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + authority.certify("weak", weak.public_key())
    )
    assert "can't be used with its key" in refusal(of(path))


def changed(pem: bytes, old: bytes, new: bytes) -> bytes:
    """A certificate with other bytes in it, that is still read as one."""
    der = load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    assert old in der
    return ssl.DER_cert_to_PEM_cert(der.replace(old, new)).encode()


ED25519 = bytes.fromhex("300506032b6570032100"), bytes.fromhex("300506032b657f032100")


def test_a_certificate_whose_kind_of_key_nobody_knows_is_refused(authority: Authority) -> None:
    path = authority.folder / "odd.pem"
    path.write_bytes(changed(authority.certify("odd", ed25519.Ed25519PrivateKey.generate().public_key()), *ED25519))
    assert refusal(of(path, key=authority.server())) == f"{path}: has a key of a kind that is not known here"


def test_authorities_that_openssl_does_not_take_or_that_are_cut_off_are_refused(authority: Authority) -> None:
    path = authority.folder / "ca.pem"
    name = authority.certify("odd.example", rsa.generate_private_key(65537, 2048).public_key())
    path.write_bytes(changed(name, b"odd.example", b"\xffdd.exampl\xff"))
    told = of(authority.server(), client_ca=path, client_certificates="required")
    assert refusal(told) == f"{path}: holds a certificate that can't be used"
    path.write_bytes(name + name[: len(name) // 2])
    assert refusal(told) == f"{path}: holds a certificate that is cut off"


def test_a_certificate_of_an_unknown_version_is_refused_and_a_caller_s_is_nobody_s(authority: Authority) -> None:
    """The library's error for it is no ValueError."""
    good, path = authority.server(), authority.folder / "odd.pem"
    odd = of_unknown_version(der(good))
    path.write_text(ssl.DER_cert_to_PEM_cert(odd))
    assert refusal(of(good, certificate=path)) == f"{path}: holds no certificate in PEM form"

    class Connection:
        def getpeercert(self, *, binary_form: bool) -> bytes:
            assert binary_form
            return odd

    class Transport(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return {"ssl_object": Connection()}.get(name, default)

    assert peer_certificate(Transport()) is None


# ---- when they change ------------------------------------------------------------------------------------------------


class Watched:
    """A pair that is reached through a link, as in a Kubernetes secret, and what was told of it."""

    def __init__(self, folder: Path, first: Path) -> None:
        self.folder = folder
        self.told: list[Reloaded] = []
        self.swap(first, "..1")
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(Path("..data") / name)
        self.tls = ServerTls(
            TlsSettings(certificate=folder / "tls.crt", key=folder / "tls.key"), self.told.append, time.time
        )

    def swap(self, pair: Path, version: str, key: Path | None = None) -> None:
        """All files at once: one link is replaced."""
        target = self.folder / version
        target.mkdir()
        shutil.copy(pair, target / "tls.crt")
        shutil.copy(key or pair, target / "tls.key")
        (self.folder / "..new").symlink_to(version)
        os.replace(self.folder / "..new", self.folder / "..data")


@pytest.fixture
def watched(authority: Authority) -> Watched:
    folder = authority.folder / "secret"
    folder.mkdir()
    return Watched(folder, authority.server("one"))


def test_a_new_pair_behind_a_link_is_taken_over(watched: Watched, authority: Authority) -> None:
    before = watched.tls.context
    watched.tls.refresh()
    assert watched.tls.context is before
    watched.swap(authority.server("two", ends=2 * DAY), "..2")
    watched.tls.refresh()
    assert watched.tls.context is not before
    assert [told.refused for told in watched.told] == [None, None]
    assert watched.told[1].ends - watched.told[0].ends == pytest.approx(DAY.total_seconds(), abs=60)


def test_a_bad_new_pair_is_refused_whole_told_of_once_and_a_good_one_after_it_taken(
    watched: Watched, authority: Authority
) -> None:
    before = watched.tls.context
    two = authority.server("two")
    watched.swap(two, "..2", key=authority.server("three"))
    for _ in range(3):
        watched.tls.refresh()
    assert watched.tls.context is before
    assert len(watched.told) == 2
    assert "is not the key of" in (watched.told[1].refused or "")
    assert watched.told[1].ends == watched.told[0].ends
    watched.swap(authority.server("late", starts=-2 * DAY, ends=-DAY), "..3")
    watched.tls.refresh()
    assert "has expired" in (watched.told[2].refused or "")
    watched.swap(two, "..4")
    watched.tls.refresh()
    assert watched.tls.context is not before
    assert watched.told[3].refused is None


def test_a_mistake_in_what_reads_them_is_not_the_last_look(
    watched: Watched, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError(CANARY)

    before = watched.tls.context
    watched.swap(authority.server("two"), "..2")
    with monkeypatch.context() as patched:
        patched.setattr(tls, "load", broken)
        for _ in range(2):
            watched.tls.refresh()
    assert watched.tls.context is before
    assert [told.refused for told in watched.told[1:]] == [f"{watched.folder / 'tls.crt'}: failed (ZeroDivisionError)"]
    watched.tls.refresh()
    assert watched.tls.context is not before


def test_a_file_that_goes_and_comes_back_is_no_change(watched: Watched) -> None:
    before = watched.tls.context
    (watched.folder / "tls.key").unlink()
    watched.tls.refresh()
    assert "tls.key: can't be read" in (watched.told[1].refused or "")
    (watched.folder / "tls.key").symlink_to(Path("..data") / "tls.key")
    watched.tls.refresh()
    assert watched.tls.context is before
    assert watched.told[2].refused is None
    (watched.folder / "tls.key").unlink()
    watched.tls.refresh()
    watched.tls.refresh()
    assert len(watched.told) == 4
