"""TLS of a listener: TLS 1.2 with forward secrecy and authenticated ciphers, or 1.3; HTTP/1.1 and nothing else by ALPN.

1. No renegotiation, no compression (Python's default) and no resumption: a resumed session would carry a caller's
   certificate that nobody verified again.
2. The files are read again when their content changes. A handshake takes the context of its moment; running connections
   keep theirs. A new pair that can't be used changes nothing, however it is wrong, and is told of once.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gateway.auth.binding import CallerCertificate, read_der
from gateway.config_file import ConfigError, Problem, read_bytes
from gateway.settings import TlsSettings

EVERY: Final = 1.0  # seconds between two looks at the files
MAX_FILE_BYTES: Final = 1 << 20  # a bundle of every public authority has a quarter of it
ALPN: Final = ["http/1.1"]
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all sound

_BEGINS: Final = b"-----BEGIN CERTIFICATE-----"
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ASKED: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A context, what it was made of, and when its certificate ends (seconds since the epoch)."""

    context: ssl.SSLContext
    content: bytes
    ends: float


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The files have changed: when the certificate in force ends, and why it is still the one before."""

    ends: float
    refused: str | None = None


class ServerTls:
    """The context in force."""

    def __init__(
        self, settings: TlsSettings, tell: Callable[[Reloaded], None], now: Callable[[], float] = time.time
    ) -> None:
        """Raises ConfigError, which names the file."""
        self._settings, self._tell, self._now = settings, tell, now
        self._loaded = load(settings, now())
        self._refused: bytes | None = None  # the content that was told of
        tell(Reloaded(self._loaded.ends))

    @property
    def context(self) -> ssl.SSLContext:
        """For the next handshake."""
        return self._loaded.context

    def refresh(self) -> None:
        """Take over files that have changed. What can't be used is tried again, and told of once."""
        content = _digest(self._settings)
        if content == self._loaded.content:
            self._mended()
            return
        try:
            self._loaded = load(self._settings, self._now())
        except ConfigError as error:
            self._refuse(content, str(error))
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not be the last look at the files
            self._refuse(content, f"{self._settings.certificate}: failed ({type(error).__name__})")
        else:
            self._refused = None
            self._tell(Reloaded(self._loaded.ends))

    def _mended(self) -> None:
        """What could not be used is gone, and what is in force is back."""
        if self._refused is not None:
            self._refused = None
            self._tell(Reloaded(self._loaded.ends))

    def _refuse(self, content: bytes, why: str) -> None:
        if content != self._refused:
            self._refused = content
            self._tell(Reloaded(self._loaded.ends, why))

    async def watch(self) -> None:
        """Refresh for ever, beside the event loop."""
        while True:
            await asyncio.sleep(EVERY)
            await asyncio.to_thread(self.refresh)


def peer_certificate(transport: asyncio.BaseTransport) -> CallerCertificate | None:
    """The certificate that the other end showed and the handshake verified."""
    connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    der = connection.getpeercert(binary_form=True) if connection is not None else None
    if der is None:
        return None
    try:
        return read_der(der)
    except ValueError:  # OpenSSL reads more than this library: then it is nobody's
        return None


# ---- the files -------------------------------------------------------------------------------------------------------


def load(settings: TlsSettings, now: float) -> Loaded:
    """A context of what the files hold now, all of it or nothing. Raises ConfigError, which names the file."""
    content = _digest(settings)
    leaf = _certificates(settings.certificate)[0]
    _check_time(leaf, settings.certificate, now)
    _check_pair(leaf, settings)
    context = _context(settings)
    if _digest(settings) != content:
        raise _wrong(settings.certificate, "changed while it was read")
    return Loaded(context, content, leaf.not_valid_after_utc.timestamp())


def _context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(ALPN)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except (ssl.SSLError, OSError) as error:
        why = getattr(error, "reason", None) or "it can't be read"
        raise _wrong(settings.certificate, f"can't be used with its key ({why})") from None
    if settings.client_ca is not None:
        authorities = _certificates(settings.client_ca)
        try:
            context.load_verify_locations(cadata=b"".join(each.public_bytes(Encoding.DER) for each in authorities))
        except (ssl.SSLError, ValueError):
            raise _wrong(settings.client_ca, "holds a certificate that can't be used") from None
        context.verify_mode = _ASKED[settings.client_certificates]
    return context


def _certificates(path: Path) -> list[x509.Certificate]:
    raw = read_bytes(path, MAX_FILE_BYTES)
    try:
        found = x509.load_pem_x509_certificates(raw)
    except (ValueError, x509.InvalidVersion):
        raise _wrong(path, "holds no certificate in PEM form") from None
    if len(found) < raw.count(_BEGINS):  # half written: the authorities that are missing would be trusted no more
        raise _wrong(path, "holds a certificate that is cut off")
    return found


def _check_time(leaf: x509.Certificate, path: Path, now: float) -> None:
    if now >= leaf.not_valid_after_utc.timestamp():
        raise _wrong(path, "has expired")
    if now < leaf.not_valid_before_utc.timestamp():
        raise _wrong(path, "is not valid yet")


def _check_pair(leaf: x509.Certificate, settings: TlsSettings) -> None:
    """OpenSSL would ask the terminal for a password, and would not say which of the two files is wrong."""
    try:
        key = load_pem_private_key(read_bytes(settings.key, MAX_FILE_BYTES), None)
    except TypeError:
        raise _wrong(settings.key, "is encrypted; the gateway takes a key that is not") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _wrong(settings.key, "holds no private key in PEM form") from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    try:
        certified = leaf.public_key().public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm):
        raise _wrong(settings.certificate, "has a key of a kind that is not known here") from None
    if key.public_key().public_bytes(*form) != certified:
        raise _wrong(settings.key, f"is not the key of {settings.certificate}, whose first certificate must be its own")


def _digest(settings: TlsSettings) -> bytes:
    """Of all files; those that can't be read count as such."""
    digest = hashlib.sha256()
    for path in (settings.certificate, settings.key, settings.client_ca):
        if path is not None:
            try:
                digest.update(hashlib.sha256(read_bytes(path, MAX_FILE_BYTES)).digest())
            except ConfigError:
                digest.update(b"?")
    return digest.digest()


def _wrong(path: Path, text: str) -> ConfigError:
    return ConfigError(Problem(str(path), None, "", text))
