"""What other libraries say is never rendered, however they say it."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import io
import json
import logging
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.observe.libraries import take_over, unheard, watch_tasks
from gateway.observe.logs import Logs
from gateway.observe.pseudonyms import Pseudonyms
from tests.gateway.support import CANARY

SENTENCE = f"{CANARY} said so."


@pytest.fixture
def sink() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
def logs(sink: io.BytesIO) -> Logs:
    return Logs(sink, Pseudonyms(b"k" * 32))


@contextmanager
def taking_over(logs: Logs) -> Iterator[None]:
    """The process's loggers and hooks, and back again. What other tests left behind is finalised before."""
    gc.collect()
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    factory = logging.getLogRecordFactory()
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    take_over(logs)
    try:
        yield
    finally:
        root.handlers[:], logging.raiseExceptions = before[0], before[2]
        root.setLevel(before[1])
        sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
        logging.captureWarnings(False)
        logging.setLogRecordFactory(factory)


@pytest.fixture
def taken_over(logs: Logs) -> Iterator[Logs]:
    with taking_over(logs):
        yield logs


def lines(sink: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.getvalue().splitlines()]


@pytest.mark.parametrize(
    "name",
    [
        "uvicorn.error",
        "aiohttp.server",
        "presidio-analyzer",
        "asyncio",
        "tldextract",
        "redis.asyncio",
        "hvac.adapters",
        "requests",
        "kubernetes.client.rest",
        "opentelemetry.exporter",
        SENTENCE,
    ],
)
def test_a_librarys_message_is_reduced_to_where_it_came_from(
    taken_over: Logs, sink: io.BytesIO, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(name), "filters", [])  # a detector, once built, silences Presidio's for good
    logging.getLogger(name).error("the text is %s", SENTENCE)
    (line,) = lines(sink)
    assert line.keys() == {"event", "format", "time", "logger", "level", "code"}
    assert (line["event"], line["level"]) == ("library", "error")
    assert line["code"].startswith("test_libraries:")
    assert CANARY not in sink.getvalue().decode()


def test_an_exceptions_text_and_trace_stay_where_they_are(
    taken_over: Logs, sink: io.BytesIO, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        raise ValueError(SENTENCE)
    except ValueError:
        logging.getLogger("uvicorn.error").exception(SENTENCE)
    assert lines(sink)[0]["code"] == "ValueError"
    assert CANARY not in sink.getvalue().decode() + "".join(capfd.readouterr())


def test_a_record_that_cannot_be_formatted_is_no_trouble(
    taken_over: Logs, sink: io.BytesIO, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("aiohttp").error("%d", SENTENCE)
    assert len(lines(sink)) == 1
    assert CANARY not in "".join(capfd.readouterr())


def test_a_handler_that_a_library_brought_is_gone(logs: Logs) -> None:
    other = io.StringIO()
    logger = logging.getLogger("presidio-analyzer")
    logger.addHandler(logging.StreamHandler(other))
    with taking_over(logs):
        logger.error(SENTENCE)
    assert other.getvalue() == ""


def test_a_handler_that_a_library_brings_later_has_no_words(taken_over: Logs, sink: io.BytesIO) -> None:
    other = io.StringIO()
    logger = logging.getLogger("redis.connection.later")
    logger.addHandler(handler := logging.StreamHandler(other))
    try:
        raise ValueError(SENTENCE)
    except ValueError:
        logger.exception("it said %s", SENTENCE, stack_info=True)
    logger.removeHandler(handler)
    assert CANARY not in other.getvalue() + sink.getvalue().decode()
    assert [(line["logger"], line["code"]) for line in lines(sink)] == [("redis", "ValueError")]


def test_a_handler_for_all_that_replaces_ours_has_no_words_either(
    taken_over: Logs, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.basicConfig(force=True, format="%(message)s %(args)s %(exc_text)s")
    logging.getLogger("aiohttp").error("it said %s", SENTENCE)
    logging.getLogger().handlers[:] = []
    logging.getLogger("aiohttp").error("it said %s", SENTENCE)  # the handler of last resort
    assert CANARY not in "".join(capfd.readouterr())


def test_a_print_is_not_heard(logs: Logs, sink: io.BytesIO, capfd: pytest.CaptureFixture[str]) -> None:
    with unheard(logs):
        print(SENTENCE)
        print(SENTENCE, file=sys.stderr)
        sys.stdout.writelines([SENTENCE, "\n"])
        try:
            raise ValueError(SENTENCE)
        except ValueError:
            traceback.print_exc()
    assert CANARY not in sink.getvalue().decode() + "".join(capfd.readouterr())
    told = [(line["logger"], line["code"].partition(":")[0]) for line in lines(sink)]
    assert told[:3] == [("print", "test_libraries")] * 3
    assert {code for _, code in told[3:]} == {"traceback"}
    print("heard again")
    assert capfd.readouterr().out == "heard again\n"


def test_what_nobody_can_raise_to_is_its_type(
    taken_over: Logs, sink: io.BytesIO, capfd: pytest.CaptureFixture[str]
) -> None:
    class Finalised:
        def __del__(self) -> None:
            raise BufferError(SENTENCE)

    Finalised()
    gc.collect()
    told = [
        line["detail"] for line in lines(sink) if line["code"] == "BufferError"
    ]  # others' garbage may be told of too
    assert told == ["finaliser"]
    assert CANARY not in sink.getvalue().decode() + "".join(capfd.readouterr())


def test_a_crash_of_the_interpreter_prints_places_alone(tmp_path: Path) -> None:
    said = SENTENCE
    with (tmp_path / "trace").open("w+b") as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        assert said.split()[0].encode() not in file.read()


def test_warnings_are_reduced(taken_over: Logs, sink: io.BytesIO, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn(SENTENCE, stacklevel=1)
    assert lines(sink)[0]["logger"] == "py.warnings"
    assert CANARY not in sink.getvalue().decode() + "".join(capfd.readouterr())


@pytest.mark.parametrize("pattern", ["[[a]", "[+--a]", "[a&&b]", "[a||b]", "[a~~b]"])
def test_what_python_thinks_of_a_pattern_is_reduced(
    taken_over: Logs, sink: io.BytesIO, capfd: pytest.CaptureFixture[str], pattern: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        re.compile(pattern + CANARY)
    assert sum(line["logger"] == "py.warnings" for line in lines(sink)) == 1
    assert CANARY not in sink.getvalue().decode() + "".join(capfd.readouterr())


def test_uncaught_exceptions_are_their_types(
    taken_over: Logs, sink: io.BytesIO, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise LookupError(SENTENCE)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    sys.excepthook(KeyError, KeyError(SENTENCE), None)
    assert [(line["code"], line["detail"]) for line in lines(sink)] == [("LookupError", "thread"), ("KeyError", "main")]
    assert CANARY not in sink.getvalue().decode() + "".join(capfd.readouterr())


async def test_a_failed_task_is_its_exceptions_type(logs: Logs, sink: io.BytesIO) -> None:
    loop = asyncio.get_running_loop()
    watch_tasks(loop, logs)
    loop.call_exception_handler({"message": SENTENCE, "exception": ValueError(SENTENCE)})
    loop.call_exception_handler({"message": SENTENCE})
    assert [line["code"] for line in lines(sink)] == ["ValueError", "RuntimeError"]
    assert CANARY not in sink.getvalue().decode()
    loop.set_exception_handler(None)
