"""From the settings to a server that can be called: its key, whom it is trusted by, what is shown to it."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from gateway import served
from gateway.config_file import ConfigError
from gateway.errors import UpstreamUnavailable
from gateway.settings import ReleaseSettings, ServerSettings
from gateway.upstream.client import Errand, Server, Timeouts, UpstreamClient
from tests.support.tls import Authority, https_server

KEY = "-----BEGIN PRIVATE KEY-----\nplanted-words\n-----END PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def settings(url: str, **more: object) -> ServerSettings:
    return ServerSettings.model_validate({"url": url, "model": "m", **more})


async def cards(server: Server) -> bytes:
    async with aclosing(UpstreamClient(Timeouts())) as client:
        return await client.models(server, Errand("req_1"), 30.0)


async def test_a_server_of_an_own_authority_is_trusted_where_the_settings_say_so(authority: Authority) -> None:
    with https_server(authority.server()) as web:
        web.body = b"cards"
        with pytest.raises(UpstreamUnavailable):
            await cards(served.server(settings(web.url)))
        assert not web.asked, "it has heard nothing from who does not trust it"
        assert await cards(served.server(settings(web.url, ca_file=str(authority.ca_file)))) == b"cards"


@pytest.mark.parametrize("held", ["file", "variable"])
async def test_a_certificate_is_shown_with_its_key_from_wherever_secrets_are(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    shown = authority.server("gateway")
    monkeypatch.setenv("GATEWAY_TLS_KEY", shown.read_text())
    key = str(shown) if held == "file" else "env:GATEWAY_TLS_KEY"
    trusted = {"ca_file": str(authority.ca_file)}
    with https_server(authority.server(), client_ca=authority.ca_file) as web:
        web.body = b"cards"
        with pytest.raises(UpstreamUnavailable):
            await cards(served.server(settings(web.url, **trusted)))
        assert not web.asked
        server = served.server(settings(web.url, client_certificate=str(shown), client_key_file=key, **trusted))
        assert await cards(server) == b"cards"


@pytest.mark.parametrize("name", ["ca_file", "client_certificate", "client_key_file"])
@pytest.mark.parametrize("content", [None, KEY])
def test_a_file_that_can_not_be_used_is_named_and_not_quoted(
    authority: Authority, tmp_path: Path, name: str, content: str | None
) -> None:
    shown, wrong = authority.server("gateway"), tmp_path / "wrong.pem"
    files = {"ca_file": authority.ca_file, "client_certificate": shown, "client_key_file": shown, name: wrong}
    if content is not None:
        wrong.write_text(content)
    with pytest.raises(ConfigError, match=r"wrong\.pem") as refused:
        served.server(settings("https://vllm.test", **{key: str(path) for key, path in files.items()}))
    assert "planted" not in str(refused.value)


def test_servers_are_called_without_a_key_if_they_have_one_or_are_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    release = {
        "tuned": {"url": "https://10.0.0.1", "model": "tuned"},
        "base": {"url": "http://127.0.0.1:1", "model": "base"},
        "tokenizer": "t",
        "unreleased": True,
    }
    third = {"url": "http://127.0.0.1:2", "model": "third", "api_key_file": str(tmp_path / "key")}
    fallback = {"by": "model", "model": third, "tokenizer": "t"}
    releases = [ReleaseSettings.model_validate(release | {"fallback": fallback}), ReleaseSettings(**release)]
    assert [server.url for server in served.with_keys(releases)] == ["https://10.0.0.1", "http://127.0.0.1:2"]
