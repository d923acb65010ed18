"""What it costs to write a request's record: to a stream, to a file of the day, and to one that is encrypted.

    python -m tests.bench.bench_records [--records 20000] [--json FILE]

Each way is run in turn, five times; time is the processor's, and the fastest run counts.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from filters.events import Decided, Origin, Verdict
from gateway.observe.files import DayFiles
from gateway.observe.logs import Logs, RequestRecord, Stream
from gateway.observe.pseudonyms import Pseudonyms
from gateway.observe.sealed import opened
from gateway.types import Principal, RequestId
from tests.bench.reported import Cost, show_costs

RUNS = 5
SEALED = "a file of the day, encrypted"
PRIVATE = X25519PrivateKey.generate()


def record() -> RequestRecord:
    made = RequestRecord(RequestId("req_" + "0" * 32), 1_700_000_000.0, 5.0, route="/v1/chat/completions", status=200)
    made.principal = Principal("https://issuer.test", "acme", "alice", "jti", "customer", 0.0)
    made.address, made.model, made.release, made.policy = "203.0.113.77", "assistant", "blue", "0" * 16
    made.upstream, made.tokens_in, made.tokens_out, made.first_token, made.duration = "gpu-1:8000", 99, 200, 0.2, 4.0
    made.decided(Decided(0, "EMAIL", Verdict.MASK, Origin.TUNED))
    for at in range(40):
        made.held(at / 100)
    return made


def seconds(stream: Stream, count: int) -> float:
    logs, made = Logs(stream, Pseudonyms(b"k" * 32)), record()
    began = time.process_time()
    for _ in range(count):
        logs.request(made)
    return time.process_time() - began


def measure(count: int, folder: Path) -> list[Cost]:
    ways: dict[str, Callable[[Path], Stream]] = {
        "a stream in memory": lambda _: io.BytesIO(),
        "a file of the day": lambda path: DayFiles(path, "records", 7),
        SEALED: lambda path: DayFiles(path, "records", 7, PRIVATE.public_key()),
    }
    best: dict[str, Cost] = {}
    for run in range(RUNS):
        for way, make in ways.items():
            at = folder / f"{way} {run}"
            at.mkdir()
            took = seconds(make(at), count) / count * 1e6
            size = sum(path.stat().st_size for path in at.iterdir()) / count
            best[way] = min(
                best.get(way, Cost(way, took, size)), Cost(way, took, size), key=lambda cost: cost.microseconds
            )
    return [*best.values(), reading(folder, count)]


def reading(folder: Path, count: int) -> Cost:
    (path,) = (folder / f"{SEALED} 0").iterdir()
    began = time.process_time()
    with path.open("rb") as file:
        assert sum(isinstance(each, bytes) for each in opened(file, PRIVATE)) == count
    return Cost("read again, decrypted", (time.process_time() - began) / count * 1e6, path.stat().st_size / count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        costs = measure(arguments.records, Path(name))
    show_costs(costs, arguments.json)


if __name__ == "__main__":
    main()
