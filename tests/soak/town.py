"""All processes: two gateways behind one address, model servers, Redis, Vault, issuers, a name server, callers.

What wants root (small disks, a resolv.conf of the gateways' own) or Vault is left out where it can't be had, and so are
the faults of it; `Town.left_out` says which.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tests.soak.issuers import Issuers, replaced
from tests.soak.stepped import step
from tests.support.disks import Disk, small_disk
from tests.support.gateways import READY, gateway_program, settings
from tests.support.outages import vault_settings
from tests.support.processes import HOST, NotStarted, Program, Replaceable, free_port, says
from tests.support.redis import DURABLE, redis_program
from tests.support.scripted import tokenizer
from tests.support.tls import Authority, https_server
from tests.support.vault import PROGRAM as VAULT
from tests.support.vault import Vault, vault

HAPROXY: Final = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
ANSWER_SECONDS: Final = 60.0  # from a request to the answer's end, at most
STALL_SECONDS: Final = 8.0
DISK_KILOBYTES: Final = 256 * 1024
START_SECONDS: Final = 180.0  # of a gateway, whatever is broken at that time
GRACE_SECONDS: Final = 120.0  # of what has hundreds of answers to end and to write down
TUNED, BASE = "tuned.soak.test", "base.soak.test"
FLEET: Final = 6  # servers of the tuned model
FRONT: Final = """\
global
  maxconn 8000
defaults
  mode tcp
  timeout connect 2s
  timeout check 5s
  timeout client 120s
  timeout server 120s
  retries 3
  option redispatch
  balance roundrobin
listen front
  bind {host}:{port}
  option httpchk GET /readyz
  http-check expect status 200
  default-server check inter 500ms rise 1 fall 4
"""


@dataclass
class Front:
    """A gateway. `killed` is since when and until when it was killed, each time, by the monotonic clock."""

    name: str
    folder: Path
    clock: Path
    disk: Path
    process: Replaceable
    killed: list[tuple[float, float]] = field(default_factory=list)

    @property
    def records(self) -> Path:
        return self.disk / "records"

    @property
    def management(self) -> str:
        return self.process.child.printed(READY)[2]

    @property
    def resident_mib(self) -> float:
        """0 while there is none."""
        try:
            pages = int(Path(f"/proc/{self.process.child.process.pid}/statm").read_text("ascii").split()[1])
        except OSError:
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def kill(self) -> None:
        since = time.monotonic()
        self.process.go()
        self.killed.append((since, time.monotonic()))

    def come(self) -> None:
        """As whoever supervises it has it: again, while it does not start, since it refuses a broken policy. Raises
        NotStarted when that lasts."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.process.come()
            except NotStarted:
                if time.monotonic() > end:
                    raise

    def new_policy(self, text: str) -> None:
        """In place of the one before. A gateway that is starting reads it anyhow, and may not take signals yet."""
        replaced(self.folder / "policy.yaml", text)
        if re.search(READY, self.process.child.stdout):
            self.process.send(signal.SIGHUP)


@dataclass(frozen=True)
class Fleet:
    """The model servers. `names` says where they are, `resolv` is the gateways' resolv.conf, where there is one."""

    tuned: list[Replaceable]
    base: Replaceable
    servers: tuple[dict[str, Any], dict[str, Any]]  # as the gateways' settings have the two models
    names: Replaceable | None = None
    resolv: Path | None = None


@dataclass(frozen=True)
class Town:
    """What runs, and the handles of what may break."""

    folder: Path
    fronts: list[Front]
    fleet: Fleet
    redis: Replaceable
    issuers: Issuers
    vault: Vault | None
    disks: list[Disk]
    policy: dict[str, Any]
    callers: Replaceable

    @property
    def left_out(self) -> list[str]:
        """Faults that can't be had here, and why."""
        reasons = {
            "disk full, DNS lost, DNS hangs: nobody may mount (wants root)": self.disks,
            "Vault sealed: no vault where KUBEBUILDER_ASSETS says, nor on the PATH": self.vault,
        }
        return [reason for reason, there in reasons.items() if not there]

    @property
    def outputs(self) -> Iterator[str]:
        """All that the gateways printed."""
        return (text for front in self.fronts for text in front.process.outputs)


