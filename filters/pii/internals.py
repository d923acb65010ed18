"""What belongs to the operator's own house: hosts, private addresses, paths, stack frames, keys (notes: blocks.py).

Each is a type of its own, so that a role's clearance can allow it. Talk about code holds paths and hosts as well; they
are found too, and clearance, grounding and the comparison with the base model let them pass.

Sources: RFC 1918, 3927, 4193 and 4291 (private and link-local addresses); RFC 6762, appendix G, RFC 8375 and ICANN's
reservation of .internal; the trace formats of CPython, the JVM, .NET, Ruby, PHP, Rust, Go and V8. A frame is a finding
by itself, line by line.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from math import log2
from typing import Any

import regex

from filters.pii.view import CJK, View, label, scan
from filters.spans import Span

# ---- hosts and addresses ---------------------------------------------------------------------------------------------

_HOST_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SUFFIXES = ("internal", "local", "localdomain", "corp", "lan", "intranet", r"home\.arpa")
_HOST_SIGNS = (".internal", ".local", ".corp", ".lan", ".intranet", ".home.arpa")


class InternalHosts:
    """Names under the suffixes of private networks, and those of the operator's list."""

    kind = "INTERNAL_HOST"
    digits = digit_run = 0

    def __init__(self, own: Collection[str] = ()) -> None:
        """`own`: names that are found themselves and with what is under them, such as "plimsol.example". A single label
        ("ledger7") is found in front of any domain too. In each, * is any run of letters, digits and "-"."""
        names = sorted({name.strip(".").lower() for name in own}, key=lambda name: (-len(name), name))
        self._signs = (*_HOST_SIGNS, *(max(name.split("*"), key=len) for name in names))
        listed = "|".join(map(_own_host, names))
        own_names = rf"|(?:{_HOST_LABEL}\.){{0,8}}(?:{listed})" if listed else ""
        self._pattern = regex.compile(
            rf"(?<![a-z0-9.-])(?:(?:{_HOST_LABEL}\.){{1,8}}(?:{'|'.join(_SUFFIXES)}){own_names})"
            r"(?::\d{2,5})?(?![a-z0-9-]|\.[a-z0-9])"
        )

    def find(self, view: View) -> Iterator[Span]:
        if view.says(self._signs):
            for match in scan(self._pattern, view.lower):
                yield Span(match.start(), match.end(), self.kind, 0.8)


def _own_host(name: str) -> str:
    spelled = "[a-z0-9-]{0,63}".join(map(regex.escape, name.split("*")))
    return spelled if "." in name else rf"{spelled}(?:\.{_HOST_LABEL}){{0,8}}"


_IPV4 = regex.compile(r"(?<![\d.])(?:10|127|169\.254|172|192\.168)(?:\.\d{1,3}){2,3}(?:/\d{1,2})?(?![\d]|\.\d)")
_IPV6 = regex.compile(r"(?<![0-9a-z:])f[cde][0-9a-f]{2}:[0-9a-f:]{2,36}(?![0-9a-z])")


class PrivateAddresses:
    """IPv4 of RFC 1918, IPv6 of RFC 4193, link-local and loopback. They are no IP_ADDRESS."""

    kind = "PRIVATE_IP"
    digits = digit_run = 0

    def find(self, view: View) -> Iterator[Span]:
        if view.digits >= 4 and view.text.count(".") >= 3:
            yield from self._private(scan(_IPV4, view.words))
        if view.text.count(":") >= 2:
            yield from self._private(scan(_IPV6, view.lower))

    def _private(self, matches: Iterable[Any]) -> Iterator[Span]:
        for match in matches:
            if is_internal(match.group().partition("/")[0]):
                yield Span(match.start(), match.end(), self.kind, 0.9)


_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8")
) + tuple(ipaddress.ip_network(network) for network in ("fc00::/7", "fe80::/10"))


def is_internal(written: str) -> bool:
    """Whether this is an address of a private, link-local or loopback network."""
    try:
        address = ipaddress.ip_address(written)
    except ValueError:  # not an address: an answer, not a failure
        return False
    return any(address in network for network in _NETWORKS)


# ---- paths and frames ------------------------------------------------------------------------------------------------

