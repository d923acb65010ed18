"""What gateways wrote to `log.directory`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def said(folder: Path, kind: str = "*") -> str:
    """All files of a kind (records, security), or of both; nothing where the folder is not there yet."""
    return "".join(file.read_text() for file in sorted(folder.glob(f"{kind}-*.jsonl")))


def events(folder: Path, kind: str = "*") -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(folder, kind).splitlines()]
