"""Whatever a policy file says, it becomes rules or is refused with a place: a reload knows no third outcome."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config_file import ConfigError
from gateway.policy.load import Rules, load
from tests.gateway.support import POLICY, write_policy

WHOLE = f"""{POLICY}\
  ward: {{allowed_types: [AGE], verdicts: [{{types: [CODE], then: stop}}], reason: nurses ask, expires: 2027-01-31}}
classification: {{levels: [public, core], types: {{AGE: public}}, audiences: {{staff: core}}}}
duties: [security, privacy]
forbidden_pairs: [[security, privacy]]
persons: {{k: 5, countries: [GB]}}
internal_hosts: [plimsol.example]
urgent: true
"""
LINES = WHOLE.splitlines(keepends=True)
SCRAPS = [
    "null",
    "[]",
    "{}",
    "-1",
    "1e400",
    "'",
    "&a",
    "*a",
    "2027-13-01",
    "core",
    "[core, core]",
    "\u0000",
    "!!x",
    "<<",
]


def outcome(folder: Path, raw: bytes) -> Rules | ConfigError:
    path = write_policy(folder)
    path.write_bytes(raw)
    try:
        return load(path)
    except ConfigError as refused:
        error = refused
    assert error.problems
    assert all(problem.file for problem in error.problems)
    return error


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("policies")


def test_the_whole_one_is_good(folder: Path) -> None:
    assert isinstance(outcome(folder, WHOLE.encode()), Rules)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200))
def test_bytes(folder: Path, raw: bytes) -> None:
    assert isinstance(outcome(folder, raw), ConfigError)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_policy_with_lines_gone_doubled_or_changed(folder: Path, data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[at].partition(":")
        changed = f"{key}{colon} {data.draw(st.sampled_from(SCRAPS))}\n"
        lines[at] = data.draw(st.sampled_from(["", lines[at] * 2, changed, lines[at][:-9] + "\n"]))
    outcome(folder, "".join(lines).encode())
