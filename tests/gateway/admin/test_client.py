"""How commands reach a gateway, and what they say where they don't."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.config_file import ConfigError
from gateway.http.entrance import Door
from gateway.http.tls import ServerTls
from gateway.settings import TlsSettings
from tests.gateway.admin.support import ADMIN_POLICY, Served, bearer, served
from tests.gateway.support import CANARY, POLICY
from tests.support.processes import free_port
from tests.support.tls import Authority, der


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


def test_how_far_the_audit_log_has_come_is_told(gateway: Served) -> None:
    told = tightlip("audit-log", "head", *gateway.options("privacy"))
    assert (told.exit_code, told.stdout) == (0, "0a:7:0b\n")


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
    ("content", "why"), [("", "must hold one word"), ("a b", "must hold one word"), ("\u738b", "is not ASCII")]
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
    dead = f"http://127.0.0.1:{free_port()}"
    options = ["--gateway", dead, *gateway.options("security")]
    listed = tightlip("revoke", "list", *options)
    assert listed.exit_code == 0
    assert f"{dead}: can't be reached (Connection refused)" in listed.stderr
    alone = tightlip("revoke", "list", "--gateway", dead, *gateway.options("security")[2:])
    assert (alone.exit_code, alone.stdout) == (1, "")


def test_another_gateway_is_asked_where_one_cant_write_its_log(gateway: Served, tmp_path: Path) -> None:
    with served(tmp_path) as full:
        full.audit.full = 0
        revoke = ["revoke", "--subject", "carol"]
        alone = tightlip(*revoke, *full.options("security"))
        assert (alone.exit_code, "nothing was done" in alone.stderr) == (1, True)
        both = tightlip(*revoke, *full.options("security"), *gateway.options("security"))
        assert both.exit_code == 0, both.output
        assert "nothing was done" in both.stderr
    assert gateway.audit.told[-2:] == [("revoke", "asked", None), ("revoke", "done", None)]


def test_what_is_no_administration_is_told_of(tmp_path: Path) -> None:
    with served(tmp_path, POLICY) as plain:
        refused = tightlip("status", *plain.options("operations"))
        assert refused.exit_code == 1
        assert "there is no administration" in refused.stderr


# ---- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def over_tls(folder: Path, authority: Authority, certificates: str, policy: str = ADMIN_POLICY) -> Iterator[Served]:
    asks = {"client_ca": authority.ca_file, "client_certificates": certificates} if certificates != "none" else {}
    own = authority.server()
    settings = TlsSettings.model_validate({"certificate": own, "key": own, **asks})
    with served(folder, policy, Door(tls=ServerTls(settings, lambda _told: None))) as made:
        yield made


def test_over_tls_the_authority_has_to_be_known(tmp_path: Path, authority: Authority) -> None:
    with over_tls(tmp_path, authority, "none") as gateway:
        strange = tightlip("status", *gateway.options("operations"))
        assert (strange.exit_code, "see --ca-file" in strange.stderr) == (1, True)
        known = tightlip("status", *gateway.options("operations"), "--ca-file", str(authority.ca_file))
        assert known.exit_code == 0, known.output
        assert gateway.audit.told == [("status", "asked", None), ("status", "done", None)]


def test_a_bound_token_is_good_with_its_certificate_alone(tmp_path: Path, authority: Authority) -> None:
    own, other = authority.server("root-1"), authority.server("root-2")
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der(own)).digest()).decode().rstrip("=")
    policy = ADMIN_POLICY + "  certificate_bound: true\n"
    with over_tls(tmp_path, authority, "optional", policy) as gateway:
        reach = [*gateway.options("operations", cnf={"x5t#S256": thumbprint}), "--ca-file", str(authority.ca_file)]
        assert tightlip("status", *reach, "--client-certificate", str(own)).exit_code == 0
        for more in ([], ["--client-certificate", str(other)]):
            refused = tightlip("status", *reach, *more)
            assert (refused.exit_code, "is not an administrator's" in refused.stderr) == (1, True)
    broken = tightlip("status", *reach, "--client-certificate", str(authority.ca_file))
    assert isinstance(broken.exception, ConfigError)
    assert "can't be used with the key" in str(broken.exception)


def test_a_listener_that_wants_a_certificate_is_told_of(tmp_path: Path, authority: Authority) -> None:
    with over_tls(tmp_path, authority, "required") as gateway:
        reach = [*gateway.options("operations"), "--ca-file", str(authority.ca_file)]
        refused = tightlip("status", *reach)
        assert refused.exit_code == 1
        assert "--client-certificate" in refused.stderr
        assert gateway.audit.records == []
        assert tightlip("status", *reach, "--client-certificate", str(authority.server("root-1"))).exit_code == 0


def test_what_speaks_no_tls_or_nothing_known_is_told_of(gateway: Served) -> None:
    options = gateway.options("operations")[2:]
    refused = tightlip("status", "--gateway", gateway.url.replace("http:", "https:"), *options)
    assert (refused.exit_code, "TLS" in refused.stderr) == (1, True)
