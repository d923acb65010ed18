"""A real gateway that serves TLS on both listeners and takes over a certificate that is swapped while a stream runs."""

from __future__ import annotations

import os
import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import canary_free
from tests.support import scripted
from tests.support.gateways import MODEL, Gateway, gateway, server, settings
from tests.support.scripted import Engine, Until
from tests.support.tls import Authority, client_context
from tests.support.waiting import until

CANARY = "qvelundra"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder: Path = tmp_path_factory.mktemp("authority")
    return Authority(folder)


@pytest.fixture(scope="module")
def front(authority: Authority, _engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("tls")
    swap(folder, "..1", authority.server("one"))
    pair = server(_engine.url, "tuned"), server(_engine.url, "base")
    tls = {"certificate": "secret/tls.pem", "key": "secret/tls.pem"}
    asked = {"client_ca": str(authority.ca_file), "client_certificates": "required"}
    listeners = {"public": {"port": 0, "tls": tls | asked}, "management": {"port": 0, "tls": tls}}
    with gateway(folder, settings(*pair, scripted.tokenizer(folder), **listeners)) as running:
        yield running


def swap(folder: Path, version: str, pair: Path) -> None:
    """As Kubernetes does it: the link to the folder of the version is replaced."""
    (folder / version).mkdir()
    shutil.copy(pair, folder / version / "tls.pem")
    (folder / "..new").symlink_to(version)
    os.replace(folder / "..new", folder / "secret")


def metric(front: Gateway, authority: Authority, name: str, listener: str) -> float:
    page = front.page("/metrics", verify=client_context(authority.ca_file)).text
    sample = f'{name}{{listener="{listener}"}} '
    return next(float(line.removeprefix(sample)) for line in page.splitlines() if line.startswith(sample))


def shown(front: Gateway) -> str:
    """The certificate that the management listener serves now."""
    host, port = front.management.removeprefix("https://").split(":")
    pem = ssl.get_server_certificate((host, int(port)))
    return ssl.PEM_cert_to_DER_cert(pem).hex()


def test_a_stream_goes_on_while_the_certificate_is_swapped_and_a_bad_one_is_refused(
    front: Gateway, authority: Authority, engine: Engine
) -> None:
    assert front.public.startswith("https://")
    context = client_context(authority.ca_file, authority.server("caller"))
    go_on = threading.Event()
    engine.tuned = ("It rained. ", "The sun came out. ", Until(go_on), "Then it was dark.")
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Go on."}], "stream": True}
    headers = {"authorization": f"Bearer {front.token()}"}
    with httpx.Client(base_url=front.public, verify=context, trust_env=False, timeout=60) as client:
        with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            assert answer.status_code == 200
            lines = answer.iter_lines()
            text = next(line for line in lines if "rained" in line)
            before = shown(front)
            bad = authority.folder / "bad.pem"
            bad.write_text(CANARY)
            swap(front.folder, "..2", bad)
            until(lambda: metric(front, authority, "tightlip_certificate_reload_failures_total", "public"))
            assert shown(front) == before
            swap(front.folder, "..3", authority.server("two"))
            until(lambda: shown(front) != before)
            go_on.set()
            text += "\n".join(lines)
        assert "dark" in text
        assert text.rstrip().endswith("[DONE]")
        assert client.get("/v1/models", headers=headers).status_code == 200
    ends = metric(front, authority, "tightlip_certificate_expiry_timestamp_seconds", "public")
    assert ends == pytest.approx(time.time() + 86400, abs=600)
    assert "certificate_refused" in front.output
    assert canary_free(front, CANARY)


def test_nobody_comes_in_without_a_certificate_or_without_tls(front: Gateway, authority: Authority) -> None:
    headers = {"authorization": f"Bearer {front.token()}"}
    for url, context in (
        (front.public, client_context(authority.ca_file)),
        (front.public.replace("https:", "http:"), client_context(authority.ca_file)),
    ):
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/v1/models", verify=context, headers=headers, trust_env=False, timeout=20)
    page = front.page("/metrics", verify=client_context(authority.ca_file)).text
    assert 'tightlip_connections_refused_total{listener="public",reason="handshake"}' in page
