"""Writes a CycloneDX 1.6 bill of materials: `sbom.py image NAME [--store DIR]`, `sbom.py root FOLDER`, `sbom.py chart`.

Of an image it lists Debian's packages, Python's, and the models, with what they were trained on (models.json) and under
which licences; of the chart, the images that it deploys and the gateway's models. There is no time and no random number
in it: the same image gives the same text. Needs PyYAML for the chart, nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

from buildah import Buildah

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "tightlip"
INSTALLED = "opt/tightlip"
# The last are of bases whose Python is no package of Debian's.
PACKAGES = (
    f"{INSTALLED}/python/lib/python3*/site-packages",
    f"{INSTALLED}/index",
    f"{INSTALLED}/app",
    "usr/local/lib/python3*/site-packages",
)
DEBIANS = "/usr/bin"  # where Debian's Python is
LONGEST_LICENCE = 100  # characters: some packages put the licence's whole text where its name belongs

Component = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    image = kinds.add_parser("image", help="an image of buildah's")
    image.add_argument("name")
    image.add_argument("--store", type=Path, help="a folder for images; the machine's own if none is named")
    root = kinds.add_parser("root", help="an image's files in a folder")
    root.add_argument("folder", type=Path)
    kinds.add_parser("chart", help="the Helm chart of this repository")
    asked = parser.parse_args()
    if asked.kind == "image":
        document = of_image(asked.name, Buildah(asked.store))
    elif asked.kind == "root":
        document = of_files(asked.folder, "tightlip")
    else:
        document = of_chart()
    print(json.dumps(document, indent=2, ensure_ascii=False))


def of_image(name: str, buildah: Buildah) -> dict[str, Any]:
    container = buildah.run("from", "--pull-never", name, output=True)
    try:
        return of_files(Path(buildah.run("mount", container, output=True)), name.rsplit("/", 1)[-1])
    finally:
        buildah.run("rm", container, output=True)


def of_files(root: Path, name: str) -> dict[str, Any]:
    python = [folder for pattern in PACKAGES for folder in sorted(root.glob(pattern))]
    own = next(each.version for each in distributions(name="tightlip", path=[str(folder) for folder in python]))
    components = [
        *_debian(root / "var/lib/dpkg"),
        *_interpreter(root / INSTALLED / "python/pyvenv.cfg"),
        *_python(python),
        *_models(root / INSTALLED / "app"),
    ]
    subject = {"type": "container", "name": name, "version": own}
    return _document(subject | {"licenses": _licence("Apache-2.0")}, components)


def of_chart() -> dict[str, Any]:
    import yaml

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    images = [_image(image, chart["appVersion"]) for image in _images(values)]
    subject = {"type": "application", "name": f"{chart['name']}-chart", "version": chart["version"]}
    models = [model for model in _models(ROOT) if not model["name"].startswith("tightlip-demo")]
    return _document(subject | {"licenses": _licence("Apache-2.0")}, [*images, *models])


def _document(subject: Component, components: Iterable[Component]) -> dict[str, Any]:
    listed = sorted({each["bom-ref"]: each for each in components}.values(), key=lambda each: str(each["bom-ref"]))
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([subject, listed], sort_keys=True))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {"component": subject | {"bom-ref": f"{subject['name']}@{subject['version']}"}},
        "components": listed,
    }


# ---- what there is ---------------------------------------------------------------------------------------------------


def _debian(dpkg: Path) -> Iterator[Component]:
    """As dpkg keeps them in one file, and as bases without dpkg do: in a folder with a file for each that is there."""
    kept = [*dpkg.glob("status"), *(file for file in sorted(dpkg.glob("status.d/*")) if file.suffix != ".md5sums")]
    paragraphs = [each for file in kept for each in file.read_text("utf-8").split("\n\n") if each.strip()]
    if not paragraphs:
        raise SystemExit(f"{dpkg}: says of no package of Debian's that it is there; the list would lack the base")
    for paragraph in paragraphs:
        fields = dict(re.findall(r"^(Package|Version|Architecture|Status): (.+)$", paragraph, re.MULTILINE))
        if fields.get("Status", " installed").endswith(" installed"):
            where = f"?arch={fields['Architecture']}"
            yield _package("deb/debian", fields["Package"], fields["Version"], where, [])


def _interpreter(environment: Path) -> Iterator[Component]:
    """Python itself, where it is no package of Debian's."""
    said = dict(re.findall(r"^(home|version) = (.+)$", environment.read_text("utf-8"), re.MULTILINE))
    if said["home"] != DEBIANS:
        yield _package("generic", "python", said["version"], "", _licence("Python-2.0"))


