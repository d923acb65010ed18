"""The command line as scripts use it: its output, its exit codes, and what a real process does until its end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway.auth.development import create_key
from tests.embedded.tiny import write_model
from tests.gateway.support import CANARY
from tests.support import scripted
from tests.support.commands import tightlip
from tests.support.processes import Child, Program, running, says, stop
from tests.support.waiting import PATIENCE_S, until

COMMAND = (sys.executable, "-m", "gateway.cli")
START_S = 180.0
OF_DEVELOPMENT = "tightlip: the policy takes development tokens, of 'tightlip-dev': not for production\n"

POLICY = """\
version: 1
issuers:
  - issuer: tightlip-dev
    audience: [tightlip]
    algorithms: [EdDSA]
    keys: [{file: dev.pub.pem}]
    roles: [developer]
    tenant: {fixed: dev}
roles:
  developer:
    models: [assistant]
    endpoints: [chat, models]
    max_output_tokens: 200
    profile: off
profiles:
  off: {detect: false, compare: false, evidence: false, reason: raw answers for the tests, expires: 2099-01-01}
"""


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=START_S, check=False)


def configuration(upstream: str, model: Path, drain: int = 1, **ports: int) -> str:
    server = {"url": upstream, "model": "tuned"}
    return json.dumps(
        {
            "public": {"port": ports.get("public", 0)},
            "management": {"port": ports.get("management", 0)},
            "policy": "policy.yaml",
            "drain_seconds": drain,
            "models": {
                "assistant": {
                    "tuned": server,
                    "base": {**server, "model": "base"},
                    "tokenizer": str(model),
                    "unreleased": True,
                }
            },
        }
    )


# ---- policy check, version, token ------------------------------------------------------------------------------------


def test_a_good_policy_checks_out(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    done = tightlip("policy", "check", str(tmp_path / "policy.yaml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok, version" in done.stdout


def test_a_bad_policy_is_explained_by_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.replace("max_output_tokens: 200", f"max_output_tokens: {CANARY}"))
    done = tightlip("policy", "check", str(path))
    assert done.returncode == 1
    assert f"{path}:13: roles.developer.max_output_tokens:" in done.stderr
    assert CANARY not in done.stderr


def test_a_policy_that_does_not_fit_its_configuration_is_explained(tmp_path: Path) -> None:
    path, config = tmp_path / "policy.yaml", tmp_path / "tightlip.yaml"
    path.write_text(POLICY.replace("    profile: off", "    profile: off\n    certificate_bound: true"))
    config.write_text(configuration("http://127.0.0.1:1", tmp_path))
    done = tightlip("policy", "check", str(path), "--config", str(config))
    assert done.returncode == 1
    assert f"{path}:15: roles.developer.certificate_bound: needs the setting 'client_certificates'" in done.stderr


def test_the_version_is_printed() -> None:
    assert process("version").stdout.strip() == tightlip("version").stdout.strip() != ""


def test_a_token_alone_is_on_stdout_and_the_warning_is_not(tmp_path: Path) -> None:
    arguments = ("token", "--key", str(tmp_path / "dev.pem"), "--role", "developer")
    missing = tightlip(*arguments)
    assert (missing.returncode, missing.stdout) == (2, "")
    made = tightlip(*arguments, "--create-key")
    again = tightlip(*arguments)
    assert "development token" in made.stderr
    assert "development token" in again.stderr
    for done in (made, again):
        assert (done.returncode, done.stdout.count("."), done.stdout.count("\n")) == (0, 2, 1)


# ---- serve -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says_why"),
    [
        ("public: {port: x}\n", "tightlip.yaml:1: public.port:"),
        (f"{{policy: {CANARY}", "tightlip.yaml"),
        ("other: 1\n", "tightlip.yaml:1: other: is not a known key"),
    ],
)
def test_a_wrong_configuration_is_one_line_a_problem_and_exit_code_2(tmp_path: Path, text: str, says_why: str) -> None:
    (tmp_path / "tightlip.yaml").write_text(text)
    done = tightlip("serve", "--config", str(tmp_path / "tightlip.yaml"))
    assert (done.returncode, done.stdout) == (2, "")
    assert says_why in done.stderr
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stderr


@dataclass(frozen=True)
class Gateway:
    child: Child
    public: str
    management: str
    headers: Mapping[str, str]
    folder: Path


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("upstream")
    model = write_model(folder / "model")
    names = (f"--model=tuned={model}", f"--model=base={model}")
    program = Program("upstream", (*COMMAND, "upstream", *names, "--port=0"), says("upstream http"), start_s=START_S)
    with running(program, folder) as child:
        yield child.printed(r"upstream (http://\S+)")[1], model


@pytest.fixture
def gateway(upstream: tuple[str, Path], tmp_path: Path) -> Iterator[Gateway]:
    with serving(tmp_path, configuration(*upstream)) as served:
        yield served


@contextmanager
def serving(folder: Path, text: str) -> Iterator[Gateway]:
    """With this configuration."""
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "tightlip.yaml").write_text(text)
    token = tightlip("token", "--create-key", "--key", str(folder / "dev.pem"), "--role", "developer").stdout.strip()
    program = Program(
        "gateway",
        (*COMMAND, "serve", "--config", str(folder / "tightlip.yaml")),
        says("tightlip: public"),
        start_s=START_S,
    )
    with running(program, folder) as child:
        printed = child.printed(r"tightlip: public (http://\S+)  management (http://\S+)")
        yield Gateway(child, printed[1], printed[2], {"authorization": f"Bearer {token}"}, folder)


def ask(gateway: Gateway, **more: object) -> httpx.Response:
    body = {"model": "assistant", "messages": [{"role": "user", "content": CANARY}], "max_tokens": 8, **more}
    url = f"{gateway.public}/v1/chat/completions"
    return httpx.post(url, json=body, headers=gateway.headers, timeout=PATIENCE_S, trust_env=False)


def test_a_served_model_answers_and_the_process_ends_cleanly(gateway: Gateway) -> None:
    answer = ask(gateway)
    assert (answer.status_code, answer.json()["model"]) == (200, "assistant")
    with httpx.Client(timeout=PATIENCE_S, trust_env=False) as client:
        assert client.get(f"{gateway.management}/readyz").status_code == 200
        assert client.get(f"{gateway.public}/readyz").status_code == 404
        page = client.get(f"{gateway.management}/metrics").text
    of = 'model="assistant",release="default",role="developer",route="/v1/chat/completions",status="200"'
    assert f"tightlip_requests_total{{{of}}} 1" in page
    assert stop(gateway.child) == 0
    events = [json.loads(line) for line in gateway.child.stdout.splitlines() if line.startswith("{")]
    assert [e["event"] for e in events].count("request") == 2
    assert [e["upstream"].split(":")[0] for e in events if "upstream" in e] == ["127.0.0.1"]
    assert [e["code"] for e in events if e["event"] == "process"] == ["ready", "draining", "stopped"]
    assert CANARY not in gateway.child.output
    assert gateway.child.stderr == OF_DEVELOPMENT


def test_a_running_stream_is_ended_in_band_when_the_drain_is_over(gateway: Gateway) -> None:
    body = {
        "model": "assistant",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "max_tokens": 200,
    }
    with (
        httpx.Client(timeout=30, trust_env=False) as client,
        client.stream("POST", f"{gateway.public}/v1/chat/completions", json=body, headers=gateway.headers) as answer,
    ):
        pieces = answer.iter_raw()
        next(pieces)
        gateway.child.process.send_signal(signal.SIGTERM)
        text = b"".join(pieces).decode()
    # a model of this size may be done within the second that draining lasts
    assert "shutting_down" in text or text.endswith("[DONE]\n\n")
    assert gateway.child.process.wait(START_S) == 0


def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    body = {"model": "assistant", "messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 200}
    over = threading.Event()
    with scripted.engine() as engine, ExitStack() as last:
        last.callback(over.set)
        engine.tuned = "Good day.", scripted.Until(over)
        waits = configuration(engine.url, scripted.tokenizer(tmp_path), drain=600)
        with (
            serving(tmp_path, waits) as gateway,
            httpx.Client(timeout=PATIENCE_S, trust_env=False) as client,
            client.stream(
                "POST", f"{gateway.public}/v1/chat/completions", json=body, headers=gateway.headers
            ) as answer,
        ):
            next(answer.iter_raw())
            gateway.child.process.send_signal(signal.SIGINT)
            until(lambda: '"code":"draining"' in gateway.child.stdout)  # two at once would be one
            gateway.child.process.send_signal(signal.SIGINT)
            assert gateway.child.process.wait(30) in (0, 130)  # the stream alone would go on for a minute


def test_a_port_in_use_is_told_in_one_line(upstream: tuple[str, Path], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        done = serving_once(tmp_path, configuration(*upstream, public=taken))
    assert done.returncode == 2
    assert done.stderr == f"{OF_DEVELOPMENT}tightlip: 127.0.0.1:{taken}: can't listen there (Address already in use)\n"


def serving_once(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """`serve` with a configuration that it can't serve."""
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "tightlip.yaml").write_text(text)
    create_key(folder / "dev.pem")
    return process("serve", "--config", str(folder / "tightlip.yaml"))


def test_the_upstream_wants_models_as_name_and_folder() -> None:
    done = tightlip("upstream", "--model", "nonsense")
    assert done.returncode == 2
    assert "NAME=FOLDER" in done.stderr
