"""Where something that was said could come to lie, and what lies there: bytes by the name of the sink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from typer.testing import CliRunner

from gateway.cli import app
from tests.leaks.stage import PROBE, SUBJECTS, Stage
from tests.support.administration import tightlip
from tests.support.gateways import Gateway

STDOUT, STDERR, LOG = "standard output", "standard error", "files of records"
AUDIT, SQLITE, WAL = "the audit log", "the SQLite file", "its write-ahead log"
RDB, AOF = "Redis's dump", "Redis's append-only file"
TEMPORARY, OPEN, PROCESS = (
    "temporary files",
    "open files without a name",
    "arguments, environment and name of the process",
)
READ = "`tightlip logs read`"
METRICS, HEALTH, COMMANDS = "the metrics page", "probes' answers", "`tightlip status`, `review`, `release status`"
REVOCATIONS = "`tightlip revoke list`"
ANSWERS, UPSTREAM = "callers' answers: bodies and headers", "headers to the model server"
WIRES = "the bodies of an encrypted exchange"
TRACES = "traces"
CORE = "core dumps"
SINKS: Final[Mapping[str, str]] = {
    STDOUT: "all that the process printed, until its end",
    STDERR: "the same",
    LOG: "every file of `log.directory`, security events among them",
    READ: "what it prints of them, decrypted where they are encrypted",
    AUDIT: "every file of its directory",
    SQLITE: "while the process runs and after its end",
    WAL: "and the shared memory beside it, while the process runs",
    RDB: "written by `SAVE` when all was over",
    AOF: "every file of its directory",
    TEMPORARY: "`TMPDIR` of the process, and every other file below its folder that is no input",
    OPEN: "read through `/proc/PID/fd`",
    PROCESS: "`/proc/PID/cmdline`, `environ`, `comm`, of its threads too",
    METRICS: "`/metrics`",
    HEALTH: "`/healthz`, `/readyz`",
    COMMANDS: "what the commands print",
    REVOCATIONS: "likewise",
    SUBJECTS: "likewise, with `--records`",
    PROBE: "likewise, and the metrics that it writes",
    ANSWERS: "every path's own, error bodies among them",
    WIRES: "what a proxy would see of it",
    UPSTREAM: "head lines of every request to it",
    TRACES: "all that a collector was sent of every path, and with which head lines",
    CORE: "the kernel's word that none is written: no dumpable memory, a limit of 0",
}
_INPUTS: Final = {"tightlip.yaml", "policy.yaml", ".policy", "clients.yaml", ".clients.yaml", "tokenizer.json"}


def _printed(front: Gateway, role: str, *command: str) -> bytes:
    """What a command says that there is: that there is no such one would hold nothing in any case."""
    done = tightlip(front, role, *command)
    assert "Usage:" not in done.output, done.output
    return done.output.encode()


def live(stage: Stage) -> Iterator[tuple[str, bytes]]:
    """Those that end with the process. Some have several parts."""
    front, pid = stage.front, Path(f"/proc/{stage.front.child.process.pid}")
    for path in ("/healthz", "/readyz"):
        yield HEALTH, front.page(path).content
    yield METRICS, front.page("/metrics").content
    yield COMMANDS, _printed(front, "operations", "status")
    yield COMMANDS, _printed(front, "operations", "release", "status")
    yield COMMANDS, _printed(front, "privacy", "review", "--idle-days", "1")
    yield REVOCATIONS, _printed(front, "security", "revoke", "list")
    for name in ("cmdline", "environ", "comm"):
        yield PROCESS, (pid / name).read_bytes()
    yield PROCESS, b"\n".join(_there(thread / "comm") for thread in (pid / "task").iterdir())
    for descriptor in (pid / "fd").iterdir():
        if "(deleted)" in _target(descriptor):
            yield OPEN, _there(descriptor)
    yield from files(front.folder)


def _there(path: Path) -> bytes:
    """Threads end and descriptors are closed while they are looked at."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


def dead(stage: Stage) -> Iterator[tuple[str, bytes]]:
    """Those that outlive it."""
    yield from files(stage.front.folder)
    yield from stage.printed
    yield READ, read(stage.front.folder / "records", stage.key)
    yield UPSTREAM, "\n".join(stage.engine.headers).encode()
    yield TRACES, b"\n".join([repr(stage.traces.headers).encode(), *stage.traces.bodies])


def read(records: Path, key: Path | None) -> bytes:
    """As `tightlip logs read` prints them."""
    done = CliRunner().invoke(app, ["logs", "read", str(records), *(["--key", str(key)] if key is not None else [])])
    assert done.exit_code == 0, done.output
    return done.output_bytes


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a gateway's folder but those that were written for it to read."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in _INPUTS:
            yield _sink_of(path.relative_to(folder)), path.read_bytes()


def _sink_of(path: Path) -> str:
    names = {"gateway.out": STDOUT, "gateway.err": STDERR, "state.db": SQLITE, "state.db-wal": WAL, "state.db-shm": WAL}
    names |= {"dump.rdb": RDB}
    folders = {"audit": AUDIT, "records": LOG, "appendonlydir": AOF}
    return names.get(path.name) or next((sink for name, sink in folders.items() if name in path.parts), TEMPORARY)
