"""The header of the PROXY protocol, version 2: what a proxy that passes bytes on says of the connection. Pure.

The specification: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt (section 2.2). Version 1, which is text
of no fixed length, is refused like anything else that is not this. What follows the addresses (TLVs) is skipped.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from gateway.addresses import Announced

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
FIXED_BYTES: Final = 16  # the signature, version and command, family and transport, the length of the rest
MOST_REST_BYTES: Final = 4096  # addresses are 36 bytes at most over IP; the longest TLV in use is a certificate

_LOCAL, _PROXY = 0x20, 0x21
_UNKNOWN, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESS_BYTES: Final = {_UNKNOWN: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}  # source, destination, ports


class Malformed(ValueError):
    """Not a header of this protocol, or of something else than a TCP connection."""


def rest_bytes(fixed: bytes) -> int:
    """How many bytes follow the first FIXED_BYTES. Raises Malformed."""
    if len(fixed) != FIXED_BYTES or not fixed.startswith(SIGNATURE) or fixed[12] not in (_LOCAL, _PROXY):
        raise Malformed
    length = int.from_bytes(fixed[14:16], "big")
    if length > MOST_REST_BYTES:
        raise Malformed
    return length


def read(fixed: bytes, rest: bytes) -> Announced:
    """What both parts say. Raises Malformed."""
    if len(rest) != rest_bytes(fixed):
        raise Malformed
    if fixed[12] == _LOCAL:  # its family is to be ignored
        return Announced(None, local=True)
    family = fixed[13]
    if len(rest) < _ADDRESS_BYTES.get(family, MOST_REST_BYTES + 1):
        raise Malformed
    if family == _TCP4:
        return Announced(str(ipaddress.IPv4Address(rest[:4])))
    if family == _TCP6:
        return Announced(str(ipaddress.IPv6Address(rest[:16])))
    return Announced(None)
