"""A house whose parts go away one at a time, and callers who never stop asking: gateways on one Redis, an issuer whose
keys are in Vault, one whose keys are on the web, one whose keys are in a file.

Every answer is written down with its times, and `wrong` says of each whether it may have been. Callers have names that
say what they are: `plain` ones want an answer, `limited` and `budgeted` ones need the store for it, `revoked` ones and
those of `unknown` keys must never get any.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from redis.asyncio import Redis as Client

from gateway.auth.development import Claims, create_key, read_key, sign
from gateway.auth.revocation import Kind, Revocation
from gateway.revoke import revoke
from gateway.settings import StateSettings
from gateway.state.opening import open_store
from tests.support import scripted
from tests.support.gateways import MODEL, Gateway, gateway, server, settings
from tests.support.redis import Redis
from tests.support.scripted import Pause, Step
from tests.support.tls import Authority
from tests.support.vault import Vault

TENANTS: Final = ("north", "south")
WORDS: Final = ("lamp", "boat", "garden", "window", "river", "table", "candle", "forest")
SLOWLY: Final = "Slowly:"
FROM_BASE: Final = "I can't help with that."
CANARY: Final = "zqCanarySubject"
LIMIT: Final = 60  # requests in a minute
LEAST: Final = 30.0  # seconds that anything is waited for
NOTICED: Final = 1.0  # seconds without the store; a request waits for it only a little longer
CHAT: Final = "/v1/chat/completions"
ROLES: Final = {
    "plain": {},
    "limited": {"limits": {"requests_per_minute": LIMIT, "streams": 4}},
    "budgeted": {"profile": "budgeted"},
}


def policy(issuers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every role for both tenants of each issuer, whose keys are there."""
    common = {"audience": ["tightlip"], "algorithms": ["EdDSA"], "roles": list(ROLES)}
    tenants = {"tenant": {"claim": "tenant", "allowed": list(TENANTS)}}
    return {
        "version": 1,
        "issuers": [{"issuer": name, "keys": [keys], **common, **tenants} for name, keys in issuers.items()],
        "roles": {name: {"models": [MODEL], "endpoints": ["chat"], **more} for name, more in ROLES.items()},
        "profiles": {"strict": {"sample": 0}, "budgeted": {"sample": 0, "budget": {"caller_bits_per_hour": 1000}}},
    }


def public_jwks(*keys: Path) -> bytes:
    """The page of Ed25519 keys (RFC 8037), which are called `one` and so on."""
    page = [_public_jwk(key, kid) for key, kid in zip(keys, ("one", "two"), strict=False)]
    return json.dumps({"keys": page}).encode()


def _public_jwk(key: Path, kid: str) -> dict[str, str]:
    raw = read_key(key).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig"}


def says(body: dict[str, Any]) -> tuple[Sequence[Step], str]:
    """What the models say: the word that was asked for, so that an answer shows whose it is."""
    if body["model"] == "base":
        return (FROM_BASE,), "stop"
    asked = body["messages"][-1]["content"].split()
    slowly = asked[0] == SLOWLY
    pause = Pause(0.3 if slowly else 0.0)
    return [step for sentence in _sentences(asked[-1], slowly) for step in (sentence, pause)], "stop"


def _sentences(word: str, slowly: bool) -> list[str]:
    return [f"The {word} is fine. ", *(["It always was. "] * 9 if slowly else []), "Goodbye."]


# ---- the house -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class House:
    """What runs, and who asks it."""

    folder: Path
    fronts: list[Gateway]
    grace: float

    def token(self, issuer: str, tenant: str, subject: str, role: str) -> str:
        key = read_key(self.folder / f"{issuer}.pem")
        return sign(key, Claims(issuer, "tightlip", subject, role, tenant, 3600))

    def callers(self) -> list[Caller]:
        """The revoked one has a namesake in the other tenant, who goes on."""
        unknown = jwt.encode({"iss": "web"}, read_key(self.folder / "nobody.pem"), "EdDSA", {"kid": "nobody"})
        return [
            Caller("plain", self.token("file", "north", CANARY, "plain"), streams=True),
            Caller("plain", self.token("web", "north", CANARY, "plain")),
            Caller("plain", self.token("vault", "south", CANARY, "plain"), streams=True),
            Caller("revoked", self.token("file", "south", CANARY, "plain")),
            Caller("limited", self.token("web", "north", CANARY, "limited")),
            Caller("limited", self.token("file", "north", CANARY, "limited")),
            Caller("budgeted", self.token("vault", "south", CANARY, "budgeted")),
            Caller("unknown", unknown),
        ]

    @property
    def printed(self) -> str:
        """All that the gateways wrote."""
        return "".join(front.output for front in self.fronts)


