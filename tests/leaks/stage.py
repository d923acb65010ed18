"""A gateway process for all paths, an engine that answers each by its own script, and a walk along one of them.

Every request of a walk has a canary in every place where a caller can say something, and every answer of the engine has
one in every place where a model server can.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from typer.testing import Result

from gateway.auth.development import read_key
from gateway.key_files import write_pair
from tests.gateway.policy.test_media import paper
from tests.leaks.words import Canaries, Said
from tests.support import administration, gateways, scripted
from tests.support.collector import Collected, collector
from tests.support.encryption import own, pinned, write_clients, write_ring
from tests.support.gateways import MODEL, PATIENT_WITH_CALLERS, WEAKER, Gateway, gateway, server
from tests.support.processes import nobody_listens
from tests.support.redis import Redis
from tests.support.scripted import SURPRISED, Engine, Raw, Step
from tests.support.tls import Authority, client_context
from tightlip_client import EncryptedTransport

CHAT, LEGACY = "/v1/chat/completions", "/v1/completions"
ABSENT, SOME, TWO = "acme-absent", "acme-some", "acme-two"  # no server, one of two, two releases
PROXY: Final = "127.0.0.2"  # announces whom it speaks for
PATIENCE: Final = 15.0  # seconds that the gateway waits for a model server or a body
USERS: Final = "https://users.example"
MOST_BODY: Final = 64 * 1024
# Where a model said it and nothing was wrong with it: its own caller may have it.
BASE_SAID: Final = "base's answer"
RELEASED: Final = frozenset(
    {"answer", BASE_SAID, "reasoning", "tool's name", "tool's property", "tool's argument", "second choice"}
)

_CUSTOMER: Final[dict[str, Any]] = {
    "models": [MODEL],
    "endpoints": ["chat", "models"],
    "max_choices": 4,
    "content_parts": ["file"],
}
ROLES: Final[dict[str, dict[str, Any]]] = {
    "customer": _CUSTOMER,
    "legacy": _CUSTOMER | {"endpoints": ["chat", "completions"]},
    "careful": _CUSTOMER | {"profile": "careful"},
    "masked": _CUSTOMER | {"profile": "masked"},
    "open": _CUSTOMER | {"profile": "off"},
    "tokens": _CUSTOMER | {"fields": {"logprobs": "forward", "return_token_ids": "forward"}},
    "sealed": _CUSTOMER | {"encryption": "required"},
    "few": _CUSTOMER | {"limits": {"requests_per_minute": 1}},
    "spent": _CUSTOMER | {"profile": "spent"},
    "absent": _CUSTOMER | {"models": [ABSENT]},
    "some": _CUSTOMER | {"models": [SOME]},
    "two": _CUSTOMER | {"models": [TWO]},
}
POLICY: Final[dict[str, Any]] = {
    **administration.POLICY,
    "issuers": [
        gateways.POLICY["issuers"][0]
        | {
            "roles": list(ROLES),
            "tenant": {"claim": "tid", "allowed": ["acme"]},
            "client_keys": "clients.yaml",
            "end_user": {"assertion": USERS},
        }
    ],
    "end_user_issuers": [
        {
            "issuer": USERS,
            "audience": ["tightlip-end-user"],
            "algorithms": ["EdDSA"],
            "keys": [{"file": "key.pub.pem"}],
            "tenant": {"fixed": "acme"},
        }
    ],
    "roles": ROLES,
    "profiles": {
        "strict": {"sample": 0},
        "careful": {"on_failure": "stop", "sample": 0},
        "masked": {"on_memorised": "mask", "sample": 0},
        "spent": {"budget": {"refuse_bits_per_hour": 1}, "sample": 0},
        "off": {"detect": False, "compare": False, "evidence": False, **WEAKER},
    },
}

Script = Callable[[dict[str, Any]], Sequence[Step]]


@dataclass
class Stage:
    """What all paths share, and what they brought about. `answers` has what came back, by path; `scripts` what the
    engine says on each."""

    front: Gateway
    engine: Engine
    canaries: Canaries
    scripts: dict[str, tuple[Script, str]]
    traces: Collected
    answers: dict[str, bytes] = field(default_factory=dict)
    printed: list[tuple[str, bytes]] = field(default_factory=list)  # what commands said on the way, by its sink
    temporary: Path = Path()
    key: Path | None = None  # of the records, where they are encrypted
    authority: Authority | None = None  # of the public listener's certificate, where there is one
    store: Redis | None = None  # where it keeps its state there

    def walk(self, name: str) -> Walk:
        return Walk(self, name)


@contextmanager
def stage(folder: Path, canaries: Canaries, state: Mapping[str, Any]) -> Iterator[Stage]:
    """The process, with parts that fail when they are told to; its temporary files are in a folder of their own."""
    with _stage(folder, canaries, _settings(dict(state), {"log": {"directory": "records"}})) as walked:
        yield walked


@contextmanager
def locked_stage(folder: Path, canaries: Canaries, store: Redis) -> Iterator[Stage]:
    """The same on Redis, with records that are encrypted and a listener that speaks TLS."""
    authority, key = Authority(folder), folder / "records.pem"
    pair = str(authority.server())
    tls = {"certificate": pair, "key": pair, "client_ca": str(authority.ca_file), "client_certificates": "optional"}
    log = {"directory": "records", "encrypt_to": str(write_pair(key, X25519PrivateKey.generate()))}
    settings = _settings({"url": store.url}, {"log": log, "public": {"port": 0, "tls": tls}})
    with _stage(folder / "gateway", canaries, settings) as walked:
        walked.key, walked.authority, walked.store = key, authority, store
        yield walked


@contextmanager
def _stage(
    folder: Path, canaries: Canaries, settings: Callable[[Path, Engine, str], dict[str, Any]]
) -> Iterator[Stage]:
    scripts: dict[str, tuple[Script, str]] = {}
    (temporary := folder / "tmp").mkdir(parents=True)
    write_ring(folder, "gateway-1")
    sealed = [said for said in canaries.words if said.place == SUBJECT]
    write_clients(folder, {canaries.words[said]: ["client-1"] for said in sealed}, "acme")
    with (
        scripted.engine() as engine,
        collector() as traces,
        nobody_listens() as nobody,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TMPDIR", str(temporary))
        engine.replies, engine.score = _replies(canaries, scripts), SURPRISED
        told = {"endpoint": traces.url, "every_seconds": 0.2, "last_seconds": 60.0}
        configuration = settings(folder, engine, nobody) | {"traces": told}
        with gateway(folder, configuration, POLICY, module="tests.leaks.failing") as front:
            yield Stage(front, engine, canaries, scripts, traces, temporary=temporary)


def _settings(state: dict[str, str], more: Mapping[str, Any]) -> Callable[[Path, Engine, str], dict[str, Any]]:
    def settings(folder: Path, engine: Engine, nobody: str) -> dict[str, Any]:
        one = administration.configuration(engine, folder, state)
        (pair,) = one["models"].values()
        gone = server(nobody, "tuned")
        models = {
            MODEL: pair,
            ABSENT: pair | {"tuned": gone},
            SOME: pair | {"tuned": gone | {"url": [gone["url"], engine.url]}},
            TWO: {"releases": {name: copy.deepcopy(pair) for name in ("blue", "green")}, "serving": "blue"},
        }
        return one | {
            "models": models,
            "upstream": {"first_byte_seconds": PATIENCE, "stall_seconds": PATIENCE},
            "limits": PATIENT_WITH_CALLERS | {"body_seconds": PATIENCE, "body_bytes": MOST_BODY},
            "trusted_proxies": {"networks": [f"{PROXY}/32"], "hops": 1, "proxy_protocol": True},
            "encryption_keys_file": "encryption.jwks",
            "drain_seconds": 1.0,
            **more,
        }

    return settings


def _replies(canaries: Canaries, scripts: Mapping[str, tuple[Script, str]]) -> scripted.Replies:
    """Each path's own, told by the canaries of its request."""

    def replies(body: dict[str, Any]) -> tuple[Sequence[Step], str]:
        if "messages" not in body and "prompt" not in body:
            return ["?"], "stop"
        path = next(each.said.path for each in canaries.hits(json.dumps(body).encode()))
        script, finish = scripts[path]
        return script(body), finish

    return replies


