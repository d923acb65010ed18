"""The bills of materials: valid, the same for the same image, open about what shipped models were trained on."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

SCRIPT = Path("deploy/image/sbom.py")
MODELS: list[dict[str, Any]] = json.loads(Path("deploy/image/models.json").read_text("utf-8"))
STATUS = """Package: python3
Status: install ok installed
Architecture: amd64
Version: 3.11.2-1+b1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""


def written(*arguments: str | Path) -> str:
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def said_of(root: Path, home: str) -> None:
    """What an environment says of the Python that it was made with."""
    (root / "opt/tightlip/python/pyvenv.cfg").write_text(f"home = {home}\nversion = 3.11.14\n")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as an image has them: Debian's list, these tests' own packages, the name model."""
    root: Path = tmp_path_factory.mktemp("root")
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(STATUS)
    packages = root / "opt/tightlip/python/lib/python3.11"
    packages.mkdir(parents=True)
    (packages / "site-packages").symlink_to(next(Path(sys.prefix, "lib").glob("python3*")) / "site-packages")
    said_of(root, "/usr/bin")
    model = root / "opt/tightlip/app" / MODELS[0]["path"]
    model.parent.mkdir(parents=True)
    model.write_bytes(b"weights")
    return root


@pytest.fixture(scope="module")
def image(root: Path) -> str:
    return written("root", root)


@pytest.fixture(scope="module")
def chart() -> str:
    return written("chart")


def components(document: str, kind: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(document)["components"] if each["type"] == kind}


@pytest.mark.parametrize("kind", ["image", "chart"])
def test_it_is_valid(kind: str, request: pytest.FixtureRequest) -> None:
    document = request.getfixturevalue(kind)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    refs = [each["bom-ref"] for each in json.loads(document)["components"]]
    assert len(refs) == len(set(refs))


def test_the_same_files_give_the_same_text(root: Path, image: str) -> None:
    assert written("root", root) == image


def test_it_lists_the_packages_of_debian_and_of_python(image: str) -> None:
    libraries = components(image, "library")
    assert libraries["python3"]["purl"] == "pkg:deb/debian/python3@3.11.2-1%2Bb1?arch=amd64"
    assert "gone" not in libraries
    assert libraries["presidio-analyzer"]["purl"].startswith("pkg:pypi/presidio-analyzer@")
    assert libraries["aiohttp"]["licenses"]


def test_a_base_without_dpkg_says_what_it_has_in_a_file_for_each(tmp_path: Path) -> None:
    for folder in ("var/lib/dpkg/status.d", "opt/tightlip/python", "opt/tightlip/app/tightlip-1.2.dist-info"):
        (tmp_path / folder).mkdir(parents=True)
    said_of(tmp_path, "/usr/bin")
    about = tmp_path / "opt/tightlip/app/tightlip-1.2.dist-info/METADATA"
    about.write_text("Metadata-Version: 2.1\nName: tightlip\nVersion: 1.2\n")
    packages = tmp_path / "var/lib/dpkg/status.d"
    (packages / "libssl3").write_text("Package: libssl3\nVersion: 3.0.17-1\nArchitecture: amd64\n")
    (packages / "libssl3.md5sums").write_text("0123  usr/lib/libssl.so.3\n")
    libraries = components(written("root", tmp_path), "library")
    assert libraries["libssl3"]["purl"] == "pkg:deb/debian/libssl3@3.0.17-1?arch=amd64"
    assert libraries.keys() == {"libssl3", "tightlip"}
    (packages / "libssl3").write_text("")
    with pytest.raises(subprocess.CalledProcessError):  # a list that lacks the base looks like a whole one
        written("root", tmp_path)


def test_a_python_that_is_no_package_of_debians_is_listed_with_what_came_with_it(image: str, tmp_path: Path) -> None:
    for folder in ("var/lib/dpkg", "opt/tightlip/python", "opt/tightlip/app"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    said_of(tmp_path, "/usr/local/bin")
    for name, place in (("tightlip", "opt/tightlip/app"), ("pip", "usr/local/lib/python3.11/site-packages")):
        about = tmp_path / place / f"{name}-1.2.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    libraries = components(written("root", tmp_path), "library")
    assert libraries["python"]["purl"] == "pkg:generic/python@3.11.14"
    assert libraries["pip"]["purl"] == "pkg:pypi/pip@1.2"
    assert "python" not in components(image, "library")  # there it is Debian's python3


def test_only_models_that_are_there_are_listed_with_their_hash(image: str) -> None:
    models = components(image, "machine-learning-model")
    assert list(models) == ["tightlip-names"]
    [found] = models["tightlip-names"]["hashes"]
    assert found == {"alg": "SHA-256", "content": hashlib.sha256(b"weights").hexdigest()}


@pytest.mark.parametrize("kind", ["image", "chart"])
def test_a_model_names_its_training_data_and_each_its_licence(kind: str, request: pytest.FixtureRequest) -> None:
    document = request.getfixturevalue(kind)
    card = components(document, "machine-learning-model")["tightlip-names"]["modelCard"]
    by_ref = {each["bom-ref"]: each for each in components(document, "data").values()}
    used = {by_ref[each["ref"]]["name"]: by_ref[each["ref"]] for each in card["modelParameters"]["datasets"]}
    assert used["WikiGold"]["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
    assert {each["name"] for each in MODELS[0]["training"]} == set(used)
    assert all(each["licenses"] and each["scope"] == "excluded" for each in used.values())


def test_the_chart_names_the_images_that_it_deploys(chart: str) -> None:
    images = components(chart, "container")
    assert "tightlip" in images
    assert any(name.endswith("vllm/vllm-openai") for name in images)
    assert all(each["version"] for each in images.values())


def test_every_shipped_model_is_on_record() -> None:
    weights = {
        str(path) for suffix in ("npz", "safetensors") for top in ("filters", "gateway", "deploy")
        for path in Path(top).rglob(f"*.{suffix}")
    }  # fmt: skip
    assert weights == {each["path"] for each in MODELS}
    assert all(Path(each["record"]).is_file() for each in MODELS)


def test_the_record_and_the_notice_name_the_same_data() -> None:
    text = Path("NOTICE").read_text("utf-8")
    used = [data for model in MODELS for data in (*model["training"], *model["derived"])]
    in_notice = re.sub(r"\s+", " ", text)
    assert all(data["name"].removeprefix("text made by ") in in_notice for data in used)
    sources = re.findall(r"^  (?! )(.+)\n    (https\S+)$", text, re.MULTILINE)
    assert len(sources) == sum("url" in data for data in used)
    for line, url in sources:
        [data] = [data for data in used if line.startswith(data["name"])]
        assert data["url"] == url
        assert line.replace("CC BY-SA ", "CC-BY-SA-").replace("CC BY ", "CC-BY-").endswith(data["licence"]), line
