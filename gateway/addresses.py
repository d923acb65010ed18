"""Where a caller is: the peer's address, or what a trusted proxy says of it.

1. Only what a trusted proxy wrote is read, from right to left: each of `hops` entries was written by a machine of ours.
   What a caller puts there himself stands further to the left, and is never reached.
2. Several header lines are one list in their order (RFC 9110, 5.3); the other header of the two is not looked at.
3. What can't be read as an address ends the walk: nobody knows then where the caller is, and no network holds him.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
HeaderName = Literal["x-forwarded-for", "forwarded"]

MAX_CHAIN_BYTES: Final = 4096
_WITH_PORT: Final = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9.]+))(?::\d{1,5})?", re.ASCII)
_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"(?P<quoted>[^"\\]*)"|(?P<token>[^\s;,"]+))\s*(?=;|$)', re.I)


@dataclass(frozen=True, slots=True)
class Proxies:
    """Machines of ours that may stand before the gateway. Without `networks` callers connect directly."""

    networks: tuple[Network, ...] = ()
    hops: int = 1
    header: HeaderName = "x-forwarded-for"

    def caller(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The caller's address; None where nobody knows."""
        address = read_address(peer) if peer is not None else None
        if address is None or not self._trusts(address):
            return str(address) if address is not None else None
        for _, entry in zip(range(self.hops), reversed(self._chain(headers)), strict=False):
            address = read_address(entry)
            if address is None:
                return None
            if not self._trusts(address):
                break
        return str(address)

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
