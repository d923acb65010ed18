"""What a policy may say of administration, and what the configuration has to have for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config_file import ConfigError
from gateway.policy.diff import compare
from gateway.policy.load import Rules, check_administration, load
from gateway.settings import load as load_settings
from gateway.types import AdminRole
from tests.gateway.admin.support import ADMIN_POLICY, ADMINISTRATION
from tests.gateway.support import POLICY, write_policy
from tests.gateway.test_settings import GOOD

SECOND = """\
    - issuer: https://second.test
      audience: [tightlip-admin]
      algorithms: [ES256]
      keys: [{file: key.pem}]
      role_of_subject: {root-1: privacy}
"""
AUDIT = "audit: {directory: audit, key_file: key}\n"


def rules(folder: Path, text: str = ADMIN_POLICY) -> Rules:
    return load(write_policy(folder, text))


def test_an_administrators_issuer_has_defaults_of_its_own(tmp_path: Path) -> None:
    [issuer] = rules(tmp_path).administrators
    assert issuer.roles == set(AdminRole)
    assert issuer.max_life_seconds == 900
    assert issuer.tenant.fixed == "administration"
    assert load(write_policy(tmp_path)).administrators == ()


@pytest.mark.parametrize(
    ("old", "new", "key", "told"),
    [
        ("[tightlip-admin]", "[tightlip]", "administration.issuers[0].audience", "is an audience of callers"),
        ("[tightlip-admin]", "[]", "administration.issuers[0].audience", "at least 1"),
        ("[ES256]\n      keys", "[HS256]\n      keys", "administration.issuers[0].algorithms[0]", "Input should be"),
        (
            "]\n      keys",
            "]\n      roles: [root]\n      keys",
            "administration.issuers[0].roles[0]",
            "Input should be",
        ),
        (
            "]\n      keys",
            "]\n      tenant: {fixed: acme}\n      keys",
            "administration.issuers[0]",
            "not for administrators",
        ),
        (
            "]\n      keys",
            "]\n      end_user: {act: true}\n      keys",
            "administration.issuers[0]",
            "acts for himself",
        ),
        (
            "]\n      keys",
            "]\n      client_keys: clients.yaml\n      keys",
            "administration.issuers[0]",
            "is not encrypted",
        ),
        (
            "]\n      keys",
            "]\n      roles: [privacy]\n      role_of_group: {a: security}\n      keys",
            "administration.issuers[0].role_of_group.a",
            "not one of the issuer's roles",
        ),
        ("issuers:\n    -", "everybody: true\n  issuers:\n    -", "administration.everybody", "not a known key"),
        (
            "tenant: {fixed: acme}",
            "tenant: {fixed: administration}",
            "issuers[0].tenant",
            "the tenant of administrators",
        ),
        ("  idle: {}", "  idle: {}\n  administration:security: {}", "roles.administration:security", "administrators'"),
    ],
)
def test_what_would_mix_administrators_and_callers_is_refused(
    tmp_path: Path, old: str, new: str, key: str, told: str
) -> None:
    at = ADMIN_POLICY.index(old, ADMIN_POLICY.index("administration:") if old in ADMINISTRATION else 0)
    with pytest.raises(ConfigError) as refused:
        rules(tmp_path, ADMIN_POLICY[:at] + new + ADMIN_POLICY[at + len(old) :])
    found = [problem for problem in refused.value.problems if problem.key == key and told in problem.text]
    assert [problem.line is not None for problem in found] == [True]


def test_nobody_has_two_of_the_roles(tmp_path: Path) -> None:
    one = ADMIN_POLICY + "      role_of_subject: {root-1: privacy}\n"
    assert len(rules(tmp_path, one + SECOND).administrators) == 2
    with pytest.raises(ConfigError, match="nobody has two of the roles"):
        rules(tmp_path, one.replace("privacy}", "security}") + SECOND)
    with pytest.raises(ConfigError, match="stands here twice"):
        rules(tmp_path, ADMIN_POLICY + ADMINISTRATION.partition("issuers:\n")[2])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", "needs the setting 'audit'"),
        (AUDIT.replace("audit:", "management: {host: 192.0.2.1, port: 9090}\naudit:"), "management.tls"),
        (AUDIT.replace("audit:", "management: {host: 0.0.0.0, port: 9090}\naudit:"), "management.tls"),
        (AUDIT, None),
        (AUDIT.replace("audit:", "management: {host: '::1', port: 9090}\naudit:"), None),
        (
            AUDIT.replace(
                "audit:", "management: {host: 0.0.0.0, port: 9090}\nallow_plaintext_administration: true\naudit:"
            ),
            None,
        ),
        (
            AUDIT.replace("audit:", "management: {host: 0.0.0.0, port: 9090, tls: {certificate: c, key: k}}\naudit:"),
            None,
        ),
    ],
)
def test_it_needs_a_log_and_a_way_on_which_nobody_listens(tmp_path: Path, more: str, told: str | None) -> None:
    plain = GOOD.replace("management: {port: 9090}\n", "") if "management" in more else GOOD
    (tmp_path / "tightlip.yaml").write_text(plain + more)
    settings = load_settings(tmp_path / "tightlip.yaml")
    if told is None:
        check_administration(rules(tmp_path), settings)
    else:
        with pytest.raises(ConfigError, match=rf"policy.yaml:\d+: administration: .*{told}"):
            check_administration(rules(tmp_path), settings)
    check_administration(rules(tmp_path, POLICY), settings)


def test_bound_tokens_need_a_listener_that_asks_for_certificates(tmp_path: Path) -> None:
    bound = rules(tmp_path, ADMIN_POLICY + "      certificate_binding: required\n  certificate_bound: true\n")
    (tmp_path / "tightlip.yaml").write_text(GOOD + AUDIT)
    with pytest.raises(ConfigError) as refused:
        check_administration(bound, load_settings(tmp_path / "tightlip.yaml"))
    keys = [problem.key for problem in refused.value.problems]
    assert keys == ["administration.certificate_bound", "administration.issuers[0].certificate_binding"]
    tls = "{certificate: c, key: k, client_ca: a, client_certificates: required}"
    (tmp_path / "tightlip.yaml").write_text(GOOD.replace("port: 9090", f"port: 9090, tls: {tls}") + AUDIT)
    check_administration(bound, load_settings(tmp_path / "tightlip.yaml"))


@pytest.mark.parametrize(
    ("old", "new", "key", "weakens"),
    [
        (POLICY, ADMIN_POLICY, "administration", True),
        (ADMIN_POLICY, POLICY, "administration", False),
        (ADMIN_POLICY + "  networks: [192.0.2.0/24]\n", ADMIN_POLICY, "administration.networks", True),
        (ADMIN_POLICY, ADMIN_POLICY + "  networks: [192.0.2.0/24]\n", "administration.networks", False),
        (ADMIN_POLICY + "  certificate_bound: true\n", ADMIN_POLICY, "administration.certificate_bound", True),
        (ADMIN_POLICY, ADMIN_POLICY + SECOND, "administration.issuers.https://second.test", True),
        (
            ADMIN_POLICY,
            ADMIN_POLICY + "      max_life_seconds: 1800\n",
            "administration.issuers.https://admin.test.max_life_seconds",
            True,
        ),
    ],
)
def test_whether_a_change_lets_more_people_administrate_is_told(
    tmp_path: Path, old: str, new: str, key: str, weakens: bool
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    [change] = compare(rules(tmp_path / "old", old), rules(tmp_path / "new", new))
    assert (change.key, change.weakens) == (key, weakens)
