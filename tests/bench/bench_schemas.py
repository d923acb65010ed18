"""What looking at a request's schemas costs, and which ordinary schemas it refuses.

    python -m tests.bench.bench_schemas [--json FILE]

CPU time of the process, the median of some runs, with the detectors of the profile strict and no index; "again" is of a
tenant that has sent the same before. "Refused" are cases of tests/vectors/schemas.json, meant to pass and meant not to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filters.detectors import detector_of
from filters.knowledge import NOTHING_KNOWN
from gateway.errors import CallerError
from gateway.policy.limits import RequestLimits
from gateway.policy.parameters import admit, read
from gateway.shaping import Door
from gateway.types import Endpoint, Plan
from tests.gateway.support import make_grant

VECTORS = Path(__file__).parents[1] / "vectors/schemas.json"
RUNS = 7
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def word(number: int) -> str:
    return "".join(LETTERS[number // 26**place % 26] for place in range(4))


def answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}


def tools(count: int) -> dict[str, Any]:
    members = {f"{word(n)}_name": {"type": "string", "description": "what it is called " * 3} for n in range(8)}
    members["unit"] = {"enum": ["metric", "imperial"]}
    schema = {"type": "object", "properties": members, "required": ["unit"], "additionalProperties": False}
    return {
        "tools": [
            {"type": "function", "function": {"name": f"f_{word(n)}", "parameters": schema}} for n in range(count)
        ]
    }


REQUESTS: dict[str, dict[str, Any]] = {
    "no schema": {},
    "an answer's schema, 5 plain choices": answer({"enum": ["red", "green", "blue", "black", "white"]}),
    "20 tools of 9 parameters": tools(20),
    "64 KiB, 4,000 choices of one word": answer({"enum": [f"{word(n)}x{word(n)}" for n in range(4000)]}),
    "64 KiB, 4,000 choices that might be values": answer({"enum": [f"{word(n)} {n % 100} é" for n in range(4000)]}),
    "64 KiB of patterns": answer({"anyOf": [{"pattern": f"^(?:{word(n)}|[a-z]+)?$" * 40} for n in range(60)]}),
    "64 KiB of nesting": answer({"allOf": [{"allOf": [{"allOf": [{"const": word(n)}] * 12}] * 12} for n in range(20)]}),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = {"cost": list(_costs()), "refused": [_refused("passed"), _refused("refused")]}
    for title, rows in report.items():
        print(f"\n{title}")
        for row in rows:
            print("  " + "  ".join(f"{key}={value}" for key, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _costs() -> Iterator[dict[str, Any]]:
    for name, more in REQUESTS.items():
        plan = _plan(more)
        first = [_cpu(lambda: _passes(Door(), plan)) for _ in range(RUNS)]  # noqa: B023 - called at once
        door = Door()
        _passes(door, plan)
        again = [_cpu(lambda: _passes(door, plan)) for _ in range(RUNS)]  # noqa: B023
        ms = {"first_ms": statistics.median(first) * 1e3, "again_ms": statistics.median(again) * 1e3}
        yield {"request": name, **{key: round(value, 2) for key, value in ms.items()}, "passes": _passes(door, plan)}


def _refused(kind: str) -> dict[str, Any]:
    cases = [case for case in json.loads(VECTORS.read_text(encoding="utf-8"))["cases"] if case["is"] == kind]
    refused = sum(not _passes(Door(), _plan(answer(case["schema"]))) for case in cases)
    return {"meant to be": kind, "cases": len(cases), "refused": refused}


def _plan(more: dict[str, Any]) -> Plan:
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}], **more}
    grant = make_grant(request=RequestLimits(schema_chars=1 << 17))
    return admit(read(json.dumps(body).encode(), Endpoint.CHAT), grant)


def _passes(door: Door, plan: Plan) -> bool:
    try:
        asyncio.run(door.base_answers(plan, detector_of(plan.grant.profile), NOTHING_KNOWN))
    except CallerError:
        return False
    return True


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
