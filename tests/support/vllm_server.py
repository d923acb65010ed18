"""A real vLLM on the CPU, serving one model folder, or a base folder and a LoRA adapter as two names.

Figures on two shared cores, vLLM 0.32.0 and models of a few million parameters: ready in about 30 s, 3 GB of memory.
Two things are set against what was seen without them:

* `TORCHDYNAMO_DISABLE=1`: the first request that asks for log-probabilities otherwise waits 24 s for a kernel that is
  compiled just then, and every deadline in front of it passes.
* `VLLM_CPU_OMP_THREADS_BIND=nobind` and one thread: each server otherwise pins itself to the first core, so two
  servers share one core while the other is idle.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import HOST, Child, Program, answers, free_port, free_ports, running, running_together

PYTHON_VARIABLE = "TIGHTLIP_VLLM_PYTHON"
DEFAULT_PYTHON = Path(__file__).parents[2] / ".venv-vllm" / "bin" / "python"

MAX_MODEL_LEN = 1024  # the demo models' context; small, so that "too long" is cheap to test
MAX_LOGPROBS = 20  # vLLM's own default, written down because tests go one over it
MAX_NUM_SEQS = 8  # memory and start-up time grow with it, and no test has more in flight
START_S = 240.0  # half a minute when the machine is free; loading is slow when it is not
GRACE_S = 20.0  # an idle server ends in two seconds
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the values that --max-lora-rank takes

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}


class VllmMissing(RuntimeError):
    """There is no interpreter with vLLM where it was looked for."""


@dataclass(frozen=True)
class Adapter:
    name: str
    folder: Path

    @property
    def rank(self) -> int:
        """The smallest rank vLLM accepts that holds this adapter."""
        return next(rank for rank in LORA_RANKS if rank >= self._config["r"])

    @property
    def targets(self) -> list[str]:
        """The layers that it changes, by the last part of their names."""
        return sorted(self._config["target_modules"])

    @property
    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((self.folder / "adapter_config.json").read_text())
        return config


@dataclass(frozen=True)
class Endpoint:
    """Where one model is served, and under which name."""

    url: str
    model: str


@dataclass(frozen=True)
class Arrangement:
    """Where base and tuned are served, and the servers, whose logs a test may search."""

    kind: str
    base: Endpoint
    tuned: Endpoint
    servers: tuple[Child, ...]

    @property
    def endpoints(self) -> tuple[Endpoint, Endpoint]:
        return self.base, self.tuned


def interpreter() -> Path:
    """The Python that has vLLM; raises `VllmMissing` with what to do about it."""
    python = Path(os.environ.get(PYTHON_VARIABLE, DEFAULT_PYTHON))
    if not python.exists():
        raise VllmMissing(f"no vLLM at {python}: run deploy/vllm-cpu/install.sh, or set {PYTHON_VARIABLE}")
    return python


def is_required() -> bool:
    """Whether a missing vLLM is a failure. On a developer's machine it is not: those tests are skipped."""
    return os.environ.get("CI") == "true" and os.environ.get("TIGHTLIP_REQUIRE_VLLM") == "1"


@contextmanager
def two_servers(models: Path, logs: Path) -> Iterator[Arrangement]:
    """The base model and its fully fine-tuned sibling, each in a server of its own, started side by side."""
    names = ("base", "tuned")
    programs = [program(models / name, name, port) for name, port in zip(names, free_ports(2), strict=True)]
    base, tuned = (Endpoint(each.url, name) for each, name in zip(programs, names, strict=True))
    with running_together(programs, logs) as servers:
        yield Arrangement("full", base, tuned, servers)


@contextmanager
def one_server(models: Path, logs: Path) -> Iterator[Arrangement]:
    """The base model and a LoRA adapter of it, as two names of one server, which takes requests by their priority."""
    both = program(models / "base", "base", free_port(), Adapter("tuned", models / "adapter"))
    with running_together([both], logs) as servers:
        yield Arrangement("lora", Endpoint(both.url, "base"), Endpoint(both.url, "tuned"), servers)


@contextmanager
def base_apart(models: Path, logs: Path) -> Iterator[Arrangement]:
    """The adapter in one server and the base model in another."""
    with one_server(models, logs) as together, base_beside(together, models, logs) as apart:
        yield apart


@contextmanager
def base_beside(together: Arrangement, models: Path, logs: Path) -> Iterator[Arrangement]:
    """The adapter where it is, and the base model in another server. On the CPU vLLM 0.32 computes steps wrongly
    that mix both: in one server the base's scores are up to 22 nats off while the adapter answers, and one answer in
    hundreds is garbled."""
    alone = program(models / "base", "alone", free_port())
    with running(alone, logs) as server:
        yield Arrangement("lora", Endpoint(alone.url, "alone"), together.tuned, (*together.servers, server))


def stretched(model: Path, folder: Path, positions: int) -> Path:
    """A copy, at `folder`, that takes so many tokens of context; what it says behind those of `model` is noise."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": positions}), encoding="utf-8")
    return folder


def program(
    folder: Path, name: str, port: int, adapter: Adapter | None = None, context: int = MAX_MODEL_LEN
) -> Program:
    """vLLM serving `folder` as `name`, and the adapter's name beside it, at `port`; ready when its engine is."""
    return Program(
        name=f"vllm-{name}",
        command=_command(folder, name, port, context) + (_lora_flags(adapter) if adapter else []),
        ready=answers("/health"),
        url=f"http://{HOST}:{port}",
        environment=ENVIRONMENT,
        start_s=START_S,
        grace_s=GRACE_S,
    )


def _command(folder: Path, name: str, port: int, context: int) -> list[str]:
    options = {
        "model": folder,
        "served-model-name": name,
        "host": HOST,
        "port": port,
        "dtype": "float32",
        "max-model-len": context,
        "max-logprobs": MAX_LOGPROBS,
        "max-num-seqs": MAX_NUM_SEQS,
    }
    switches = ["--enforce-eager", "--no-enable-log-requests", "--disable-uvicorn-access-log"]
    pairs = [word for option, value in options.items() for word in (f"--{option}", str(value))]
    return [str(interpreter()), "-m", "vllm.entrypoints.openai.api_server", *pairs, *switches]


def _lora_flags(adapter: Adapter) -> list[str]:
    """The targets are named because vLLM otherwise makes the output layer ready for adapters too, and then a question
    with `prompt_logprobs` that shares a step with the adapter's answer ends the engine (vLLM issue 16668)."""
    modules = f"{adapter.name}={adapter.folder}"
    targets = ["--lora-target-modules", *adapter.targets]
    ranked = ["--scheduling-policy", "priority"]  # the other arrangement keeps the default
    return [*ranked, "--enable-lora", "--lora-modules", modules, "--max-lora-rank", str(adapter.rank), *targets]
