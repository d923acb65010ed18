"""The gateway in front of the embedded upstream and the demo models, as processes, in each way to arrange the two.

The same scenarios run against real vLLM in tests/vllm/test_gateway.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.gateways import gateway, server, settings
from tests.support.processes import HOST, Program, answers, free_ports, running, running_together
from tests.support.scenarios import (
    CONTEXT,
    CORE,
    SCENARIOS,
    Records,
    Stage,
    a_dying_upstream_takes_what_is_held_with_it,
)
from tests.support.scripted import Engine, Pause
from tests.support.vllm_server import Arrangement, Endpoint, stretched

DEMO_MODELS = Path(__file__).parents[2] / "deploy" / "demo" / "models"
MODELS = Path(os.environ.get("TIGHTLIP_TEST_MODELS", DEMO_MODELS)).absolute()
FULL = {"tuned": str(MODELS / "tuned"), "base": str(MODELS / "base")}
LORA = FULL | {"tuned": f"{MODELS / 'base'}+{MODELS / 'adapter'}"}
# What each server serves, by name.
SERVERS: dict[str, tuple[dict[str, str], ...]] = {
    "full, one server": (FULL,),
    "full, two servers": ({"tuned": FULL["tuned"]}, {"base": FULL["base"]}),
    "lora, one server": (LORA,),
}


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("demo")
    with _upstreams(request.param, folder) as arrangement:
        configuration = settings(
            server(arrangement.tuned.url, arrangement.tuned.model),
            server(arrangement.base.url, arrangement.base.model),
            MODELS / "base",
        )
        with gateway(folder, configuration) as front:
            yield Stage(front, arrangement, Records.beside(MODELS))


def name(scenario: Callable[[Stage], None]) -> str:
    return scenario.__name__


# Two marks for two parameters: with one for both, each case would start the servers anew.
@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each not in CORE], ids=name)
@pytest.mark.parametrize("stage", list(SERVERS)[:1], indirect=True)
def test_with_the_embedded_upstream(stage: Stage, scenario: Callable[[Stage], None]) -> None:
    scenario(stage)


@pytest.mark.parametrize("scenario", CORE, ids=name)
@pytest.mark.parametrize("stage", SERVERS, indirect=True)
def test_in_each_arrangement(stage: Stage, scenario: Callable[[Stage], None]) -> None:
    scenario(stage)


def test_an_upstream_that_is_killed(engine: Engine, tmp_path: Path) -> None:
    secret = Records.beside(MODELS).secrets("email", most_repeated=True)[0]
    engine.score = Pause(30.0)
    model = stretched(MODELS / "tuned", tmp_path / "tuned", CONTEXT)
    victim = server_program("upstream", {"tuned": str(model)}, *free_ports(1))
    with running(victim, tmp_path / "upstreams") as child:
        configuration = settings(
            server(child.url, "tuned"), server(engine.url, "base"), MODELS / "base", keep_alive_seconds=0.2
        )
        with gateway(tmp_path, configuration) as front:
            a_dying_upstream_takes_what_is_held_with_it(front, engine, secret, child.process.kill)


@contextmanager
def _upstreams(kind: str, folder: Path) -> Iterator[Arrangement]:
    served = SERVERS[kind]
    programs = [
        server_program(f"upstream-{at}", each, port)
        for at, (each, port) in enumerate(zip(served, free_ports(len(served)), strict=True))
    ]
    places = {
        name: Endpoint(program.url, name) for each, program in zip(served, programs, strict=True) for name in each
    }
    with running_together(programs, folder / "upstreams") as children:
        yield Arrangement(kind.split(",")[0], places["base"], places["tuned"], children)


def server_program(name: str, models: dict[str, str], port: int) -> Program:
    options = [word for each, place in models.items() for word in ("--model", f"{each}={place}")]
    command = [sys.executable, "-m", "gateway.cli", "upstream", *options, "--host", HOST, "--port", str(port)]
    return Program(name, command, answers("/health"), url=f"http://{HOST}:{port}")
