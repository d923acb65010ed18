"""Whom a connection of ours trusts, and what it shows."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509

from gateway.config_file import ConfigError, Problem
from gateway.secrets.references import EnvRef, VaultRef, secret_text


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """These authorities, or the system's. Raises ConfigError for a file that holds none."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigError(Problem(str(ca_file), None, "", "is not a file of CA certificates")) from None


def linked(ca_file: Path | None, certificate: Path | None, key: Path | EnvRef | VaultRef | None) -> ssl.SSLContext:
    """As `trusting`; where both are named it shows this certificate (PEM) to who asks for one. Raises ConfigError,
    which quotes neither."""
    context = trusting(ca_file)
    if certificate is not None and key is not None:
        _show(context, certificate, key)
    return context


def end_of(certificate: Path) -> float:
    """When a certificate (PEM, the first of its file) ends, in seconds since the epoch. Raises ConfigError."""
    try:
        return x509.load_pem_x509_certificates(certificate.read_bytes())[0].not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        raise ConfigError(Problem(str(certificate), None, "", "is not a file of certificates, PEM")) from None


def key_path(key: Path | EnvRef | VaultRef) -> str:
    """Where libraries that read keys from files only find this one, for as long as the process runs. One that is in no
    file is put into memory that looks like one, and never on a disk. Raises ConfigError."""
    if isinstance(key, Path):
        return str(key)
    return f"/proc/self/fd/{_in_memory(key)}"


def _show(context: ssl.SSLContext, certificate: Path, key: Path | EnvRef | VaultRef) -> None:
    """Raises ConfigError."""
    with _as_file(key) as key_file:
        try:
            context.load_cert_chain(certificate, key_file, password="")  # else OpenSSL asks the terminal
        except (ssl.SSLError, OSError, ValueError) as error:
            why = getattr(error, "reason", None) or "it can't be read"
            problem = Problem(str(certificate), None, "", f"can't be used with the key {key} ({why})")
            raise ConfigError(problem) from None


@contextmanager
def _as_file(key: Path | EnvRef | VaultRef) -> Iterator[str]:
    """As `key_path`, while inside: OpenSSL's binding reads it once. Raises ConfigError."""
    if isinstance(key, Path):
        yield str(key)
        return
    descriptor = _in_memory(key)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _in_memory(key: EnvRef | VaultRef) -> int:
    """A descriptor of what looks like a file. Raises ConfigError."""
    try:
        secret = secret_text(key).encode()
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(key), None, "", "is not UTF-8")) from None
    if not hasattr(os, "memfd_create"):
        raise ConfigError(Problem(str(key), None, "", "must be a file on this system"))
    descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
    os.write(descriptor, secret + b"\n")
    return descriptor
