"""A minute without Redis, Vault, an issuer, or the lock of the SQLite file, under load: what callers get, what nobody
may get, how long anybody waits, and how soon all is well again.

    python -m tests.bench.bench_outage [--away 60] [--only NAME] [--json FILE]

Two real gateways, callers of three issuers and two tenants who ask one thing after the other, some of them streaming;
one is revoked before, one signs with a key that nobody knows. Each part goes away twice: killed and started again, and
hanging (it takes connections and answers nothing). `wrong` counts the answers that may not have been, as
tests/support/outages.py has it; `passed late` those that passed although the store had been away for longer than the
grace. Wants Redis and Vault.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any, Final

from tests.support.outages import LIMIT, Answer, House, house, load, most_in_a_minute, public_jwks, wrong
from tests.support.processes import Replaceable, free_port
from tests.support.redis import DURABLE, redis_program
from tests.support.tls import Authority, Web, https_server
from tests.support.vault import Vault, vault

BEFORE: Final = 5.0  # seconds of load
AFTER: Final = 15.0
GRACE: Final = 30.0
SETTLED: Final = 3.0  # seconds after it is back, from which on nobody may notice
SEEN: Final = 2.5  # seconds after the grace, for a look that had begun and its patience


@dataclass(frozen=True)
class Part:
    """What goes away; `store`: whether callers may notice."""

    name: str
    go: Callable[[], object]
    come: Callable[[], object]
    store: bool = False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--away", type=float, default=60.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    for state in ("redis", "sqlite"):
        with tempfile.TemporaryDirectory() as folder, _house(Path(folder), state) as (where, parts):
            figures |= asyncio.run(in_turn(where, [each for each in parts if options.only in each.name], options.away))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


async def in_turn(where: House, parts: Sequence[Part], away: float) -> dict[str, Any]:
    """In one event loop: what a thread of its starts ends with it."""
    figures = {}
    for part in parts:
        figures[part.name] = await measured(where, part, away)
        _print(part.name, figures[part.name])
    return figures


async def measured(where: House, part: Part, away: float) -> dict[str, Any]:
    """The load before, while and after a part is away."""
    async with load(where, pause=0.2) as asking:
        await asking.served(time.monotonic())
        await asyncio.sleep(BEFORE)
        gone = time.monotonic()
        await asyncio.to_thread(part.go)
        await asyncio.sleep(away)
        await asyncio.to_thread(part.come)
        back = time.monotonic()
        await asking.served(back)
        recovered = time.monotonic()
        await asyncio.sleep(AFTER)
    answers = asking.answers
    mistakes = wrong(answers, [(gone, back + SETTLED)] if part.store else [])
    good = [each for each in answers if each.outcome == "good"]
    refused = [each.began for each in answers if each.outcome.startswith("503")]
    ended = [each.ended for each in answers if each.outcome.startswith("ended")]
    return {
        "answers": len(answers),
        "wrong": [(each.caller.kind, each.outcome, round(each.began - gone, 1)) for each in mistakes] or 0,
        "revoked or unknown, and served": sum(each.caller.kind in ("revoked", "unknown") for each in good),
        "passed late": sum(gone + GRACE + SEEN < each.began and each.ended < back for each in good)
        if part.name.startswith("Redis")
        else 0,
        "most of a limited caller in a minute": f"{most_in_a_minute(answers)} of {LIMIT}",
        "refused for want of the store": len(refused),
        "streams that it ended": len(ended),
        "longest before, while away, after, s": _longest(answers, [gone, back]),
        "those with unknown keys, s": _longest(
            [each for each in answers if each.caller.kind == "unknown"], [gone, back]
        ),
        "last refusal after it was back, s": round(max([0.0, *(at - back for at in refused)]), 2),
        "everybody served after, s": round(recovered - back, 2),
    }


def _longest(answers: Sequence[Answer], borders: Sequence[float]) -> str:
    """Of the answers that are not streamed and not of unknown keys, or of those alone, by when they began."""
    spans = zip([0.0, *borders], [*borders, float("inf")], strict=True)
    kinds = {each.caller.kind for each in answers}
    short = [each for each in answers if not each.slow and (len(kinds) == 1 or each.caller.kind != "unknown")]
    return " / ".join(
        f"{max((each.seconds for each in short if first <= each.began < last), default=0.0):.2f}"
        for first, last in spans
    )


def _print(name: str, figures: Mapping[str, Any]) -> None:
    print(name)
    for what, value in figures.items():
        print(f"  {what:40} {value}", flush=True)


# ---- what goes away --------------------------------------------------------------------------------------------------


@contextmanager
def _house(folder: Path, state: str) -> Iterator[tuple[House, list[Part]]]:
    authority = Authority(folder)
    with ExitStack() as stack:
        keeper = stack.enter_context(vault(folder / "vault"))
        issuer = stack.enter_context(_issuer(authority.server()))
        store = stack.enter_context(_redis(folder) if state == "redis" else _sqlite(folder))
        where = stack.enter_context(
            house(folder, store.settings, keeper, f"{issuer.web.url}/jwks", authority, gateways=2, grace=GRACE)
        )
        issuer.web.body = issuer.body = public_jwks(folder / "web.pem")
        others = [*_of_vault(keeper), *issuer.parts()]
        yield where, [*store.parts(), *(others if state == "redis" else [])]


class _Redis(Replaceable):
    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(redis_program(folder / "redis", DURABLE, port), folder / "logs")
        self.ready()
        self.settings = {"url": f"redis://127.0.0.1:{port}"}

    def parts(self) -> list[Part]:
        return [
            Part("Redis is killed", self.go, self.come, store=True),
            Part("Redis hangs", lambda: self.send(SIGSTOP), lambda: self.send(SIGCONT), store=True),
        ]


@contextmanager
def _redis(folder: Path) -> Iterator[_Redis]:
    made = _Redis(folder, free_port())
    try:
        yield made
    finally:
        made.end()


class _Sqlite:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.db"
        self.settings = {"file": str(self._path)}

    def go(self) -> None:
        self._lock = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._lock.execute("BEGIN IMMEDIATE")

    def come(self) -> None:
        self._lock.close()

    def parts(self) -> list[Part]:
        return [Part("SQLite's file is locked by another writer", self.go, self.come, store=True)]


@contextmanager
def _sqlite(folder: Path) -> Iterator[_Sqlite]:
    yield _Sqlite(folder)


def _of_vault(keeper: Vault) -> list[Part]:
    def come() -> None:
        keeper.start()
        keeper.unseal()

    return [Part("Vault is stopped", keeper.stop, come), Part("Vault hangs", keeper.hang, keeper.go_on)]


class _Issuer:
    """Its page; closed and opened again at the same address."""

    def __init__(self, certificate: Path) -> None:
        self._certificate, self._port, self.body = certificate, free_port(), b""
        self.come()

    def come(self) -> None:
        self._open = ExitStack()
        self.web: Web = self._open.enter_context(https_server(self._certificate, self._port))
        self.web.body = self.body

    def go(self) -> None:
        self._open.close()

    def parts(self) -> list[Part]:
        return [
            Part("an issuer is gone", self.go, self.come),
            Part("an issuer hangs", lambda: self.web.answers.clear(), lambda: self.web.answers.set()),
        ]


@contextmanager
def _issuer(certificate: Path) -> Iterator[_Issuer]:
    made = _Issuer(certificate)
    try:
        yield made
    finally:
        made.go()


if __name__ == "__main__":
    main()
