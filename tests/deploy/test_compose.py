"""The compose file: hardened as the images are, published on loopback alone, and made of what is really there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import settings
from gateway.auth.development import create_key
from gateway.settings import StateSettings
from gateway.state import StateUnfit
from gateway.state.opening import open_store
from tests.support.commands import tightlip
from tests.support.patience import be_patient
from tests.support.processes import Program, free_ports, running
from tests.support.prometheus import needs_prometheus, promtool
from tests.support.redis import SERVER, listens, needs_redis

FILE = Path("deploy/compose.yaml")
FOLDER = FILE.parent
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
REDIS = SERVICES["redis"]
VARIABLES = {"VLLM_API_KEY": "k" * 32, "REDIS_PASSWORD": "p" * 32, "GRAFANA_PASSWORD": "g" * 32, "MODELS": "/models"}


def has_compose() -> bool:
    docker = shutil.which("docker")
    return docker is not None and not subprocess.run([docker, "compose", "version"], capture_output=True).returncode


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_hardened(service: str) -> None:
    of = SERVICES[service]
    assert of["read_only"] is True
    assert of["cap_drop"] == ["ALL"]
    assert of["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(of)
    if service != "gateway":  # its image says who it is
        assert int(of["user"].split(":")[0]) > 0


def test_processes_are_counted_and_vllm_may_have_threads_for_many_cores() -> None:
    limits = {name: of["pids_limit"] for name, of in SERVICES.items()}
    assert limits.pop("vllm") == 8192
    assert set(limits.values()) == {1024}


def test_nothing_is_written_into_a_root_that_is_read_only() -> None:
    """Compose copies configs and secrets that are no files into the container, which Docker refuses then."""
    assert not {"configs", "secrets"} & set(COMPOSE)
    assert not [name for name, of in SERVICES.items() if {"configs", "secrets"} & set(of)]


def test_what_is_published_is_so_on_loopback_alone() -> None:
    assert all(port.startswith("127.0.0.1:") for of in SERVICES.values() for port in of.get("ports", ()))


@pytest.mark.parametrize("service", ["vllm", "redis"])
def test_what_holds_raw_text_or_state_reaches_nobody(service: str) -> None:
    [network] = SERVICES[service]["networks"]
    assert COMPOSE["networks"][network] == {"internal": True}
    assert {name for name, of in SERVICES.items() if network in of["networks"]} == {service, "gateway"}
    assert "ports" not in SERVICES[service]


def test_every_image_has_a_version() -> None:
    others = {name: of["image"] for name, of in SERVICES.items() if name != "gateway"}
    assert all(re.fullmatch(r"docker\.io/[a-z/-]+:v?\d+(\.\d+)+", image) for image in others.values()), others


def test_what_is_mounted_is_there() -> None:
    mounts = [mount for of in SERVICES.values() for mount in of.get("volumes", ())]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert files
    assert all((FOLDER / file).exists() for file in files)
    named = {mount.split(":")[0] for mount in mounts if re.match(r"[a-z]", mount)}
    assert named == set(COMPOSE["volumes"])


def test_what_may_not_be_guessed_has_no_default() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", FILE.read_text("utf-8")))
    assert asked == set(VARIABLES)


def test_the_gateways_configuration_and_policy_are_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tightlip.yaml", "policy.yaml"):
        shutil.copy(FOLDER / "compose" / name, tmp_path)
    (tmp_path / "keys").mkdir()
    create_key(tmp_path / "keys" / "issuer.pem")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    loaded = settings.load(tmp_path / "tightlip.yaml")
    assert (loaded.public.port, loaded.management.port) == (8080, 9090)
    checked = tightlip("policy", "check", tmp_path / "policy.yaml")
    assert checked.returncode == 0, checked.output


def test_the_gateway_has_longer_than_its_answers_to_end() -> None:
    fields = settings.Settings.model_fields
    ending = fields["unready_seconds"].default + fields["drain_seconds"].default
    assert int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s")) > ending


def test_vllm_is_started_as_the_chart_starts_it() -> None:
    chart = Path("helm/tightlip/templates/vllm.yaml").read_text("utf-8")
    command = SERVICES["vllm"]["command"]
    for flag in ("--no-enable-log-requests", "--disable-uvicorn-access-log"):
        assert flag in command
        assert f"- {flag}\n" in chart
    told = re.findall(r'- \{name: (\w+), value: "?([^}"]+)"?\}', chart)
    assert {name: SERVICES["vllm"]["environment"][name] for name, _ in told} == dict(told)


def test_redis_lets_the_gateway_do_what_it_needs_and_nobody_anything() -> None:
    command = REDIS["command"]
    needed = re.search(r"    (~tightlip:\*.*\n.*)", Path("docs/state.md").read_text("utf-8"))
    assert needed is not None
    assert set(needed[1].split()) <= set(command)


@needs_redis
async def test_a_real_redis_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch.setattr)
    [port] = free_ports(1)
    (tmp_path / "password").write_text(VARIABLES["REDIS_PASSWORD"])
    _, _, *users = (word.replace("${REDIS_PASSWORD:?}", VARIABLES["REDIS_PASSWORD"]) for word in REDIS["command"])
    file = tmp_path / "redis.conf"
    said = (FOLDER / "around" / "redis.conf").read_text("utf-8").replace("dir /data", f"dir {tmp_path}")
    file.write_text(f"{said}port {port}\nbind 127.0.0.1\n")
    access = {"url": f"redis://127.0.0.1:{port}/0", "password_file": tmp_path / "password"}
    with running(Program("redis", [SERVER or "", str(file), *users], lambda _: listens(port)), tmp_path / "logs"):
        store = open_store(StateSettings.model_validate(access | {"user": "gateway"}))
        assert list(await store.prepare()) == []  # no advice: it loses nothing
        await store.aclose()
        stranger = open_store(StateSettings.model_validate(access | {"user": "default"}))
        with pytest.raises(StateUnfit):
            await stranger.prepare()
        await stranger.aclose()


@needs_prometheus
def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    for mount in SERVICES["prometheus"]["volumes"]:
        if mount.startswith("./"):
            shutil.copy(FOLDER / mount.split(":")[0], tmp_path)
    assert promtool("check", "config", str(tmp_path / "prometheus.yaml")) == ""


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
def test_docker_compose_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(["docker", "compose", "-f", str(FILE), "config", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
