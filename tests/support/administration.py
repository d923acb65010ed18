"""A gateway process that is administrated: its policy and audit log, and tokens for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner, Result

from gateway.auth.development import Claims, read_key, sign
from gateway.cli import app
from tests.support import gateways, scripted
from tests.support.gateways import Gateway, server
from tests.support.scripted import Engine

POLICY: Final = {
    **gateways.POLICY,
    "administration": {
        "issuers": [
            {
                "issuer": "tightlip-dev",
                "audience": ["tightlip-admin"],
                "algorithms": ["EdDSA"],
                "keys": [{"file": "key.pub.pem"}],
            }
        ]
    },
}


def configuration(engine: Engine, folder: Path, state: dict[str, str]) -> dict[str, Any]:
    """In front of the engine; the log is in `audit`."""
    (folder / "audit.key").write_text("a" * 40)
    audit = {"directory": "audit", "key_file": "audit.key"}
    pair = server(engine.url, "tuned"), server(engine.url, "base")
    return gateways.settings(*pair, scripted.tokenizer(folder), state=state, audit=audit)


def admin_token(folder: Path, role: str, subject: str = "root-1") -> str:
    """`folder` is the gateway's."""
    claims = Claims("tightlip-dev", "tightlip-admin", subject, role, None, 600)
    return sign(read_key(folder / "key.pem"), claims)


def tightlip(gateway: Gateway, role: str, *arguments: str) -> Result:
    """The command, with a token of this role."""
    file = gateway.folder / f"{role}.token"
    file.write_text(admin_token(gateway.folder, role))
    reach = ("--gateway", gateway.management, "--token-file", str(file))
    return CliRunner().invoke(app, [*arguments, *reach])
