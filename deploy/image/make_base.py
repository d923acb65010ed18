"""Makes a base image from Debian's packages, where no registry can be reached: `make_base.py [--name NAME]`.

As root, on Debian, with debootstrap and buildah. The mirror is the one that apt is set up with, the release that of
this machine; neither its address nor its lists stay in the image, nor the machine's own name and its name
servers, which debootstrap copies. Manuals, translations and set-user-id bits go.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from buildah import Buildah, needed

NAME = "localhost/tightlip-base"
PACKAGES = "ca-certificates,python3,python3-venv"
# Not /usr/share/doc: the licences of what is shipped are there.
UNWANTED = (
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "var/cache",
    "var/lib/apt/lists",
)
LOGS = "var/log"
# A container's runtime mounts its own over them, so that they are emptied and not removed.
OF_THIS_MACHINE = ("etc/hostname", "etc/resolv.conf")
ROOM = 2 << 30  # bytes; it takes 0.4 GB
SOURCES = "etc/apt/sources.list"


@dataclass(frozen=True)
class Source:
    """A suite of an archive, as apt knows it."""

    mirror: str
    suite: str


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--name", default=NAME)
    parser.add_argument("--store", type=Path, help="a folder for images; the machine's own if none is named")
    parser.add_argument("--no-updates", action="store_true", help="Debian's release as it came out: for tests alone")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("a base image is made as root")
    with tempfile.TemporaryDirectory(prefix="tightlip-base-", dir=_roomy()) as folder:
        root = Path(folder, "root")
        sources = list(_sources())
        _bootstrap(root, sources[0])
        if not asked.no_updates:
            _update(root, sources)
        _slim(root)
        _commit(root, Buildah(asked.store), asked.name)
    print(asked.name)


def _roomy() -> str | None:
    """Memory, where there is plenty and programs may run from it: dpkg waits for the disk after each file."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or os.statvfs(shared).f_flag & (os.ST_NODEV | os.ST_NOEXEC):
        return None
    return str(shared) if shutil.disk_usage(shared).free > ROOM else None


def _sources() -> Iterator[Source]:
    """Of this machine's release; the release itself first, then its updates."""
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    form = "$(CODENAME) $(COMPONENT) $(REPO_URI)"
    listed = _output("apt-get", "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian").splitlines()
    found = {suite: uri for suite, component, uri in (line.split() for line in listed) if component == "main"}
    if codename not in found:
        raise SystemExit(f"apt knows no mirror of {codename}: apt-get update")
    yield Source(found[codename], codename)
    yield from (Source(uri, suite) for suite, uri in found.items() if suite.startswith(f"{codename}-"))


def _bootstrap(root: Path, source: Source) -> None:
    _do(needed("debootstrap"), "--variant=minbase", f"--include={PACKAGES}", source.suite, str(root), source.mirror)


def _update(root: Path, sources: list[Source]) -> None:
    lines = (f"deb {source.mirror} {source.suite} main\n" for source in sources)
    (root / SOURCES).write_text("".join(lines))
    for command in (("update",), ("upgrade", "--yes", "--no-install-recommends")):
        _do("chroot", str(root), "apt-get", "-qq", *command)


def _slim(root: Path) -> None:
    (root / SOURCES).unlink(missing_ok=True)
    for name in OF_THIS_MACHINE:
        (root / name).unlink(missing_ok=True)  # never written through a link, which would lead out of the root
        (root / name).write_text("")
    for name in UNWANTED:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir()
    for log in (root / LOGS).rglob("*"):
        if log.is_file():
            log.unlink()
    for file in (root / "usr/share/doc").rglob("*"):
        if file.is_file() and file.name != "copyright":
            file.unlink()
    _do("find", str(root), "-xdev", "-type", "f", "-perm", "/6000", "-exec", "chmod", "ug-s", "{}", "+")


def _commit(root: Path, buildah: Buildah, name: str) -> None:
    container = buildah.run("from", "scratch", output=True)
    try:
        mounted = buildah.run("mount", container, output=True)
        _do("cp", "--archive", f"{root}/.", mounted)
        buildah.run("umount", container, output=True)
        buildah.run("config", "--cmd", '["python3"]', container)
        buildah.run("commit", "--quiet", container, name, output=True)
    finally:
        buildah.run("rm", container, output=True)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def _do(*command: str) -> None:
    """What it complains of is seen, and ends the script."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(f"{Path(command[0]).name} failed")


if __name__ == "__main__":
    main()
