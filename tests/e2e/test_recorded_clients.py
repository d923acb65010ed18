"""What the clients that everybody uses send by themselves: recorded, and sent to a gateway as it was. None is a special
case, and none of them asks for more than an ordinary role has, but for the legacy endpoint."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import jsonschema
import pytest
from jsonschema import Draft202012Validator

from gateway.openapi import answers
from tests.clients import record
from tests.support.gateways import Gateway, streamed
from tests.support.recordings import Recorded, recorded

CASES = recorded()


def send(front: Gateway, request: Recorded) -> httpx.Response:
    role = "legacy" if request.path == "/v1/completions" else "customer"
    headers = request.headers | {"authorization": f"Bearer {front.token(role)}"}
    content = None if request.body is None else json.dumps(request.body).encode()
    with httpx.Client(base_url=front.public, timeout=60, trust_env=False) as client:
        return client.request(request.method, request.path, headers=headers, content=content)


def documents(request: Recorded, choice: dict[str, object]) -> list[tuple[str, object]]:
    """Each JSON document in an answer that was asked for, with its schema."""
    message = choice["message"]
    assert isinstance(message, dict)
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in request.body.get("tools") or ()}
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    found = [(call["arguments"], schemas[call["name"]]) for call in calls]
    form = request.body.get("response_format") or {}
    if not calls and form.get("type") in ("json_schema", "json_object"):
        found.append((message["content"], form.get("json_schema", {}).get("schema", {})))
    return found


@pytest.mark.parametrize("client", sorted({request.client for request in CASES}))
def test_every_recorded_request_works(ordinary: Gateway, client: str) -> None:
    for request in (request for request in CASES if request.client == client):
        answer = send(ordinary, request)
        assert answer.status_code == 200, f"{request.name}: {answer.text}"
        if request.method == "GET":
            assert answer.json()["data"], request.name
            jsonschema.validate(answer.json(), answers.COMPONENTS["Models"])
        elif request.streams:
            _check_stream(request, answer)
        else:
            _check_whole(request, answer)


def described(request: Recorded, *, chunk: bool) -> Draft202012Validator:
    """What the gateway's own description says of an answer, or of a frame of one."""
    name = "ChatCompletion" if request.path == "/v1/chat/completions" else "Completion"
    return Draft202012Validator(answers.COMPONENTS[f"{name}Chunk" if chunk else name])


def _check_stream(request: Recorded, answer: httpx.Response) -> None:
    frames = streamed(answer)
    for frame in frames:
        described(request, chunk=True).validate(frame)
    ends = {choice["finish_reason"] for frame in frames for choice in frame["choices"]} - {None}
    assert ends & {"stop", "tool_calls"}, request.name
    assert answer.text.endswith("data: [DONE]\n\n"), request.name
    counted = (request.body.get("stream_options") or {}).get("include_usage", False)
    assert any("usage" in frame for frame in frames) == counted, request.name


def _check_whole(request: Recorded, answer: httpx.Response) -> None:
    described(request, chunk=False).validate(answer.json())
    choices = answer.json()["choices"]
    assert len(choices) == (request.body.get("n") or 1), request.name
    for choice in choices:
        assert choice["finish_reason"] in ("stop", "tool_calls", "length"), request.name
        if request.path == "/v1/completions":
            assert choice["text"], request.name
            continue
        said = choice["message"]
        assert said["content"] or said["tool_calls"], request.name
        for document, schema in documents(request, choice):
            jsonschema.validate(json.loads(str(document)), schema)


def test_the_recordings_hold_what_they_are_for() -> None:
    """Streams, tools called and answered, each way to ask for JSON: by every client that knows it."""
    for client in {request.client for request in CASES}:
        bodies = [request.body for request in CASES if request.client == client and request.body]
        assert any(body.get("stream") for body in bodies), client
        assert any(body.get("tools") for body in bodies), client
        assert any(m["role"] == "tool" for body in bodies for m in body.get("messages", ())), client
        forms = {body["response_format"]["type"] for body in bodies if body.get("response_format")}
        assert forms >= {"json_schema", "json_object"}, client
    assert len(CASES) > 80


def test_a_recording_holds_no_token() -> None:
    assert not any("authorization" in request.headers for request in CASES)


def test_the_python_client_does_its_rounds(ordinary: Gateway) -> None:
    """Every assertion that it makes of a model's server holds of the gateway."""
    _run([sys.executable, str(record.HERE / "openai_python.py")], ordinary)


def test_the_node_client_does_its_rounds(ordinary: Gateway) -> None:
    if not (record.HERE / "node" / "node_modules" / "openai").is_dir():
        pytest.skip("the Node client is not installed: make node-client")
    _run(record.node_command(), ordinary)


def _run(command: list[str], front: Gateway) -> None:
    try:
        record.driven(command, f"{front.public}/v1", front.token("legacy"))
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{command[-1]} ended with {error.returncode}:\n{error.stderr}")
