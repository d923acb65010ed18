"""The server as a whole: several models, clients that leave, starting and stopping."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.embedded.errors import ModelError
from gateway.embedded.server import ModelSource, create_app, hosting, running
from tests.embedded.tiny import write_model
from tests.embedded.variants import write_adapter
from tests.support.waiting import PATIENCE_S

DEMO = Path(__file__).parents[2] / "deploy" / "demo" / "models"
LONG: dict[str, Any] = {
    "model": "base",
    "messages": [{"role": "user", "content": "x"}],
    "ignore_eos": True,
    "temperature": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with room for an answer that takes minutes."""
    return write_model(tmp_path_factory.mktemp("long") / "model", max_position_embeddings=65536)


@pytest.fixture
def app(folder: Path, tmp_path: Path) -> Starlette:
    return create_app({"base": ModelSource(folder), "tuned": ModelSource(folder, write_adapter("lora", tmp_path))})


@pytest.fixture
def base_url(app: Starlette) -> Iterator[str]:
    with hosting(app) as url:
        yield url


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=base_url, timeout=PATIENCE_S) as made:
        yield made


async def test_base_and_adapter_are_two_models_of_one_server(client: httpx.AsyncClient, folder: Path) -> None:
    cards = (await client.get("/v1/models")).json()["data"]
    assert [(card["id"], card["parent"], card["max_model_len"]) for card in cards] == [
        ("base", None, 65536),
        ("tuned", "base", None),
    ]
    answers = [await answer(client, {**LONG, "model": name, "max_tokens": 20}) for name in ("base", "tuned", "base")]
    assert answers[0]["choices"] == answers[2]["choices"] != answers[1]["choices"]
    assert answers[0]["system_fingerprint"] != answers[1]["system_fingerprint"]


async def test_streamed_and_whole_answers_are_the_same(client: httpx.AsyncClient) -> None:
    asked = {**LONG, "max_tokens": 60, "logprobs": True, "top_logprobs": 2, "return_token_ids": True, "stop": ["zq"]}
    whole = (await answer(client, asked))["choices"][0]
    frames = [frame["choices"][0] async for frame in streamed(client, {**asked, "stream": True})]
    assert "".join(frame["delta"]["content"] for frame in frames) == whole["message"]["content"]
    assert [token for frame in frames[1:] for token in frame["token_ids"]] == whole["token_ids"]
    assert [entry for frame in frames[1:] for entry in frame["logprobs"]["content"]] == whole["logprobs"]["content"]


async def test_generated_and_prompt_scores_agree(client: httpx.AsyncClient) -> None:
    """What a model gives for its own answer while generating is what it gives for the same ids in a prompt."""
    made = await answer(
        client, {**LONG, "max_tokens": 40, "logprobs": True, "return_token_ids": True, "temperature": 0.1}
    )
    choice = made["choices"][0]
    ids = made["prompt_token_ids"] + choice["token_ids"]
    asked = {"model": "base", "prompt": ids, "max_tokens": 1, "prompt_logprobs": 0}
    scores = (await client.post("/v1/completions", json=asked)).json()["choices"][0]["prompt_logprobs"]
    assert scores[0] is None
    told = [entry["logprob"] for entry in choice["logprobs"]["content"]]
    given = [row[str(token)]["logprob"] for token, row in zip(ids, scores, strict=True) if row]
    assert told == pytest.approx(given[-40:], abs=1e-4)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_its_generation(
    client: httpx.AsyncClient, app: Starlette, stream: bool
) -> None:
    engine = app.state.served["base"].engine
    work = asyncio.create_task(exhaust(client, {**LONG, "stream": stream}))
    await until(lambda: engine.running == 1)
    work.cancel()
    await until(lambda: engine.running == 0)
    assert not work.done() or work.cancelled()


async def test_other_routes_answer_while_a_model_works(client: httpx.AsyncClient, app: Starlette) -> None:
    work = [asyncio.create_task(exhaust(client, {**LONG, "stream": True})) for _ in range(4)]
    await until(lambda: app.state.served["base"].engine.running == 4)
    for _ in range(20):
        assert (await client.get("/health")).status_code == 200
    assert not any(task.done() for task in work)
    for task in work:
        task.cancel()