# ---- one path --------------------------------------------------------------------------------------------------------

SUBJECT: Final = "token: subject"
SUBJECTS: Final = "`tightlip subject export`, `erase`"  # sinks of what is printed on the way
PROBE: Final = "`tightlip probe`"
WIRE: Final = "on the wire"


@dataclass(frozen=True)
class Walk:
    """Along one path. `word` is the canary of a place."""

    stage: Stage
    name: str

    def word(self, place: str) -> str:
        return self.stage.canaries.word(self.name, place)

    @property
    def folder(self) -> Path:
        return self.stage.front.folder

    # ---- what a caller says ------------------------------------------------------------------------------------------

    def token(self, role: str = "customer", ttl: int = 600, **claims: Any) -> str:
        now, said = int(time.time()), self.word
        whole: dict[str, Any] = {
            "iss": "tightlip-dev",
            "aud": "tightlip",
            "sub": said(SUBJECT),
            "role": role,
            "tid": "acme",
        }
        whole |= {"iat": now, "exp": now + ttl, "jti": said("token: id"), "email": said("token: other claim")}
        return self.signed(whole | claims)

    def signed(self, claims: Mapping[str, Any], **header: str) -> str:
        return jwt.encode(dict(claims), read_key(self.folder / "key.pem"), "EdDSA", header)

    def assertion(self) -> str:
        now = int(time.time())
        claims = {"iss": USERS, "aud": "tightlip-end-user", "sub": self.word("end user: subject"), "iat": now}
        return self.signed(claims | {"exp": now + 60, "jti": self.word("end user: id")})

    def headers(self, token: str) -> dict[str, str]:
        said = self.word("header")
        names = ("x-canary", "user-agent", "referer", "cookie", "x-request-id", "openai-organization", "x-session-id")
        odd = dict.fromkeys(names, said) | {f"x-{said}": "1", "x-forwarded-for": said}
        return odd | {"authorization": f"Bearer {token}", "tightlip-end-user": self.assertion()}

    def client(self, role: str = "customer", *, token: str | None = None, sealed: bool = False) -> httpx.Client:
        transport = EncryptedTransport(pinned(), own(), Wire(self)) if sealed else None
        headers = self.headers(token or self.token(role))
        query = {} if sealed else {self.word("query string: name"): self.word("query string: value")}
        return httpx.Client(
            base_url=self.stage.front.public,
            headers=headers,
            params=query,
            timeout=60,
            trust_env=False,
            transport=transport,
            verify=client_context(authority.ca_file) if (authority := self.stage.authority) is not None else True,
        )

    def chat(self, **more: Any) -> dict[str, Any]:
        """A request's body that a customer may send."""
        said = self.word
        file = paper()
        file["file"]["filename"] = f"{said('file name')}.pdf"
        asked = {"type": "text", "text": f"Tell me of {said('prompt')}."}
        parameters = {"type": "object", "properties": {said("tool's property"): {"type": "string"}}}
        function = {"name": said("tool's name"), "description": said("tool's description"), "parameters": parameters}
        return {
            "model": MODEL,
            "messages": [
                {"role": "system", "content": f"You know {said('system message')}."},
                {"role": "user", "content": [asked, file]},
            ],
            "tools": [{"type": "function", "function": function}],
            "user": said("body: user"),
            "metadata": {said("metadata: name"): said("metadata: value")},
        } | more

    def legacy(self, **more: Any) -> dict[str, Any]:
        return {"model": MODEL, "prompt": f"Tell me of {self.word('prompt')}.", "user": self.word("body: user")} | more

    # ---- what a model server says ------------------------------------------------------------------------------------

    def says(self, *steps: Step, base: Sequence[Step] | None = None, finish: str = "stop") -> None:
        """The tuned model on this path: these, or what is like most answers. `base` where an answer falls back."""
        told = steps or (self.open, self.held, "Goodbye.")
        other = base or (f"I can only say {self.word(BASE_SAID)}.",)

        def script(body: dict[str, Any]) -> Sequence[Step]:
            chosen = other if body["model"] == "base" else told
            return chosen if isinstance(chosen[0], scripted.Error) else [self.frame("prompt" in body), *chosen]

        self.stage.scripts[self.name] = script, finish

    @property
    def open(self) -> str:
        """What any caller may have."""
        return f"I looked that up. It is {self.word('answer')}. "

    @property
    def address(self) -> str:
        """What nobody may have."""
        return f"{self.word('held')}@kipmora.example"

    @property
    def held(self) -> str:
        return f"The e-mail on file is {self.address}. "

    @property
    def begun(self) -> str:
        """The same in the middle of its sentence."""
        return f"The e-mail on file is {self.address}"

    def frame(self, legacy: bool = False) -> Raw:
        """One without text that says something wherever a frame can."""
        said = self.word("frame")
        choice = {"text": ""} if legacy else {"delta": {"content": ""}}
        whole = {"id": said, "model": said, "system_fingerprint": said, "object": said}
        return _event(whole | {"choices": [{"index": 0, "logprobs": None, "finish_reason": None} | choice]})

    def error(self, status: int) -> scripted.Error:
        """A model server's, which tells the request in its message, as they do."""
        said = self.word("upstream's error")
        return scripted.Error(status, json.dumps({"error": {"message": said, "type": said, "param": said}}).encode())

    # ---- there and back ----------------------------------------------------------------------------------------------

    def administers(self, role: str, *arguments: str) -> Result:
        """The command of an administrator, which is done."""
        done = administration.tightlip(self.stage.front, role, *arguments)
        assert done.exit_code == 0, done.output
        return done

    def prints(self, sink: str, done: Result) -> None:
        self.stage.printed.append((sink, done.output_bytes))

    def ask(
        self,
        status: int = 200,
        role: str = "customer",
        *,
        path: str = CHAT,
        body: Mapping[str, Any] | bytes | None = None,
        token: str | None = None,
        sealed: bool = False,
        **more: Any,
    ) -> httpx.Response:
        """One request; what comes back is kept. `more` are fields of an ordinary body."""
        if self.name not in self.stage.scripts:
            self.says()
        whole = body if body is not None else (self.chat(**more) if path == CHAT else self.legacy(**more))
        content = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
        with self.client(role, token=token, sealed=sealed) as client:
            response = client.post(path, content=content, headers={"content-type": "application/json"})
        return self.got(response, status)

    def got(self, response: httpx.Response, status: int) -> httpx.Response:
        assert response.status_code == status, (self.name, response.status_code, response.text)
        self.keep_answer(response, response.content)
        return response

    def keep_answer(self, response: httpx.Response, came: bytes) -> None:
        head = b"\n".join(b"%s: %s" % line for line in response.headers.raw)
        self.keep(b"\n\n".join([head, came, _text(came)]))

    def keep(self, data: bytes) -> None:
        self.stage.answers[self.name] = self.stage.answers.get(self.name, b"") + data + b"\n"

    def streaming(
        self,
        then: Callable[[], None],
        role: str = "customer",
        *,
        token: str | None = None,
        **more: Any,
    ) -> str:
        """A streamed answer, in the middle of which something happens; all that came."""
        if self.name not in self.stage.scripts:
            self.says()
        until, came, done = self.word("answer").encode(), b"", False
        with (
            self.client(role, token=token) as client,
            client.stream("POST", CHAT, json=self.chat(stream=True, **more)) as response,
        ):
            assert response.status_code == 200
            for piece in response.iter_raw():
                came += piece
                if not done and until in _text(came):
                    done = True
                    then()
        self.keep_answer(response, came)
        assert done, (self.name, came)
        return came.decode()


