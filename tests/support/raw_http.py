"""Requests as bytes: the vectors, and an application that tells what reached it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "raw_http.json").read_text(encoding="utf-8")
)["cases"]
NAMES = [case["name"] for case in VECTORS]
PLAIN = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def raw_of(case: dict[str, Any]) -> bytes:
    raw = case["raw"]
    return (raw if isinstance(raw, str) else "".join(text * times for text, times in raw)).encode("latin-1")


@dataclass(frozen=True)
class Reached:
    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def smuggled(self) -> bool:
        """Whether it is what stood inside or behind another request."""
        return "smuggled" in self.path

    def lines(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


@dataclass
class Application:
    """Reads the whole body, and keeps what came whole."""

    reached: list[Reached] = field(default_factory=list)

    @property
    def complete(self) -> int:
        return len(self.reached)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, message = b"", await receive()
        while message.get("more_body"):
            body, message = body + message["body"], await receive()
        if message["type"] == "http.disconnect":
            return
        self.reached.append(Reached(scope["method"], scope["path"], scope["headers"], body + message["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
