"""Lists an image's layers, as they are pulled: `layers.py localhost/tightlip [--most-mb 200] [--json FILE]`.

Sizes are of the gzip-compressed layers, in MB of 1,000,000 bytes. With --most-mb an image that is larger is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from buildah import Buildah

MB = 1_000_000


@dataclass(frozen=True)
class Layer:
    digest: str
    mb: float
    holds: str


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("--store", type=Path, help="a folder for images; the machine's own if none is named")
    parser.add_argument("--most-mb", type=float)
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    layers = layers_of(asked.image, Buildah(asked.store))
    total = round(sum(layer.mb for layer in layers), 1)
    for layer in layers:
        print(f"{layer.mb:8.1f} MB  {layer.digest[:19]}  {layer.holds}")
    print(f"{total:8.1f} MB  in all")
    if asked.json:
        asked.json.write_text(json.dumps({"total_mb": total, "layers": [asdict(layer) for layer in layers]}, indent=1))
    if asked.most_mb is not None and total > asked.most_mb:
        sys.exit(f"{asked.image} is larger than {asked.most_mb:g} MB")


def layers_of(image: str, buildah: Buildah) -> list[Layer]:
    """From the lowest."""
    with tempfile.TemporaryDirectory(prefix="tightlip-layers-") as folder:
        buildah.run("push", "--quiet", "--format=v2s2", image, f"dir:{folder}", output=True)
        manifest = _read(Path(folder, "manifest.json"))
        config = _read(Path(folder, manifest["config"]["digest"].removeprefix("sha256:")))
    contents = _contents(config["history"])
    return [Layer(entry["digest"], entry["size"] / MB, next(contents)) for entry in manifest["layers"]]


def _contents(history: list[dict[str, Any]]) -> Iterator[str]:
    """What was copied into each layer. The lines of a stage make one layer, which is the last one's."""
    copied: list[str] = []
    for entry in history:
        copied += re.findall(r"#\(nop\) (?:COPY|ADD) \S+ in (\S+)", entry.get("created_by", ""))
        if not entry.get("empty_layer"):
            yield ", ".join(copied) or "the base image"
            copied = []


def _read(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


if __name__ == "__main__":
    main()
