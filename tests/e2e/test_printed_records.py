"""A collector of what is printed that stands still: callers are answered all the same, and it gets every record when it
goes on."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support import scripted
from tests.support.gateways import Gateway, ask, gateway, server, settings
from tests.support.waiting import PATIENCE_S, until

ASKED, SAID = "What of vexlotrund?", "Kipmora is all that I know."
REQUESTS = 40  # whose records are far more than the pipe holds
SMALLEST = 4096  # bytes that a pipe may be made to hold


@dataclass
class Collector:
    """Reads when it is told to."""

    descriptor: int
    read: bytes = b""

    def go_on(self) -> bytes:
        """All that it has read, with what is there now."""
        while True:
            try:
                more = os.read(self.descriptor, SMALLEST)
            except BlockingIOError:
                return self.read
            if not more:  # nobody writes
                return self.read
            self.read += more


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[tuple[Gateway, Collector]]:
    pipe = tmp_path / "collected"
    os.mkfifo(pipe)
    collector = Collector(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
    fcntl.fcntl(collector.descriptor, fcntl.F_SETPIPE_SZ, SMALLEST)
    runs = "sh", "-c", f'exec "$@" 2> {shlex.quote(str(pipe))}', "sh", sys.executable, "-m", "gateway.cli"
    with scripted.engine() as engine:
        engine.tuned = (SAID,)
        pair = server(engine.url, "tuned"), server(engine.url, "base"), scripted.tokenizer(tmp_path)
        configuration = settings(*pair, log={"destination": "stderr"}, drain_seconds=1)
        with gateway(tmp_path / "front", configuration, program=runs) as front:
            yield front, collector
    os.close(collector.descriptor)


def answered(front: Gateway) -> list[str]:
    """The ids of requests, each of which got its answer."""
    with front.client() as client:
        responses = [ask(client, ASKED) for _ in range(REQUESTS)]
    assert {response.json()["choices"][0]["message"]["content"] for response in responses} == {SAID}
    return [response.headers["x-request-id"] for response in responses]


def test_callers_and_probes_do_not_wait_for_it_and_it_loses_nothing(scene: tuple[Gateway, Collector]) -> None:
    front, collector = scene
    ids = answered(front)
    with httpx.Client(base_url=front.management, trust_env=False) as probe:
        assert probe.get("/healthz").status_code == 200
        assert "\ntightlip_log_failures_total 0.0" not in probe.get("/metrics").text
    until(lambda: ids[-1].encode() in collector.go_on())
    lines = collector.read.decode().splitlines()
    assert [sum(each in line for line in lines) for each in ids] == [1] * REQUESTS
    assert "vexlotrund" not in collector.read.decode()
    assert "Kipmora" not in collector.read.decode()


def test_the_process_ends_though_nobody_reads(scene: tuple[Gateway, Collector]) -> None:
    front, _ = scene
    answered(front)
    front.child.process.send_signal(signal.SIGTERM)
    assert front.child.process.wait(PATIENCE_S) == 0
