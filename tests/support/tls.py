"""A certificate authority for the tests, and an https server on loopback that says what a test wants."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates for 127.0.0.1. `ca.pem` in its folder is what clients trust."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
        authority = x509.BasicConstraints(ca=True, path_length=None)
        certificate = self._builder(self._name, self._key.public_key()).add_extension(authority, critical=True)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def server(
        self,
        name: str = "server",
        *,
        starts: datetime.timedelta = -DAY,
        ends: datetime.timedelta = DAY,
        host: str | None = None,
    ) -> Path:
        """A PEM file with a key and its certificate, which holds from and until then, as seen from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = [x509.DNSName(host)] if host is not None else []
        addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *names])
        builder = self._builder(subject, key.public_key(), starts, ends)
        certificate = builder.add_extension(addresses, critical=False)
        path = self.folder / f"{name}.pem"
        path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )
        return path

    def certify(self, name: str, key: CertificatePublicKeyTypes) -> bytes:
        """A certificate of that key, PEM."""
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        return self._builder(subject, key).sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _builder(
        self,
        subject: x509.Name,
        key: CertificatePublicKeyTypes,
        starts: datetime.timedelta = -DAY,
        ends: datetime.timedelta = DAY,
    ) -> x509.CertificateBuilder:
        now, serial = datetime.datetime.now(datetime.UTC), x509.random_serial_number()
        builder = x509.CertificateBuilder(self._name, subject, key, serial, now + starts, now + ends)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return builder.add_extension(identifier, critical=False).add_extension(issuer, critical=False)


def der(certificate: Path) -> bytes:
    """Of a file that `Authority.server` wrote."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)


def of_unknown_version(der: bytes) -> bytes:
    """A certificate that says it is of version 6 (RFC 5280, 4.1.2.1, knows three)."""
    version = bytes.fromhex("a003020102"), bytes.fromhex("a003020105")
    assert der.count(version[0])
    return der.replace(*version, 1)


def client_context(ca_file: Path, certificate: Path | None = None) -> ssl.SSLContext:
    """What a client of 127.0.0.1 trusts, and the certificate that it shows."""
    context = ssl.create_default_context(cafile=str(ca_file))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


@dataclass
class Web:
    """What the server says next, and what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    only: dict[str, int] = field(default_factory=dict)  # another status for these paths
    answers: threading.Event = field(default_factory=threading.Event)  # while it is not set nothing is said


@contextmanager
def https_server(certificate: Path, port: int = 0, *, client_ca: Path | None = None) -> Iterator[Web]:
    """Serves every path alike, but for those of `only`; whom this authority has certified, if it says one."""
    web = Web()
    web.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.answers.wait(120)
            web.asked.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            self.send_response(web.only.get(self.path.partition("?")[0], web.status))
            for name, value in web.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(web.body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    web.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.answers.set()
        server.shutdown()
        server.server_close()
        thread.join()