@contextmanager
def house(
    folder: Path,
    state: Mapping[str, Any],
    vault: Vault,
    issuer: str,
    authority: Authority,
    *,
    gateways: int,
    grace: float,
) -> Iterator[House]:
    """`vault` is open, `issuer` the address of a page. Who is revoked is so before the first gateway starts."""
    for name in ("file", "web", "vault", "nobody"):
        create_key(folder / f"{name}.pem")
    vault.put("issuer", {"key": (folder / "vault.pub.pem").read_text()})
    role_id, secret_id = vault.app_role("gateway", token_ttl="1h")
    (folder / "secret-id").write_text(secret_id)
    shared = {"state": {**state, "grace_seconds": grace}, "vault": vault_settings(vault, role_id, folder / "secret-id")}
    keys = {
        "file": {"file": str(folder / "file.pub.pem")},
        "web": {"url": issuer, "ca_file": str(authority.ca_file), "refresh_seconds": 1},
        "vault": {"vault": "tightlip/issuer#key", "refresh_seconds": 1},
    }
    asyncio.run(_revoked(state, Revocation(Kind.SUBJECT, CANARY, "file", "south")))
    with ExitStack() as stack:
        engine = stack.enter_context(scripted.engine())
        engine.replies = says
        pair = server(engine.url, "tuned"), server(engine.url, "base")
        configuration = settings(*pair, scripted.tokenizer(folder), **shared)
        fronts = [
            stack.enter_context(gateway(folder / f"front-{at}", configuration, policy(keys))) for at in range(gateways)
        ]
        yield House(folder, fronts, grace)


def vault_settings(vault: Vault, role_id: str, secret_id: Path) -> dict[str, Any]:
    role = {"role_id": role_id, "secret_id_file": str(secret_id)}
    return {"url": vault.url, "ca_file": str(vault.ca_file), "app_role": role, "refresh_seconds": 1}


async def _revoked(state: Mapping[str, Any], revocation: Revocation) -> None:
    store = open_store(StateSettings.model_validate(state))
    await store.prepare()
    await revoke(store, revocation, time.time())
    await store.aclose()


# ---- the callers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Caller:
    """`kind`: plain, limited, budgeted, revoked or unknown."""

    kind: str
    token: str
    streams: bool = False


@dataclass(frozen=True)
class Answer:
    """`outcome`: good; base, where the base model said it; a status and a code; `ended` and a code, of a stream that
    had begun; wrong, what nobody should have been told. Times of the monotonic clock."""

    caller: Caller
    outcome: str
    began: float
    ended: float
    slow: bool = False  # a stream of three seconds

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Load:
    """Callers who ask one thing after the other, and what they were told."""

    def __init__(self, house: House, pause: float) -> None:
        self._house, self._pause, self.answers = house, pause, list[Answer]()
        self.callers = house.callers()

    async def told(self, kind: str, outcomes: Set[str], since: float) -> None:
        """Until every caller of this kind has been told one of these, having asked since then."""
        callers = {each for each in self.callers if each.kind == kind}
        deadline = time.monotonic() + 2 * LEAST
        while callers - {each.caller for each in self.answers if each.outcome in outcomes and each.began >= since}:
            assert time.monotonic() < deadline, (kind, outcomes, [each.outcome for each in self.answers[-40:]])
            await asyncio.sleep(0.05)

    async def served(self, since: float) -> None:
        """Until all have been told what they are when nothing is away."""
        for kind, outcomes in ALWAYS.items():
            await self.told(kind, outcomes, since)

    async def ask(self, caller: Caller, clients: Iterator[httpx.AsyncClient], *, slowly: bool) -> None:
        """For ever. An answer that does not come within a minute is an error."""
        while True:
            began, word = time.monotonic(), random.choice(WORDS)
            body = {"model": MODEL, "messages": [{"role": "user", "content": f"{SLOWLY * slowly} {word}"}]}
            headers = {"authorization": f"Bearer {caller.token}"}
            answer = await _asked(next(clients), body | ({"stream": True} if slowly else {}), headers)
            self.answers.append(
                Answer(caller, _outcome(answer, "".join(_sentences(word, slowly))), began, time.monotonic(), slowly)
            )
            await asyncio.sleep(self._pause)


