"""Builds the images with buildah: `build.py --base NAME@DIGEST`; without a registry `--base localhost/tightlip-base`.

How this machine's pip is set up (its index, its certificate authority, local folders of packages) is lent to the build
and stays out of the images.
"""

from __future__ import annotations

import argparse
import ast
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from buildah import Buildah

ROOT = Path(__file__).resolve().parents[2]
# In order: the second is built on the first.
IMAGES = {"tightlip": "Dockerfile", "tightlip-tools": "deploy/image/tools.Dockerfile"}
IN_BUILD_CA = "/run/secrets/ca.pem"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", help="the base image, by digest; the Dockerfile's if none is named")
    parser.add_argument("--image", choices=IMAGES, action="append", help="one of the two only")
    parser.add_argument("--prefix", default="localhost/", help="before the images' names")
    parser.add_argument("--store", type=Path, help="a folder for images; the machine's own if none is named")
    asked = parser.parse_args()
    buildah = Buildah(asked.store)
    with tempfile.TemporaryDirectory(prefix="tightlip-build-") as folder:
        lent = list(_lent(_pip_settings(), Path(folder)))
        for name in asked.image or IMAGES:
            _build(buildah, asked.prefix + name, IMAGES[name], [*_arguments(asked.base, asked.prefix), *lent])
            print(asked.prefix + name)


def _arguments(base: str | None, prefix: str) -> Iterator[str]:
    yield f"--build-arg=TIGHTLIP={prefix}tightlip"
    if base:
        yield f"--build-arg=BASE={base}"


def _build(buildah: Buildah, name: str, dockerfile: str, options: list[str]) -> None:
    # Docker's format: HEALTHCHECK is no part of OCI's. A layer for each stage, not for each line: with vfs a layer is a
    # copy of all that is below it.
    how = ("--isolation=chroot", "--format=docker", "--layers=false", "--quiet")
    buildah.run("bud", *how, *options, "--file", ROOT / dockerfile, "--tag", name, ROOT, output=True)


def _pip_settings() -> Mapping[str, str]:
    """What `pip config list` says, the environment last; of this Python, or the machine's if this has none."""
    for command in ([sys.executable, "-m", "pip"], ["pip3"]):
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run([*command, "config", "list"], text=True, capture_output=True)
        if done.returncode == 0:
            pairs = (line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
            return {key.split(".", 1)[1]: ast.literal_eval(value) for key, value in pairs}
    raise SystemExit("there is no pip to ask how it is set up")


def _lent(settings: Mapping[str, str], home: Path) -> Iterator[str]:
    """Options of `buildah bud` that lend `settings` to it, and the files that they name."""
    if not settings:
        return
    lines = ["[global]"]
    for key, value in settings.items():
        if key == "cert":
            yield f"--secret=id=ca,src={value}"
            value = IN_BUILD_CA
        yield from (f"--volume={folder}:{folder}:ro" for folder in _folders(value))
        lines.append(f"{key} = " + value.strip().replace("\n", "\n    "))
    configuration = home / "pip.conf"
    configuration.write_text("\n".join(lines) + "\n")
    yield f"--secret=id=pip,src={configuration}"


def _folders(value: str) -> Iterator[Path]:
    """Local folders that a setting names. An index of files links to what is beside it."""
    for place in value.split():
        folder = Path(place.removeprefix("file://"))
        if folder.is_absolute() and folder.is_dir():
            yield folder.parent if place.startswith("file:") else folder


if __name__ == "__main__":
    main()
