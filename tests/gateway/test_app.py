"""The composition root: what can't be loaded stops the start, and says which file."""

from __future__ import annotations

import json
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from prometheus_client import CollectorRegistry

from filters.knowledge import Knowledge
from gateway import settings
from gateway.app import assemble
from gateway.budgets import Budgets
from gateway.config_file import ConfigError
from gateway.key_files import write_pair
from gateway.limits import Limiter
from gateway.observe.opening import open_logs, open_metrics
from gateway.observe.sealed import Fault, opened
from gateway.revocations import RevocationFeed
from gateway.settings import LogSettings, Settings
from gateway.types import ONLY, Release
from tests.embedded.tiny import write_model
from tests.gateway.support import CANARY, POLICY, write_policy
from tests.support.knowledge import deny, write_knowledge
from tests.support.records import events, said
from tests.support.tls import Authority

CONFIG = """\
policy: policy.yaml
models:
  assistant:
    tuned: {url: "http://127.0.0.1:1", model: tuned, api_key_file: tuned.key}
    base: {url: "http://127.0.0.1:1", model: base}
    tokenizer: model
    unreleased: true
  second:
    tuned: {url: "http://127.0.0.1:1", model: tuned}
    base: {url: "http://127.0.0.1:1", model: base}
    tokenizer: model/tokenizer.json
    unreleased: true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_policy(tmp_path)
    write_model(tmp_path / "model")
    (tmp_path / "tuned.key").write_text("secret-of-the-tuned-server\n")
    (tmp_path / "tightlip.yaml").write_text(CONFIG)
    return tmp_path


def loaded(folder: Path) -> Settings:
    return settings.load(folder / "tightlip.yaml")


async def test_all_parts_come_together_without_a_listener_or_an_upstream(folder: Path) -> None:
    registry = CollectorRegistry()
    async with assemble(loaded(folder), registry, print) as gateway:
        assert not gateway.lifecycle.ready
        watched = {type(getattr(watch, "__self__", None)) for watch in gateway.watches}
        assert {RevocationFeed, Limiter, Budgets} <= watched, "what is held ends unless it is renewed"
    assert registry.get_sample_value("tightlip_plaintext_upstreams") == 0
    assert registry.get_sample_value("tightlip_plaintext_links", {"to": "state"}) is None


@pytest.mark.parametrize(("host", "plain"), [("127.0.0.1", 0), ("redis.test", 1)])
async def test_plain_links_off_loopback_show(folder: Path, host: str, plain: int) -> None:
    (folder / "tightlip.yaml").write_text(CONFIG + f"state: {{url: 'redis://{host}', allow_plaintext: true}}\n")
    registry = CollectorRegistry()
    async with assemble(loaded(folder), registry, print):
        pass
    assert registry.get_sample_value("tightlip_plaintext_links", {"to": "state"}) == plain


async def test_the_end_of_a_certificate_that_model_servers_are_shown_is_told(folder: Path) -> None:
    pair = Authority(folder).server("gateway", ends=timedelta(days=9))
    one = yaml.safe_load(CONFIG)
    model = one["models"]["assistant"]
    tuned = model["tuned"] | {"url": "https://vllm.test", "client_certificate": str(pair), "client_key_file": str(pair)}
    one["models"] = {"assistant": model | {"tuned": tuned}}
    (folder / "tightlip.yaml").write_text(yaml.safe_dump(one))
    open_metrics(loaded(folder), registry := CollectorRegistry())
    ends = registry.get_sample_value(
        "tightlip_client_certificate_expiry_timestamp_seconds", {"server": "https://vllm.test"}
    )
    assert ends is not None
    assert abs(ends - time.time() - 9 * 86_400) < 3600
    pair.write_text("no certificate")
    with pytest.raises(ConfigError, match="is not a file of certificates"):
        open_metrics(loaded(folder), CollectorRegistry())


async def test_so_is_that_of_the_store_of_vault_and_of_the_collector_of_traces(folder: Path) -> None:
    authority = Authority(folder)
    links: dict[str, dict[str, Any]] = {
        "state": {"url": "rediss://redis.test"},
        "vault": {"url": "https://vault.test", "kubernetes": {"role": "gateway"}},
        "traces": {"endpoint": "https://otlp.test/v1/traces"},
    }
    config = yaml.safe_load(CONFIG)
    for days, (name, link) in enumerate(links.items(), 7):
        pair = str(authority.server(name, ends=timedelta(days=days)))
        config[name] = link | {"client_certificate": pair, "client_key_file": pair}
    (folder / "tightlip.yaml").write_text(yaml.safe_dump(config))
    open_metrics(loaded(folder), registry := CollectorRegistry())
    for days, name in enumerate(links, 7):
        ends = registry.get_sample_value("tightlip_client_certificate_expiry_timestamp_seconds", {"server": name})
        assert ends is not None
        assert abs(ends - time.time() - days * 86_400) < 3600


async def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        async with assemble(loaded(folder), CollectorRegistry(), print):
            pass
    return str(refused.value)


@pytest.mark.parametrize("name", ["key.pem", "tuned.key", "model/tokenizer.json", "policy.yaml"])
async def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in await refusal(folder)


@pytest.mark.parametrize("name", ["key.pem", "model/tokenizer.json"])
async def test_a_file_of_another_kind_is_named_and_not_quoted(folder: Path, name: str) -> None:
    (folder / name).write_text('{"canary": 1}')
    told = await refusal(folder)
    assert name in told
    assert "canary" not in told


async def test_a_role_for_certain_networks_needs_to_know_where_callers_are(folder: Path) -> None:
    write_policy(folder, POLICY.replace("  idle: {}", "  idle: {networks: [192.0.2.0/24]}"))
    assert "trusted_proxies" in await refusal(folder)
    (folder / "tightlip.yaml").write_text(CONFIG + "trusted_proxies: {networks: []}\n")
    async with assemble(loaded(folder), CollectorRegistry(), print):
        pass


async def test_a_role_for_bound_tokens_needs_callers_certificates(folder: Path) -> None:
    write_policy(folder, POLICY.replace("  idle: {}", "  idle: {certificate_bound: true}"))
    assert "client_cert_header" in await refusal(folder)
    Authority(folder).server()
    tls = "{certificate: server.pem, key: server.pem, client_ca: ca.pem, client_certificates: optional}"
    for known in (f"public: {{tls: {tls}}}\n", "trusted_proxies: {networks: [10.0.0.0/8], client_cert_header: true}\n"):
        (folder / "tightlip.yaml").write_text(CONFIG + known)
        async with assemble(loaded(folder), CollectorRegistry(), print):
            pass


async def test_a_certificate_that_can_t_be_used_stops_the_start_and_one_that_can_has_its_end_on_show(
    folder: Path,
) -> None:
    name = "tightlip_certificate_expiry_timestamp_seconds"
    for listener in ("public", "management"):
        text = f"{CONFIG}{listener}: {{tls: {{certificate: keys/server.pem, key: keys/server.pem}}}}\n"
        (folder / "tightlip.yaml").write_text(text)
        assert str(folder / "keys/server.pem") in await refusal(folder)
        (folder / "keys").mkdir()
        Authority(folder / "keys").server()
        registry, told = CollectorRegistry(), list[str]()
        async with assemble(loaded(folder), registry, told.append) as gateway:
            [tls] = gateway.doors.with_tls
            ends = registry.get_sample_value(name, {"listener": listener}) or 0
            assert ends == pytest.approx(time.time() + 86400, abs=60)
            (folder / "keys/server.pem").write_text(CANARY)
            tls.refresh()
        labels = {"listener": listener}
        assert registry.get_sample_value("tightlip_certificate_reload_failures_total", labels) == 1
        assert registry.get_sample_value(name, labels) == ends
        assert "server.pem" in told[-1]
        assert CANARY not in told[-1]
        shutil.rmtree(folder / "keys")


async def test_a_role_with_a_model_that_is_not_served_stops_the_start(folder: Path) -> None:
    write_policy(folder, POLICY.replace("[assistant, second]", "[assistant, third]"))
    assert "'third' is not a model of the configuration" in await refusal(folder)


def test_a_short_key_for_hashes_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "log.key").write_text("short")
    with pytest.raises(ConfigError, match="32 bytes"):
        open_logs(LogSettings(key_file=tmp_path / "log.key"))


async def test_a_short_key_for_pseudonyms_stops_the_start(folder: Path) -> None:
    (folder / "tightlip.yaml").write_text(CONFIG + "pseudonym_key_file: pseudonyms.key\n")
    (folder / "pseudonyms.key").write_text("short")
    assert "pseudonyms.key: must hold 32 bytes" in await refusal(folder)
    (folder / "pseudonyms.key").write_text("k" * 32)
    async with assemble(loaded(folder), CollectorRegistry(), print):
        pass


def knows(folder: Path) -> None:
    rows = [{"text": "Only staff may reset a lamp by holding its button.", "audience": "internal"}]
    files = write_knowledge(folder, rows, {}, [CANARY])
    lines = "".join(f"    {name}: {file}\n" for name, file in files.items())
    (folder / "tightlip.yaml").write_text(CONFIG.replace("  second:\n", f"{lines}  second:\n"))


async def test_what_is_known_of_the_set_is_at_hand(folder: Path) -> None:
    knows(folder)
    registry, labels = CollectorRegistry(), {"model": "assistant", "release": ONLY}
    async with assemble(loaded(folder), registry, print) as gateway:
        knowledge = gateway.releases.pairs[Release("assistant")].knowledge
        assert None not in (knowledge.index, knowledge.public, knowledge.denied)
        assert gateway.releases.pairs[Release("second")].knowledge == Knowledge()
    assert registry.get_sample_value("tightlip_deny_list_entries", labels) == 1
    (folder / "set.tli").write_bytes(b"")
    assert "set.tli: the file is empty" in await refusal(folder)


async def test_an_audience_without_a_level_is_told_of(folder: Path) -> None:
    knows(folder)
    for more, told in (("", []), ("classification: {levels: [public, core]}\n", ["'internal'", "'sensitive'"])):
        write_policy(folder, POLICY + more)
        heard = list[str]()
        async with assemble(loaded(folder), CollectorRegistry(), heard.append):
            pass
        assert [line.rpartition(" ")[2] for line in heard] == told
        assert all(line.startswith("model assistant: ") for line in heard)


async def test_weaker_profiles_are_counted_down(folder: Path) -> None:
    registry = CollectorRegistry()
    write_policy(folder, POLICY.replace("2099-01-01", "2027-01-31"))
    name = "tightlip_weaker_profile_expiry_timestamp_seconds"
    async with assemble(loaded(folder), registry, print) as gateway:
        assert registry.get_sample_value(name, {"profile": "off"}) == 1_801_353_600
        write_policy(folder, POLICY.replace("profile: off", "profile: strict").split("profiles:")[0])
        assert (await gateway.policies.reload()).done
        assert registry.get_sample_value(name, {"profile": "off"}) is None


async def test_a_deny_list_that_breaks_is_counted_recorded_and_told_of(folder: Path) -> None:
    knows(folder)
    (folder / "tightlip.yaml").write_text((folder / "tightlip.yaml").read_text() + "log: {directory: log}\n")
    registry, told = CollectorRegistry(), list[str]()
    labels = {"model": "assistant", "release": ONLY}
    async with assemble(loaded(folder), registry, told.append) as gateway:
        (deny_list,) = gateway.deny_lists
        assert registry.get_sample_value("tightlip_deny_list_reload_failures_total", labels) == 0
        (folder / "deny.jsonl").write_bytes(CANARY.encode())
        deny_list.refresh()
        assert registry.get_sample_value("tightlip_deny_list_reload_failures_total", labels) == 1
        assert "model assistant: " in told[0]
        assert "deny.jsonl:1: is no line of such a list; the deny list before it stays in force" in told[0]
        denied = gateway.releases.pairs[Release("assistant")].knowledge.denied
        assert denied is not None
        assert denied.find(CANARY)
        deny(folder, [CANARY, "Vexlo Tamber"])
        deny_list.refresh()
        assert denied.find("Vexlo Tamber")
    assert registry.get_sample_value("tightlip_deny_list_reload_failures_total", labels) == 1
    assert registry.get_sample_value("tightlip_deny_list_entries", labels) == 2
    records = said(folder / "log")
    assert CANARY not in records + told[0]
    assert [detail in records for detail in ('"detail":"refused"', '"detail":"reloaded"')] == [True, True]


async def test_security_events_go_where_the_operator_wants_them(folder: Path) -> None:
    log = "log: {directory: requests, security: {directory: security}}\n"
    (folder / "tightlip.yaml").write_text((folder / "tightlip.yaml").read_text() + log)
    async with assemble(loaded(folder), CollectorRegistry(), lambda line: None) as gateway:
        (folder / "policy.yaml").write_text(CANARY)
        assert not (await gateway.policies.reload()).done
        gateway.logs.process("ready")
    found = events(folder / "security")
    assert [(event["code"], event["detail"]) for event in found] == [("policy", "refused")]
    assert '"security"' not in said(folder / "requests")
    assert CANARY not in said(folder / "requests") + said(folder / "security")


async def test_encrypted_records_end_with_the_process(folder: Path) -> None:
    private = X25519PrivateKey.generate()
    write_pair(folder / "records.pem", private)
    log = "log: {directory: logs, encrypt_to: records.pub.pem}\n"
    (folder / "tightlip.yaml").write_text((folder / "tightlip.yaml").read_text() + log)
    async with assemble(loaded(folder), CollectorRegistry(), lambda line: None) as gateway:
        gateway.logs.process("ready")
        gateway.logs.process("stopped")
    (file,) = (folder / "logs").iterdir()
    with file.open("rb") as lines:
        codes = [json.loads(line)["code"] for line in opened(lines, private) if isinstance(line, bytes)]
        lines.seek(0)
        assert not [each for each in opened(lines, private) if isinstance(each, Fault)]
    assert codes == ["ready", "stopped"]
