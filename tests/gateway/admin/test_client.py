"""How commands reach a gateway, and what they say where they don't."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.config_file import ConfigError
from tests.gateway.admin.support import ADMIN_POLICY, Served, bearer, served
from tests.gateway.support import CANARY, POLICY


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as made:
        yield made


def tightlip(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), env=env or {})


def test_a_gateways_state_is_shown(gateway: Served) -> None:
    shown = tightlip("status", *gateway.options("operations"))
    assert shown.exit_code == 0, shown.output
    assert f"{gateway.url}: ready\n" in shown.stdout
    assert "policy v, 0 revocations (0.0 s old, of this process alone)" in shown.stdout


def test_each_gateway_that_is_named_is_told_to_reload(gateway: Served, tmp_path: Path) -> None:
    with served(tmp_path) as other:
        options = [*gateway.options("operations"), "--gateway", other.url]
        done = tightlip("reload", *options)
        assert done.exit_code == 0, done.output
        assert done.stdout.count("as before") == 2
        (tmp_path / "policy.yaml").write_text(ADMIN_POLICY + "# more\n")
        assert " → " in tightlip("reload", *options).stdout
        (tmp_path / "policy.yaml").write_text(ADMIN_POLICY + f"persons: {{k: {CANARY}}}\n")
        refused = tightlip("reload", *options)
        assert refused.exit_code == 1
        assert refused.stdout.count("as before") == 1, "the other one was told all the same"
        assert "the one before stays in force" in refused.stderr
        assert "policy.yaml:" in refused.stderr
        assert CANARY not in refused.output


def test_the_token_may_come_from_the_environment(gateway: Served) -> None:
    token = bearer("operations").removeprefix("Bearer ")
    good = tightlip("status", "--gateway", gateway.url, env={"TIGHTLIP_ADMIN_TOKEN": token})
    assert good.exit_code == 0, good.output


@pytest.mark.parametrize(
    ("content", "why"), [("", "holds no token"), ("a b", "holds no token"), ("\u738b", "holds no token")]
)
def test_a_file_without_a_token_is_told_of(gateway: Served, tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "token").write_text(content)
    refused = tightlip("status", "--gateway", gateway.url, "--token-file", str(tmp_path / "token"))
    assert isinstance(refused.exception, ConfigError)
    assert why in str(refused.exception)


def test_without_a_token_nobody_is_asked(gateway: Served) -> None:
    refused = tightlip("status", "--gateway", gateway.url)
    assert isinstance(refused.exception, ConfigError)
    assert "TIGHTLIP_ADMIN_TOKEN: is not set" in str(refused.exception)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://gateway", "must be https://"),
        ("gateway:9090", "must be https://"),
        (f"https://{CANARY}@gateway", "must be https://"),
        ("https://gateway/admin", "must be https://"),
        ("https://gateway:99999", "must be https://"),
        ("http://gateway.test:9090", "--allow-plaintext"),
    ],
)
def test_an_address_that_cant_be_one_is_refused(tmp_path: Path, url: str, why: str) -> None:
    (tmp_path / "token").write_text(CANARY)
    refused = tightlip("status", "--gateway", url, "--token-file", str(tmp_path / "token"))
    assert isinstance(refused.exception, ConfigError)
    assert why in str(refused.exception)
    assert CANARY not in str(refused.exception)


@pytest.mark.parametrize(
    ("command", "role", "why"),
    [
        (["status"], "security", "the token's role may not do this"),
        (["review"], "operations", "the token's role may not do this"),
        (["revoke", "list"], "privacy", "the token's role may not do this"),
        (["reload"], "customer", "the token is not an administrator's"),
    ],
)
def test_who_may_not_is_told_so(gateway: Served, command: list[str], role: str, why: str) -> None:
    refused = tightlip(*command, *gateway.options(role))
    assert refused.exit_code == 1
    assert why in refused.stderr


def test_a_gateway_that_cant_be_reached_is_named_and_the_next_is_asked(gateway: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
    options = ["--gateway", dead, *gateway.options("security")]
    listed = tightlip("revoke", "list", *options)
    assert listed.exit_code == 0
    assert f"{dead}: can't be reached (Connection refused)" in listed.stderr
    alone = tightlip("revoke", "list", "--gateway", dead, *gateway.options("security")[2:])
    assert (alone.exit_code, alone.stdout) == (1, "")


def test_what_is_no_administration_is_told_of(tmp_path: Path) -> None:
    with served(tmp_path, POLICY) as plain:
        refused = tightlip("status", *plain.options("operations"))
        assert refused.exit_code == 1
        assert "there is no administration" in refused.stderr
