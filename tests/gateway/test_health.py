"""What a container engine learns of a gateway: alive or not, and never by way of a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from gateway.health import main
from tests.support.tls import Authority, https_server
from tests.support.waiting import PATIENCE_S


class Probe(BaseHTTPRequestHandler):
    """/healthz is well, /ill is not."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing: a test's output is its own."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.health.SECONDS", PATIENCE_S)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Probe) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_it_asks_the_management_listener_of_its_container(port: int) -> None:
    assert main([], {"TIGHTLIP_MANAGEMENT__PORT": str(port)}) == 0


def test_it_speaks_tls_where_the_environment_sets_it(tmp_path: Path) -> None:
    with https_server(Authority(tmp_path).server()) as web:
        environment = {"TIGHTLIP_MANAGEMENT__PORT": web.url.rpartition(":")[2]}
        assert main([], environment) == 1
        assert main([], environment | {"TIGHTLIP_MANAGEMENT__TLS__CERTIFICATE": "server.pem"}) == 0


def test_a_named_address_goes_before(port: int) -> None:
    assert main([f"http://127.0.0.1:{port}/healthz"], {"TIGHTLIP_MANAGEMENT__PORT": "1"}) == 0


def test_an_answer_other_than_200_is_not_health(port: int) -> None:
    assert main([f"http://127.0.0.1:{port}/ill"], {}) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/healthz", "https://127.0.0.1:1/healthz", "no address", "ftp://h/x"]
)
def test_who_does_not_answer_is_not_well(url: str) -> None:
    assert main([url], {}) == 1


def test_a_proxy_of_the_environment_is_not_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert main([f"http://127.0.0.1:{port}/healthz"], {}) == 0
