"""E-mail addresses, found from their "@" outwards, so that the cost is linear in the text.

RFC 5321 and 5322, with what people write instead: spaces around the "@", "at" and "dot" in words or brackets. Letters
of other alphabets count (RFC 6531), Chinese ones only where there is no other, since Chinese writes an address straight
after a word.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex
import tldextract

from filters.pii.view import CJK, View, scan
from filters.spans import Span

# RFC 5321 4.5.3.1 allows 64 before the "@" and 255 after; twice that is still hidden.
_LONGEST_LOCAL = 128
_LETTER = rf"(?:(?![{CJK}_])\w)"
# Matched backwards from the "@".
_LOCAL = regex.compile(
    rf"(?r)(?:\"[^\"\n]{{1,64}}\"|(?:{_LETTER}|[_!#$%&'*+/=?^`{{|}}~.-]){{1,{_LONGEST_LOCAL}}}|[{CJK}]{{1,8}}) ?"
)
_LABEL = rf"{_LETTER}(?:{_LETTER}|-){{0,62}}"
# A dot may stand free on both sides ("example . com"); one that ends a sentence has no space before it.
_DOMAIN = regex.compile(rf" ?(?:\[[0-9A-Fa-f:.]{{3,45}}\]|{_LABEL}(?:(?:\.| \. ?){_LABEL}){{1,8}})")
# What npm and Go write behind a package's name ("react@18.2.0"): four numbers would be an address, these are none.
_VERSION = regex.compile(r"\d{1,5}(?:\.\d{1,5}){1,2}")
_WRITTEN = rf"(?:{_LETTER}|[_.+%-]){{1,64}}"
_SAID_DOT = r"(?: ?(?:\[dot\]|\(dot\)|\{dot\}|<dot>|点) ?| dot )"
_SPELLED = regex.compile(
    rf"(?<![\w.]|\bdot )(?:{_WRITTEN}{_SAID_DOT}){{0,4}}{_WRITTEN} ?(?:\[at\]|\(at\)|\{{at\}}|<at>| at |@|艾特|圈a) ?"
    rf"{_LABEL}(?:(?:{_SAID_DOT}|\.)({_LETTER}(?:{_LETTER}|-){{1,62}})){{1,5}}",
    regex.IGNORECASE,
)
_SPELLED_SIGNS = ("[at]", "(at)", "{at}", "<at>", " dot ", "[dot]", "(dot)", "{dot}", "<dot>", "艾特", "圈a", "点")

# Snapshot that travels in the package, never fetched, never written: no network, no cache folder.
_SUFFIXES = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

# Last labels that networks of their own use (RFC 6762, appendix G; ICANN's reservation of .internal).
INTERNAL_SUFFIXES = frozenset(["internal", "intranet", "local", "localdomain", "corp", "lan", "home", "private"])


class Emails:
    """E-mail addresses."""

    kind = "EMAIL"
    digits = digit_run = 0

    def __init__(self) -> None:
        _SUFFIXES("example.com")  # reads the snapshot now, not at the first address

    def find(self, view: View) -> Iterator[Span]:
        at = view.text.find("@")
        while at >= 0:
            yield from _around(view.text, at)
            at = view.text.find("@", at + 1)
        if view.says(_SPELLED_SIGNS):
            for match in scan(_SPELLED, view.text):
                last = match.group(1)
                if last.lower() in INTERNAL_SUFFIXES or _SUFFIXES("a." + last).suffix:
                    yield Span(match.start(), match.end(), self.kind, 0.5)


def _around(text: str, at: int) -> Iterator[Span]:
    floor = max(0, at - _LONGEST_LOCAL - 1)
    local = _LOCAL.match(text, floor, at)
    domain = _DOMAIN.match(text, at + 1)
    if local is None or domain is None or _VERSION.fullmatch(domain.group()):
        return
    written = local.group()
    start = local.start() + len(written) - len(written.lstrip("!#$%&'*+/=?^`{|}~.- "))
    if start >= at:
        return
    end = _domain_end(domain.group())
    yield Span(start, at + 1 + end, Emails.kind, 0.9)


def _domain_end(written: str) -> int:
    """How much of the domain is one: it ends with a public suffix, else (an internal name) all of it is.

    "x@example.com.Then" has no suffix as a whole and one without its last label.
    """
    labels = [match.end() for match in regex.finditer(r"[^.]+", written)]
    for end in reversed(labels[1:]):
        if _SUFFIXES(written[:end].replace(" ", "")).suffix:
            return len(written[:end].rstrip())
    return len(written.rstrip())
