"""The frames of one encrypted answer, each a JWE with its number. Pure.

One key agreement for an answer, however many frames it has: the first frame brings the gateway's share, encrypted to
the caller, in its header, and the key of all frames comes from that share, the caller's secret and the hash of his
request (compact.answer_key). So a frame of another answer, to another request, or by somebody who could not read the
request does not decrypt; the number tells of frames that are missing, repeated or in another order, and `last` of a
cut end.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from gateway.encryption.compact import MOST_FRAMES, SECRET_BYTES, Key, OpenedRequest, answer_key, seal_frame, wrap


class AnswerSealer:
    """Encrypts one answer. After its last frame, and after a failure, it seals nothing any more."""

    def __init__(self, request: OpenedRequest, recipient: Key, newest: Mapping[str, Any] | None = None) -> None:
        """`newest`: our public key that the caller should use from now on, where he used another one."""
        share = secrets.token_bytes(SECRET_BYTES)
        self._key = answer_key(request.secret, share, request.digest)
        self._first: dict[str, Any] = {"key": wrap(share, recipient, request.head.answer_kid)}
        if newest is not None:
            self._first["next"] = dict(newest)
        self._count, self._ended = 0, False

    def seal(self, payload: bytes, status: int, *, last: bool) -> str:
        """The next frame. `status` is that of the whole answer, told in the first."""
        if self._ended or self._count >= MOST_FRAMES:
            raise RuntimeError("an answer that has ended")
        self._ended = True  # if anything goes wrong it stays so
        members: dict[str, Any] = {"n": self._count}
        if not self._count:
            members |= {"status": status, **self._first}
        if last:
            members["last"] = True
        frame = seal_frame(payload, self._key, members)
        self._count += 1
        self._ended = last
        return frame