@contextmanager
def town(folder: Path, streams: int) -> Iterator[Town]:
    """All of it, ready, and callers asking for so many answers at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        start, authority, may_mount = _Starting(folder / "logs", stack), Authority(folder), _may_mount()
        redis_port = free_port()
        redis = start.program(redis_program(folder / "redis", DURABLE, redis_port))
        fleet = _fleet(folder, start, with_names=may_mount)
        keeper = stack.enter_context(vault(folder / "vault")) if VAULT else None
        issuers = Issuers(folder, stack.enter_context(https_server(authority.server())), authority.ca_file, keeper)
        issuers.write_tokens()
        policy, disks, fronts = issuers.policy(), list[Disk](), list[Front]()
        start.all_ready()
        for name in ("a", "b"):
            own = folder / f"front-{name}"
            own.mkdir()
            if may_mount:
                disks.append(stack.enter_context(small_disk(own / "disk", DISK_KILOBYTES)))
            configuration = _settings(own, fleet, redis_port, _of_vault(keeper, own))
            fronts.append(_front(name, own, fleet.resolv, configuration, policy, start))
        start.all_ready()
        asked = _proxy(folder, fronts, start)
        callers = start.module("callers", "tests.soak.callers", str(folder), asked, str(streams), ready="asking")
        start.all_ready()
        yield Town(folder, fronts, fleet, redis, issuers, keeper, disks, policy, callers)


class _Starting:
    """Starts what ends with the town, the last first; what is started together gets ready together."""

    def __init__(self, logs: Path, stack: ExitStack) -> None:
        self._logs, self._stack, self._started = logs, stack, list[Replaceable]()

    def program(self, program: Program) -> Replaceable:
        started = Replaceable(program, self._logs)
        self._stack.callback(started.end)
        self._started.append(started)
        return started

    def module(self, name: str, module: str, *arguments: str, ready: str) -> Replaceable:
        """One of ours, as a process."""
        return self.program(
            Program(name, [sys.executable, "-m", module, *arguments], says(ready), grace_s=GRACE_SECONDS)
        )

    def all_ready(self) -> None:
        """Returns when all that was started is. Raises NotStarted."""
        for started in self._started:
            started.ready()


# ---- models, and where they are --------------------------------------------------------------------------------------


def _fleet(folder: Path, start: _Starting, *, with_names: bool) -> Fleet:
    port, places = free_port(), [_own_address() for _ in range(FLEET + 1)]
    servers = [
        start.module(f"upstream-{at}", "tests.soak.upstream", place, str(port), ready="upstream")
        for at, place in enumerate(places)
    ]
    if not with_names:
        urls = [f"http://{place}:{port}" for place in places]
        pair = {"url": urls[:-1], "model": "tuned"}, {"url": urls[-1], "model": "base"}
        return Fleet(servers[:-1], servers[-1], pair)
    resolver, resolv = _own_address(), folder / "resolv.conf"
    zone = [f"{TUNED}={','.join(places[:-1])}", f"{BASE}={places[-1]}"]
    names = start.module("names", "tests.soak.names", resolver, *zone, ready="names")
    resolv.write_text(f"nameserver {resolver}\noptions timeout:2 attempts:1\n")
    tuned = {"url": f"http://{TUNED}:{port}", "resolve": True, "model": "tuned"}
    return Fleet(servers[:-1], servers[-1], (tuned, {"url": f"http://{BASE}:{port}", "model": "base"}), names, resolv)


def _own_address() -> str:
    """Of loopback, and nobody else's: its ports are free."""
    return "127." + ".".join(str(random.randrange(2, 250)) for _ in range(3))


# ---- gateways --------------------------------------------------------------------------------------------------------


def _settings(folder: Path, fleet: Fleet, redis_port: int, of_vault: dict[str, Any]) -> dict[str, Any]:
    (folder / "log.key").write_text("k" * 32)
    return settings(
        *fleet.servers,
        tokenizer(folder),
        model={"question_deadline_seconds": 2.0},
        public={"port": free_port()},
        management={"port": free_port()},
        allow_plaintext_upstream=True,
        upstream={"first_byte_seconds": STALL_SECONDS, "stall_seconds": STALL_SECONDS},
        limits={"answer_seconds": ANSWER_SECONDS},
        log={"directory": str(folder / "disk" / "records"), "key_file": "log.key"},
        state={"url": f"redis://{HOST}:{redis_port}"},
        **of_vault,
    )


def _of_vault(keeper: Vault | None, folder: Path) -> dict[str, Any]:
    if keeper is None:
        return {}
    role_id, secret_id = keeper.app_role(folder.name, token_ttl="1h")
    (folder / "secret-id").write_text(secret_id)
    return {"vault": vault_settings(keeper, role_id, folder / "secret-id")}


def _front(
    name: str,
    folder: Path,
    resolv: Path | None,
    configuration: dict[str, Any],
    policy: dict[str, Any],
    start: _Starting,
) -> Front:
    clock = folder / "clock"
    step(clock, 0.0)
    runs = [*_with_resolv(resolv), sys.executable, "-m", "tests.soak.stepped", str(clock)]
    program = gateway_program(folder, configuration, policy, runs)
    process = start.program(replace(program, name=f"front-{name}", start_s=START_SECONDS))
    return Front(name, folder, clock, folder / "disk", process)


def _may_mount() -> bool:
    """Whether processes may have a view of the file system of their own, as root may."""
    command = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _with_resolv(resolv: Path | None) -> Sequence[str]:
    """What stands before a command that is to ask this resolv.conf's name server; nobody else does."""
    if resolv is None:
        return ()
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return "unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(resolv)


def _proxy(folder: Path, fronts: Sequence[Front], start: _Starting) -> str:
    """The address that all are behind."""
    port, file = free_port(), folder / "haproxy.cfg"
    servers = []
    for front in fronts:
        public, management = (url.removeprefix("http://") for url in front.process.child.printed(READY).groups())
        servers.append(f"  server {front.name} {public} port {management.rpartition(':')[2]}\n")
    file.write_text(FRONT.format(host=HOST, port=port) + "".join(servers))
    start.program(Program("haproxy", [str(HAPROXY), "-db", "-f", str(file)], lambda _: True))
    return f"http://{HOST}:{port}"
