"""A pod's container as a process on loopback: what a kubelet does with what the API server holds, without a container.

What is not as the pod says, and nothing else:

1. What is mounted at PATH is at ROOT/PATH; so mount paths are ROOT/PATH in the command, in the environment, and in
   mounted text.
2. `tightlip` is this checkout's.
3. The listeners are on loopback, at free ports, by the variables that every setting has.
4. There is no user of its own, no read-only root, no limit of CPU and memory.

Config maps and secrets are written as a kubelet writes them: a folder for each state, and links that are moved at once.
"""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from tests.support.cluster import Cluster, Object
from tests.support.processes import HOST, Child, Program, free_port, start, stop
from tests.support.waiting import until

_STATES = count()


@dataclass(frozen=True)
class Pod:
    """One of the API server's. `claims` are folders that stand for volumes."""

    cluster: Cluster
    held: Object
    root: Path
    claims: Mapping[str, Path]
    ports: dict[str, int] = field(default_factory=dict)  # on loopback, by the name that the container gives them

    @property
    def container(self) -> Object:
        found: Object = self.held["spec"]["containers"][0]
        return found

    def mount(self) -> None:
        """Every volume, at its place; once more for what has changed since."""
        volumes = {volume["name"]: volume for volume in self.held["spec"]["volumes"]}
        for mount in self.container["volumeMounts"]:
            self._fill(self._at(mount["mountPath"]), volumes[mount["name"]])

    def url(self, port: str) -> str:
        return f"http://{HOST}:{self.ports[port]}"

    def passes(self, probe: str) -> bool:
        """Whether the answer is one that a kubelet takes for success."""
        asked = self.container[probe]["httpGet"]
        assert asked["scheme"] == "HTTP"
        try:
            answer = httpx.get(f"{self.url(asked['port'])}{asked['path']}", timeout=10, trust_env=False)
        except httpx.TransportError:
            return False
        return 200 <= answer.status_code < 400

    def until_ready(self, child: Child) -> None:
        """As its own probes say, one after the other: started within the time that the pod gives it."""
        asked = self.container["startupProbe"]
        patience = asked["failureThreshold"] * asked["periodSeconds"]
        for probe in ("startupProbe", "readinessProbe"):
            until(lambda probe=probe: self.passes(probe) or not _runs(child), patience_s=patience)  # type: ignore[misc]
            assert _runs(child), child.output
        assert self.passes("livenessProbe")

    def program(self) -> Program:
        return Program("container", self._command(self.container), lambda _: True, environment=self._environment())

    def initialise(self) -> Sequence[subprocess.CompletedProcess[str]]:
        """Its init containers, one after the other up to one that fails, whose pod begins no container."""
        ended = list[subprocess.CompletedProcess[str]]()
        for container in self.held["spec"]["initContainers"]:
            environment = {**os.environ, **self._environment()}
            ended.append(subprocess.run(self._command(container), env=environment, text=True, capture_output=True))
            if ended[-1].returncode != 0:
                break
        return ended

    def end(self, child: Child) -> int:
        """The signal, then as long as the pod's end may take, less what goes before the signal. Returns its status;
        raises TimeoutExpired where it would have been killed."""
        before = self.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        child.process.send_signal(signal.SIGTERM)
        return child.process.wait(self.held["spec"]["terminationGracePeriodSeconds"] - before)

    def _command(self, container: Object) -> Sequence[str]:
        """Of a container that has the gateway's mounts."""
        assert container["volumeMounts"] == self.container["volumeMounts"]
        said = [*container["command"], *container.get("args", [])]
        assert said[0] == "tightlip"
        return [sys.executable, "-m", "gateway.cli", *(self._moved(word) for word in said[1:])]

    def _environment(self) -> Mapping[str, str]:
        said = {each["name"]: self._moved(self._value(each)) for each in self.container.get("env", [])}
        for port in self.container["ports"]:
            self.ports.setdefault(port["name"], free_port())
        for name, number in self.ports.items():
            said |= {f"TIGHTLIP_{name.upper()}__HOST": HOST, f"TIGHTLIP_{name.upper()}__PORT": str(number)}
        return said

    def _value(self, variable: Object) -> str:
        if "value" in variable:
            value: str = variable["value"]
            return value
        asked = variable["valueFrom"]["secretKeyRef"]
        return self._decoded("secrets", asked["name"])[asked["key"]].decode()

    def _at(self, mount_path: str) -> Path:
        return self.root / mount_path.lstrip("/")

    def _moved(self, text: str) -> str:
        """With its mount paths where they are here."""
        paths = "|".join(re.escape(mount["mountPath"]) for mount in self.container["volumeMounts"])
        return re.sub(rf"(?<![\w./-])({paths})(?=/|\b)", lambda found: str(self._at(found[1])), text)

    def _fill(self, at: Path, volume: Object) -> None:
        if claim := volume.get("persistentVolumeClaim"):
            at.parent.mkdir(parents=True, exist_ok=True)
            if not at.is_symlink():
                at.symlink_to(self.claims[claim["claimName"]])
            return
        at.mkdir(parents=True, exist_ok=True)
        if map_ := volume.get("configMap"):
            self._write(at, self._decoded("configmaps", map_["name"]), map_.get("defaultMode", 0o644))
        elif secret := volume.get("secret"):
            self._write(at, self._decoded("secrets", secret["secretName"]), secret.get("defaultMode", 0o644))
        else:
            assert "emptyDir" in volume, f"a volume of another kind: {volume}"

    def _decoded(self, kind: str, name: str) -> Mapping[str, bytes]:
        found: Any = self.cluster.get(f"/api/v1/namespaces/{self.held['metadata']['namespace']}/{kind}/{name}")
        data: Mapping[str, str] = found.get("data", {})
        if kind == "secrets":
            return {key: base64.b64decode(value) for key, value in data.items()}
        return {key: self._moved(value).encode() for key, value in data.items()}

    def _write(self, at: Path, files: Mapping[str, bytes], mode: int) -> None:
        state = at / f"..state-{next(_STATES)}"
        state.mkdir()
        for name, content in files.items():
            (state / name).write_bytes(content)
            (state / name).chmod(mode)
            if not (at / name).is_symlink():
                (at / name).symlink_to(Path("..data") / name)
        (at / "..data_tmp").symlink_to(state.name)
        os.replace(at / "..data_tmp", at / "..data")


def _runs(child: Child) -> bool:
    return child.process.poll() is None


@contextmanager
def running(pod: Pod) -> Iterator[Child]:
    """The container of a pod that is mounted, ready, for as long as the block lasts."""
    child = start(pod.program(), pod.root / "logs")
    try:
        pod.until_ready(child)
        yield child
    finally:
        stop(child)
