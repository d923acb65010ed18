"""Which of a model's releases answers, while gateways run: the commands of `tightlip release` that are clients of the
administration API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.admin_cli import Reach, obeyed, reaching

if TYPE_CHECKING:
    from gateway.admin.shapes import ModelReleases

EXIT_PROBLEMS: Final = 1  # a gateway does not have what is chosen

Model = Annotated[str, typer.Argument(help="A model of the configuration.", metavar="MODEL")]
OfIssuer = Annotated[str | None, typer.Option(help="For callers of this issuer's tenant alone.")]
OfTenant = Annotated[str | None, typer.Option(help="For callers of this tenant alone.")]
OfRole = Annotated[str | None, typer.Option(help="For callers in this role alone.")]


@reaching
def switch(
    reach: Reach,
    model: Model,
    releases: Annotated[
        list[str], typer.Argument(help="One, or several with parts of the callers.", metavar="NAME[=SHARE]…")
    ],
    issuer: OfIssuer = None,
    tenant: OfTenant = None,
    role: OfRole = None,
) -> None:
    """Have another release of a model answer, on every gateway of a store, or several a part of the callers each. Who
    has begun stays where he is. Exit code 1: it can't be switched to, and nothing has changed."""
    _switch(reach, model, _shares(releases), issuer, tenant, role)


@reaching
def unswitch(reach: Reach, model: Model, issuer: OfIssuer = None, tenant: OfTenant = None, role: OfRole = None) -> None:
    """Take a choice back: the next wider one counts again, at last the configuration's `serving`."""
    _switch(reach, model, None, issuer, tenant, role)


@reaching
def withdraw(reach: Reach, model: Model, release: str) -> None:
    """Take a release out: no request goes to it any more, answers that are running end, and nobody can switch to it
    until it is reinstated. Callers who were to get it are refused until somebody switches."""
    _ask(reach, "withdraw", {"model": model, "release": release})


@reaching
def reinstate(reach: Reach, model: Model, release: str) -> None:
    """Take a withdrawal back: the release answers again where it is chosen."""
    _ask(reach, "reinstate", {"model": model, "release": release})


@reaching
def show_releases(reach: Reach) -> None:
    """Show, as every gateway that is named knows it, which releases there are, which answer whom, and which are
    withdrawn. Exit code 1: one of them does not have what is chosen, or can't be asked."""
    from gateway.admin.shapes import Releases

    found, code = reach().each("GET", "/releases", Releases)
    for gateway, its in found:
        for model in its.models:
            _show(gateway, model)
    ours = [model for _, its in found for model in its.models if model.releases]  # others on the store may have more
    missing = any(choice.unknown for model in ours for choice in model.choices)
    raise typer.Exit(max(code, EXIT_PROBLEMS if missing else 0))


# ---- helpers ---------------------------------------------------------------------------------------------------------


def _switch(
    reach: Reach,
    model: str,
    shares: Mapping[str, int] | None,
    issuer: str | None,
    tenant: str | None,
    role: str | None,
) -> None:
    named = {"issuer": issuer, "tenant": tenant, "role": role}
    given = {name: text for name, text in named.items() if text is not None}
    _ask(reach, "switch", {"model": model, "shares": shares, **given})


def _ask(reach: Reach, what: str, body: Mapping[str, object]) -> None:
    from gateway.admin.shapes import ReleaseDone

    done = reach().one("POST", f"/releases/{what}", ReleaseDone, body=body)
    typer.echo(f"acknowledged; {obeyed(shared=done.shared)}")


def _shares(given: Sequence[str]) -> dict[str, int]:
    """Raises typer.BadParameter."""
    pairs = [each.partition("=") for each in given]
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise typer.BadParameter("name each release once", param_hint="NAME[=SHARE]")
    try:
        return {name: int(share) if sign else 1 for name, sign, share in pairs}
    except ValueError:
        raise typer.BadParameter("a share is a whole number", param_hint="NAME[=SHARE]") from None


def _show(gateway: str, model: ModelReleases) -> None:
    typer.echo(f"{gateway}: model {model.model}")
    for each in model.releases:
        state = "withdrawn" if each.withdrawn else "ok" if each.open else "does not check out"
        signed = f", released as {each.released_as}" if each.released_as else ""
        typer.echo(f"  {each.name}: {state}, {100 * each.part:.4g}% of everybody else's callers{signed}")
    for choice in model.choices:
        whose = " / ".join(name for name in (choice.issuer, choice.tenant, choice.role) if name) or "everybody else"
        parts = ", ".join(f"{name} {share}" for name, share in choice.shares.items())
        unknown = f" (not here: {', '.join(choice.unknown)})" if choice.unknown else ""
        typer.echo(f"  {whose}: {parts}{unknown}")
    for name in sorted(set(model.withdrawn) - {each.name for each in model.releases}):
        typer.echo(f"  {name}: withdrawn, and not here")
