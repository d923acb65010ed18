"""Where a caller is: the peer's address, or what a trusted proxy says of it.

1. Only what a trusted proxy wrote is read, from right to left: each of `hops` entries was written by a machine of ours.
   What a caller puts there himself stands further to the left, and is never reached.
2. Several header lines are one list in their order (RFC 9110, 5.3); the other header of the two is not looked at.
3. What can't be read as an address ends the walk: nobody knows then where the caller is, and no network holds him.
4. What a trusted proxy says in the PROXY protocol's header stands to the right of every header line: it is about the
   connection that those lines came on. A proxy that speaks for itself (LOCAL) speaks for nobody else.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import SplitResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
HeaderName = Literal["x-forwarded-for", "forwarded"]

MAX_CHAIN_BYTES: Final = 4096
_WITH_PORT: Final = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9.]+))(?::\d{1,5})?", re.ASCII)
_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"(?P<quoted>[^"\\]*)"|(?P<token>[^\s;,"]+))\s*(?=;|$)', re.I)


@dataclass(frozen=True, slots=True)
class Announced:
    """What the PROXY protocol's header says of a connection. `address` is None where it does not say."""

    address: str | None
    local: bool = False  # the proxy speaks for itself: a health check


@dataclass(frozen=True, slots=True)
class Proxies:
    """Machines of ours that may stand before the gateway. Without `networks` callers connect directly."""

    networks: tuple[Network, ...] = ()
    hops: int = 1
    header: HeaderName = "x-forwarded-for"
    proxy_protocol: bool = False  # each of their connections begins with the PROXY protocol's header
    client_cert_header: bool = False  # Client-Cert (RFC 9440), which they set or remove, is the caller's certificate

    def caller(
        self, peer: str | None, headers: Iterable[tuple[bytes, bytes]], announced: Announced | None = None
    ) -> str | None:
        """The caller's address; None where nobody knows."""
        address = read_address(peer) if peer is not None else None
        if address is None or not self._trusts(address) or (announced is not None and announced.local):
            return str(address) if address is not None else None
        entries = [*self._chain(headers), *([announced.address or "unknown"] if announced is not None else [])]
        for _, entry in zip(range(self.hops), reversed(entries), strict=False):
            address = read_address(entry)
            if address is None:
                return None
            if not self._trusts(address):
                break
        return str(address)

    def must_announce(self, peer: str | None) -> bool:
        """Whether a connection from there has to begin with the PROXY protocol's header."""
        return self.proxy_protocol and self._is_ours(peer)

    def write_headers(self, peer: str | None, announced: Announced | None = None) -> bool:
        """Whether what speaks HTTP on a connection is a machine of ours. One that announces passes bytes on and writes
        no header: what it announces does, and has to be the second of at least two hops."""
        if announced is None:
            return self._is_ours(peer)
        return self.hops > 1 and not announced.local and self._is_ours(peer) and self._is_ours(announced.address)

    def _is_ours(self, text: str | None) -> bool:
        address = read_address(text) if text is not None else None
        return address is not None and self._trusts(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.networks)

    def _chain(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[str]:
        name = self.header.encode()
        lines = [value for key, value in headers if key == name]
        if sum(map(len, lines)) > MAX_CHAIN_BYTES:
            return ["too long"]
        text = ",".join(line.decode("latin-1") for line in lines)
        if not text:
            return []
        return list(_forwarded(text)) if self.header == "forwarded" else [part.strip() for part in text.split(",")]


NO_PROXIES: Final = Proxies()


def read_address(text: str) -> Address | None:
    """An IPv4 or IPv6 address, with or without a port; None for anything else. IPv4 in IPv6 is IPv4 (RFC 4291)."""
    bare = text
    if match := _WITH_PORT.fullmatch(text):
        bare = match["v6"] or match["v4"]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def _forwarded(text: str) -> Iterator[str]:
    """The `for` of each element (RFC 7239, 4); what has none, or more than one, is no address."""
    for element in text.split(","):
        found = _FOR.findall(element)
        yield found[0][0] or found[0][1] if len(found) == 1 else "unknown"


def port_of(url: SplitResult) -> int:
    """That an http:// or https:// address names, or the one that stands for its scheme (RFC 9110, 4.2)."""
    return url.port or (443 if url.scheme == "https" else 80)


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host, a name or an address, stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
