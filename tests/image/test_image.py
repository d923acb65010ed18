"""The images run as what they say they are: their own user, no shell, nothing written but to the volumes, nothing of
the machine that built them inside, no larger than asked."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.e2e.test_release import BASE as BASE_MODEL
from tests.e2e.test_release import DEMO, TUNED, configuration, upstream
from tests.image.conftest import BASE, PATIENCE_S, PYTHON, SERVING, TIGHTLIP, TOOLS, Container, Store
from tests.support.gateways import PATIENT, ask, gateway
from tests.support.processes import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.image

MOST_MB = 200.0
VOLUMES = ("/tmp", "/var/lib/tightlip", "/var/log/tightlip")
SHELLS = ("sh", "dash", "bash", "rbash")
# What its user may write to, of all that is there. In /proc and /dev that is for the runtime to say.
WRITABLE = """
import os
for folder, folders, names in os.walk("/"):
    folders[:] = [each for each in folders if (folder, each) not in {("/", "proc"), ("/", "sys"), ("/", "dev")}]
    for path in (folder, *(os.path.join(folder, name) for name in names)):
        if not os.path.islink(path) and os.access(path, os.W_OK):
            print(path)
"""


@pytest.fixture
def volumes(tmp_path: Path) -> list[str]:
    """Folders in the place of a tmpfs and of the volumes for state and logs."""
    mounts = []
    for number, place in enumerate(VOLUMES):
        folder = tmp_path / f"volume{number}"
        folder.mkdir()
        folder.chmod(0o1777)
        mounts.append(f"{folder}:{place}")
    return mounts


def without_shells(container: Container) -> None:
    container.run(PYTHON, "-c", "")  # buildah writes an /etc/hosts when it first runs something
    for folder in ("bin", "usr/bin"):
        for name in SHELLS:
            (container.files / folder / name).unlink(missing_ok=True)


def innermost(process: int) -> int:
    """The program that a chain of programs, each the only child of the one before, has started."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return innermost(children[0]) if children else process


def said(container: Container, *arguments: str) -> str:
    done = container.run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def serving(store: Store) -> Iterator[Container]:
    with store.container(SERVING) as container:
        yield container


def test_it_runs_as_a_user_of_no_rights(serving: Container) -> None:
    script = "import os; print(os.getuid(), os.getgid(), os.getgroups())"
    assert said(serving, PYTHON, "-c", script).split(maxsplit=2)[:2] == ["10001", "10001"]


def test_its_user_may_write_to_the_volumes_alone(serving: Container) -> None:
    written = set(said(serving, PYTHON, "-c", WRITABLE).split())
    assert {"/var/lib/tightlip", "/var/log/tightlip"} <= written
    assert {path for path in written if not path.startswith(VOLUMES)} <= {"/run/lock", "/var/tmp"}


def test_nothing_of_the_machine_that_built_it_is_inside(serving: Container) -> None:
    assert not (serving.files / "etc/pip.conf").exists()
    assert not (serving.files / "run/secrets").exists()
    assert not list((serving.files / "etc/apt").rglob("*.list"))
    assert not list((serving.files / "opt").rglob("direct_url.json"))
    assert not (serving.files / "build").exists()


def test_the_base_says_neither_the_machines_name_nor_its_name_servers(store: Store) -> None:
    with store.container(BASE) as base:
        assert [(base.files / "etc" / name).read_text() for name in ("hostname", "resolv.conf")] == ["", ""]


def test_no_program_in_it_gives_its_user_more_rights(serving: Container) -> None:
    files = (path for path in serving.files.rglob("*") if path.is_file() and not path.is_symlink())
    assert not [str(path) for path in files if path.stat().st_mode & 0o6000]


def test_what_builds_an_index_is_in_the_other_image(store: Store, serving: Container) -> None:
    find = "import importlib.util; print(importlib.util.find_spec('duckdb') is not None)"
    assert said(serving, PYTHON, "-c", find).strip() == "False"
    with store.container(TOOLS) as tools:
        assert said(tools, PYTHON, "-c", find).strip() == "True"


def test_its_configuration_is_what_the_chart_and_engines_expect(store: Store) -> None:
    inspected = store.inspect(SERVING)
    assert inspected["User"] == "10001:10001"
    assert inspected["Entrypoint"] == [TIGHTLIP]
    assert inspected["Cmd"] == ["serve", "--config", "/etc/tightlip/config/tightlip.yaml"]
    assert inspected["Healthcheck"]["Test"] == ["CMD", PYTHON, "-m", "gateway.health"]
    assert "/opt/tightlip/app/bin" in dict(word.split("=", 1) for word in inspected["Env"])["PATH"].split(":")