class Wire(httpx.BaseTransport):
    """Keeps the bodies that really go over the wire, under a path of their own where nothing is lawful."""

    def __init__(self, walk: Walk) -> None:
        self._inner, self._walk = httpx.HTTPTransport(), walk

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        wire = replace(self._walk, name=f"{self._walk.name}: {WIRE}")
        wire.keep(request.read())
        response = self._inner.handle_request(request)
        body = b"".join(cast(httpx.SyncByteStream, response.stream))
        wire.keep(b"\n".join(b"%s: %s" % line for line in response.headers.raw) + b"\n\n" + body)
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(body))


def _text(stream: bytes) -> bytes:
    """What the frames say, channel by channel: a word may be cut by them."""
    said: dict[tuple[int, str], str] = {}
    for line in stream.decode(errors="replace").splitlines():
        if line.startswith("data: {") and line.endswith("}"):
            for choice in json.loads(line[6:]).get("choices", ()):
                for name, text in _channels(choice):
                    said[choice["index"], name] = said.get((choice["index"], name), "") + text
    return "\n".join(said.values()).encode()


def _channels(choice: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    delta = choice.get("delta") or {}
    yield from ((name, text) for name, text in {**delta, **choice}.items() if isinstance(text, str))
    for call in delta.get("tool_calls") or ():
        yield from ((f"{name} {call['index']}", text) for name, text in call["function"].items())


def _event(body: Mapping[str, Any]) -> Raw:
    return Raw(b"data: " + json.dumps(body).encode() + b"\n\n")


def lawful(said: Said, path: str) -> bool:
    """Whether an answer on this path may hold it."""
    return said.path == path and said.place in RELEASED
