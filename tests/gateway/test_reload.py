"""Another policy takes the place of the one in force whole, or not at all."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from gateway import policy_cli, reload, settings
from gateway.app import Gateway, assemble
from gateway.auth.jwks import PageFetcher
from gateway.errors import NotAuthenticated, Reason
from gateway.in_force import InForce
from gateway.policy import load as policies
from gateway.policy.load import Rules
from gateway.types import Principal
from tests.embedded.tiny import write_model
from tests.gateway.support import CANARY, CLAIMS, POLICY, make_token, public_pem, write_policy
from tests.support.records import said

CONFIG = """\
policy: live/policy.yaml
models:
  assistant: &pair
    tuned: {url: "http://127.0.0.1:1", model: tuned}
    base: {url: "http://127.0.0.1:1", model: base}
    tokenizer: model
    unreleased: true
  second: *pair
log: {directory: log}
"""
FAILURES = "tightlip_policy_reload_failures_total"
MORE = POLICY.replace("  idle: {}", "  idle: {models: [second], endpoints: [chat]}")


class Running:
    """A gateway without listeners, its files, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.registry = folder, CollectorRegistry()
        self.told: list[str] = []
        self.gateway: Gateway

    @property
    def now(self) -> InForce:
        return self.gateway.policies.now

    @property
    def failures(self) -> float | None:
        return self.registry.get_sample_value(FAILURES)

    @property
    def log(self) -> str:
        return said(self.folder / "log")

    def write(self, text: str) -> None:
        """At once, as careful editors do."""
        made = self.folder / "live" / ".policy.yaml"
        made.write_text(text)
        made.replace(self.folder / "live" / "policy.yaml")

    def verify(self, key: str = "ES256") -> Principal:
        now = int(time.time())
        return self.now.verifier.verify(make_token(claims={**CLAIMS, "iat": now - 10, "exp": now + 600}, key=key))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder


@pytest.fixture
async def running(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(reload, "EVERY", 0.01)
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "live").mkdir()
    write_policy(tmp_path / "live")
    (tmp_path / "tightlip.yaml").write_text(CONFIG)
    made = Running(tmp_path)
    async with assemble(settings.load(tmp_path / "tightlip.yaml"), made.registry, made.told.append) as gateway:
        made.gateway = gateway
        yield made


@asynccontextmanager
async def watching(running: Running) -> AsyncIterator[None]:
    task = asyncio.create_task(running.gateway.policies.watch())
    yield
    assert not task.done()
    task.cancel()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what changes is a file's reader, which has no event
            await asyncio.sleep(0.005)


async def test_a_changed_file_takes_over_whole(running: Running) -> None:
    before = running.now
    async with watching(running):
        running.write(MORE)
        await until(lambda: running.now is not before)
    assert running.now.rules.version != before.rules.version
    assert running.now.rules.roles["idle"].models == {"second"}
    assert before.rules.roles["idle"].models == frozenset()  # who began with it goes on with it
    assert before.persons is running.now.persons
    infos = [s.labels for m in running.registry.collect() if m.name == "tightlip_info" for s in m.samples]
    assert [info["policy"] for info in infos] == [running.now.rules.version]
    assert f'"policy":"{running.now.rules.version}"' in running.log
    assert '"detail":"reloaded"' in running.log


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (POLICY + f"{CANARY}: 1\n", "policy.yaml:22"),
        (POLICY[:-40] + f"[{CANARY}", "is not valid YAML"),
        ("", "must be a mapping"),
        (POLICY.replace("[assistant, second]", "[assistant, third]"), "is not a model of the configuration"),
        (POLICY.replace("  idle: {}", "  idle: {networks: [192.0.2.0/24]}"), "trusted_proxies"),
        (POLICY.replace("key.pem", "none.pem"), "none.pem: can't be read"),
        (POLICY.replace("key.pem", "policy.yaml"), "is not a public key"),
        (POLICY + "persons: {tables: nowhere}\n", "persons.tables"),
        (POLICY + "more: " + "[" * 600, "nested too deep"),
        (POLICY.replace("key.pem", r'"a\0b"'), "is not a file's name"),
        (
            POLICY.replace("{file: key.pem}", "{url: https://127.0.0.1:1/jwks, ca_file: key.pem}"),
            "is not a file of CA certificates",
        ),
    ],
)
async def test_a_bad_file_changes_nothing_and_is_told_of_once(running: Running, text: str, place: str) -> None:
    before = running.now
    async with watching(running):
        running.write(text)
        await until(lambda: running.failures == 1)
        await asyncio.sleep(0.1)
        assert (running.now, running.failures) == (before, 1)
        assert place in running.told[0]
        assert running.told[0].endswith("the policy before it stays in force")
        assert running.log.count('"detail":"refused"') == 1
        assert CANARY not in running.log
        running.write(POLICY)
        await until(lambda: running.now is not before)
    assert running.failures == 1
    assert running.verify().subject == "alice"


