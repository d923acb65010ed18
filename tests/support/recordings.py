"""Requests that real clients sent, as `tests.clients.record` wrote them down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parent.parent / "vectors" / "clients"


@dataclass(frozen=True)
class Recorded:
    """One request; `client` is the file's name, `case` what the client was doing."""

    client: str
    case: str
    method: str
    path: str
    headers: dict[str, str]
    body: Any = None

    @property
    def name(self) -> str:
        return f"{self.client}-{self.case}"

    @property
    def streams(self) -> bool:
        return bool(self.body and self.body.get("stream"))


def recorded() -> list[Recorded]:
    return [
        Recorded(path.stem, **request)
        for path in sorted(RECORDINGS.glob("*.json"))
        for request in json.loads(path.read_text(encoding="utf-8"))["requests"]
    ]