@asynccontextmanager
async def load(house: House, pause: float = 0.1) -> AsyncIterator[Load]:
    """Every caller asks inside the block, each time another gateway; who streams does that beside it."""
    asking = Load(house, pause)
    clients = [httpx.AsyncClient(base_url=front.public, trust_env=False, timeout=60) for front in house.fronts]
    tasks = [
        asyncio.ensure_future(
            asking.ask(caller, itertools.cycle(clients[at % len(clients) :] + clients), slowly=slowly)
        )
        for at, caller in enumerate(asking.callers)
        for slowly in ((False, True) if caller.streams else (False,))
    ]
    try:
        yield asking
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            await client.aclose()
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


async def _asked(client: httpx.AsyncClient, body: Mapping[str, Any], headers: Mapping[str, str]) -> httpx.Response:
    async with client.stream("POST", CHAT, json=body, headers=headers) as response:
        await response.aread()
        return response


def _outcome(answer: httpx.Response, whole: str) -> str:
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.json()['error']['code']}"
    text, code = _read(answer)
    if code is not None:
        return f"ended {code}" if whole.startswith(text) else "wrong"
    if text == FROM_BASE:
        return "base"
    return "good" if text == whole else "wrong"


def _read(answer: httpx.Response) -> tuple[str, str | None]:
    """What it says, and the code of the error that ended it."""
    if answer.headers["content-type"].startswith("application/json"):
        return str(answer.json()["choices"][0]["message"]["content"]), None
    frames = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    said = "".join(choice["delta"].get("content") or "" for each in frames for choice in each.get("choices", ()))
    return said, next((str(each["error"]["code"]) for each in frames if "error" in each), None)


@asynccontextmanager
async def watched(store: Redis) -> AsyncIterator[list[tuple[float, float]]]:
    """When the store, or this process, stood still for longer than NOTICED: since when and until when, each time. The
    machine may be busy, and who is then refused is told no more than the truth."""
    stood, over = list[tuple[float, float]](), asyncio.Event()

    async def watch() -> None:
        async with Client(port=store.port, socket_timeout=None) as client:
            while not over.is_set():
                before = time.monotonic()
                await client.ping()
                await asyncio.sleep(0.1)
                if time.monotonic() - before > NOTICED:
                    stood.append((before, time.monotonic()))

    watching = asyncio.create_task(watch())
    try:
        yield stood
        over.set()
        await watching
    finally:
        watching.cancel()


# ---- what may have been ----------------------------------------------------------------------------------------------

REFUSED: Final = "401 invalid_api_key"
NOBODY_KNOWS: Final = "503 revocations_unavailable"
ALWAYS: Final = {
    "plain": {"good"},
    "limited": {"good", "429 rate_limit_exceeded"},
    "budgeted": {"good"},
    "revoked": {REFUSED},
    "unknown": {REFUSED},
}
WITHOUT_STORE: Final = {  # beside that
    "plain": {NOBODY_KNOWS, "ended revocations_unavailable"},
    "limited": {NOBODY_KNOWS, "503 limits_unavailable"},
    "budgeted": {NOBODY_KNOWS, "base"},
    "revoked": {NOBODY_KNOWS},
    "unknown": set[str](),
}


def wrong(answers: Sequence[Answer], away: Sequence[tuple[float, float]]) -> list[Answer]:
    """Those that may not have been. `away`: since when the store was, and until when it may be noticed, each time."""

    def may(answer: Answer) -> bool:
        touched = any(answer.began < end and begin < answer.ended for begin, end in away)
        kind = answer.caller.kind
        return answer.outcome in ALWAYS[kind] | (WITHOUT_STORE[kind] if touched else set())

    return [each for each in answers if not may(each)]


def most_in_a_minute(answers: Sequence[Answer]) -> int:
    """Of one caller with limits: how many of his requests passed within any sixty seconds, from asking to the end."""
    return max(
        sum(first.began <= each.began and each.ended <= first.began + 60 for each in passed)
        for caller in {each.caller for each in answers if each.caller.kind == "limited"}
        for passed in [[each for each in answers if each.caller == caller and each.outcome == "good"]]
        for first in passed
    )
