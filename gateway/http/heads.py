"""A request's head, as the parser read it: what another reader could have read differently is refused.

The parser (llhttp, in its strict mode) refuses by itself: bare line feeds, folded lines, Content-Length beside
Transfer-Encoding, two lengths, white space before a colon, control characters, codings after `chunked`. Beyond that:

1. HTTP/1.0 or 1.1 and a method of RFC 9110: the parser knows RTSP and ICE as well, and CONNECT turns it off.
2. One Host line that is a host (RFC 9112, 3.2), which only 1.0 may leave out; at most one Authorization: two would make
   us choose.
3. No transfer coding but `chunked`, and none in 1.0 (RFC 9112, 6.1): whoever does not decode it reads another body.
4. A path, or an absolute address whose authority is the Host line's (RFC 9112, 3.2.2); no fragment. Nothing of a path
   is decoded later on: `%2f`, `//`, `..` and `;` are other paths than ours.
5. No body beside an upgrade: the parser would take it for the other protocol's first bytes, or for another request.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

Lines = Iterable[tuple[bytes, bytes]]  # names in lower case

_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"})
_ONCE: Final = (b"host", b"authorization")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]+)(?:[/?].*)?", re.I)


class Ambiguous(Exception):
    """The head does not say one thing alone."""


def check(method: bytes, target: bytes, version: str, headers: Lines, *, upgrade: bool) -> None:
    """Raises Ambiguous."""
    lines = [(name, value.strip()) for name, value in headers]
    names, hosts = Counter(name for name, _ in lines), [value for name, value in lines if name == b"host"]
    if method not in _METHODS or version not in ("1.0", "1.1") or any(names[name] > 1 for name in _ONCE):
        raise Ambiguous
    _check_host(hosts, target, version)
    codings = [value.lower() for name, value in lines if name == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or version == "1.0"):
        raise Ambiguous
    if upgrade and (codings or any(name == b"content-length" and int(value) for name, value in lines)):
        raise Ambiguous


def _check_host(hosts: list[bytes], target: bytes, version: str) -> None:
    if not all(_HOST.fullmatch(host) for host in hosts) or (not hosts and version == "1.1") or b"#" in target:
        raise Ambiguous
    if target.startswith(b"/"):
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or (hosts and absolute[1].lower() != hosts[0].lower()):
        raise Ambiguous
