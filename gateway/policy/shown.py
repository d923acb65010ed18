"""What a policy grants, as a table for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from filters.profile import Profile
from gateway.policy.load import Rules
from gateway.policy.schema import Role


def grants(rules: Rules, roles: Iterable[str]) -> Table:
    """A row a role."""
    table = Table(title=f"policy {rules.version}", show_lines=True)
    for column in ("role", "models", "endpoints", "fields", "at most", "issuers", "answers"):
        table.add_column(column, overflow="fold")
    for name in roles:
        role = rules.roles[name]
        table.add_row(
            name,
            _list(role.models),
            _list(role.endpoints),
            _list([*(f"{path}: {action}" for path, action in role.fields.items()), *role.content_parts]),
            _most(role),
            _list(issuer.issuer for issuer in rules.issuers if name in issuer.roles),
            _filtered(role, rules.profiles[role.profile]),
        )
    return table


def _most(role: Role) -> str:
    told = [f"{role.max_output_tokens} tokens, {role.max_choices} choices"]
    if role.max_streams is not None:
        told.append(f"{role.max_streams} answers at once")
    if role.priority:
        told.append(f"priority {role.priority}")
    limits = role.request.model_dump(exclude_defaults=True)
    return ", ".join([*told, *(f"{name} {value}" for name, value in limits.items())])


def _filtered(role: Role, profile: Profile) -> str:
    if not profile.detect:
        return f"{profile.name}: NOT FILTERED"
    told = [f"{profile.name}: {profile.release}s"]
    told.append(f"compared, {profile.memorised_bits:g} bits" if profile.compare else "NOT COMPARED")
    if profile.allowed_types:
        told.append(f"lets pass {_list(profile.allowed_types)}")
    if role.networks:
        told.append(f"only from {_list(map(str, role.networks))}")
    if role.certificate_bound:
        told.append("only with the certificate of the token")
    if role.clearance is not None:
        told.append(f"cleared for {role.clearance}")
    return ", ".join(told)


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "–"