def _python(folders: Iterable[Path]) -> Iterator[Component]:
    for each in distributions(path=[str(folder) for folder in folders]):
        name = re.sub(r"[-_.]+", "-", each.name).lower()
        yield _package("pypi", name, each.version, "", _licences_of(each))


def _licences_of(distribution: Distribution) -> list[Component]:
    fields = distribution.metadata
    if expression := fields.get("License-Expression"):
        return [{"expression": expression}]
    listed = [line for line in fields.get_all("Classifier", []) if line.startswith("License :: ")]
    names = [line.rsplit(" :: ", 1)[1] for line in listed] or [fields.get("License") or ""]
    return [{"license": {"name": name}} for name in names if name and len(name) <= LONGEST_LICENCE and "\n" not in name]


def _models(app: Path) -> Iterator[Component]:
    """Those of models.json that are there, and the data that they were made from."""
    for model in json.loads(Path(__file__).with_name("models.json").read_text("utf-8")):
        file = app / model["path"]
        if file.is_file():
            training = [_data(each) | {"bom-ref": f"data:{each['name']}"} for each in model["training"]]
            yield from training
            yield _model(model, file, training)


def _model(model: Mapping[str, Any], file: Path, training: list[Component]) -> Component:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model['name']}",
        "name": model["name"],
        "description": model["description"],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
        "licenses": _licence(model["licence"]),
        "modelCard": {
            "modelParameters": {
                "task": model["task"],
                "modelArchitecture": model["architecture"],
                "datasets": [{"ref": each["bom-ref"]} for each in training],
            },
            "considerations": {"technicalLimitations": model["limitations"]},
        },
        "pedigree": {"ancestors": [_data(each) for each in model["derived"]]},
        "properties": [
            {"name": "tightlip:path", "value": model["path"]},
            {"name": "tightlip:how-it-was-made", "value": model["record"]},
        ],
    }


def _data(data: Mapping[str, str]) -> Component:
    """A corpus, or what a model holds parts of. Not part of the image: it was used."""
    licences = _licence(data["licence"])
    component: Component = {"type": "data", "name": data["name"], "scope": "excluded", "licenses": licences}
    if url := data.get("url"):
        component["externalReferences"] = [{"type": "distribution", "url": url}]
    return component


def _images(values: Any) -> Iterator[Mapping[str, str]]:
    """Whatever names a repository in the chart's values."""
    if isinstance(values, dict):
        if "repository" in values:
            yield values
        for value in values.values():
            yield from _images(value)


def _image(image: Mapping[str, str], version: str) -> Component:
    tag = image.get("tag") or version
    name = "/".join(part for part in (image.get("registry"), image["repository"]) if part)
    return {"type": "container", "bom-ref": f"image:{name}:{tag}", "name": name, "version": tag}


def _package(kind: str, name: str, version: str, where: str, licences: list[Component]) -> Component:
    purl = f"pkg:{kind}/{quote(name, safe='')}@{quote(version, safe='')}{where}"
    component: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    return component | ({"licenses": licences} if licences else {})


def _licence(identifier: str) -> list[Component]:
    return [{"license": {"id": identifier}}]


if __name__ == "__main__":
    main()
