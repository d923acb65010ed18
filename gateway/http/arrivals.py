"""Who is connected: from where each connection comes, and how many there are."""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from gateway.addresses import Announced, Proxies
from gateway.auth.binding import CLIENT_CERT, CallerCertificate, read_header

ORIGIN: Final = "tightlip.origin"  # in a request's scope
NEIGHBOURS: Final = 64  # bits of an IPv6 address that one customer of a provider has to himself


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection comes from: its socket's other end, what a trusted proxy announced, and whose certificate the
    handshake verified."""

    peer: str | None
    announced: Announced | None = None
    certificate: CallerCertificate | None = None


def origin_of(scope: Scope) -> Origin:
    """Of the connection that a request came on; of a request without one, what its scope says."""
    origin: Origin | None = scope.get(ORIGIN)
    if origin is None:
        client = scope.get("client")
        return Origin(client[0] if client else None)
    return origin


def caller_certificate(scope: Scope, proxies: Proxies) -> CallerCertificate | None:
    """The certificate that the caller of a request showed. Of a connection that a trusted proxy speaks on it is what
    the proxy's header says, if that is believed, since the handshake's certificate is then the proxy's own; of any
    other one it is the handshake's, and the header is not looked at. Raises NotAuthenticated for a header that is not
    what it should be."""
    origin = origin_of(scope)
    if not proxies.write_headers(origin.peer, origin.announced):
        return origin.certificate
    if not proxies.client_cert_header:
        return None
    return read_header([value for name, value in scope["headers"] if name == CLIENT_CERT])


class Connections:
    """Those that are open now, however far they have come."""

    def __init__(self, most: int, most_per_address: int) -> None:
        """How many at once, and how many of them from one address (of IPv6: one /64)."""
        self._most, self._most_per_address = most, most_per_address
        self._total = 0
        self._by_address: Counter[str] = Counter()

    def enter(self) -> Place | None:
        """None: there are as many as there may be."""
        if self._total >= self._most:
            return None
        self._total += 1
        return Place(self)

    def take(self, address: str) -> bool:
        """False: there are as many from there as there may be."""
        if self._by_address[address] >= self._most_per_address:
            return False
        self._by_address[address] += 1
        return True

    def leave(self, address: str | None) -> None:
        self._total -= 1
        if address is None:
            return
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class Place:
    """One connection's, which is given back once."""

    def __init__(self, connections: Connections) -> None:
        self._connections: Connections | None = connections
        self._address: str | None = None

    def belongs_to(self, address: str) -> bool:
        """Counts it for this address, once that is known. False: there are too many from there."""
        counted = neighbours(address)
        if self._connections is None or not self._connections.take(counted):
            return False
        self._address = counted
        return True

    def leave(self) -> None:
        if self._connections is not None:
            self._connections.leave(self._address)
            self._connections = None


def neighbours(address: str) -> str:
    """Whose connections count as one's: an IPv4 address, or the IPv6 network that one caller has."""
    if ":" not in address:
        return address
    read = ipaddress.IPv6Address(address.partition("%")[0])
    return str(read.ipv4_mapped or ipaddress.IPv6Network((read, NEIGHBOURS), strict=False))