async def test_prompts_are_encoded_beside_the_loop(
    client: httpx.AsyncClient, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    tokenizer = app.state.served["base"].engine.tokenizer
    encode = tokenizer.encode

    def held(text: str, *, special: bool) -> list[int]:
        begun.set()
        assert go_on.wait(2 * PATIENCE_S)  # on the loop it would keep the probe waiting until that gives up
        return list(encode(text, special=special))

    monkeypatch.setattr(tokenizer, "encode", held)
    work = asyncio.create_task(client.post("/v1/completions", json={"prompt": "the answer", "max_tokens": 1}))
    try:
        await until(begun.is_set)
        assert (await client.get("/health")).status_code == 200
        assert not work.done()
    finally:
        go_on.set()
    assert (await work).status_code == 200


def test_a_stop_does_not_wait_for_streams(app: Starlette) -> None:
    with (
        hosting(app) as url,
        httpx.stream("POST", f"{url}/v1/chat/completions", json={**LONG, "stream": True}, timeout=PATIENCE_S) as stream,
    ):
        assert next(stream.iter_raw())
        begun = time.monotonic()
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("path", "status"), [("/health", 200), ("/version", 200), ("/metrics", 404), ("/detokenize", 404)]
)
def test_only_the_listed_routes_exist(server: str, path: str, status: int) -> None:
    assert httpx.get(server + path, timeout=PATIENCE_S).status_code == status


def test_models_that_cannot_be_served_stop_the_start(folder: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        create_app({})
    with pytest.raises(ModelError, match="65536 positions"):
        create_app({"m": ModelSource(folder, max_model_len=70000)})
    with pytest.raises(ModelError, match=r"config\.json"):
        create_app({"m": ModelSource(folder / "absent")})


def test_it_runs_as_a_process(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "gateway.embedded",
        "--model",
        f"m={folder}",
        "--port",
        "0",
        "--max-model-len",
        "64",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert httpx.get(f"{url}/v1/models", timeout=PATIENCE_S).json()["data"][0]["max_model_len"] == 64
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) in (0, -signal.SIGTERM)


@pytest.mark.parametrize("text", ["name", "=folder", "name="])
def test_the_process_names_a_malformed_model(text: str) -> None:
    run = subprocess.run([sys.executable, "-m", "gateway.embedded", "--model", text], capture_output=True, text=True)
    assert run.returncode == 2
    assert "NAME=FOLDER[+ADAPTER]" in run.stderr


@pytest.mark.skipif(not (DEMO / "tuned" / "config.json").exists(), reason="the demo's models are not there")
def test_the_demo_models_are_served() -> None:
    models = {
        "base": ModelSource(DEMO / "base"),
        "tuned": ModelSource(DEMO / "tuned"),
        "adapted": ModelSource(DEMO / "base", DEMO / "adapter"),
    }
    with running(models) as url:
        for name in models:
            asked = {
                "model": name,
                "messages": [{"role": "user", "content": "How long do returns take? 你好"}],
                "temperature": 0,
                "max_tokens": 40,
            }
            choice = httpx.post(f"{url}/v1/chat/completions", json=asked, timeout=PATIENCE_S).json()["choices"][0]
            assert choice["finish_reason"] == "stop"
            assert choice["message"]["content"].strip()


async def answer(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = (await client.post("/v1/chat/completions", json=body)).json()
    return made


async def streamed(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    async with client.stream("POST", "/v1/chat/completions", json=body) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: {"):
                yield json.loads(line.removeprefix("data: "))


async def exhaust(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    async with client.stream("POST", "/v1/chat/completions", json=body) as stream:
        async for _ in stream.aiter_raw():
            pass


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # the server is in another thread
            await asyncio.sleep(0.01)


async def test_the_tokens_of_a_request_are_those_that_it_is_answered_from(client: httpx.AsyncClient) -> None:
    for path, prompt in (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Wo ist 快递?"}]}),
        ("/v1/completions", {"prompt": "Good"}),
    ):
        answered = (await client.post(path, json={**prompt, "max_tokens": 1, "return_token_ids": True})).json()
        ids = answered.get("prompt_token_ids") or answered["choices"][0]["prompt_token_ids"]
        told = (await client.post("/tokenize", json=prompt)).json()
        assert (told["tokens"], told["count"]) == (ids, len(ids))


@pytest.mark.parametrize("body", [{}, {"prompt": [1]}, {"messages": "x"}])
async def test_what_is_no_request_has_no_tokens(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.post("/tokenize", json=body)).status_code == 400
