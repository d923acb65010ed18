"""The administration API from the other side: what the commands speak with."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from gateway.addresses import is_loopback
from gateway.admin.shapes import PREFIX
from gateway.authorities import linked
from gateway.config_file import ConfigError, Problem
from gateway.secrets.references import EnvRef, read_secret
from gateway.settings import ADMIN_TOKEN

SECONDS: Final = 120.0  # for a call: a policy is read with its detectors
MOST_BYTES: Final = 64 << 20  # of an answer: some 300,000 revocations

T = TypeVar("T")


class Unreachable(Exception):
    """Nobody answered, or not as a gateway does. The text is for the operator, and holds nothing that was sent."""


class Refused(Exception):
    """The gateway's error: its code, its text, and a line for each problem where it named some."""

    def __init__(self, status: int, code: str, message: str, problems: list[str]) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.problems = status, code, message, problems

    @property
    def may_go_elsewhere(self) -> bool:
        """Whether it was that gateway's own trouble: another one may do it."""
        return self.status == 503


@dataclass(frozen=True, slots=True)
class Access:
    """How administrators come in: to which gateways, with which token, and with what trust."""

    gateways: tuple[str, ...]
    token: str
    context: ssl.SSLContext


class _Error(msgspec.Struct):
    message: str
    code: str | None = None
    problems: list[str] = []


class _Refusal(msgspec.Struct):
    error: _Error


def access(
    gateways: list[str],
    token_file: Path | None,
    ca_file: Path | None,
    certificate: Path | None,
    key: Path | None,
    *,
    allow_plaintext: bool,
) -> Access:
    """Raises ConfigError."""
    for gateway in gateways:
        _check(gateway, allow_plaintext=allow_plaintext)
    context = linked(ca_file, certificate, key or certificate)
    return Access(tuple(each.rstrip("/") for each in gateways), _token(token_file), context)


async def ask(
    access: Access,
    gateway: str,
    method: str,
    path: str,
    answer: type[T],
    *,
    body: Mapping[str, object] | None = None,
    query: Mapping[str, str] | None = None,
) -> T:
    """One call. Raises Unreachable, Refused."""
    headers = {"authorization": f"Bearer {access.token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session,
            session.request(
                method,
                gateway + PREFIX + path,
                json=body,
                params=query,
                headers=headers,
                ssl=access.context,
                allow_redirects=False,
            ) as response,
        ):
            status, raw = response.status, await _whole(response)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(_why(error)) from None
    return _read(status, raw, answer)


def _why(error: Exception) -> str:
    """What an operator makes of it; the errors' own texts may quote what was sent."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not of a known authority, or not for this name: see --ca-file"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS handshake failed: is a --client-certificate needed?"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"can't be reached ({os.strerror(error.errno) if error.errno else 'no such host'})"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return "closed the connection (is a --client-certificate needed, or https?); what was asked may have been done"
    return "did not answer as a gateway does, or in time; what was asked may have been done"


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Raises Unreachable: longer than any answer."""
    raw = bytearray()
    async for piece in response.content.iter_any():
        raw += piece
        if len(raw) > MOST_BYTES:
            raise Unreachable("its answer is longer than any that a gateway gives")
    return bytes(raw)


def _read(status: int, raw: bytes, answer: type[T]) -> T:
    """Raises Unreachable, Refused."""
    try:
        if status == 200:
            return msgspec.json.decode(raw, type=answer)
        refusal = msgspec.json.decode(raw, type=_Refusal).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Unreachable("did not answer as a gateway does: is this its management address?") from None
    raise Refused(status, refusal.code or "", refusal.message, refusal.problems)


def _check(gateway: str, *, allow_plaintext: bool) -> None:
    parts = urlsplit(gateway)
    try:
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(Problem("--gateway", None, "", "must be https://HOST[:PORT], of the management listener"))
    if parts.scheme == "http" and not allow_plaintext and not is_loopback(parts.hostname or ""):
        text = "http:// off loopback shows the token to whoever listens; use https, or say --allow-plaintext"
        raise ConfigError(Problem("--gateway", None, "", text))


def _token(file: Path | None) -> str:
    """Of the file, or the environment; never of an argument, which others see."""
    if file is None and not os.environ.get(ADMIN_TOKEN):
        text = "is not set: an administrator's token, or use --token-file"
        raise ConfigError(Problem(ADMIN_TOKEN, None, "", text))
    return read_secret(file or EnvRef(ADMIN_TOKEN))
