"""The gateway's process with parts that fail, each when a request or an answer has a word for it, and each saying in
its error what it was just reading: a detector, the code behind a route, and other people's loggers.

`python -m tests.leaks.failing serve --config …` is `tightlip serve` otherwise.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Final

from filters.pii.emails import Emails
from gateway.cli import main
from gateway.policy import parameters

DETECTOR, ROUTE, LIBRARIES, PLANTS = "breakwater", "landslide", "thunderclap", "fingerpost"
_KEPT: Final = list[object]()  # a temporary file that was removed and is still open


def fail() -> None:
    """From here on they do."""
    find, admit = Emails.find, parameters.admit

    def failing_find(self: Emails, view: Any) -> Iterator[Any]:
        if DETECTOR in view.text:
            raise RuntimeError(view.text)
        return iter(find(self, view))

    def failing_admit(asked: Any, grant: Any) -> Any:
        text = str(asked)
        if LIBRARIES in text:
            _speak(text)
        if PLANTS in text:
            _plant(text)
        if ROUTE in text:
            raise RuntimeError(text)
        return admit(asked, grant)

    Emails.find = failing_find  # type: ignore[method-assign]
    parameters.admit = failing_admit  # type: ignore[assignment]


def _speak(text: str) -> None:
    """As libraries do: by loggers of every kind, warnings, prints, and exceptions that nobody waits for."""
    for name in ("uvicorn.error", "aiohttp.client", "presidio-analyzer", "asyncio", "somebody.else"):
        logging.getLogger(name).error("could not read %s", text, extra={"text": text})
    logging.getLogger(text[:40]).critical(text)
    warnings.warn(text, stacklevel=1)
    own = logging.getLogger("brings.its.own.handler")
    own.addHandler(logging.StreamHandler(sys.__stderr__))
    own.error("could not read %s", text, stack_info=True)
    print(text)
    print(text, file=sys.stderr, flush=True)

    def failed() -> None:
        raise ValueError(text)

    async def forgotten() -> None:
        failed()

    asyncio.get_running_loop().call_soon(failed)
    _KEPT.append(asyncio.get_running_loop().create_task(forgotten()))
    thread = threading.Thread(target=failed)
    thread.start()
    thread.join()
    _KEPT.pop()


def _plant(text: str) -> None:
    """What must never be: one line in each stream, encoded, and a temporary file that has no name any more."""
    os.write(1, base64.b64encode(text.encode()) + b"\n")
    os.write(2, text.encode().hex().encode() + b"\n")
    file = tempfile.TemporaryFile()  # noqa: SIM115 - open until the process ends
    os.write(file.fileno(), text[::-1].encode())
    _KEPT.append(file)


if __name__ == "__main__":
    fail()
    main()
