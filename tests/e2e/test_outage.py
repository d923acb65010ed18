"""Redis, Vault and an issuer away for a while, one after the other, under load; tests/bench/bench_outage does it for a
minute each."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.support.outages import (
    ALWAYS,
    CANARY,
    LIMIT,
    NOBODY_KNOWS,
    Answer,
    House,
    house,
    load,
    most_in_a_minute,
    public_jwks,
    watched,
    wrong,
)
from tests.support.redis import DURABLE, Redis, needs_redis, redis
from tests.support.tls import Authority, Web, https_server
from tests.support.vault import Vault, needs_vault, vault

GRACE = 10.0  # longer than any stall of the machine


@needs_redis
@needs_vault
def test_what_is_away_changes_nothing_but_what_is_promised(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with ExitStack() as stack:
        keeper = stack.enter_context(vault(tmp_path / "vault"))
        page = stack.enter_context(https_server(authority.server()))
        store = stack.enter_context(redis(tmp_path / "redis", *DURABLE))
        issuer = f"{page.url}/jwks"
        where = stack.enter_context(
            house(tmp_path, {"url": store.url}, keeper, issuer, authority, gateways=1, grace=GRACE)
        )
        page.body = public_jwks(tmp_path / "web.pem")
        answers, away = asyncio.run(played(where, store, keeper, page))
        assert wrong(answers, away) == []
        assert most_in_a_minute(answers) <= LIMIT
        assert CANARY not in where.printed


async def played(
    where: House, redis: Redis, keeper: Vault, page: Web
) -> tuple[list[Answer], Sequence[tuple[float, float]]]:
    """All answers, and since when and until when the store was away, each time."""
    async with watched(redis) as stood, load(where) as asking:
        await asking.served(time.monotonic())

        keeper.hang()
        page.answers.clear()
        hung = time.monotonic()
        for kind in ("plain", "limited", "budgeted", "revoked"):
            await asking.told(kind, ALWAYS[kind], hung)
        keeper.go_on()
        page.answers.set()

        gone = time.monotonic()
        redis.child.process.send_signal(signal.SIGSTOP)
        for kind in ("plain", "limited", "budgeted", "revoked"):
            await asking.told(kind, {NOBODY_KNOWS}, gone)
        back = time.monotonic()
        redis.child.process.send_signal(signal.SIGCONT)
        await asking.served(back)
        recovered = time.monotonic()
    refused = min(each.ended for each in asking.answers if each.outcome == NOBODY_KNOWS)
    late = [each for each in asking.answers if refused < each.began and each.ended < back]
    assert {each.outcome for each in late if each.caller.kind != "unknown"} == {NOBODY_KNOWS}
    return asking.answers, [(gone, recovered), *stood]
