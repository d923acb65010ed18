"""A name server (RFC 1035) for a handful of names: `python -m tests.soak.names ADDRESS NAME=ADDRESS[,ADDRESS] …`."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Final

PORT: Final = 53
_A, _IN, _TTL = 1, 1, 1
_ANSWER, _NO_SUCH_NAME = 0x8580, 0x8583  # authoritative, and recursion is to be had


def answer(query: bytes, zone: Mapping[str, Sequence[str]]) -> bytes:
    """To a query with one question: the addresses of a known name, nothing else of it, or that there is none such."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length])
        at += 1 + length
    question, (kind,) = query[12 : at + 5], struct.unpack_from("!H", query, at + 1)
    name = b".".join(labels).decode("ascii").lower()
    found = zone.get(name, ()) if kind == _A else ()
    records = [b"\xc0\x0c" + struct.pack("!HHIH", _A, _IN, _TTL, 4) + socket.inet_aton(address) for address in found]
    flags = _ANSWER if name in zone else _NO_SUCH_NAME
    return query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)


def main(address: str, *names: str) -> None:
    """For ever."""
    zone = {name: found.split(",") for name, _, found in (each.partition("=") for each in names)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, PORT))
        print("names", flush=True)
        while True:
            query, who = server.recvfrom(512)
            server.sendto(answer(query, zone), who)


if __name__ == "__main__":
    main(*sys.argv[1:])
