"""Real vLLM servers for the tests of this folder, in the two arrangements in which people run a tuned model.

* `vllm_full`: two servers, the base model and its fully fine-tuned sibling.
* `vllm_lora`: one server with the base model and a LoRA adapter, under two names.
* `vllm`: either; a test that asks for it runs once in each.
* `embedded`: no vLLM, but the embedded upstream with the same models: base, tuned, and lora for base with the adapter.

The first three give an `Arrangement`. They are parameters of one session-wide fixture, so pytest itself sorts the tests
by arrangement and ends the servers of the first, and every fixture built on them, before it starts the second: never
more than three servers are alive.
"""

import sys
from collections.abc import Iterator, Sequence
from os import environ
from pathlib import Path

import pytest

from tests.support.processes import HOST, Child, Program, answers, free_port, running
from tests.support.vllm_server import (
    MAX_MODEL_LEN,
    Arrangement,
    VllmMissing,
    interpreter,
    is_required,
    one_server,
    two_servers,
)

ARRANGEMENTS = {"full": two_servers, "lora": one_server}
MODELS_VARIABLE = "TIGHTLIP_TEST_MODELS"  # another folder with base/, tuned/ and adapter/, any small Llama
DEMO_MODELS = Path(__file__).parents[2] / "deploy" / "demo" / "models"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vllm" not in metafunc.fixturenames:
        return
    named = [kind for kind in ARRANGEMENTS if f"vllm_{kind}" in metafunc.fixturenames]
    if len(named) > 1:
        raise pytest.UsageError(f"{metafunc.definition.nodeid} asks for both arrangements: they never run together")
    metafunc.parametrize("vllm", named or list(ARRANGEMENTS), indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Every test that needs a server carries the marker, before anything selects by it."""
    for item in items:
        if "vllm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.vllm)


@pytest.fixture(scope="session")
def models() -> Path:
    folder = Path(environ.get(MODELS_VARIABLE, DEMO_MODELS)).absolute()
    assert (folder / "base" / "config.json").is_file(), f"no models in {folder}"
    return folder


@pytest.fixture(scope="session")
def vllm(
    request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Arrangement]:
    _need_interpreter()
    with ARRANGEMENTS[request.param](models, tmp_path_factory.mktemp(f"vllm-{request.param}")) as arrangement:
        yield arrangement


@pytest.fixture(scope="session")
def vllm_full(vllm: Arrangement) -> Arrangement:
    return vllm


@pytest.fixture(scope="session")
def vllm_lora(vllm: Arrangement) -> Arrangement:
    return vllm


@pytest.fixture(scope="session")
def embedded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    with running(_embedded_program(models), tmp_path_factory.mktemp("embedded")) as child:
        yield child


def _embedded_program(models: Path) -> Program:
    base = models / "base"
    served = {"base": base, "tuned": models / "tuned", "lora": f"{base}+{models / 'adapter'}"}
    port = free_port()
    options = [word for name, place in served.items() for word in ("--model", f"{name}={place}")]
    options += ["--host", HOST, "--port", str(port), "--max-model-len", str(MAX_MODEL_LEN)]
    command = [sys.executable, "-m", "gateway.embedded", *options]
    return Program("embedded", command, answers("/health"), url=f"http://{HOST}:{port}")


def _need_interpreter() -> None:
    try:
        interpreter()
    except VllmMissing as missing:
        if is_required():
            pytest.fail(str(missing))
        pytest.skip(str(missing))