_PATHS = (
    ("/", regex.compile(r"(?<![\w./:~<-])(?:~(?:[\w.-]{1,32})?|[A-Za-z]:)?(?:/[\w.@+-]{1,128}){2,40}/?(?<![.])")),
    # Behind a Chinese word: Latin components only, or each list with slashes ("红/黄/蓝") would be a path.
    ("/", regex.compile(rf"(?<=[{CJK}])(?:~|[A-Za-z]:)?(?:/[A-Za-z0-9_.@+-]{{1,128}}){{2,40}}/?(?<![.])")),
    (
        "\\",
        regex.compile(
            rf"(?<![^\W{CJK}])" r"(?:[A-Za-z]:|\\\\[\w.$-]{1,64})(?:\\[\w.@+$ -]{1,128}?(?=\\|[\s\"',;)]|$)){1,40}\\?"
        ),
    ),
)


class FilePaths:
    """Absolute paths of two components or more: Unix, home folders, Windows drives, UNC shares."""

    kind = "FILE_PATH"
    digits = digit_run = 0

    def find(self, view: View) -> Iterator[Span]:
        for sign, pattern in _PATHS:
            if view.text.count(sign) >= 2:
                for match in scan(pattern, view.text):
                    yield Span(match.start(), match.end(), self.kind, 0.6)


_FRAMES = (
    ('File "', regex.compile(r"File \"[^\"\n]{1,256}\", line \d{1,7}(?:, in [\w.<>]{1,128})?")),
    ("Traceback", regex.compile(r"Traceback \(most recent call last\):")),
    (".java:", regex.compile(r"at [\w.$/@<>]{3,256}\((?:[\w$]{1,128}\.java:\d{1,7})\)")),
    (".kt:", regex.compile(r"at [\w.$/@<>]{3,256}\([\w$]{1,128}\.kt:\d{1,7}\)")),
    (".cs:line ", regex.compile(r"at [\w.$`<>\[\]]{3,256}\([^()\n]{0,256}\) in [^\n]{1,256}\.cs:line \d{1,7}")),
    (".rb:", regex.compile(r"[\w./@~-]{1,256}\.rb:\d{1,7}:in [`'][^'\n]{1,128}'")),
    (".php(", regex.compile(r"#\d{1,4} [\w./@~-]{1,256}\.php\(\d{1,7}\): [^\n]{1,256}")),
    (".rs:", regex.compile(r"\bat [\w./@~-]{1,256}\.rs:\d{1,7}:\d{1,7}")),
    (".go:", regex.compile(r"[\w./@~-]{1,256}\.go:\d{1,7}(?: \+0x[0-9a-f]{1,16})?")),
    ("goroutine ", regex.compile(r"goroutine \d{1,9} \[[^\]\n]{1,64}\]:")),
    (
        "    at ",
        regex.compile(r"    at (?:[^\n()]{1,128} \()?(?:file://|node:|/|[A-Za-z]:\\)[^\n()]{1,256}:\d{1,7}:\d{1,7}\)?"),
    ),
)


class StackFrames:
    """One line of a stack trace: Python, Java and Kotlin, C#, Ruby, PHP, Rust, Go, Node."""

    kind = "STACK_TRACE"
    digits = digit_run = 0

    def find(self, view: View) -> Iterator[Span]:
        for sign, pattern in _FRAMES:
            if sign in view.text:
                for match in scan(pattern, view.text):
                    yield Span(match.start(), match.end(), self.kind, 0.8)


# ---- keys by context -------------------------------------------------------------------------------------------------

_KEY = label(
    r"(?:\b(?:api|access|secret|private|signing|encryption|service|auth|webhook)?[ _-]?"
    r"(?:key|secret|token|credentials?)\b"
    r"|密钥|秘钥|令牌|凭证|凭据)[^\w\n]{0,4}(?:[:=]|is|was|是|为|->)[^\w\n]{0,4}([a-z0-9+/_=.-]{16,256})"
)
_KEY_SIGNS = ("key", "secret", "token", "credential", "密钥", "秘钥", "令牌", "凭")
# Sixteen hexadecimal digits by chance have some 3.3 bits a character, words and paths under 3 when they hold no digit.
_FEWEST_BITS = 2.8


class HighEntropyKeys:
    """A value of sixteen characters or more behind a label for keys, of which letters and digits are well mixed."""

    kind = "HIGH_ENTROPY_KEY"
    digits = digit_run = 1

    def find(self, view: View) -> Iterator[Span]:
        if view.says(_KEY_SIGNS):
            for match in scan(_KEY, view.lower):
                value = match.group(1)
                if any(map(str.isdigit, value)) and entropy(value) >= _FEWEST_BITS:
                    yield Span(match.start(1), match.end(1), self.kind, 0.6)


def entropy(value: str) -> float:
    """Shannon's, in bits a character, by the counts in the value itself."""
    return -sum(n / len(value) * log2(n / len(value)) for n in Counter(value).values())
