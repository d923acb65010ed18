"""The lines of an audit log: how they hang together, and how a reader sees that they still do. Pure: no file, no clock.

1. A line is one JSON object in one form only: the members of `Header` or `Call` in their order, those that say nothing
   left out, no space, and `mac` last. Whatever reads differently when it is written again is not a line of ours.
2. `n` counts the lines of a chain from 0. `before` is the SHA-256 (FIPS 180-4) of the line before it, `mac` included,
   without its line feed; so who knows the hash of one line can tell whether any line before it is another one, without
   any key.
3. `mac` is an HMAC-SHA-256 (RFC 2104) over everything in the line before it, under a key derived (HKDF, RFC 5869,
   purpose "audit") from a secret of the operator's; so who can write files and does not have the key can't make a line.
4. Each file begins with a `Header`, which continues the numbers and hashes of the file before and says which key is
   used. What befell the log itself stands there too: a torn last line, files that were deleted in time, and lines that
   the store remembers and nobody finds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from gateway.tenant_keys import Purpose, derive

FORMAT: Final = 1  # of what is written
MAX_LINE_BYTES: Final = 8192  # five texts of 256 characters with four bytes each, and the rest
HASH_CHARS: Final = 64
HEAD_HASH_CHARS: Final = 32  # of a hash where somebody may have to type it: 128 bits

_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
_Hash = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9a-f]{64})?\Z")]  # "" where there is none
_Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
_Word = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9/][A-Za-z0-9_.:/+=~-]{0,63}\Z")]
_Words = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9/][A-Za-z0-9_.:/+=~-]{0,255}\Z")]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Time = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00\Z")]

_SEAL: Final = re.compile(rb',"mac":"([0-9a-f]{64})"\}\Z')


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Torn(_Strict, frozen=True):
    """The end of the file before: bytes of a line that was never finished, and so of nothing that was acknowledged."""

    bytes: Annotated[int, msgspec.Meta(ge=1)]
    sha256: _Hash


class Header(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="file",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """The first line of a file."""

    n: _Count
    before: _Hash
    time: _Time
    format: int
    chain: _Id  # random, the same in all of its files
    file: Annotated[int, msgspec.Meta(ge=1)]  # counts the files of the chain
    key: _Id  # which key its lines are under
    instance: _Word  # that began it
    torn: Torn | None = None
    deleted: _Count = 0  # the files up to this one were deleted, as they were too old
    lost: _Word | None = None  # a head that the store remembers and that is not in this chain


class Call(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="call",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """One audit record (gateway/audit_log/written.py)."""

    n: _Count
    before: _Hash
    time: _Time
    instance: _Word
    request_id: _Word
    action: _Word
    outcome: _Word
    code: _Word | None = None
    by: _Word
    issuer: _Text | None = None
    tenant: _Text | None = None
    subject: _Text | None = None
    role: _Text | None = None
    address: _Text | None = None
    count: Annotated[int, msgspec.Meta(ge=1)] = 1
    revocation: _Id | None = None
    revokes: _Word | None = None  # the kind of what it names
    issued_before: float | None = None  # seconds since the epoch
    release: _Words | None = None  # several with their shares
    release_before: _Words | None = None
    model: _Word | None = None
    target_issuer: _Text | None = None
    target_tenant: _Text | None = None
    target_role: _Text | None = None
    target_mark: _Word | None = None  # of a subject or a token id
    policy_before: _Word | None = None
    policy_after: _Word | None = None


Line = Header | Call


class NotALine(Exception):
    """What is no line of ours, or no longer."""


class NewerFormat(Exception):
    """A header of a version to come."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain has come: the number and the hash of its last line."""

    chain: str
    n: int
    hash: str

    def __str__(self) -> str:
        """As it is shown, and given back to `verify`."""
        return f"{self.chain}:{self.n}:{self.hash[:HEAD_HASH_CHARS]}"

    def is_of(self, digest: str) -> bool:
        """Whether a line with this hash may be the one."""
        return len(self.hash) >= HEAD_HASH_CHARS and digest.startswith(self.hash)


_HEAD: Final = re.compile(rf"([0-9a-f]{{16}}):(0|[1-9][0-9]{{0,15}}):([0-9a-f]{{{HEAD_HASH_CHARS},{HASH_CHARS}}})")


def parse_head(text: str) -> Head:
    """Raises ValueError."""
    found = _HEAD.fullmatch(text)
    if found is None:
        raise ValueError("must be CHAIN:NUMBER:HASH, as the gateway says it")
    return Head(found[1], int(found[2]), found[3])


class AuditKey:
    """What lines are sealed with. `root` is the operator's secret."""

    def __init__(self, root: bytes) -> None:
        self._key = derive(root, Purpose.AUDIT, "", "")
        self.id = self._mac(b"key id")[:16]  # no line begins like that

    def seal(self, line: Line) -> bytes:
        """The line as it is written, without its line feed. Raises NotALine for what could not be read again: a
        mistake in our code."""
        body = msgspec.json.encode(line)[:-1]
        raw = b'%b,"mac":"%b"}' % (body, self._mac(body).encode())
        read_line(raw)
        return raw

    def has_sealed(self, raw: bytes) -> bool:
        """Whether the line is under this key."""
        found = _SEAL.search(raw)
        return found is not None and hmac.compare_digest(self._mac(raw[: found.start()]), found[1].decode())

    def _mac(self, body: bytes) -> str:
        return hmac.new(self._key, body, hashlib.sha256).hexdigest()


def read_line(raw: bytes) -> Line:
    """A line without its line feed; whether it is under the right key is another question. Raises NotALine, and
    NewerFormat for a header of one."""
    found = _SEAL.search(raw)
    if found is None or len(raw) > MAX_LINE_BYTES:
        raise NotALine
    body = raw[: found.start()] + b"}"
    try:
        line: Line = msgspec.json.decode(body, type=Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise NewerFormat if _format(body) > FORMAT else NotALine from None
    if isinstance(line, Header) and line.format != FORMAT:
        raise NewerFormat if line.format > FORMAT else NotALine
    if msgspec.json.encode(line) != body:
        raise NotALine
    return line


def machine_of(instance: str) -> str:
    """The machine's name, of the name of a process: what is random stands behind the last hyphen."""
    return instance.rpartition("-")[0]


def hash_of(raw: bytes) -> str:
    """That the next line names as its `before`."""
    return hashlib.sha256(raw).hexdigest()


def _format(body: bytes) -> int:
    """Of something that may be a header of a version to come."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0
    named = found.get("format") if isinstance(found, Mapping) and found.get("kind") == "file" else None
    return named if isinstance(named, int) else 0
