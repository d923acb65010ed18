"""What other people's code says: their loggers, warnings, uncaught exceptions and prints. Any of it may quote what is
being said, so that of each only its place in code is recorded, and of an exception its type.

1. A record of a logger is made without its words (`_Wordless`), so that no handler that anybody brings later has them.
2. Uncaught exceptions of the process, its threads, tasks and finalisers go through hooks. A crash of the interpreter
   itself prints places in code alone.
3. Whoever prints to the process's standard output or error is not heard (`unheard`): the gateway's own lines go to
   streams that were taken before. What writes to the descriptors themselves is out of reach.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

from gateway.observe.logs import Logs

# Names that may stand in a record; a logger may be named after anything, so every other one is "other".
_LIBRARIES: Final = frozenset(
    {"uvicorn", "aiohttp", "asyncio", "presidio-analyzer", "presidio-anonymizer", "py.warnings", "tldextract"}
    | {"filelock", "urllib3", "phonenumbers", "fastapi", "starlette", "concurrent", "httpx", "jwt", "root"}
    | {"redis", "hvac", "requests", "kubernetes", "opentelemetry", "spacy", "stanza", "transformers", "httpcore"}
)


class Reducer(logging.Handler):
    """Turns any library's record into its logger, level and place in code. The message is never formatted."""

    def __init__(self, logs: Logs) -> None:
        super().__init__(logging.WARNING)
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        self._logs.foreign(_library(record.name), record.levelname.lower(), _code(record))


class _Wordless(logging.LogRecord):
    """Made without message, arguments, exception and stack."""

    def __init__(  # as it is called by logging.Logger.makeRecord
        self,
        name: str,
        level: int,
        pathname: str,
        lineno: int,
        msg: object,
        args: object,
        exc_info: Any,
        func: str | None = None,
        sinfo: str | None = None,
    ) -> None:
        super().__init__(name, level, pathname, lineno, "", None, None, func)
        self.raised = exc_info[0] if exc_info else None


def take_over(logs: Logs) -> None:
    """From here on every logger, warning and uncaught exception of the process goes through `logs`.

    Loggers made before lose their own handlers. `raiseExceptions` is off because the standard library prints the whole
    record to stderr when a handler fails.
    """
    logging.raiseExceptions = False
    logging.setLogRecordFactory(_Wordless)
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [Reducer(logs)]
    root.setLevel(logging.WARNING)
    for name in list(logging.root.manager.loggerDict):
        _strip(logging.getLogger(name))
    _take_hooks(logs)


@contextmanager
def unheard(logs: Logs) -> Iterator[None]:
    """Inside, of what is printed its place in code is all that goes anywhere. Who has to be heard has taken a stream
    before."""
    with redirect_stdout(_Unheard(logs)), redirect_stderr(_Unheard(logs)):
        yield


class _Unheard(io.TextIOBase):
    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if text.strip():
            caller = sys._getframe(1)
            self._logs.foreign("print", "warning", f"{Path(caller.f_code.co_filename).stem}:{caller.f_lineno}")
        return len(text)


def watch_tasks(loop: asyncio.AbstractEventLoop, logs: Logs) -> None:
    """Exceptions of tasks that nobody awaited: asyncio would print the exception with its text."""

    def handle(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        logs.uncaught(type(error) if isinstance(error, BaseException) else RuntimeError, "task")

    loop.set_exception_handler(handle)


def _strip(logger: logging.Logger) -> None:
    logger.handlers[:] = []
    logger.propagate = True
    if logger.level < logging.WARNING:  # debug records would be made only to be dropped
        logger.setLevel(logging.NOTSET)


def _take_hooks(logs: Logs) -> None:
    sys.excepthook = lambda kind, _error, _trace: logs.uncaught(kind, "main")
    sys.unraisablehook = lambda args: logs.uncaught(args.exc_type, "finaliser")
    threading.excepthook = lambda args: logs.uncaught(args.exc_type, "thread")


def _library(name: str) -> str:
    return next((known for known in (name, name.split(".", 1)[0]) if known in _LIBRARIES), "other")


def _code(record: logging.LogRecord) -> str:
    """The exception's type where there is one, else the place in code."""
    kind: type[BaseException] | None = getattr(record, "raised", None)
    return kind.__name__ if kind else f"{record.module}:{record.lineno}"
