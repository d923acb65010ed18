"""What a policy may say of end users, and what of it contradicts itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from filters.specificity.described import Describing
from gateway.auth import issuers
from gateway.auth.end_users import EndUsers, asserting_of
from gateway.auth.issuers import Verifier
from gateway.auth.jwks import Page
from gateway.auth.tokens import verify
from gateway.config_file import ConfigError
from gateway.errors import NotAuthenticated, Reason
from gateway.in_force import InForce
from gateway.policy.diff import compare
from gateway.policy.load import check_sources, load
from gateway.policy.schema import EndUserPolicy
from gateway.relay import Relay
from gateway.revoke import NotAimed, Wish, aim
from tests.gateway.support import CLAIMS, ISSUER, NOW, POLICY, make_issuer, make_token, write_policy

USERS = """\
end_user_issuers:
  - issuer: https://users.test
    audience: [end-users]
    algorithms: [ES256]
    keys: [{file: key.pem}]
    tenant: {fixed: acme}
"""


def policy(end_user: str, more: str = "") -> str:
    return POLICY.replace("tenant: {fixed: acme}", f"tenant: {{fixed: acme}}\n    end_user: {end_user}", 1) + more


def test_an_issuer_says_where_its_end_users_are_named(tmp_path: Path) -> None:
    rules = load(write_policy(tmp_path, policy("{act: true, claim: end, assertion: https://users.test}", USERS)))
    assert rules.issuers[0].end_user == EndUserPolicy(act=True, claim="end", assertion="https://users.test")
    assert [each.issuer for each in rules.signers] == ["https://issuer.test", "https://users.test"]
    own, asserting = issuers.load(rules), issuers.load_asserting(rules)
    assert (own.keys(), asserting.keys()) == ({"https://issuer.test"}, {"https://users.test"})
    assert own["https://issuer.test"].takes_actors
    assert own["https://issuer.test"].end_user_claim == "end"
    assert (asserting["https://users.test"].max_life, asserting["https://users.test"].roles) == (300.0, frozenset())
    assert load(write_policy(tmp_path)).issuers[0].end_user is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (policy("{}"), "issuers[0].end_user"),
        (policy("{act: false}"), "issuers[0].end_user"),
        (policy("{claim: ''}"), "issuers[0].end_user.claim"),
        (policy("{subject: sub}"), "issuers[0].end_user.subject"),
        (policy("{assertion: https://nobody.test}", USERS), "issuers[0].end_user.assertion"),
        (policy("{act: true}", USERS), "end_user_issuers[0].issuer"),
        (policy("{act: true}\n    role_of_group: {staff: customer}"), "issuers[0].role_of_group"),
        (policy("{assertion: https://users.test}", USERS + USERS.partition("\n")[2]), "end_user_issuers[1].issuer"),
        (
            policy(
                "{assertion: https://issuer.test}", USERS.replace("users", "issuer").replace("end-issuer", "tightlip")
            ),
            "end_user_issuers[0].audience",
        ),
        (
            policy(
                "{assertion: https://users.test}", USERS.replace("audience", "max_life_seconds: 7200\n    audience")
            ),
            "end_user_issuers[0].max_life_seconds",
        ),
        (
            policy("{assertion: https://users.test}", USERS.replace("audience", "roles: [customer]\n    audience")),
            "end_user_issuers[0].roles",
        ),
        (POLICY.replace("  idle: {}", "  idle: {end_user_limits: {streams: 0}}"), "roles.idle.end_user_limits.streams"),
        (
            POLICY.replace("  idle: {}", "  idle: {end_user_limits: {tokens_per_minute: 5}}"),
            "roles.idle.end_user_limits.tokens_per_minute",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_line(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(write_policy(tmp_path, text.replace("end-issuer", "end-users")))
    assert key in {problem.key for problem in refused.value.problems}
    assert all(problem.line for problem in refused.value.problems)


def test_one_issuer_may_sign_both_for_two_audiences(tmp_path: Path) -> None:
    text = policy("{assertion: https://issuer.test}", USERS.replace("https://users.test", "https://issuer.test"))
    assert load(write_policy(tmp_path, text)).policy.end_user_issuers[0].issuer == "https://issuer.test"


def test_no_token_is_good_for_both(tmp_path: Path) -> None:
    """Neither lets an assertion in that names both audiences, nor takes such an access token for one."""
    text = policy("{assertion: https://issuer.test}", USERS.replace("https://users.test", "https://issuer.test"))
    rules = load(write_policy(tmp_path, text))
    for known in (issuers.load(rules), issuers.load_asserting(rules)):
        issuer = {ISSUER: replace(known[ISSUER], keys=make_issuer().keys, algorithms=make_issuer().algorithms)}
        own = sorted(issuer[ISSUER].audiences)
        assert verify(make_token(claims=CLAIMS | {"aud": own, "exp": CLAIMS["iat"] + 200}), issuer, NOW)
        both = {"aud": ["tightlip", "end-users"], "exp": CLAIMS["iat"] + 200}
        with pytest.raises(NotAuthenticated) as refused:
            verify(make_token(claims=CLAIMS | both), issuer, NOW)
        assert refused.value.reason == Reason.AUDIENCE


def test_an_end_user_of_a_tenant_that_only_assertions_name_can_be_revoked(tmp_path: Path) -> None:
    users = USERS.replace("https://users.test", "https://issuer.test").replace(
        "{fixed: acme}", "{claim: org, allowed: [acme, branch]}\n    token_id_claim: jti"
    )
    rules = load(write_policy(tmp_path, policy("{assertion: https://issuer.test}", users)))
    meant = aim(Wish(subject="bob", tenant="branch"), rules)
    assert (meant.issuer, meant.tenant) == ("https://issuer.test", "branch")
    with pytest.raises(NotAimed, match="several tenants"):
        aim(Wish(subject="bob"), rules)
    assert aim(Wish(token_id="a-1"), rules).value == "a-1"


async def _no_page(_page: object) -> bytes:
    return b'{"keys": []}'


def test_keys_of_assertions_are_fetched_like_those_of_tokens(tmp_path: Path) -> None:
    page = "{url: https://users.test/jwks}"
    rules = load(
        write_policy(tmp_path, policy("{assertion: https://users.test}", USERS.replace("{file: key.pem}", page)))
    )
    assert [each.url for each in issuers.pages(rules) if isinstance(each, Page)] == ["https://users.test/jwks"]
    tokens, assertions = (
        Verifier(load_issuers(rules, _no_page), now=lambda: 0.0)
        for load_issuers in (issuers.load, issuers.load_asserting)
    )
    users = EndUsers(assertions, asserting_of(rules))
    in_force = InForce(rules, tokens, users, cast("Relay", None), {}, cast("Describing", None), frozenset())
    assert [len(keys) for keys in (tokens.remote, assertions.remote, in_force.remote)] == [0, 1, 1]


def test_keys_of_assertions_that_are_in_vault_need_one(tmp_path: Path) -> None:
    place = '{vault: "secret/data/users#key"}'
    rules = load(
        write_policy(tmp_path, policy("{assertion: https://users.test}", USERS.replace("{file: key.pem}", place)))
    )
    check_sources(rules, addresses=False, certificates=False, vault=True, encryption=False)
    with pytest.raises(ConfigError, match=r"end_user_issuers\[0\]\.keys\[0\]\.vault: needs the setting 'vault'"):
        check_sources(rules, addresses=False, certificates=False, vault=False, encryption=False)


def test_who_is_counted_as_whom_weakens_whichever_way_it_changes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("old", "new")]
    for folder in folders:
        folder.mkdir()
    old, new = (
        load(write_policy(folder, text))
        for folder, text in zip(folders, [POLICY, policy("{assertion: https://users.test}", USERS)], strict=True)
    )
    assert {change.key for change in compare(old, new) if change.weakens} == {
        "issuers.https://issuer.test.end_user",
        "end_user_issuers.https://users.test",
    }
    assert [change.key for change in compare(new, old) if change.weakens] == ["issuers.https://issuer.test.end_user"]


def test_an_end_user_is_revoked_as_a_subject_of_whoever_signs_for_him(tmp_path: Path) -> None:
    rules = load(write_policy(tmp_path, policy("{assertion: https://users.test}", USERS)))
    meant = aim(Wish(subject="bob", issuer="https://users.test"), rules)
    assert (meant.value, meant.issuer, meant.tenant) == ("bob", "https://users.test", "acme")
    with pytest.raises(NotAimed, match="several issuers"):
        aim(Wish(subject="bob"), rules)
    with pytest.raises(NotAimed, match="have no id"):
        aim(Wish(token_id="a-1", issuer="https://users.test"), rules)
