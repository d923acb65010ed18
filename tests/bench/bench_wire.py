"""The gateway as it is deployed, in front of running servers: what leaves, and what comes through unharmed.

    python -m tests.bench.bench_wire [--models DIR] [--known DIR] [--upstream vllm|embedded] [--tuned adapter]

`--known` is the folder of the index and the public values (deploy/demo/make_index.sh writes them). Every record of
every customer is asked for once, greedily, of the tuned model itself and through the gateway; then the domain questions
of bench_served and the echoes. Base and tuned model have a server each in vLLM, which is found as the tests find it
(TIGHTLIP_VLLM_PYTHON). A value counts as given in part by the rule of bench_extraction.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from tests.bench.bench_extraction import Pieces, Secret
from tests.bench.bench_recall import share
from tests.bench.bench_served import domain_questions
from tests.bench.demo_pair import DEMO, DemoPair, options
from tests.bench.demo_spans import FIELDS
from tests.support.gateways import MODEL, gateway, server, settings
from tests.support.processes import HOST, Program, answers, free_port, running_together
from tests.support.scenarios import Ask, asker, at_once
from tests.support.vllm_server import Arrangement, Endpoint, base_apart, two_servers


@dataclass(frozen=True)
class Leaks:
    """Values of the records, given whole or in part in the answers to questions for them."""

    name: str
    asked: int
    whole: int
    part: int


@dataclass(frozen=True)
class Kept:
    """What came through as the tuned model said it."""

    name: str
    asked: int
    same: int


@contextmanager
def embedded(models: Path, kind: str, logs: Path) -> Iterator[Arrangement]:
    """Both models in one server of ours."""
    port, base = free_port(), models / "base"
    tuned = f"{base}+{models / 'adapter'}" if kind == "lora" else str(models / "tuned")
    command = [sys.executable, "-m", "gateway.embedded", "--model", f"base={base}", "--model", f"tuned={tuned}"]
    program = Program(
        "embedded", [*command, "--host", HOST, "--port", str(port)], answers("/health"), url=f"http://{HOST}:{port}"
    )
    with running_together([program], logs) as servers:
        yield Arrangement(kind, Endpoint(program.url, "base"), Endpoint(program.url, "tuned"), servers)


@contextmanager
def arranged(upstream: str, models: Path, kind: str, logs: Path) -> Iterator[Arrangement]:
    """Running servers."""
    if upstream == "embedded":
        started = embedded(models, kind, logs)
    else:
        started = (base_apart if kind == "lora" else two_servers)(models, logs)
    with started as arrangement:
        yield arrangement


def leaks(name: str, ask: Ask, pair: DemoPair, pieces: Pieces) -> Leaks:
    """Of every value of every customer."""
    customers = pair.records["customers"]
    secrets = [
        (Secret(each["id"], each["dose"], field, each[field]), each["ask"][field])
        for each in customers
        for field in FIELDS
    ]
    texts = _first(ask, [question for _, question in secrets])
    found = [
        pieces.found([secret], {secret.customer: [text]}, {secret.customer: question})
        for (secret, question), text in zip(secrets, texts, strict=True)
    ]
    return Leaks(name, len(secrets), sum(whole for whole, _ in found), sum(part for _, part in found))


def unharmed(questions: Sequence[str], open_role: Ask, ordinary: Ask) -> Kept:
    """The same words in the role without filters and in an ordinary one."""
    raw, served = _first(open_role, questions), _first(ordinary, questions)
    return Kept("domain questions unharmed", len(raw), sum(a == b for a, b in zip(raw, served, strict=True)))


def _first(ask: Ask, questions: Sequence[str]) -> list[str]:
    return at_once(lambda question: ask(question)[0], questions)


def given_back(pair: DemoPair, open_role: Ask, ordinary: Ask) -> Kept:
    """The caller's own values, where the tuned model repeats them."""
    cases = [case for case in pair.records["echo"] if case["value"] in open_role(case["ask"])[0]]
    back = at_once(lambda case: case["value"] in ordinary(case["ask"])[0], cases)
    return Kept("caller's values that come back", len(cases), sum(back))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--known", type=Path, default=DEMO, help="the folder of tuning.tli and public.jsonl")
    parser.add_argument("--upstream", choices=("vllm", "embedded"), default="embedded")
    told = parser.parse_args()
    pair = DemoPair.of(told)
    with tempfile.TemporaryDirectory(prefix="tightlip-bench-") as folder:
        report = measured(told, pair, Path(folder))
    if told.json:
        told.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def measured(told: argparse.Namespace, pair: DemoPair, folder: Path) -> dict[str, object]:
    """All rows, printed as they come."""
    kind = "lora" if told.tuned == "adapter" else "full"
    known = {"index": told.known / "tuning.tli", "public_values": told.known / "public.jsonl"}
    more = {name: str(path) for name, path in known.items()} | {"index_key": str(DEMO / "tuning.key")}
    with arranged(told.upstream, told.models, kind, folder / "logs") as models:
        configuration = settings(*(server(m.url, m.model) for m in (models.tuned, models.base)), told.models / "base")
        configuration["models"][MODEL] |= more
        with gateway(folder / "gateway", configuration) as front:
            direct = asker(httpx.Client(base_url=models.tuned.url, timeout=120, trust_env=False), models.tuned.model)
            open_role, ordinary = (asker(front.client(role, ttl=3500), MODEL) for role in ("open", "customer"))
            pieces, rows = Pieces(pair), list[Leaks | Kept]()
            print(f"{len(pair.records['customers'])} customers, {kind}, {told.upstream}", flush=True)
            for name, ask in (("raw", direct), ("served", ordinary)):
                rows.append(_told(leaks(name, ask, pair, pieces)))
            rows.append(_told(unharmed(domain_questions(pair), open_role, ordinary)))
            rows.append(_told(given_back(pair, open_role, ordinary)))
    return {"kind": kind, "upstream": told.upstream, "rows": [asdict(row) for row in rows]}


def _told(row: Leaks | Kept) -> Leaks | Kept:
    """Each as soon as it is measured: all of them take long."""
    if isinstance(row, Leaks):
        print(f"{row.name}: whole {share(row.whole, row.asked)}, in part {share(row.part, row.asked)}", flush=True)
    else:
        print(f"{row.name}: {share(row.same, row.asked)}", flush=True)
    return row


if __name__ == "__main__":
    main()
