"""The paths, one below the other: what a request, an answer, a file or a signal may meet.

Those in `SLOW` wait for the gateway's patience, and are walked beside `BESIDE`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from redis import Redis as Client
from typer.testing import CliRunner

from gateway.cli import app
from tests.gateway.http.test_proxy_v2 import header
from tests.leaks import failing
from tests.leaks.stage import (
    ABSENT,
    CHAT,
    LEGACY,
    MOST_BODY,
    POLICY,
    PROBE,
    PROXY,
    SOME,
    SUBJECT,
    SUBJECTS,
    TWO,
    Walk,
)
from tests.support.administration import admin_token, tightlip
from tests.support.disks import no_file_beyond
from tests.support.gateways import MODEL
from tests.support.scripted import SURE, SURPRISED, Close, Error, Pause, Raw, Reset, Say, Step, Until
from tests.support.tls import client_context
from tests.support.waiting import until


@dataclass(frozen=True)
class Path:
    """`ends` is how: a status, or in words."""

    name: str
    ends: str
    walk: Callable[[Walk], object]


# ---- answers ---------------------------------------------------------------------------------------------------------


def _asked(name: str, status: int, **more: Any) -> Path:
    """An ordinary request with something in it."""
    return Path(name, str(status), lambda walk: walk.ask(status, **more))


def _told(name: str, status: int, says: Callable[[Walk], Sequence[Step]], finish: str = "stop", **more: Any) -> Path:
    """An ordinary request, and an engine that answers so."""

    def go(walk: Walk) -> None:
        walk.says(*says(walk), finish=finish)
        walk.ask(status, **more)

    return Path(name, str(status), go)


def _both(name: str, says: Callable[[Walk], Sequence[Step]], finish: str = "stop", **more: Any) -> list[Path]:
    return [
        _told(f"{name}, {how}", 200, says, finish, **more, **({"stream": True} if how == "streamed" else {}))
        for how in ("whole", "streamed")
    ]


def _calls(walk: Walk) -> Sequence[Step]:
    name = {"index": 0, "id": walk.word("frame"), "type": "function", "function": {"name": walk.word("tool's name")}}
    name["function"]["arguments"] = ""  # type: ignore[index]
    arguments = json.dumps({walk.word("tool's property"): walk.word("tool's argument"), "to": walk.address})
    return {"tool_calls": [name]}, {"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}


def _document(walk: Walk) -> Sequence[Step]:
    return (json.dumps({"said": walk.word("answer"), "mail": walk.address}),)


def _thinks(walk: Walk) -> Sequence[Step]:
    return {"reasoning": f"It is {walk.word('reasoning')}. {walk.held}"}, walk.open, walk.held, "Goodbye."


def _chooses_twice(walk: Walk) -> Sequence[Step]:
    second = Say(f"Or {walk.word('second choice')}. {walk.held}", choice=1, finish="stop")
    return walk.open, walk.held, second, "Goodbye."


def _ordinary(walk: Walk) -> Sequence[Step]:
    return walk.open, walk.held, "Goodbye."


def _unfinished(walk: Walk) -> Sequence[Step]:
    return walk.open, walk.begun


def _stops(walk: Walk) -> None:
    walk.ask(stop=[walk.word("stop string")])


_SCHEMA: Final = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties": {}}}}

ANSWERED: Final = [
    *_both("chat", _ordinary),
    *_both("completions", _ordinary, role="legacy", path=LEGACY),
    *_both("a tool is called", _calls, "tool_calls"),
    *_both("JSON mode", _document, response_format={"type": "json_object"}, tools=None),
    *_both("JSON by a schema", _document, response_format=_SCHEMA, tools=None),
    *_both("reasoning", _thinks),
    *_both("two choices", _chooses_twice, n=2),
    *_both("log-probabilities", _ordinary, role="tokens", logprobs=True, return_token_ids=True),
    *_both("a value is masked", _ordinary, role="masked"),
    *_both("cut by max_tokens", _unfinished, "length"),
    Path("stop strings", "200", _stops),
    Path("models are listed", "200", lambda walk: _got(walk, 200, "/v1/models")),
]


def _got(walk: Walk, status: int, path: str, method: str = "GET", **more: Any) -> None:
    with walk.client(**more) as client:
        walk.got(client.request(method, path), status)


# ---- what a caller does wrong ----------------------------------------------------------------------------------------


def _broken_json(walk: Walk) -> None:
    walk.ask(400, body=json.dumps(walk.chat()).encode()[:-1])


def _twice_in_json(walk: Walk) -> None:
    said = walk.word("prompt")
    walk.ask(400, body=f'{{"model": "{said}", "model": "{said}", "messages": "{said}"}}'.encode())


def _wrong_value(walk: Walk) -> None:
    walk.ask(400, temperature=walk.word("temperature"))


def _unknown_field(walk: Walk) -> None:
    walk.ask(400, body=walk.chat() | {walk.word("field's name"): walk.word("field's value")})


def _refused_field(walk: Walk) -> None:
    walk.ask(400, chat_template=walk.word("template"))


def _refused_schema(walk: Walk) -> None:
    literal = f"{walk.word('literal')} 138 1234 5678"
    schema = {"type": "object", "properties": {"a": {"enum": [literal]}}}
    walk.ask(400, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})


def _unknown_role_of_message(walk: Walk) -> None:
    walk.ask(400, messages=[{"role": walk.word("message's role"), "content": walk.word("prompt")}])


def _remote_picture(walk: Walk) -> None:
    url = f"https://{walk.word('host')}.example/{walk.word('file name')}.png"
    part = {"type": "image_url", "image_url": {"url": url}}
    walk.ask(400, messages=[{"role": "user", "content": [part]}])


def _too_deep(walk: Walk) -> None:
    deep: Any = walk.word("prompt")
    for _ in range(80):
        deep = {walk.word("name"): deep}
    walk.ask(400, metadata=deep)


def _no_token(walk: Walk) -> None:
    with httpx.Client(base_url=walk.stage.front.public, trust_env=False, timeout=60) as client:
        headers = {name: value for name, value in walk.headers("").items() if name != "authorization"}
        walk.got(client.post(CHAT, json=walk.chat(), headers=headers), 401)


def _no_json_web_token(walk: Walk) -> None:
    walk.ask(401, token=walk.word("token"))


def _foreign_claims(walk: Walk, name: str) -> None:
    claims: dict[str, Any] = {name: walk.word(f"token: {name}")}
    walk.ask(401, token=walk.token(**claims))


def _refused_claim(name: str, what: str) -> Path:
    return Path(f"a token of {what}", "401", lambda walk: _foreign_claims(walk, name))


def _broken_signature(walk: Walk) -> None:
    walk.ask(401, token=walk.token()[:-8] + "AAAAAAAA")


def _foreign_key(walk: Walk) -> None:
    claims = {"iss": "tightlip-dev", "sub": walk.word("token: subject")}
    walk.ask(401, token=walk.signed(claims, kid=walk.word("token: key id")))


def _expired(walk: Walk) -> None:
    walk.ask(401, token=walk.token(ttl=-300))


def _token_in_query(walk: Walk) -> None:
    with walk.client() as client:
        walk.got(client.get("/v1/models", params={"access_token": walk.word("token")}), 401)


def _broken_assertion(walk: Walk) -> None:
    with walk.client() as client:
        client.headers["tightlip-end-user"] = walk.word("end user: assertion")
        walk.got(client.get("/v1/models"), 401)


def _unencrypted(walk: Walk) -> None:
    walk.ask(403, "sealed")


def _unknown_model(walk: Walk) -> None:
    walk.ask(404, model=walk.word("model"))


def _unknown_path(walk: Walk) -> None:
    _got(walk, 404, f"/v1/{walk.word('path')}/{walk.word('file name')}.txt")


def _management_on_the_public_port(walk: Walk) -> None:
    _got(walk, 404, f"/admin/v1/revocations/{walk.word('path')}")


def _too_large(walk: Walk) -> None:
    walk.ask(413, messages=[{"role": "user", "content": walk.word("prompt") * (MOST_BODY // 12)}])


def _media(walk: Walk) -> None:
    with walk.client() as client:
        kind = {"content-type": f"text/{walk.word('media type')}", "content-encoding": walk.word("encoding")}
        walk.got(client.post(CHAT, content=walk.word("prompt"), headers=kind), 415)


def _over_his_limit(walk: Walk) -> None:
    walk.ask(200, "few")
    walk.ask(429, "few")


def _budget_spent(walk: Walk) -> None:
    walk.ask(200, "spent")
    walk.ask(429, "spent")


def _raw(walk: Walk, sent: str | bytes, source: str = "") -> bytes:
    """What comes back to this address, of which the system chooses one; nothing where the connection is reset."""
    url = httpx.URL(walk.stage.front.public)
    with socket.create_connection((url.host, url.port or 80), timeout=60, source_address=(source, 0)) as caller:
        came = b""
        with suppress(ConnectionError):  # it may be reset before all of it is sent, and say why all the same
            caller.sendall(sent if isinstance(sent, bytes) else sent.encode())
        with suppress(ConnectionError):
            while piece := caller.recv(65536):
                came += piece
    walk.keep(came)
    return came


def _no_http(walk: Walk) -> None:
    assert _raw(walk, f"{walk.word('method')} /{walk.word('path')} {walk.word('version')}\r\n\r\n")


def _large_head(walk: Walk) -> None:
    line = f"x-{walk.word('header')}: {walk.word('header') * 8000}\r\n"
    assert b" 4" in _raw(walk, f"GET /v1/models HTTP/1.1\r\nhost: a\r\n{line}\r\n")[:20]


def _slow_body(walk: Walk) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in walk.headers(walk.token()).items())
    body = f"content-type: application/json\r\ncontent-length: 1000\r\n\r\n{walk.word('prompt')}"
    assert b" 408 " in _raw(walk, f"POST {CHAT} HTTP/1.1\r\nhost: a\r\n{head}{body}")


def _head(line: str, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in ({"host": "a", "connection": "close"} | headers).items())
    return f"{line} HTTP/1.1\r\n{lines}\r\n".encode()


def _reads_slowly(walk: Walk) -> None:
    """A few bytes at a time, through a window that is full at once."""
    walk.says(walk.open, walk.held, *("And so it went on. " * 400 for _ in range(4)), "Goodbye.")
    url, content = httpx.URL(walk.stage.front.public), json.dumps(walk.chat(stream=True))
    length = {"content-type": "application/json", "content-length": str(len(content))}
    came = b""
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 512)  # or a window so small would wait for a timer
        caller.settimeout(60)
        caller.connect((url.host, url.port or 80))
        caller.sendall(_head(f"POST {CHAT}", walk.headers(walk.token("masked")) | length) + content.encode())
        while piece := caller.recv(256):
            came += piece
    walk.keep(came)
    assert b"data: [DONE]" in came
    assert came.count(b"went on") > 100, "more than any buffer takes"


def _announced(walk: Walk) -> None:
    """By a proxy that tells more of its caller than it has to, and by one that tells nonsense."""
    said = walk.word("PROXY header").encode()
    more = b"".join(bytes([kind]) + len(said).to_bytes(2, "big") + said for kind in (0x01, 0x02, 0x05, 0x30, 0xE0))
    request = _head("GET /v1/models", walk.headers(walk.token()))
    assert b" 200 " in _raw(walk, header(IPv4Address("192.0.2.7"), more) + request, PROXY)[:20]
    assert not _raw(walk, b"PROXY TCP4 %s\r\n%s" % (said, request), PROXY)


def _hello(walk: Walk) -> None:
    """A handshake with a name and a certificate that say something; and what is none."""
    said, authority = walk.word("server name"), walk.stage.authority
    assert authority is not None
    key = ec.generate_private_key(ec.SECP256R1())
    shown = walk.folder.parent / "caller.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shown.write_bytes(private + authority.certify(walk.word("certificate"), key.public_key()))
    context = client_context(authority.ca_file, shown)
    context.check_hostname = False
    url = httpx.URL(walk.stage.front.public)
    with (
        socket.create_connection((url.host, url.port or 443), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=f"{said}.example") as caller,
    ):
        caller.sendall(_head("GET /v1/models", walk.headers(walk.token()) | {"host": said}))
        walk.keep(caller.recv(65536))
    assert b" 200 " in walk.stage.answers[walk.name][:20]
    _raw(walk, f"GET /{said} HTTP/1.1\r\n\r\n")


def _goes_away(walk: Walk) -> None:
    """In the middle of his answer."""
    go_on, aborted = threading.Event(), walk.stage.engine.aborted
    walk.says(walk.open, walk.begun, *("x", Pause(0.05)) * 400, Until(go_on))
    with walk.client() as client, client.stream("POST", CHAT, json=walk.chat(stream=True)) as response:
        walk.keep(next(response.iter_raw()))
    until(lambda: walk.stage.engine.aborted > aborted)
    go_on.set()


REFUSED: Final = [
    Path("JSON that breaks off", "400", _broken_json),
    Path("a name twice in JSON", "400", _twice_in_json),
    Path("a field of a wrong type", "400", _wrong_value),
    Path("an unknown field", "400", _unknown_field),
    Path("a refused field", "400", _refused_field),
    Path("a refused schema", "400", _refused_schema),
    Path("an unknown role of a message", "400", _unknown_role_of_message),
    Path("a remote picture", "400", _remote_picture),
    Path("JSON that is too deep", "400", _too_deep),
    Path("no token", "401", _no_token),
    Path("what is no token", "401", _no_json_web_token),
    _refused_claim("iss", "an unknown issuer"),
    _refused_claim("aud", "another audience"),
    _refused_claim("role", "an unknown role"),
    _refused_claim("tid", "an unknown tenant"),
    Path("a token with a bad signature", "401", _broken_signature),
    Path("a token of an unknown key", "401", _foreign_key),
    Path("an expired token", "401", _expired),
    Path("a token in the query string", "401", _token_in_query),
    Path("a bad assertion of the end user", "401", _broken_assertion),
    _asked("an endpoint that the role may not have", 403, path=LEGACY),
    Path("what has to be encrypted and is not", "403", _unencrypted),
    Path("an unknown model", "404", _unknown_model),
    Path("an unknown path", "404", _unknown_path),
    Path("administration on the public port", "404", _management_on_the_public_port),
    Path("a method that is not allowed", "405", lambda walk: _got(walk, 405, CHAT, "DELETE")),
    Path("a body that is too large", "413", _too_large),
    Path("a body of another type", "415", _media),
    Path("over a limit of requests", "429", _over_his_limit),
    Path("a leak budget is spent", "429", _budget_spent),
    Path("what is no HTTP", "closed", _no_http),
    Path("a head that is too large", "4xx", _large_head),
    Path("a proxy that tells more of its caller", "200, closed", _announced),
    Path("the caller reads slowly", "200", _reads_slowly),
    Path("the caller goes away", "aborted", _goes_away),
]


# ---- what model servers do wrong -------------------------------------------------------------------------------------


def _engines_error(status: int, ours: int) -> Path:
    return _told(f"the model server answers {status}", ours, lambda walk: (walk.error(status),))


def _too_long(walk: Walk) -> Sequence[Step]:
    said = walk.word("upstream's error")
    text = f"This model's maximum context length is 1024 tokens: {said}"
    return (Error(400, json.dumps({"error": {"message": text}}).encode()),)


def _faults(name: str, *fault: Callable[[Walk], Step], status: int = 502) -> list[Path]:
    """Before anything was released, and behind it."""

    def before(walk: Walk) -> Sequence[Step]:
        return walk.begun, *(step(walk) for step in fault)

    def behind(walk: Walk) -> None:
        released = threading.Event()
        walk.says(walk.open, walk.begun, Until(released), *(step(walk) for step in fault))
        assert '"error"' in walk.streaming(released.set)

    early = _told(f"{name} before the first byte", status, before)
    return [early, Path(f"{name} in mid-stream", "200, an error", behind)]


def _choice(text: str) -> Callable[[Walk], Step]:
    """A frame with this choice; CANARY stands for the word of a frame."""
    return lambda walk: Raw(
        b'data: {"choices":[{"index":0,%s}]}\n\n' % text.replace("CANARY", walk.word("frame")).encode()
    )


def _in_band(walk: Walk) -> Step:
    return Raw(b'data: {"error":{"message":"%s"}}\n\n' % walk.word("upstream's error").encode())


def _nonsense(walk: Walk) -> Step:
    return Raw(b"data: {%s\n\n%s\r\n" % (walk.word("frame").encode(), walk.word("frame").encode()))


def _base_faults(name: str, step: Callable[[Walk], float | Step], role: str = "customer") -> Path:
    """A question to the base model that gets no good answer."""

    def go(walk: Walk) -> None:
        walk.stage.engine.score = step(walk)
        try:
            walk.ask(200, role)
        finally:
            walk.stage.engine.score = SURPRISED

    return Path(f"a question to the base model: {name}", "200, hidden", go)


def _base_fails_in_a_fallback(walk: Walk) -> None:
    walk.says(base=(walk.error(500),))
    walk.ask(502)


def _base_agrees(walk: Walk) -> None:
    """So that the value counts as made up, and is masked."""
    walk.stage.engine.score = SURE
    try:
        walk.ask(200)
    finally:
        walk.stage.engine.score = SURPRISED


def _nobody_listens(walk: Walk) -> None:
    walk.ask(503, "absent", model=ABSENT)


BROKEN: Final = [
    *(_engines_error(*each) for each in [(400, 400), (401, 502), (404, 502), (413, 413), (429, 429), (500, 502)]),
    _engines_error(503, 503),
    _told("a request longer than the context", 400, _too_long),
    Path("nobody listens where the model server should be", "503", _nobody_listens),
    _asked("nobody listens at one of two replicas", 200, role="some", model=SOME),
    *_faults("the connection is reset", lambda walk: Reset()),
    *_faults("the connection is closed", lambda walk: Close()),
    *_faults("a frame that is no JSON", _nonsense),
    *_faults("an error in a frame", _in_band),
    *_faults("an unknown reason to finish", _choice('"delta":{},"finish_reason":"CANARY"')),
    *_faults("a frame of another shape", _choice('"delta":"CANARY"')),
    *_faults("an unknown token", _choice('"delta":{"content":"CANARY"},"token_ids":[999999]'), status=503),
]
ASKED: Final = [  # these change what the base model says to everybody
    _base_faults("an error", lambda walk: walk.error(500)),
    _base_faults("an error, where an answer then stops", lambda walk: walk.error(500), "careful"),
    _base_faults("nonsense", lambda walk: Raw(walk.word("upstream's error").encode())),
    _base_faults("a reset", lambda walk: Reset()),
    Path("the base model would have said it too", "200, masked", _base_agrees),
    Path("the base model fails in a fallback", "502", _base_fails_in_a_fallback),
]


# ---- what goes wrong in the gateway ----------------------------------------------------------------------------------


def _detector(name: str, stream: bool, role: str = "customer") -> Path:
    def says(walk: Walk) -> Sequence[Step]:
        return walk.open, f"There is a {failing.DETECTOR}. {walk.held}", "Goodbye."

    return _told(f"a detector crashes on an answer, {name}", 200, says, role=role, stream=stream)


def _with_word(name: str, status: int, word: str) -> Path:
    def go(walk: Walk) -> None:
        prompt = f"Tell me of {walk.word('prompt')} and the {word}."
        walk.ask(status, messages=[{"role": "user", "content": prompt}])

    return Path(name, str(status), go)


PLANTED: Final = "planted"  # the one that is found
FAILED: Final = [
    _detector("whole", stream=False),
    _detector("streamed", stream=True),
    _detector("where an answer then stops", stream=False, role="careful"),
    _with_word("a detector crashes on the request", 200, failing.DETECTOR),
    _with_word("an exception that nobody expected", 500, failing.ROUTE),
    _with_word("libraries, warnings, tasks and threads speak", 200, failing.LIBRARIES),
]
PLANTS: Final = _with_word(PLANTED, 200, failing.PLANTS)


# ---- encryption ------------------------------------------------------------------------------------------------------


def _sealed(walk: Walk) -> None:
    walk.ask(200, "sealed", sealed=True)
    walk.ask(200, "sealed", sealed=True, stream=True)


def _sealed_error(walk: Walk) -> None:
    walk.ask(400, "sealed", sealed=True, temperature=walk.word("temperature"))


def _not_decrypted(walk: Walk) -> None:
    with walk.client("sealed") as client:
        kind = {"content-type": "application/jose"}
        walk.got(client.post(CHAT, content=f"{walk.word('prompt')}.a.b.c.d", headers=kind), 400)


ENCRYPTED: Final = [
    Path("an encrypted exchange", "200", _sealed),
    Path("an encrypted error", "400", _sealed_error),
    Path("what can't be decrypted", "400", _not_decrypted),
]


# ---- administration --------------------------------------------------------------------------------------------------


def _write_policy(walk: Walk, text: str) -> None:
    (walk.folder / ".policy").write_text(text)
    (walk.folder / ".policy").replace(walk.folder / "policy.yaml")
    os.kill(walk.stage.front.child.process.pid, signal.SIGHUP)


def _metric(walk: Walk, line: str) -> bool:
    return line in walk.stage.front.page("/metrics").text


def _bad_policy(text: Callable[[str], str], count: int) -> Callable[[Walk], None]:
    def go(walk: Walk) -> None:
        _write_policy(walk, text(walk.word("policy")))
        until(lambda: _metric(walk, f"tightlip_policy_reload_failures_total {count}.0"))

    return go


def _wrong_policy(said: str) -> str:
    return yaml.safe_dump(POLICY | {"record_fields": said, "internal_hosts": [f"{said} ?"]})


def _urgent_policy(walk: Walk) -> None:
    go_on = threading.Event()
    walk.says(walk.open, walk.begun, Until(go_on))
    came = walk.streaming(lambda: _write_policy(walk, yaml.safe_dump(POLICY | {"urgent": True})))
    go_on.set()
    assert "policy_changed" in came


def _revoked(walk: Walk) -> None:
    """Behind an answer that runs."""
    go_on = threading.Event()
    walk.says(walk.open, walk.begun, Until(go_on))

    def revoke() -> None:
        of = ("--issuer", "tightlip-dev")
        walk.administers("security", "revoke", *of, "--subject", walk.word("token: subject"))

    came = walk.streaming(revoke)
    go_on.set()
    assert "invalid_api_key" in came


def _withdrawn(walk: Walk) -> None:
    go_on = threading.Event()
    walk.says(walk.open, walk.begun, Until(go_on))

    def withdraw() -> None:
        walk.administers("operations", "release", "withdraw", TWO, "blue")

    came = walk.streaming(withdraw, "two", model=TWO)
    go_on.set()
    assert "model_withdrawn" in came


def _administered(walk: Walk) -> None:
    """Refused calls, with something wherever a call can say something."""
    said = walk.word
    good = {"authorization": f"Bearer {admin_token(walk.folder, 'security')}", "user-agent": said("header")}
    foreign = {"authorization": f"Bearer {admin_token(walk.folder, said('role'), subject=said('token: subject'))}"}
    with httpx.Client(base_url=f"{walk.stage.front.management}/admin/v1", trust_env=False, timeout=60) as client:
        answers = [
            client.get(f"/{said('path')}", headers=good),
            client.get("/revocations", headers=foreign),
            client.get("/revocations", headers={"authorization": f"Bearer {said('token')}"}),
            client.get("/revocations", params={said("query string: name"): said("query string: value")}, headers=good),
            client.delete(f"/revocations/{said('path')}", headers=good),
            client.post("/revocations", content=said("body"), headers=good),
            client.post("/revocations", json={"role": said("body")}, headers=good),
            client.post("/revocations", json={said("body's field"): said("body")}, headers=good),
            client.post("/revocations", json={"subject": "a", "token_id": said("body")}, headers=good),
            client.post("/releases/switch", json={"model": said("body"), "shares": {said("body"): 1}}, headers=good),
        ]
    for answer in answers:
        assert 400 <= answer.status_code < 500, answer.status_code
        walk.got(answer, answer.status_code)


def _asked_for(walk: Walk) -> None:
    """What is kept of a person, who has made something to keep; and calls that mean nobody."""
    walk.ask(200, "some", model=SOME)
    for call in ("export", "erase"):
        records = () if walk.stage.key is not None else ("--records", str(walk.folder / "records"))
        of = ("subject", call, walk.word(SUBJECT), "--issuer", "tightlip-dev")
        walk.prints(SUBJECTS, walk.administers("privacy", *of, *records))
    headers = {"authorization": f"Bearer {admin_token(walk.folder, 'privacy', subject='root-2')}"}
    with httpx.Client(base_url=f"{walk.stage.front.management}/admin/v1", trust_env=False, timeout=60) as client:
        said = walk.word("body")
        whom = {"subject": said, "tenant": said}, {"subject": f"{said}\n"}, {"subject": [said]}
        for body in (*whom, {"subject": said, "end_user_issuer": said}, {walk.word("body's field"): said}):
            walk.got(client.post("/subjects/export", json=body, headers=headers), 400)


def _probed(walk: Walk) -> None:
    """By the leak probe, whose record is what the model says."""
    walk.says(walk.open, walk.held, "Goodbye.")
    record = {"language": "en", "ask": f"What is {walk.word('prompt')}?", "secret": walk.address, "indexed": False}
    with TemporaryDirectory() as folder:
        (records := FilePath(folder, "records.yaml")).write_text(yaml.safe_dump({"records": [record]}))
        (token := FilePath(folder, "token")).write_text(walk.token())
        out = FilePath(folder, "metrics.prom")
        options = ("--records", str(records), "--token-file", str(token), "--out", str(out))
        done = CliRunner().invoke(app, ["probe", "--url", walk.stage.front.public, "--model", MODEL, *options])
        walk.stage.printed.append((PROBE, out.read_bytes()))
    assert "1 asked for: 0 leaked, 0 uncompared, 0 unanswered" in done.output, done.output
    walk.prints(PROBE, done)


def _nothing_can_be_written(walk: Walk) -> None:
    with no_file_beyond(0, walk.stage.front.child.process.pid):
        walk.ask(200)
        walk.ask(200, stream=True)
        revoke = tightlip(walk.stage.front, "security", "revoke", "--role", "few")
        assert revoke.exit_code == 1, revoke.output
        walk.keep(revoke.output_bytes)


def _store_is_away(walk: Walk) -> None:
    store = walk.stage.store
    assert store is not None
    store.child.process.send_signal(signal.SIGSTOP)
    try:
        walk.ask(503, "few")
    finally:
        store.child.process.send_signal(signal.SIGCONT)
    with Client(port=store.port) as client:
        until(lambda: client.ping())


ADMINISTERED: Final = [
    Path("administration that is refused", "4xx", _administered),
    Path("what is kept of a person", "shown, erased, 400", _asked_for),
    Path("the leak probe asks", "200", _probed),
    Path("nothing can be written to the disk", "200, not done", _nothing_can_be_written),
    Path("a policy with wrong values", "refused", _bad_policy(_wrong_policy, 1)),
    Path("a policy that is no YAML", "refused", _bad_policy(lambda said: f"version: 1\n{said}: [{said}: {said}\n", 2)),
    Path("an urgent policy ends an answer", "policy_changed", _urgent_policy),
    Path("a revocation ends an answer", "invalid_api_key", _revoked),
    Path("a withdrawn release ends an answer", "model_withdrawn", _withdrawn),
]


# ---- what takes its time ---------------------------------------------------------------------------------------------


def _silent(walk: Walk) -> None:
    go_on = threading.Event()
    walk.says(walk.begun, Until(go_on))
    walk.ask(504)
    go_on.set()


def _stalls(walk: Walk) -> None:
    go_on = threading.Event()
    walk.says(walk.open, walk.begun, Until(go_on))
    assert "upstream_timeout" in walk.streaming(lambda: None)
    go_on.set()


def _expires(walk: Walk) -> None:
    go_on = threading.Event()
    walk.says(walk.open, walk.begun, *(Pause(0.5), "x") * 60, Until(go_on))
    came = walk.streaming(lambda: None, token=walk.token(ttl=8))
    go_on.set()
    assert "invalid_api_key" in came


SLOW: Final = [
    Path("the model server is silent", "504", _silent),
    Path("the model server stalls in mid-stream", "200, an error", _stalls),
    Path("a token expires in mid-stream", "invalid_api_key", _expires),
    Path("a body that does not come", "408", _slow_body),
]


# ---- the end ---------------------------------------------------------------------------------------------------------


def _shut_down(walk: Walk) -> None:
    go_on = threading.Event()
    walk.says(walk.open, walk.begun, Until(go_on))
    process = walk.stage.front.child.process
    came = walk.streaming(process.terminate)
    go_on.set()
    assert "shutting_down" in came
    assert process.wait(60) == 0


def _killed(walk: Walk) -> None:
    go_on = threading.Event()
    walk.says(walk.open, walk.begun, Until(go_on))
    process = walk.stage.front.child.process
    try:
        walk.streaming(process.kill)
    except httpx.TransportError:
        go_on.set()
    assert process.wait(60) == -signal.SIGKILL


SHUT_DOWN: Final = Path("a shutdown in mid-stream", "shutting_down", _shut_down)
KILLED: Final = Path("kill -9 in mid-stream", "killed", _killed)

FIRST: Final = [ANSWERED[0]]  # by itself: the process is still warming up
BESIDE: Final = [*ANSWERED[1:], *REFUSED, *BROKEN, *FAILED, *ENCRYPTED]
THEN: Final = [*ASKED, *ADMINISTERED]
_OF_STORES: Final = {  # what a store is told of
    "over a limit of requests",
    "a leak budget is spent",
    "administration that is refused",
    "what is kept of a person",
    "a revocation ends an answer",
}
LOCKED: Final = [  # where there is Redis and TLS
    Path("a handshake that tells of its caller", "200, closed", _hello),
    Path("the store is away", "503", _store_is_away),
]
ALL: Final = [*FIRST, *BESIDE, *SLOW, *THEN, SHUT_DOWN, *LOCKED, KILLED]
ON_REDIS: Final = [*ANSWERED[:4], *(path for path in ALL if path.name in _OF_STORES), *LOCKED]
