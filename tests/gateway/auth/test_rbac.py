"""What a policy's roles may do: the whole table of role, endpoint and model."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from gateway.auth import rbac
from gateway.errors import GatewayError, ModelNotFound, NotAllowed
from gateway.policy.load import Rules, load
from gateway.types import Endpoint, Principal
from tests.gateway.support import ISSUER, NOW, POLICY, write_policy

ALLOWED = {
    ("customer", Endpoint.CHAT, "assistant"),
    ("customer", Endpoint.MODELS, "assistant"),
    ("support", Endpoint.CHAT, "assistant"),
    ("support", Endpoint.CHAT, "second"),
    ("support", Endpoint.COMPLETIONS, "assistant"),
    ("support", Endpoint.COMPLETIONS, "second"),
    ("support", Endpoint.MODELS, "assistant"),
    ("support", Endpoint.MODELS, "second"),
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Rules:
    folder: Path = tmp_path_factory.mktemp("policy")
    return load(write_policy(folder))


def principal(role: str) -> Principal:
    return Principal(ISSUER, "acme", "alice", None, role, NOW)


@pytest.mark.parametrize(
    ("role", "endpoint", "model"),
    list(product(["customer", "support", "idle", "nobody"], Endpoint, ["assistant", "second", "third", ""])),
)
def test_only_what_is_listed_is_allowed(rules: Rules, role: str, endpoint: Endpoint, model: str) -> None:
    if (role, endpoint, model) in ALLOWED:
        grant = rbac.authorize(principal(role), rules, endpoint, model, NOW)
        assert (grant.endpoint, grant.model, grant.policy_version) == (endpoint, model, rules.version)
        return
    with pytest.raises(GatewayError) as refused:
        rbac.authorize(principal(role), rules, endpoint, model, NOW)
    assert isinstance(refused.value, NotAllowed | ModelNotFound)


def test_a_model_of_others_and_one_that_is_not_there_look_alike(rules: Rules) -> None:
    bodies = []
    for model in ("second", "third"):
        with pytest.raises(ModelNotFound) as refused:
            rbac.authorize(principal("customer"), rules, Endpoint.CHAT, model, NOW)
        bodies.append(refused.value.body())
    assert bodies[0] == bodies[1]


def test_a_grant_carries_the_roles_limits_and_filters(rules: Rules) -> None:
    customer = rbac.authorize(principal("customer"), rules, Endpoint.CHAT, "assistant", NOW)
    support = rbac.authorize(principal("support"), rules, Endpoint.CHAT, "assistant", NOW)
    assert (customer.max_output_tokens, customer.max_choices, dict(customer.fields)) == (100, 1, {})
    assert (customer.profile.name, customer.profile.detect, customer.profile.compare) == ("strict", True, True)
    assert (support.profile.detect, dict(support.fields)) == (False, {"logit_bias": "forward"})


def test_a_grant_carries_the_roles_clearance(tmp_path: Path) -> None:
    cleared = POLICY.replace("endpoints: [chat, models]", "endpoints: [chat, models]\n    clearance: internal")
    rules = load(write_policy(tmp_path, cleared))
    grants = [
        rbac.authorize(principal(role), rules, Endpoint.CHAT, "assistant", NOW) for role in ("customer", "support")
    ]
    assert [grant.clearance.highest(("public", "internal", "core")) for grant in grants] == ["internal", "public"]


def test_what_has_expired_is_filtered_strictly_from_that_moment_on(tmp_path: Path) -> None:
    rules = load(write_policy(tmp_path, POLICY.replace("2099-01-01", "2027-01-31")))
    midnight = 1_801_353_600.0  # 31 January 2027, 0:00 UTC
    for now, detects in ((midnight - 0.1, False), (midnight, True)):
        profile = rbac.authorize(principal("support"), rules, Endpoint.CHAT, "assistant", now).profile
        assert (profile.detect, profile.compare, profile.evidence) == (detects, detects, True)


def test_models_are_listed_as_far_as_the_role_may_use_them(rules: Rules) -> None:
    assert rbac.visible_models(principal("customer"), rules) == ["assistant"]
    assert rbac.visible_models(principal("support"), rules) == ["assistant", "second"]
    with pytest.raises(NotAllowed):
        rbac.visible_models(principal("idle"), rules)


def test_a_role_that_left_the_policy_may_nothing(rules: Rules) -> None:
    with pytest.raises(NotAllowed):
        rbac.authorize(principal("customer"), replace(rules, roles={}), Endpoint.CHAT, "assistant", NOW)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("192.0.2.7", True), ("2001:db8::7", True), ("198.51.100.1", False), ("2001:db9::1", False), (None, False)],
)
def test_a_role_for_certain_networks_is_for_no_others(tmp_path: Path, address: str | None, allowed: bool) -> None:
    networks = "endpoints: [chat, models]\n    networks: [192.0.2.0/24, '2001:db8::/32']"
    rules = load(write_policy(tmp_path, POLICY.replace("endpoints: [chat, models]", networks)))
    rbac.check_address(principal("support"), rules, address)
    if allowed:
        rbac.check_address(principal("customer"), rules, address)
    else:
        with pytest.raises(NotAllowed):
            rbac.check_address(principal("customer"), rules, address)
