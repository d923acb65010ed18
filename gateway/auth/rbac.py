"""What a principal may do. Pure; deny by default."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from pydantic import IPvAnyNetwork

from gateway.auth import binding
from gateway.auth.binding import CallerCertificate
from gateway.errors import EncryptionNotAccepted, EncryptionRequired, ModelNotFound, NotAllowed, NotFound
from gateway.policy.load import Rules
from gateway.policy.schema import Role
from gateway.types import Endpoint, Grant, Principal


def authorize(principal: Principal, rules: Rules, endpoint: Endpoint, model: str, now: float) -> Grant:
    """`now` is seconds since the epoch. Raises NotAllowed for the endpoint; ModelNotFound alike for a model that is not
    there or not his."""
    role = _role(principal, rules, endpoint)
    if model not in role.models:
        raise ModelNotFound(param="model")
    return Grant(
        principal=principal,
        endpoint=endpoint,
        model=model,
        profile=rules.profile(role.profile, now),
        policy_version=rules.version,
        max_output_tokens=role.max_output_tokens,
        max_choices=role.max_choices,
        fields=role.fields,
        request=role.request,
        content_parts=role.content_parts,
        priority=role.priority,
        max_streams=role.max_streams,
        clearance=rules.policy.classification.clearance(role.clearance),
        limits=role.limits,
        total_limits=role.total_limits,
        end_user_limits=role.end_user_limits,
        strict=rules.tightened(role.profile, now),
        encryption=role.encryption,
    )


def check_certificate(principal: Principal, rules: Rules, certificate: CallerCertificate | None, now: float) -> None:
    """Raises NotAuthenticated: the token is bound to another certificate, or to none where the role wants one."""
    role = rules.roles.get(principal.role)
    binding.check(principal.bound_to, certificate, now, required=role is not None and role.certificate_bound)


def check_address(principal: Principal, rules: Rules, address: str | None) -> None:
    """Raises NotAllowed: the role is for callers in certain networks, and this one is in none of them."""
    role = rules.roles.get(principal.role)
    if role is not None:
        check_network(address, role.networks)


def check_network(address: str | None, networks: Collection[IPvAnyNetwork]) -> None:
    """None at all are every network. Raises NotAllowed."""
    if not networks:
        return
    if address is None or not any(ipaddress.ip_address(address) in network for network in networks):
        raise NotAllowed


def check_encryption(principal: Principal, rules: Rules, *, encrypted: bool) -> None:
    """Before anything of the request is used. Raises EncryptionRequired, EncryptionNotAccepted."""
    role = rules.roles.get(principal.role)
    said = role.encryption if role is not None else "none"
    if said == "required" and not encrypted:
        raise EncryptionRequired
    if said == "none" and encrypted:
        raise EncryptionNotAccepted


def check_keys_wanted(principal: Principal, rules: Rules) -> None:
    """Raises NotFound: nobody with this role encrypts, so that there are no keys for him."""
    role = rules.roles.get(principal.role)
    if role is None or role.encryption == "none":
        raise NotFound


def visible_models(principal: Principal, rules: Rules) -> list[str]:
    """The models that this role may use, by name. Raises NotAllowed."""
    return sorted(_role(principal, rules, Endpoint.MODELS).models)


def _role(principal: Principal, rules: Rules, endpoint: Endpoint) -> Role:
    role = rules.roles.get(principal.role)
    if role is None or not role.may_call(endpoint):
        raise NotAllowed
    return role
