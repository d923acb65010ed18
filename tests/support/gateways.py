"""A real gateway process in front of any two models, with its configuration, policy, key and tokens."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from gateway.auth.development import Claims, create_key, read_key, sign
from tests.support.processes import Child, Program, running, says
from tests.support.waiting import PATIENCE_S, POLL_S, until

MODEL = "acme-assistant"
PATIENT = {"question_deadline_seconds": 60.0}  # a late answer changes the verdict, and a test machine may be slow
PATIENT_WITH_CALLERS = {"handshake_seconds": 60.0, "head_seconds": 60.0}  # who are on that machine too
READY = r"public (\S+)  management (\S+)"
WEAKER = {"reason": "shows what the filters keep back", "expires": "2099-01-01"}  # what such a profile has to say
POLICY: dict[str, Any] = {
    "version": 1,
    "issuers": [
        {
            "issuer": "tightlip-dev",
            "audience": ["tightlip"],
            "algorithms": ["EdDSA"],
            "keys": [{"file": "key.pub.pem"}],
            "roles": ["customer", "clauses", "careful", "legacy", "long", "tokens", "open"],
            "tenant": {"fixed": "acme"},
        }
    ],
    "roles": {
        "customer": {"models": [MODEL], "endpoints": ["chat", "models"], "max_choices": 4},
        "clauses": {"models": [MODEL], "endpoints": ["chat"], "profile": "clauses"},
        "careful": {"models": [MODEL], "endpoints": ["chat"], "profile": "careful"},
        "legacy": {"models": [MODEL], "endpoints": ["chat", "completions"]},
        "long": {
            "models": [MODEL],
            "endpoints": ["chat"],
            "fields": {"min_tokens": "forward"},
            "max_output_tokens": 8192,
        },
        "tokens": {
            "models": [MODEL],
            "endpoints": ["chat", "completions"],
            "fields": {"logprobs": "forward", "return_token_ids": "forward"},
        },
        "open": {"models": [MODEL], "endpoints": ["chat", "completions"], "profile": "off"},
    },
    "profiles": {
        "strict": {"sample": 0},  # tests count what the base is asked
        "clauses": {"release": "clause"},
        "careful": {"on_failure": "stop"},
        "off": {
            "detect": False,
            "compare": False,
            "evidence": False,
            **WEAKER,
        },
    },
}


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    child: Child
    folder: Path

    @property
    def public(self) -> str:
        return self.child.printed(READY)[1]

    @property
    def management(self) -> str:
        return self.child.printed(READY)[2]

    def token(self, role: str = "customer", *, subject: str = "s-1", ttl: float = 600) -> str:
        claims = Claims("tightlip-dev", "tightlip", subject, role, None, ttl)
        return sign(read_key(self.folder / "key.pem"), claims)

    def client(self, role: str = "customer", **token: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(role, **token)}"}
        return httpx.Client(base_url=self.public, headers=headers, timeout=60, trust_env=False)

    def page(self, path: str, **more: Any) -> httpx.Response:
        """Of its management listener."""
        return httpx.get(self.management + path, timeout=60, trust_env=False, **more)

    @property
    def records(self) -> list[dict[str, Any]]:
        """What it printed as JSON. Its last line may be half there."""
        lines = self.child.stdout.rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def record(self, request_id: str) -> dict[str, Any]:
        """Of a request that was answered: it comes after the answer."""
        until(lambda: any(record.get("request_id") == request_id for record in self.records))
        (found,) = [record for record in self.records if record.get("request_id") == request_id]
        return found

    @property
    def output(self) -> str:
        """Everything that the process printed: its records, and whatever should not be there."""
        return self.child.output


def server(url: str, model: str) -> dict[str, str]:
    return {"url": url, "model": model}


def settings(tuned: Mapping[str, str], base: Mapping[str, str], tokenizer: Path, **more: Any) -> dict[str, Any]:
    """Of a patient gateway. `model` says more of its one pair, and the rest of itself."""
    pair = {"tuned": dict(tuned), "base": dict(base), "tokenizer": str(tokenizer), "unreleased": True} | PATIENT
    return {
        "public": {"port": 0},
        "management": {"port": 0},
        "policy": "policy.yaml",
        "limits": PATIENT_WITH_CALLERS,
        "models": {MODEL: pair | more.pop("model", {})},
    } | more


@contextmanager
def gateway(
    folder: Path,
    configuration: Mapping[str, Any],
    policy: Mapping[str, Any] | None = None,
    module: str = "gateway.cli",
    program: Sequence[str] = (),
) -> Iterator[Gateway]:
    """The gateway, listening, for as long as the block lasts. `module` has its commands, or `program` is what runs
    them."""
    started = gateway_program(folder, configuration, policy, program or (sys.executable, "-m", module))
    with running(started, folder / "logs") as child:
        yield Gateway(child, folder)


def gateway_program(
    folder: Path, configuration: Mapping[str, Any], policy: Mapping[str, Any] | None, runs: Sequence[str]
) -> Program:
    """For tests that start and kill it themselves; its files are written. `runs` is what runs its commands."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tightlip.yaml").write_text(yaml.safe_dump(dict(configuration), allow_unicode=True))
    (folder / "policy.yaml").write_text(yaml.safe_dump(dict(policy or POLICY)))
    if not (folder / "key.pem").exists():
        create_key(folder / "key.pem")
    command = [*_without_settings(), *runs, "serve", "--config", str(folder / "tightlip.yaml")]
    return Program("gateway", command, says(READY), start_s=120.0)  # releases are checked first


def _without_settings() -> list[str]:
    """The file alone configures it: TIGHTLIP_ variables are for the test run, and the gateway refuses strange ones."""
    return ["env", *(word for name in os.environ if name.startswith("TIGHTLIP_") for word in ("-u", name))]


def ask(client: httpx.Client, content: str = "Hello?", **more: Any) -> httpx.Response:
    """One chat request."""
    messages = [{"role": "user", "content": content}]
    return client.post("/v1/chat/completions", json={"model": MODEL, "messages": messages} | more)


def served(asked: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer to a request that the store had time for: one that came too late took nothing."""
    deadline = time.monotonic() + PATIENCE_S
    while (answer := asked()).status_code == 503:
        assert time.monotonic() < deadline, answer.text
        time.sleep(POLL_S)
    return answer


def streamed(response: httpx.Response) -> list[dict[str, Any]]:
    """The frames of an event stream, read as strictly as the gateway writes it."""
    assert response.headers["content-type"].startswith("text/event-stream")
    return frames_of(response.text)


def frames_of(text: str) -> list[dict[str, Any]]:
    """The same of a stream's text, which ends with an event."""
    events = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [json.loads(re.fullmatch(r"data: (.*)", event, re.S)[1]) for event in events if event != "data: [DONE]"]  # type: ignore[index]


def text_of(frames: list[dict[str, Any]], choice: int = 0) -> str:
    """What the frames say to a client, in content."""
    deltas = [c["delta"] for frame in frames for c in frame.get("choices", ()) if c["index"] == choice]
    return "".join(delta.get("content") or "" for delta in deltas)
