"""The images, built once for the tests of this folder as deploy/image builds them: without a registry, as root.

The store is a folder of its own, in memory where there is room: with vfs each layer is a copy of all below it. A folder
named by TIGHTLIP_IMAGE_STORE is used as it is if it has the images, and kept.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "deploy" / "image"
BASE, SERVING, TOOLS = "localhost/tightlip-base", "localhost/tightlip", "localhost/tightlip-tools"
TIGHTLIP = "/opt/tightlip/app/bin/tightlip"
PYTHON = "/opt/tightlip/python/bin/python"
ROOM = 6 << 30  # bytes; three images and what they are made from
SHARED = Path("/dev/shm")
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Container:
    """A container that is made, and where its files are. Each command in it is a process as the image's user."""

    name: str
    files: Path
    buildah: Sequence[str]
    mounts: Sequence[str] = field(default=())

    def command(self, *arguments: str, mounts: Sequence[str] = ()) -> list[str]:
        volumes = [word for mount in (*self.mounts, *mounts) for word in ("--volume", mount)]
        return [*self.buildah, "run", "--isolation=chroot", *volumes, self.name, "--", *arguments]

    def run(self, *arguments: str, mounts: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        command = self.command(*arguments, mounts=mounts)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    def contents(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file, and that every folder is there, less what a mount needs to be hung up."""
        places = {self.files / mount.split(":")[1].lstrip("/") for mount in self.mounts}
        found = {}
        for folder, _, names in os.walk(self.files):
            if Path(folder) in places or any(place.is_relative_to(folder) for place in places):
                continue
            found[folder] = (0, 0)
            for name in names:
                state = os.lstat(os.path.join(folder, name))
                found[os.path.join(folder, name)] = (state.st_size, state.st_mtime_ns)
        return found


@dataclass(frozen=True)
class Store:
    """The images."""

    folder: Path

    @property
    def buildah(self) -> list[str]:
        roots = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]
        return ["buildah", "--storage-driver=vfs", *roots]

    def script(self, name: str, *arguments: str) -> str:
        command = [sys.executable, str(SCRIPTS / name), *arguments, "--store", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    @contextmanager
    def container(self, image: str, *mounts: str) -> Iterator[Container]:
        name = self._said("from", "--pull-never", image)
        try:
            yield Container(name, Path(self._said("mount", name)), self.buildah, mounts)
        finally:
            self._said("rm", name)

    def has(self, image: str) -> bool:
        command = [*self.buildah, "inspect", "--type=image", image]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def inspect(self, image: str) -> dict[str, Any]:
        """Its configuration as Docker reads it."""
        config: dict[str, Any] = json.loads(self._said("inspect", "--type=image", image))["Docker"]["config"]
        return config

    def _said(self, *arguments: str) -> str:
        done = subprocess.run([*self.buildah, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    missing = [name for name in ("buildah", "debootstrap") if not _is_installed(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("a base image is made as root")
    with _folder() as folder:
        store = Store(folder)
        if not store.has(TOOLS):
            store.script("make_base.py", "--no-updates", "--name", BASE)
            store.script("build.py", "--base", BASE)
        yield store


def _is_installed(name: str) -> bool:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is not None


def _is_roomy() -> bool:
    """Container engines mount it so that nothing runs from there, as the images' programs must."""
    if not SHARED.is_dir() or os.statvfs(SHARED).f_flag & (os.ST_NODEV | os.ST_NOEXEC):
        return False
    return shutil.disk_usage(SHARED).free > ROOM


@contextmanager
def _folder() -> Iterator[Path]:
    if kept := os.environ.get("TIGHTLIP_IMAGE_STORE"):
        yield Path(kept)
        return
    folder = Path(tempfile.mkdtemp(prefix="tightlip-images-", dir=SHARED if _is_roomy() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
