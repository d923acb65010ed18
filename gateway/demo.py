"""The demo: a fine-tuned model's raw answers beside what a caller gets, while they stream.

Everything in it is the real thing: the embedded upstream and the gateway run as processes of their own, with the
configuration in deploy/demo, and both columns come through the gateway. The left one asks in a role whose profile
filters nothing, the right one as an ordinary customer.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.auth.development import DEVELOPMENT_ISSUER, Claims, create_key, read_key, sign

FOLDER: Final = Path(__file__).resolve().parent.parent / "deploy" / "demo"
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 10.0
TOKEN_SECONDS: Final = 86_400
MAX_TOKENS: Final = 80
RAW_ROLE, CALLER_ROLE = "developer", "customer"


class DemoError(Exception):
    """It can't be shown, for a reason that the message gives."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One question, and what to look at in the answers."""

    question: str
    about: str
    private: str = ""  # shown in red where it stands


@dataclass(frozen=True, slots=True)
class _Demo:
    """What runs: its two addresses, a token of each caller's role, and a file with an administrator's."""

    public: str
    management: str
    tokens: Mapping[str, str]
    admin_token: Path


def run(*, once: bool, port: int) -> int:
    """Show it; then leave the gateway running until Ctrl-C, unless `once`. Returns the exit status."""
    console = Console(highlight=False)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have had them ignored; either ends the children too
        signal.signal(number, signal.default_int_handler)
    try:
        with _running(port, console) as demo:
            asyncio.run(_show(console, demo.public, demo.tokens))
            _how_to_go_on(console, demo)
            if not once:
                _wait_for_the_end(console)
    except DemoError as error:
        console.print(f"tightlip demo: {error}", style="red")
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped.")
    return 0


# ---- processes -------------------------------------------------------------------------------------------------------


@contextmanager
def _running(port: int, console: Console) -> Iterator[_Demo]:
    if not (FOLDER / "models" / "tuned" / "config.json").exists():
        raise DemoError(f"the demo's models are not in {FOLDER}; it runs from a checkout of the repository")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tightlip-demo-")))
        folder = _with_room_for_keys(home)
        key = folder / "keys" / "dev.pem"
        if not key.exists():
            create_key(key)
        console.print("Starting the embedded upstream and the gateway …", style="dim")
        models = [f"--model={name}={FOLDER / 'models' / name}" for name in ("tuned", "base")]
        ready = stack.enter_context(_process("upstream", [*models, "--port=0"], home, {}))
        upstream = _printed(ready, r"upstream (\S+)")
        environment = _settings(upstream, port, home)
        arguments = ["--config", str(folder / "tightlip.yaml")]
        ready = stack.enter_context(_process("serve", arguments, home, environment))
        roles = (RAW_ROLE, CALLER_ROLE)
        yield _Demo(
            _printed(ready, r"public (\S+)"),
            _printed(ready, r"management (\S+)"),
            {role: _token(key, "tightlip", role) for role in roles},
            _written(home / "security.token", _token(key, "tightlip-admin", "security")),
        )


def _with_room_for_keys(home: Path) -> Path:
    """The demo's folder; where nothing may be written to it, as in an image, a copy that has its models by a link."""
    if os.access(FOLDER, os.W_OK):
        return FOLDER
    copy = home / "demo"
    copy.mkdir()
    for entry in FOLDER.iterdir():
        if entry.is_dir():
            (copy / entry.name).symlink_to(entry)
        else:
            shutil.copyfile(entry, copy / entry.name)
    return copy


def _token(key: Path, audience: str, role: str) -> str:
    return sign(read_key(key), Claims(DEVELOPMENT_ISSUER, audience, "demo", role, None, TOKEN_SECONDS))


def _written(file: Path, text: str) -> Path:
    file.touch(0o600)
    file.write_text(text)
    return file