async def test_a_log_that_is_full_is_not_the_last_look(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, CANARY)

    monkeypatch.setattr(running.gateway.logs._security, "_proxy_to_logger", full)
    async with watching(running):
        for text in (MORE, POLICY):
            before = running.now
            running.write(text)
            await until(lambda before=before: running.now is not before)
        # of each, that it is in force, and that somebody brought it about
        await until(lambda: running.registry.get_sample_value("tightlip_log_failures_total") == 4)


async def test_a_mistake_in_what_reads_it_is_not_the_last_look(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: Path) -> NoReturn:
        raise ZeroDivisionError(CANARY)

    before = running.now
    async with watching(running):
        with monkeypatch.context() as patched:
            patched.setattr(policies, "load", broken)
            running.write(MORE)
            await until(lambda: running.failures == 1)
        assert running.now is before
        assert "failed (ZeroDivisionError)" in running.told[0]
        assert CANARY not in running.told[0] + running.log
        running.write(MORE + "\n")
        await until(lambda: running.now is not before)


async def test_files_are_looked_at_while_an_administrator_has_them_read(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that turns out to be missing joins those that are looked at, and does not disturb who is looking."""
    looking = list[Iterator[Path]]()

    def load(path: Path) -> Rules:
        looking.append(iter(running.gateway.policies._seen))
        next(looking[-1])
        return whole(path)

    whole = policies.load
    monkeypatch.setattr(policies, "load", load)
    running.write(POLICY.replace("key.pem", "none.pem"))
    assert not (await running.gateway.policies.reload()).done
    assert [len(list(rest)) for rest in looking] == [1], "the key's file"
    assert Path(running.folder / "live" / "none.pem") in running.gateway.policies._seen


async def test_a_page_that_no_host_can_have_harms_nobody_else(running: Running) -> None:
    issuer = POLICY[POLICY.index("  - issuer") : POLICY.index("roles:\n")]
    other = issuer.replace("https://issuer.test", "https://other.test")
    other = other.replace("{file: key.pem}", "{url: https://issuer..test/keys}")
    before = running.now
    async with watching(running):
        running.write(POLICY.replace("roles:\n", other + "roles:\n", 1))
        await until(lambda: running.now is not before)
        assert running.verify().subject == "alice"


async def test_a_file_that_was_missing_is_waited_for(running: Running) -> None:
    before = running.now
    async with watching(running):
        running.write(POLICY.replace("key.pem", "new.pem"))
        await until(lambda: running.failures == 1)
        (running.folder / "live" / "new.pem").write_bytes(public_pem("ES256/other"))
        await until(lambda: running.now is not before)
    assert running.verify("ES256/other").subject == "alice"


async def test_a_link_that_is_swapped_is_a_change(running: Running) -> None:
    """As Kubernetes does it: what is mounted are links through a link, and that one is replaced."""
    mount = running.folder / "live"
    for name, text in (("..1", POLICY), ("..2", MORE)):
        (mount / name).mkdir()
        write_policy(mount / name, text)
    (mount / "..data").symlink_to("..1")
    for name in ("policy.yaml", "key.pem"):
        (mount / name).unlink()
        (mount / name).symlink_to(f"..data/{name}")
    assert (await running.gateway.policies.reload()).done
    before = running.now
    async with watching(running):
        (mount / "..data_tmp").symlink_to("..2")
        (mount / "..data_tmp").replace(mount / "..data")
        await until(lambda: running.now is not before)
    assert running.now.rules.roles["idle"].models == {"second"}


async def test_what_is_still_being_written_is_not_read(running: Running) -> None:
    """The end of a policy is where its roles' bounds may stand: half a file must not be one."""
    path, before = running.folder / "live" / "policy.yaml", running.now
    whole = MORE.encode() + b"# more\n" * 200
    async with watching(running):
        with path.open("wb") as file:
            for at in range(0, len(whole), 40):
                file.write(whole[at : at + 40])
                file.flush()
                await asyncio.sleep(0.001)
        await until(lambda: running.now is not before)
    assert running.now.rules.document.raw == whole


async def test_keys_are_changed_in_place(running: Running) -> None:
    """A token that was good is refused once its key is gone, although it was remembered; the version stays."""
    before = running.now
    assert running.verify().subject == "alice"
    both = POLICY.replace("{file: key.pem}", "{file: key.pem, kid: ES256}, {file: new.pem, kid: new}")
    (running.folder / "live" / "new.pem").write_bytes(public_pem("ES256/other"))
    async with watching(running):
        running.write(both)
        await until(lambda: running.now is not before)
        assert running.verify().subject == "alice"
        before = running.now
        (running.folder / "live" / "key.pem").write_bytes(public_pem("ES256/third"))
        await until(lambda: running.now is not before)
    assert running.now.rules.version == before.rules.version
    with pytest.raises(NotAuthenticated) as refused:
        running.verify()
    assert refused.value.reason == Reason.SIGNATURE
    assert running.verify("ES256/third").subject == "alice"


async def test_tables_that_change_are_read_again(running: Running) -> None:
    from filters.specificity.crowd_tables import SHIPPED

    tables = running.folder / "live" / "tables"
    shutil.copytree(SHIPPED, tables)
    before = running.now
    async with watching(running):
        running.write(POLICY + "persons: {tables: tables}\n")
        await until(lambda: running.now is not before)
        first = running.now
        assert first.persons is not before.persons
        path = tables / "NZ.json"
        changed = path.read_text(encoding="utf-8").replace('"code": "NZ"', '"code":  "NZ"')
        path.write_text(changed, encoding="utf-8")
        os.utime(path, ns=(1, 1))
        await until(lambda: running.now is not first)
    assert running.now.rules.version == first.rules.version


async def test_somebody_may_ask_for_it(running: Running) -> None:
    """SIGHUP: also what has not changed is read, so that an operator sees whether it still can be."""
    before = running.now
    async with watching(running):
        running.gateway.policies.ask()
        await until(lambda: running.now is not before)
    assert running.now.rules.version == before.rules.version


async def test_what_a_new_profile_looks_for_is_there_before_it_is_in_force(running: Running) -> None:
    """Of ten profiles with a detector each none is built when the first request comes."""
    lines = [f"  p{n}: {{min_scores: {{{kinds}}}}}\n" for n, kinds in enumerate(("AGE: 0.5", "AMOUNT: 0.5"))]
    running.write(POLICY + "".join(lines))
    assert (await running.gateway.policies.reload()).done
    profiles = running.now.rules.profiles
    detectors = [running.now.detector_of(profiles[f"p{n}"]) for n in range(2)]
    assert detectors == [running.now.detectors[f"p{n}"] for n in range(2)]
    assert len(set(map(id, detectors))) == 2


async def test_a_policy_that_is_refused_changes_no_authorities(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy in force fetches its keys with them."""
    known: list[object] = []
    monkeypatch.setattr(PageFetcher, "know", lambda _self, pages: known.append(pages))
    running.write(POLICY.replace("key.pem", "none.pem"))
    assert not (await running.gateway.policies.reload()).done
    assert not known
    running.write(POLICY)
    assert (await running.gateway.policies.reload()).done
    assert known


def test_the_check_of_a_policy_refuses_what_the_gateway_would(tmp_path: Path, model: Path) -> None:
    (tmp_path / "live").mkdir()
    shutil.copytree(model, tmp_path / "model")
    path = write_policy(tmp_path / "live", POLICY.replace("  idle: {}", "  idle: {models: [second], priority: 5}"))
    (tmp_path / "tightlip.yaml").write_text(CONFIG)
    done = CliRunner().invoke(policy_cli.app, ["check", str(path), "--config", str(tmp_path / "tightlip.yaml")])
    assert done.exit_code == 1
    assert "roles.idle.priority: the servers of 'second'" in done.stderr
