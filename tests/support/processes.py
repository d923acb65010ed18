"""Servers as child processes on loopback, for tests that need the real thing.

The rules: a child is one `Child` from its start to its end; what it prints goes to files, never to a pipe that could
fill up and stall it; it is ended by its own process id, and what it started goes with it, because every child leads a
process group of its own. On Linux it also ends when the tests are killed: a model server left behind holds 3 GB.
"""

import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

HOST = "127.0.0.1"
POLL_S = 0.1
PORTS = range(12_000, 32_000)  # below what Linux, the BSDs and Windows give out by themselves
QUOTED_LINES = 25  # of each stream, in the error of a child that did not start

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_OURS = PORTS[_WORKER :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]  # no other worker's
_UNTAKEN = iter(random.SystemRandom().sample(_OURS, len(_OURS)))  # another order in each process that tests
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


class NotStarted(RuntimeError):
    """The child ended, or was not ready in time; the message holds the end of what it printed."""


@dataclass(frozen=True)
class Program:
    """What to start, and how one sees that it is ready. `url` is where it will listen, if the caller chose that."""

    name: str
    command: Sequence[str]
    ready: Callable[["Child"], bool]
    url: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    start_s: float = 120.0  # a machine may be busy
    grace_s: float = 20.0


@dataclass(frozen=True)
class Child:
    """A started program. Its streams can be read while it runs and after it has ended."""

    program: Program
    process: subprocess.Popen[bytes]
    stdout_path: Path
    stderr_path: Path

    @property
    def url(self) -> str:
        return self.program.url

    @property
    def stdout(self) -> str:
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    @property
    def output(self) -> str:
        """Both streams, for a search that must find nothing in either."""
        return self.stdout + self.stderr

    def printed(self, pattern: str) -> re.Match[str]:
        """The first match on stdout, such as the address that a gateway prints; raises if there is none."""
        match = re.search(pattern, self.stdout)
        if match is None:
            raise LookupError(f"{self.program.name} never printed {pattern!r}")
        return match


@contextmanager
def running(program: Program, logs: Path) -> Iterator[Child]:
    """The child, ready, for as long as the block lasts."""
    with running_together([program], logs) as (child,):
        yield child


@contextmanager
def running_together(programs: Sequence[Program], logs: Path) -> Iterator[tuple[Child, ...]]:
    """All the children, ready; they start side by side, since a model server takes half a minute to load."""
    with ExitStack() as stack:
        children = []
        for program in programs:
            child = start(program, logs)
            stack.callback(stop, child)
            children.append(child)
        for child in children:
            wait_until_ready(child)
        yield tuple(children)


class Replaceable:
    """A program that is killed, hangs, and is started again. What each of its lives printed stays."""

    def __init__(self, program: Program, logs: Path) -> None:
        """Started; `ready` waits for it."""
        self._program, self._logs, self._lives = program, logs, list[Child]()
        self._start()

    @property
    def child(self) -> Child:
        """The last one."""
        return self._lives[-1]

    @property
    def outputs(self) -> Iterator[str]:
        """What each printed."""
        return (child.output for child in self._lives)

    def ready(self) -> None:
        """Returns when it is. Raises NotStarted."""
        wait_until_ready(self.child)

    def come(self) -> None:
        """Again, and ready. Raises NotStarted."""
        self._start()
        self.ready()

    def go(self) -> None:
        """Without a word."""
        self.child.process.kill()
        self.child.process.wait()

    def end(self) -> None:
        """As it would like to."""
        self.send(signal.SIGCONT)
        stop(self.child)

    def send(self, number: signal.Signals) -> None:
        self.child.process.send_signal(number)

    def _start(self) -> None:
        name = f"{self._program.name}-{len(self._lives)}"
        self._lives.append(start(replace(self._program, name=name), self._logs))


def start(program: Program, logs: Path) -> Child:
    logs.mkdir(parents=True, exist_ok=True)
    stdout, stderr = (logs / f"{program.name}.{stream}" for stream in ("out", "err"))
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, **program.environment},
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    return Child(program, process, stdout, stderr)


def wait_until_ready(child: Child) -> None:
    deadline = time.monotonic() + child.program.start_s
    while not child.program.ready(child):
        if child.process.poll() is not None:
            raise NotStarted(f"{child.program.name} ended with {child.process.returncode}\n{_last_words(child)}")
        if time.monotonic() > deadline:
            raise NotStarted(f"{child.program.name} not ready in {child.program.start_s:g} s\n{_last_words(child)}")
        time.sleep(POLL_S)


def stop(child: Child) -> int:
    """SIGTERM, a grace, SIGKILL; then whatever is left of the child's own group. Returns the exit status."""
    if child.process.poll() is None:
        child.process.terminate()
    try:
        child.process.wait(child.program.grace_s)
    except subprocess.TimeoutExpired:
        child.process.kill()
        child.process.wait()
    _kill_group(child.process.pid)
    return child.process.returncode


def answers(path: str) -> Callable[[Child], bool]:
    """Ready when a GET of `path` at the child's address is answered with 200."""

    def check(child: Child) -> bool:
        return is_answering(child.url + path)

    return check


def says(pattern: str) -> Callable[[Child], bool]:
    """Ready when the child has printed `pattern` on stdout."""

    def check(child: Child) -> bool:
        return re.search(pattern, child.stdout) is not None

    return check


def is_answering(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False  # nobody listens yet: that is the answer, not a failure


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, each given once. No system takes the ports of outgoing connections, or of a server that
    asks for any, from there: so they stay free until a child listens on them."""
    ports: list[int] = []
    while len(ports) < count:
        port = next(_UNTAKEN)
        with socket.socket() as attempt, suppress(OSError):  # somebody else has it
            attempt.bind((HOST, port))
            ports.append(port)
    return ports


def free_port() -> int:
    return free_ports(1)[0]


@contextmanager
def nobody_listens() -> Iterator[str]:
    """The address of a port that is taken as long as the block lasts: who connects is refused."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield f"http://{HOST}:{taken.getsockname()[1]}"


def _end_with_parent() -> None:
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing is left of the group, which is what was wanted


def _last_words(child: Child) -> str:
    streams = {"stdout": child.stdout, "stderr": child.stderr}
    return "\n".join(f"--- {name}\n" + "\n".join(t.splitlines()[-QUOTED_LINES:]) for name, t in streams.items())