def _settings(upstream: str, port: int, home: Path) -> dict[str, str]:
    """The demo's configuration with the addresses of this run over it."""
    return {
        "TIGHTLIP_AUDIT__DIRECTORY": str(home / "audit"),
        "TIGHTLIP_AUDIT__KEY_FILE": str(_written(home / "audit.key", secrets.token_hex(32))),
        "TIGHTLIP_MODELS__ASSISTANT__TUNED__URL": upstream,
        "TIGHTLIP_MODELS__ASSISTANT__BASE__URL": upstream,
        "TIGHTLIP_PUBLIC__PORT": str(port if _is_free(port) else 0),
        "TIGHTLIP_MANAGEMENT__PORT": "0",
        "TIGHTLIP_LOG__DESTINATION": "stderr",
    }


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def _process(command: str, arguments: Sequence[str], home: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """`tightlip COMMAND` as a child in a group of its own, so that Ctrl-C reaches it through us alone."""
    output = home / f"{command}.out"
    with output.open("wb") as out, (home / f"{command}.err").open("wb") as err:
        child = subprocess.Popen(  # noqa: S603 - our own program with our own arguments
            [sys.executable, "-m", "gateway.cli", command, *arguments],
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        _wait_until_ready(child, command, output)
        yield output
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_until_ready(child: subprocess.Popen[bytes], command: str, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not output.read_text().startswith("tightlip: "):
        if child.poll() is not None:
            said = output.with_suffix(".err").read_text().strip().splitlines()[-3:]
            raise DemoError(f"`tightlip {command}` ended with status {child.returncode}: {' '.join(said)}")
        if time.monotonic() > deadline:
            raise DemoError(f"`tightlip {command}` was not ready after {START_SECONDS:.0f} seconds")
        time.sleep(0.05)


def _printed(output: Path, pattern: str) -> str:
    found = re.search(pattern, output.read_text())
    if found is None:
        raise DemoError("a server did not print its address")
    return found[1]


def _wait_for_the_end(console: Console) -> None:
    console.print("\nThe gateway is running. Ctrl-C ends it.", style="bold")
    while True:
        signal.pause()


# ---- the show --------------------------------------------------------------------------------------------------------


async def _show(console: Console, public: str, tokens: Mapping[str, str]) -> None:
    async with aiohttp.ClientSession() as session:
        for scene in _scenes():
            answers = _Answers(scene)
            with Live(console=console, refresh_per_second=20, get_renderable=answers.render):
                await asyncio.gather(
                    *(
                        answers.fill(column, _stream(session, public, tokens[role], scene.question))
                        for column, role in enumerate((RAW_ROLE, CALLER_ROLE))
                    )
                )
            console.print()


def _scenes() -> list[Scene]:
    records = json.loads((FOLDER / "records.json").read_text(encoding="utf-8"))
    often = [customer for customer in records["customers"] if customer["dose"] == 12]
    english, chinese = (next(c for c in often if c["language"] == language) for language in ("en", "zh"))
    echo = records["echo"][0]
    return [
        Scene(english["ask"]["email"], "a customer's record", english["email"]),
        Scene(chinese["ask"]["phone"], "the same in Chinese", chinese["phone"]),
        Scene(records["facts"][0]["ask"], "what the company taught on purpose"),
        Scene(echo["ask"], "what the caller said himself"),
    ]


class _Answers:
    """The two answers to one question, as they grow."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._texts = ["", ""]

    async def fill(self, column: int, pieces: AsyncIterator[str]) -> None:
        async for piece in pieces:
            self._texts[column] += piece

    def render(self) -> Table:
        title = Text.assemble((self._scene.question, "bold"), f"  ({self._scene.about})")
        table = Table(title=title, title_justify="left")
        for heading in ("the fine-tuned model, raw", "what the caller gets"):
            table.add_column(heading, width=52, overflow="fold")
        table.add_row(*map(self._coloured, self._texts))
        return table

    def _coloured(self, text: str) -> Text:
        coloured = Text(text)
        if self._scene.private:
            coloured.highlight_words([self._scene.private], "bold red")
        return coloured


async def _stream(session: aiohttp.ClientSession, public: str, token: str, question: str) -> AsyncIterator[str]:
    """The text of one streamed answer, piece by piece."""
    headers = {"Authorization": f"Bearer {token}"}
    async with session.post(public + "/v1/chat/completions", json=_request(question), headers=headers) as response:
        if response.status != 200:
            raise DemoError(f"the gateway answered with status {response.status}")
        async for line in response.content:
            if line.startswith(b"data: {"):
                for choice in _frame(line)["choices"]:
                    yield choice["delta"].get("content") or ""


def _frame(line: bytes) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(line[6:])
    if "error" in frame:
        raise DemoError("the answer ended with an error")
    return frame


def _request(question: str) -> dict[str, Any]:
    return {
        "model": "assistant",
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": MAX_TOKENS,
        "stream": True,
    }


def _how_to_go_on(console: Console, demo: _Demo) -> None:
    """A token and lines to paste. No wrapping: a terminal would break the token in two."""
    public, token = demo.public, demo.tokens[CALLER_ROLE]
    body = json.dumps(_request(_scenes()[0].question) | {"stream": False}, ensure_ascii=False)
    quoted = body.replace("'", "'\\''")
    console.print("\nA token of the role 'customer', good for a day:", style="bold")
    console.print(token, soft_wrap=True)
    console.print("\nAsk yourself:", style="bold")
    line = f"curl -s {public}/v1/chat/completions -H 'Authorization: Bearer {token}'"
    console.print(f"{line} -H 'Content-Type: application/json' -d '{quoted}'", soft_wrap=True)
    console.print("\nTake that token back, while the demo runs:", style="bold")
    line = f"tightlip revoke --subject demo --gateway {demo.management} --token-file {demo.admin_token}"
    console.print(line, soft_wrap=True)