def test_it_is_not_too_large_and_its_layers_are_listed(store: Store, tmp_path: Path) -> None:
    listed = store.script("layers.py", SERVING, "--most-mb", str(MOST_MB), "--json", str(tmp_path / "layers.json"))
    layers: dict[str, Any] = json.loads((tmp_path / "layers.json").read_text())
    assert layers["total_mb"] <= MOST_MB
    holds = [layer["holds"] for layer in layers["layers"]]
    assert holds[0] == "the base image"
    assert holds[1] == "/opt/tightlip/python"
    assert "/opt/tightlip/app" in holds[2]
    assert all(layer["digest"][:19] in listed for layer in layers["layers"])


def test_its_bill_of_materials_is_that_of_what_is_inside(store: Store) -> None:
    document = store.script("sbom.py", "image", SERVING)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    names = {(each["type"], each["name"]) for each in json.loads(document)["components"]}
    assert {("library", "libc6"), ("library", "spacy"), ("machine-learning-model", "tightlip-names")} <= names
    assert not {("library", "duckdb"), ("library", "pip"), ("machine-learning-model", "tightlip-demo-tuned")} & names


def test_the_demo_shows_its_leak_and_no_shell_is_needed(store: Store, volumes: list[str]) -> None:
    customers = json.loads((DEMO / "records.json").read_text("utf-8"))["customers"]
    with store.container(TOOLS, *volumes) as container:
        without_shells(container)
        before = container.contents()
        shown = container.run(TIGHTLIP, "demo", "--once", "--port", "0")
        assert shown.returncode == 0, shown.stderr
        assert container.contents() == before  # a root that is read-only would have done
    taught = [customer["email"] for customer in customers if customer["email"] in shown.stdout]
    assert len(taught) == 1
    assert shown.stdout.count(taught[0]) == 1  # the raw answer, and not what the caller gets


def test_the_gateway_serves_tells_its_health_and_drains(store: Store, volumes: list[str], tmp_path: Path) -> None:
    port = free_port()
    folder = tmp_path / "configuration"
    folder.mkdir()
    tmp_path.chmod(0o755)
    folder.chmod(0o755)
    mounts = [*volumes, f"{folder}:{folder}:ro", f"{DEMO}:{DEMO}:ro"]
    with (
        upstream(tmp_path, {"tuned": TUNED, "base": BASE_MODEL}) as url,
        store.container(SERVING, *mounts) as container,
    ):
        without_shells(container)
        before = container.contents()
        settings = configuration(url, **PATIENT) | {
            "management": {"port": port},
            "state": {"file": "/var/lib/tightlip/state.db"},
            "log": {"directory": "/var/log/tightlip/records"},
        }
        check = [PYTHON, "-m", "gateway.health", f"http://127.0.0.1:{port}/healthz"]
        with gateway(folder, settings, program=container.command(TIGHTLIP)) as front:
            ready = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE_S, trust_env=False)
            assert ready.status_code == httpx.codes.OK
            until(lambda: container.run(*check).returncode == 0)
            with front.client() as client:
                answer = ask(client, "How long do I have to return a lamp?", temperature=0, max_tokens=80)
            assert "45 days" in answer.json()["choices"][0]["message"]["content"]
            os.kill(innermost(front.child.process.pid), signal.SIGTERM)  # buildah itself does not pass it on
            assert front.child.process.wait(PATIENCE_S) == 0
        assert container.run(*check).returncode == 1
        assert container.contents() == before
    assert (tmp_path / "volume1" / "state.db").stat().st_uid == 10001
    assert list((tmp_path / "volume2").glob("*"))


def test_an_index_is_built_in_the_tools(store: Store, volumes: list[str], tmp_path: Path) -> None:
    rows = ({"text": f"The lamp of row {number} came back after a week.", "id": f"c{number}"} for number in range(20))
    data = tmp_path / "volume0" / "set.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with store.container(TOOLS, *volumes) as container:
        without_shells(container)
        built = container.run(
            TIGHTLIP, "index", "build", "/tmp/set.jsonl", "--out", "/tmp/set.tli", "--key", "/tmp/index.key",
            "--create-key", "--subject-field", "id", "--no-subject", "private", "--no-audience", "public",
        )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "volume0" / "set.tli").stat().st_size > 0
