"""Callers, as a process: `python -m tests.soak.callers FOLDER URL STREAMS`. They keep so many requests under way, and
write down of each what became of it (`Answered`), a JSON line in FOLDER/answers.jsonl.

FOLDER/tokens.json has the tokens to ask with, and may change. SIGUSR1: some callers go away in the middle of their
answers. SIGTERM: all do, and the process ends.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import aiohttp

from tests.soak.said import asks, leaked, strange
from tests.support.gateways import MODEL

CHAT: Final = "/v1/chat/completions"
PATIENCE: Final = 120.0  # seconds after which a caller gives up: by far longer than any answer may take
STREAMED: Final = 0.9  # of the requests
GO_AWAY: Final = 10  # callers at once
PAUSE: Final = (1.0, 4.0)  # seconds before the next request, after one that failed
BEGIN: Final = 10.0  # seconds over which the first requests are spread
TELL_EVERY: Final = 1.0  # seconds


@dataclass
class Answered:
    """`outcome`: whole; `ended` and a code, of one that had begun; a status and a code; broken (off in the middle);
    unanswered (no head); left, by the caller; hung. Times of the monotonic clock; `gap` is the longest time without a
    byte. `leaks` and `strange` are what may not have been in it."""

    began: float
    ended: float = 0.0
    outcome: str = "left"
    id: str | None = None
    gap: float = 0.0
    size: int = 0
    leaks: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    number: int = 0  # that the request was asked with, which decides what is answered
    text: str = ""  # of an answer with something that may not have been in it: no value is anybody's


class Callers:
    """All of them."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession, written: BinaryIO) -> None:
        self._tokens, self._session, self._written = folder / "tokens.json", session, written
        self._numbers, self._known, self._read = itertools.count(random.randrange(1 << 30)), list[str](), 0.0
        self._lines: list[bytes] = []
        self._open: set[asyncio.Task[Any]] = set()

    async def ask_for_ever(self, at: int, of: int) -> None:
        """One caller."""
        await asyncio.sleep(BEGIN * at / of)
        while True:
            answered = Answered(time.monotonic())
            try:
                await self._left_alone(answered)
            finally:
                self._lines.append(json.dumps(asdict(answered)).encode() + b"\n")
            if answered.outcome not in ("whole", "left"):
                await asyncio.sleep(random.uniform(*PAUSE))

    async def tell_for_ever(self) -> None:
        while True:
            self.tell()
            await asyncio.sleep(TELL_EVERY)

    def tell(self) -> None:
        """Write down what is known by now, and how many requests are under way."""
        self._lines.append(json.dumps({"under_way": len(self._open)}).encode() + b"\n")
        self._written.write(b"".join(self._lines))
        self._written.flush()
        self._lines.clear()

    def some_go_away(self) -> None:
        for task in random.sample(sorted(self._open, key=id), min(GO_AWAY, len(self._open))):
            task.cancel()

    async def _left_alone(self, answered: Answered) -> None:
        """One answer, in a task of its own, which may be left."""
        task = asyncio.ensure_future(self._answer(answered))
        self._open.add(task)
        try:
            await asyncio.wait([task])
        finally:
            self._open.discard(task)
            task.cancel()  # when all go
            await asyncio.gather(task, return_exceptions=True)
            answered.ended = time.monotonic()
        if not task.cancelled():
            task.result()

    async def _answer(self, answered: Answered) -> None:
        head, body = bytearray(), bytearray()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._asked(answered, head, body)
        except TimeoutError:
            answered.outcome = "hung"
        except (aiohttp.ClientError, ConnectionError):
            answered.outcome = "broken" if answered.id else "unanswered"
        finally:
            answered.size, answered.leaks, text = len(body), leaked(head + body), said(body)
            answered.strange = strange(text)
            answered.text = text if answered.leaks or answered.strange else ""

    async def _asked(self, answered: Answered, head: bytearray, body: bytearray) -> None:
        streamed = random.random() < STREAMED
        answered.number = next(self._numbers)
        messages = [{"role": "user", "content": asks(answered.number)}]
        asked = {"model": MODEL, "messages": messages, "stream": streamed}
        headers = {"authorization": f"Bearer {random.choice(self._now())}"}
        async with self._session.post(CHAT, json=asked, headers=headers) as response:
            answered.id = response.headers["x-request-id"]
            head += json.dumps(dict(response.headers)).encode()
            heard = time.monotonic()
            async for piece in response.content.iter_any():
                answered.gap = max(answered.gap, time.monotonic() - heard)
                heard = time.monotonic()
                body += piece
        answered.outcome = outcome(response.status, body)

    def _now(self) -> list[str]:
        """The tokens of now."""
        changed = self._tokens.stat().st_mtime
        if changed != self._read:
            self._known, self._read = json.loads(self._tokens.read_text()), changed
        return self._known


def outcome(status: int, raw: bytearray) -> str:
    """Of an answer that came to its end."""
    error = next((frame["error"]["code"] for frame in _documents(raw) if "error" in frame), None)
    if status != 200:
        return f"{status} {error}"
    return "whole" if error is None else f"ended {error}"


def said(raw: bytearray) -> str:
    """The content of an answer, streamed or not."""
    choices = [choice for frame in _documents(raw) for choice in frame.get("choices", ())]
    return "".join((choice.get("delta") or choice.get("message") or {}).get("content") or "" for choice in choices)


def _documents(raw: bytearray) -> Iterator[dict[str, Any]]:
    """The whole ones: frames, or the body."""
    for line in bytes(raw).splitlines():
        try:
            yield json.loads(line.removeprefix(b"data: "))
        except ValueError:
            continue  # a comment, the end, or half a frame


async def main(folder: Path, url: str, streams: int) -> None:
    """Until SIGTERM."""
    connector, stop = aiohttp.TCPConnector(limit=0), asyncio.Event()
    with (folder / "answers.jsonl").open("wb") as written:
        async with aiohttp.ClientSession(
            url, connector=connector, timeout=aiohttp.ClientTimeout(total=None)
        ) as session:
            callers, loop = Callers(folder, session, written), asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, callers.some_go_away)
            loop.add_signal_handler(signal.SIGTERM, stop.set)
            print("asking", flush=True)
            tasks = [asyncio.ensure_future(callers.ask_for_ever(at, streams)) for at in range(streams)]
            tasks.append(asyncio.ensure_future(callers.tell_for_ever()))
            ended = asyncio.ensure_future(stop.wait())
            done, _ = await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            callers.tell()
            for task in done - {ended}:
                task.result()  # a mistake of ours


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
