"""What a policy grants, as a table for people."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from rich.table import Table

from filters.profile import Profile
from gateway.policy.load import Rules
from gateway.policy.schema import Role

DAY_SECONDS: Final = 86_400
SOON_DAYS: Final = 14


def grants(rules: Rules, roles: Iterable[str], now: float) -> Table:
    """A row a role, as things are at `now` (seconds since the epoch)."""
    weaker = {each.profile: _until(each.until) for each in rules.exemptions()}
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
            ", ".join([_filtered(role, rules.profile(role.profile, now)), *weaker.get(role.profile, ())]),
        )
    return table


def _most(role: Role) -> str:
    told = [f"{role.max_output_tokens} tokens, {role.max_choices} choices"]
    if role.max_streams is not None:
        told.append(f"{role.max_streams} answers at once")
    if role.priority:
        told.append(f"priority {role.priority}")
    for whose, rates in (
        ("", role.limits),
        (" of all", role.total_limits),
        (" of each end user", role.end_user_limits),
    ):
        told += [f"{value} {name.replace('_', ' ')}{whose}" for name, value in rates if value is not None]
    limits = role.request.model_dump(exclude_defaults=True)
    return ", ".join([*told, *(f"{name} {value}" for name, value in limits.items())])


def expiring(rules: Rules, now: float) -> list[str]:
    """A line for each weaker profile that has expired at `now` (seconds since the epoch), or soon will."""
    return [
        f"profiles.{each.profile}: {_when(each.until - now)}; then it is as the strict one in: {', '.join(each.keys)}"
        for each in rules.exemptions()
        if each.until - now < SOON_DAYS * DAY_SECONDS
    ]


def _when(left: float) -> str:
    days = math.ceil(left / DAY_SECONDS)
    return f"expires in {days} day{'s' if days > 1 else ''}" if left > 0 else "has expired"


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
    if role.encryption != "none":
        told.append(f"encryption {role.encryption}")
    if role.clearance is not None:
        told.append(f"cleared for {role.clearance}")
    if role.duties:
        told.append(f"on duty for {_list(role.duties)}")
    return ", ".join(told)


def _until(expiry: float) -> list[str]:
    return [f"weaker than strict until {datetime.fromtimestamp(expiry, UTC).date()}"]


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "–"
