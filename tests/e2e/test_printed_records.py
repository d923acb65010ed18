"""A collector of what is printed that stands still: callers are answered all the same, and it gets every record when it
goes on."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support import scripted
from tests.support.gateways import ask, gateway, gateway_program, server, settings
from tests.support.pipes import fill
from tests.support.processes import HOST, answers, free_ports, running
from tests.support.scripted import Engine
from tests.support.waiting import PATIENCE_S, until

ASKED, SAID = "What of vexlotrund?", "Kipmora is all that I know."
MOST = 65536  # bytes of one read


@dataclass
class Collector:
    """Reads when it is told to."""

    descriptor: int
    read: bytes = b""

    def go_on(self) -> bytes:
        """All that it has read, with what is there now."""
        while True:
            try:
                more = os.read(self.descriptor, MOST)
            except BlockingIOError:
                return self.read
            if not more:  # nobody writes
                return self.read
            self.read += more


@pytest.fixture
def engine() -> Iterator[Engine]:
    with scripted.engine() as one:
        yield one


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[tuple[Collector, Path]]:
    """With the pipe that it does not read."""
    pipe = tmp_path / "collected"
    os.mkfifo(pipe)
    collector = Collector(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
    yield collector, pipe
    os.close(collector.descriptor)


def runs(stream: int, pipe: Path) -> list[str]:
    """What runs a gateway's commands with this stream of theirs there."""
    to = f'exec "$@" {stream}> {shlex.quote(str(pipe))}'
    return ["sh", "-c", to, "sh", sys.executable, "-m", "gateway.cli"]


def test_callers_and_probes_do_not_wait_for_it_and_it_loses_nothing(
    collector: tuple[Collector, Path], engine: Engine, tmp_path: Path
) -> None:
    reads, pipe = collector
    engine.tuned, ids = (SAID,), list[str]()
    pair = server(engine.url, "tuned"), server(engine.url, "base"), scripted.tokenizer(tmp_path)
    configuration = settings(*pair, log={"destination": "stderr"}, drain_seconds=1)
    with gateway(tmp_path / "front", configuration, program=runs(2, pipe)) as front, front.client() as client:
        while "\ntightlip_log_failures_total 0.0" in front.page("/metrics").text:
            response = ask(client, ASKED)
            assert response.json()["choices"][0]["message"]["content"] == SAID
            ids.append(response.headers["x-request-id"])
        assert front.page("/healthz").status_code == 200
        until(lambda: ids[-1].encode() in reads.go_on())
        lines = reads.read.decode().splitlines()
        assert [sum(each in line for line in lines) for each in ids] == [1] * len(ids)
        assert "vexlotrund" not in reads.read.decode()
        assert "Kipmora" not in reads.read.decode()


def test_a_process_whose_pipe_is_full_from_the_beginning_serves_and_ends(
    collector: tuple[Collector, Path], engine: Engine, tmp_path: Path
) -> None:
    _, pipe = collector
    filling = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    fill(filling)
    pair = server(engine.url, "tuned"), server(engine.url, "base"), scripted.tokenizer(tmp_path)
    public, management = free_ports(2)
    configuration = settings(*pair, drain_seconds=1) | {"public": {"port": public}, "management": {"port": management}}
    program = gateway_program(tmp_path / "front", configuration, None, runs(1, pipe))
    silent = replace(program, ready=answers("/readyz"), url=f"http://{HOST}:{management}")
    with running(silent, tmp_path / "logs") as child:
        child.process.send_signal(signal.SIGTERM)
        assert child.process.wait(PATIENCE_S) == 0
    os.close(filling)
