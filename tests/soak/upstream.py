"""A model server, as a process: `python -m tests.soak.upstream HOST PORT`. It says what said.py has it say.

SIGUSR1: a tenth of its connections are cut. SIGUSR2: it takes long to answer questions, and at the next one no more.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections import deque
from typing import Final

from tests.soak.said import says, surprise
from tests.support.scripted import Engine, cut, serve

SLOW_SECONDS: Final = 4.0  # longer than a question's deadline
CUT_SHARE: Final = 0.1


async def run(host: str, port: int) -> None:
    """For ever."""
    engine = Engine(score=surprise, replies=says)
    engine.requests = engine.headers = engine.left = deque(maxlen=0)  # type: ignore[assignment]  # for hours
    server = await serve(engine, host, port)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, _cut, engine)
    loop.add_signal_handler(signal.SIGUSR2, _slow, engine)
    print(f"upstream {engine.url}", flush=True)
    await server.serve_forever()


def _cut(engine: Engine) -> None:
    victims = list(engine.open)
    for writer in random.sample(victims, -(-len(victims) // round(1 / CUT_SHARE))):
        cut(writer)


def _slow(engine: Engine) -> None:
    engine.score_after = 0.0 if engine.score_after else SLOW_SECONDS


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
