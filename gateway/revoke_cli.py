"""`tightlip revoke`: take tokens back, list what is revoked, withdraw it; a client of the administration API."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from gateway.admin_cli import Reach, obeyed, reaching
from gateway.terminal import stamp, warn, zoned

if TYPE_CHECKING:
    from gateway.admin.shapes import RevocationShown

app = typer.Typer(help="Revoke tokens; list and withdraw revocations.", invoke_without_command=True)


@app.callback()
@reaching
def revoke(
    reach: Reach,
    context: typer.Context,
    token_id: Annotated[str | None, typer.Option(help="The token with this id (`jti`, or as the policy says).")] = None,
    subject: Annotated[str | None, typer.Option(help="All tokens of this subject.")] = None,
    role: Annotated[str | None, typer.Option(help="All tokens of this role.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Of this issuer; needed where the policy has several.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant; needed where the issuer has several.")] = None,
    issued_before: Annotated[
        str | None,
        typer.Option(help="Only what was issued before: now, 2026-01-31T12:00:00Z, or seconds since the epoch."),
    ] = None,
    administrator: Annotated[
        bool, typer.Option("--administrator", help="An administrator's tokens, or those of such a role.")
    ] = False,
    including_myself: Annotated[
        bool, typer.Option("--including-myself", help="Also if you could not come back to withdraw it.")
    ] = False,
) -> None:
    """Revoke tokens: one by its id, those of a subject or a role, or all that were issued before a time. A subject's or
    a role's are revoked until that is withdrawn, unless a time is named. Exit code 0: acknowledged; 1: not; 2: it means
    nobody."""
    from gateway.admin.shapes import Revoked

    if context.invoked_subcommand is not None:
        return
    now = time.time()
    moment = _moment(issued_before, now)
    if moment is not None and moment > now:
        text = "that time is still to come: tokens that are issued until then are refused too"
        warn(text)
    named = {"token_id": token_id, "subject": subject, "role": role, "issuer": issuer, "tenant": tenant}
    body = {name: text for name, text in named.items() if text is not None}
    flags = {"administrator": administrator, "including_myself": including_myself}
    done = reach().one("POST", "/revocations", Revoked, body={**body, **flags, "issued_before": moment})
    typer.echo(f"revoked: {_described(done.revocation)}")
    typer.echo(f"acknowledged as {done.revocation.id}; {obeyed(shared=done.shared)}")


@app.command("list")
@reaching
def list_all(reach: Reach) -> None:
    """Print every revocation in force, with its id."""
    from gateway.admin.shapes import Revocations

    found = reach().one("GET", "/revocations", Revocations).revocations
    for each in found:
        typer.echo(f"{each.id}  {_described(each)}{_end(each)}")
    typer.echo(f"{len(found)} in force")


@app.command()
@reaching
def withdraw(reach: Reach, revocation_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Take a revocation back: tokens that live on are good again. Exit code 1: there is none with this id."""
    from gateway.admin.shapes import Withdrawn

    path = "/revocations/" + quote(revocation_id, safe="", errors="replace")
    done = reach().one("DELETE", path, Withdrawn)
    typer.echo(f"withdrawn and acknowledged; {obeyed(shared=done.shared)}")


# ---- helpers ---------------------------------------------------------------------------------------------------------


def _moment(text: str | None, now: float) -> float | None:
    """Seconds since the epoch."""
    if text is None or text == "now":
        return None if text is None else now
    if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", text):
        return float(text)
    moment = zoned(text)
    if moment is None:
        raise typer.BadParameter("must be now, 2026-01-31T12:00:00Z (with its zone), or seconds since the epoch")
    return moment.timestamp()


def _described(revocation: RevocationShown) -> str:
    if revocation.kind is None:
        return "of a newer version, which this one does not understand"
    what = f"{revocation.kind.replace('_', ' ')} {revocation.value}".strip()
    whose = " / ".join(name for name in (revocation.issuer, revocation.tenant) if name) or "every issuer"
    before = "" if revocation.issued_before is None else f", issued before {stamp(revocation.issued_before)}"
    return f"{what} of {whose}{before}"


def _end(each: RevocationShown) -> str:
    return "" if each.expires_at is None else f"  (until {stamp(each.expires_at)})"
