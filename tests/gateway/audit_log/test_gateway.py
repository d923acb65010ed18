"""A gateway with an audit log, from its start to its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from gateway import settings
from gateway.app import assemble
from gateway.audit_log import AuditUnavailable
from gateway.audit_log.lines import parse_head
from gateway.audit_log.verify import verify
from gateway.config_file import ConfigError
from gateway.process import watching
from gateway.refusals import MOST_OF_ONE
from gateway.state.opening import open_store
from tests.embedded.tiny import write_model
from tests.gateway.admin.support import ADMIN_POLICY
from tests.gateway.audit_log.support import files, record
from tests.gateway.support import write_policy
from tests.gateway.test_app import CONFIG
from tests.support.records import events


@pytest.fixture
def gateway_folder(tmp_path: Path) -> Path:
    write_policy(tmp_path)
    write_model(tmp_path / "model")
    (tmp_path / "tuned.key").write_text("secret-of-the-tuned-server\n")
    (tmp_path / "audit.key").write_text("a" * 32)
    more = "state: {file: state.db}\nlog: {directory: log}\naudit: {directory: audit, key_file: audit.key}\n"
    (tmp_path / "tightlip.yaml").write_text(CONFIG + more)
    return tmp_path


async def run(folder: Path, warned: list[str], *, administrate: bool = True) -> None:
    loaded = settings.load(folder / "tightlip.yaml")
    async with assemble(loaded, CollectorRegistry(), warned.append) as gateway, watching(gateway):
        assert gateway.audit is not None
        if administrate:
            await gateway.audit.write(record())


def told(folder: Path, code: str) -> list[dict[str, Any]]:
    return [event for event in events(folder / "log") if event.get("code") == code]


async def test_the_head_is_told_and_remembered(gateway_folder: Path) -> None:
    warned: list[str] = []
    await run(gateway_folder, warned)
    report = verify([gateway_folder / "audit"])
    last = parse_head(told(gateway_folder, "audit_head")[-1]["detail"])
    assert (last.n, report.heads[0].hash[:32]) == (1, last.hash)
    store = open_store(settings.load(gateway_folder / "tightlip.yaml").state)
    assert {chain: anchor.number for chain, anchor in (await store.anchors()).items()} == {last.chain: 1}
    await store.aclose()
    assert not [text for text in warned if "audit" in text]


async def test_what_the_store_remembers_and_is_not_there_is_told(gateway_folder: Path) -> None:
    warned: list[str] = []
    await run(gateway_folder, warned)
    path = files(gateway_folder)[0]
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    await run(gateway_folder, warned, administrate=False)
    assert told(gateway_folder, "audit_lost")
    assert "audit log: the store remembers line 1 of it, which is not there: verify it" in warned


async def test_a_folder_that_others_can_write_stops_the_start(gateway_folder: Path) -> None:
    (gateway_folder / "audit").mkdir()
    (gateway_folder / "audit").chmod(0o777)
    with pytest.raises(ConfigError, match=r"audit: .*chmod 700"):
        await run(gateway_folder, [])


async def test_a_damaged_log_stops_administration_and_nothing_else(gateway_folder: Path) -> None:
    warned: list[str] = []
    await run(gateway_folder, warned)
    files(gateway_folder)[0].write_bytes(b"{}\n")
    with pytest.raises(AuditUnavailable, match="damaged"):
        await run(gateway_folder, warned)
    assert len([text for text in warned if "nothing can be administrated" in text]) == 1
    assert len(told(gateway_folder, "audit_unavailable")) == 1


async def test_refused_calls_that_were_only_counted_are_on_record_in_the_end(gateway_folder: Path) -> None:
    write_policy(gateway_folder, ADMIN_POLICY)
    loaded = settings.load(gateway_folder / "tightlip.yaml")
    async with (
        assemble(loaded, CollectorRegistry(), [].append) as gateway,
        watching(gateway),
        httpx.AsyncClient(transport=httpx.ASGITransport(gateway.management), base_url="http://gateway") as client,
    ):
        codes = [(await client.get("/admin/v1/status")).status_code for _ in range(MOST_OF_ONE + 3)]
    assert codes == [401] * MOST_OF_ONE + [429] * 3
    last = json.loads(files(gateway_folder)[0].read_text().splitlines()[-1])
    assert (last["outcome"], last["code"], last["count"]) == ("refused", "too_many_refused", 3)
