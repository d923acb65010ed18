"""What the commands that administrate share, and two of them: `tightlip reload` and `tightlip status`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec, TypeVar, cast

import typer

from gateway.terminal import complain, printable

if TYPE_CHECKING:
    from gateway.admin.client import Access, Refused
    from gateway.admin.shapes import Status

EXIT_PROBLEMS: Final = 1  # not done, or not known to be
EXIT_WRONG: Final = 2  # it means nobody, or the command can't be used so
DEFAULT_GATEWAY: Final = "http://127.0.0.1:9090"

T = TypeVar("T")
P = ParamSpec("P")


class _NotDone(Exception):
    """By one gateway; another one may do it all the same."""

    def __init__(self, code: int, *, may_go_elsewhere: bool) -> None:
        super().__init__()
        self.code, self.may_go_elsewhere = code, may_go_elsewhere


@dataclass(frozen=True, slots=True)
class Asking:
    """The way to one gateway or several."""

    access: Access

    def one(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> T:
        """What the first gateway says that can be reached; they share what this is about. Ends the command where none
        does it."""
        for gateway in self.access.gateways:
            try:
                return self._asked(gateway, method, path, answer, body, query)
            except _NotDone as failed:
                if not failed.may_go_elsewhere:
                    raise typer.Exit(failed.code) from None
        raise typer.Exit(EXIT_PROBLEMS)

    def each(self, method: str, path: str, answer: type[T]) -> tuple[list[tuple[str, T]], int]:
        """What each gateway says, and the exit code: the worst of them."""
        found: list[tuple[str, T]] = []
        code = 0
        for gateway in self.access.gateways:
            try:
                found.append((gateway, self._asked(gateway, method, path, answer)))
            except _NotDone as failed:
                code = max(code, failed.code)
        return found, code

    def _asked(
        self,
        gateway: str,
        method: str,
        path: str,
        answer: type[T],
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> T:
        """Raises _NotDone, having said why."""
        from gateway.admin.client import Refused, Unreachable, ask

        try:
            return asyncio.run(ask(self.access, gateway, method, path, answer, body=body, query=query))
        except Refused as refused:
            complain(_told(gateway, refused))
            raise _NotDone(_exit_code(refused), may_go_elsewhere=refused.may_go_elsewhere) from None
        except Unreachable as error:
            complain(f"{gateway}: {error}")
            raise _NotDone(EXIT_PROBLEMS, may_go_elsewhere=True) from None


Reach = Callable[[], Asking]  # raises ConfigError


def reaching(command: Callable[Concatenate[Reach, P], None]) -> Callable[..., None]:
    """The command with the options that say how a gateway is reached, whose first parameter makes of them what it asks
    with."""
    options = inspect.signature(_asking, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    def run(**given: Any) -> None:
        reach = partial(_asking, **{name: given.pop(name) for name in options})
        cast("Callable[..., None]", command)(reach, **given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    kept = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *options.values())]
    run.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]  # typer reads the options off it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in kept}
    return run


def _asking(
    gateway: Annotated[
        list[str] | None,
        typer.Option(help=f"A management listener, {DEFAULT_GATEWAY} if none is named.", metavar="URL"),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="Holds an administrator's token; without it TIGHTLIP_ADMIN_TOKEN does.", metavar="FILE"),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="Authorities to trust in place of the system's.", metavar="FILE")
    ] = None,
    client_certificate: Annotated[
        Path | None, typer.Option(help="To show to the listener, PEM.", metavar="FILE")
    ] = None,
    client_key: Annotated[Path | None, typer.Option(help="Its key, if that is another file.", metavar="FILE")] = None,
    allow_plaintext: Annotated[
        bool, typer.Option("--allow-plaintext", help="Send the token by http:// off loopback: others may read it.")
    ] = False,
) -> Asking:
    """Raises ConfigError."""
    from gateway.admin.client import access

    named = gateway or [DEFAULT_GATEWAY]
    return Asking(access(named, token_file, ca_file, client_certificate, client_key, allow_plaintext=allow_plaintext))


@reaching
def reload(reach: Reach) -> None:
    """Have the policy read again, by every gateway that is named. Exit code 1: one of them keeps the one before."""
    from gateway.admin.shapes import Reloaded

    found, code = reach().each("POST", "/policy/reload", Reloaded)
    for each, done in found:
        change = f"{done.before} → {done.now}" if done.before != done.now else f"{done.now}, as before"
        typer.echo(f"{each}: policy {change}")
    raise typer.Exit(code)


@reaching
def status(reach: Reach) -> None:
    """Show of every gateway that is named whether it serves, and if not why; its policy, its models. Exit code 1: one
    of them does not, or they have different policies."""
    from gateway.admin.shapes import Status

    found, code = reach().each("GET", "/status", Status)
    for each, its in found:
        _show(each, its)
    if len({its.policy for _, its in found}) > 1:
        complain("the gateways have different policies")
        code = max(code, EXIT_PROBLEMS)
    raise typer.Exit(max([code, *(0 if its.ready else EXIT_PROBLEMS for _, its in found)]))


def obeyed(*, shared: bool) -> str:
    """Who obeys what was acknowledged."""
    if shared:
        return "every gateway on this store obeys within a second"
    return "that gateway obeys within a second, until it ends: it shares no state with others"


# ---- helpers ---------------------------------------------------------------------------------------------------------


def _show(gateway: str, its: Status) -> None:
    typer.echo(f"{gateway}: {'ready' if its.ready else 'not ready: ' + ', '.join(its.not_ready)}")
    age = "never read" if its.revocations_age is None else f"{its.revocations_age:.1f} s old"
    where = "shared" if its.shared else "of this process alone"
    typer.echo(f"  version {its.version}, policy {its.policy}, {its.revocations} revocations ({age}, {where})")
    for name, model in sorted(its.models.items()):
        checked = "as released" if model.released else "unchecked"
        typer.echo(f"  model {name}: {checked if model.open else 'not what its release says, or not known to be'}")


def _told(gateway: str, refused: Refused) -> str:
    """Whoever answers at that address may be no gateway at all."""
    lines = [f"{gateway}: {_explained(refused)}", *(f"  {problem}" for problem in refused.problems)]
    return "\n".join(map(printable, lines))


def _explained(refused: Refused) -> str:
    """The gateway says the same to whoever comes with a bad token, and to whoever may not; what that means for an
    administrator stands here."""
    hints = {
        401: "the token is not an administrator's, has expired, or is revoked",
        403: "the token's role may not do this, or not from this network",
    }
    if refused.code == "not_found":
        return "there is no administration: the policy has none, or this is not the management listener"
    return f"{refused.message} ({hints[refused.status]})" if refused.status in hints else refused.message


def _exit_code(refused: Refused) -> int:
    return EXIT_WRONG if refused.status == 400 else EXIT_PROBLEMS
