"""One run: the town, a fault a second, and what the callers, the processes and the records say of it afterwards."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from gateway.observe.logs import RETRY_SECONDS
from tests.bench.reported import show
from tests.soak.faults import Breaking, disk_of, faults
from tests.soak.judged import Told, growing, hanging, private, quarters, unrecorded
from tests.soak.said import leaked
from tests.soak.town import ANSWER_SECONDS, Front, Town, town

WARM_SECONDS: Final = 12.0  # until all streams are open
SAMPLE_SECONDS: Final = 2.0
TELL_SECONDS: Final = 10.0
TOKENS_SECONDS: Final = 600.0  # between two times that callers get new tokens
WELL_SECONDS: Final = 180.0  # after the last fault, until answers come as before
WELL_SHARE: Final = 0.1  # of the streams: so many whole answers, begun after it
MOST_SAMPLES: Final = 400  # of memory, in the report


@dataclass(frozen=True)
class Options:
    seconds: float  # of faults
    streams: int
    seed: int


@dataclass(frozen=True)
class Report:
    """What was seen. `broken` are the promises that were not kept."""

    options: Options
    left_out: list[str]
    broken: list[str]
    figures: dict[str, Any]
    struck: dict[str, int]  # faults, by kind
    memory: dict[str, list[tuple[float, float]]]  # of each gateway: seconds since the first fault, MiB

    def show(self) -> None:
        show({"Faults": self.struck, "Figures": self.figures})
        for each in self.left_out:
            print(f"left out: {each}")
        for promise in self.broken:
            print(f"BROKEN: {promise}")
        print(f"{len(self.broken)} promises broken" if self.broken else "all promises kept", flush=True)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def soak(options: Options, keep: Path | None = None) -> Report:
    """All of it. `keep`: a folder for what is written, which stays."""
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tightlip-soak-")))
        built = stack.enter_context(town(folder, options.streams))
        return asyncio.run(_Run(built, options).all_of_it())


class _Run:
    """Within one event loop: what a thread of its starts ends with it."""

    def __init__(self, built: Town, options: Options) -> None:
        self._town, self._options = built, options
        self._heard = _Heard(built.folder / "answers.jsonl")
        dice = random.Random(options.seed)
        self._breaking = Breaking(faults(built, dice), dice)
        self._memory: dict[str, list[tuple[float, float]]] = {front.name: [] for front in built.fronts}

    async def all_of_it(self) -> Report:
        await asyncio.sleep(WARM_SECONDS)
        watching = asyncio.ensure_future(self._watch(time.monotonic()))
        await self._breaking.go_on(self._options.seconds)
        watching.cancel()
        well = await self._well_again(time.monotonic())
        late = [await asyncio.to_thread(_written_late, front) for front in self._town.fronts]
        await asyncio.to_thread(self._end)
        return self._report(well, late)

    async def _watch(self, began: float) -> None:
        """Memory, new tokens in time, and a line now and then."""
        told = renewed = began
        while True:
            now = time.monotonic()
            for front in self._town.fronts:
                self._memory[front.name].append((round(now - began, 1), round(front.resident_mib, 1)))
            if now - told >= TELL_SECONDS:
                told = now
                self._tell(now - began)
            if now - renewed >= TOKENS_SECONDS:
                renewed = now
                await asyncio.to_thread(self._town.issuers.write_tokens)
            await asyncio.sleep(SAMPLE_SECONDS)

    def _tell(self, seconds: float) -> None:
        heard = self._heard
        heard.look()
        memory = ", ".join(f"{name} {samples[-1][1]:.0f} MiB" for name, samples in self._memory.items())
        common = ", ".join(f"{name} {count}" for name, count in heard.outcomes.most_common(6))
        print(
            f"{seconds:6.0f} s: {heard.under_way[-1:]} under way, {len(self._breaking.struck)} faults, "
            f"{len(heard.answers)} answers, {heard.bad} leak ({common}); {memory}",
            flush=True,
        )

    async def _well_again(self, since: float) -> float | None:
        """Seconds until answers come as before; None: they do not."""
        while time.monotonic() < since + WELL_SECONDS:
            await asyncio.sleep(1.0)
            self._heard.look()
            whole = sum(answer.began > since and answer.outcome == "whole" for answer in self._heard.answers)
            if whole >= WELL_SHARE * self._options.streams:
                return time.monotonic() - since
        return None

    def _end(self) -> None:
        """Callers first, so that gateways have nothing left to do."""
        self._town.callers.end()
        for front in self._town.fronts:
            front.process.end()
            shutil.copytree(front.records, self._town.folder / f"records-{front.name}")  # its disk goes with the town
        self._heard.look()

    # ---- what it says ----

    def _report(self, well: float | None, late: Sequence[float]) -> Report:
        answers, struck = self._heard.answers, self._breaking.struck
        records = list(_records(self._town.folder.glob("records-*/records-*")))
        kills = [(self._waited(front, since), until) for front in self._town.fronts for since, until in front.killed]
        steady = self._memory[self._town.fronts[0].name]
        hidden = sum(sum(record.get("findings", {}).values()) for record in records)
        broken = [
            *private(answers),
            *self._on_disk(),
            *hanging(answers, ANSWER_SECONDS),
            *growing(steady),
            *unrecorded(answers, [record["request_id"] for record in records], kills),
            *(f"{each.kind} ({each.thing}): {each.failed}" for each in struck if each.failed),
        ]
        if well is None:
            broken.append(f"{WELL_SECONDS:g} s after the last fault answers do not come as before")
        if hidden < self._options.streams:
            broken.append(f"only {hidden} private values were there to be hidden")
        figures = self._figures(records) | {
            "private values hidden": hidden,
            "records that had to wait for the disk": list(late),
            "well again after, s": well,
        }
        memory = {name: samples[:: max(1, len(samples) // MOST_SAMPLES)] for name, samples in self._memory.items()}
        kinds = dict(Counter(each.kind for each in struck).most_common())
        return Report(self._options, self._town.left_out, broken, figures, kinds, memory)

    def _waited(self, front: Front, kill: float) -> float:
        """Since when records waited in memory that a kill took with it: since the disk was full, if it was."""
        of_disk = [each for each in self._breaking.struck if (each.kind, each.thing) == ("disk full", disk_of(front))]
        return min([kill, *(each.began for each in of_disk if each.began <= kill <= each.mended + RETRY_SECONDS)])

    def _figures(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        answers, heard, fronts = self._heard.answers, self._heard, self._town.fronts
        ids = {record["request_id"] for record in records}
        before, after = quarters(self._memory[fronts[0].name])
        return {
            "faults": len(self._breaking.struck),
            "requests under way, median": statistics.median(heard.under_way),
            "answers": len(answers),
            "how they ended": str(dict(heard.outcomes.most_common())),
            "answers with private text": heard.bad,
            "records": len(records),
            "answers without a record": sum(answer.id is not None and answer.id not in ids for answer in answers),
            "requests without an answer": sum(answer.id is None for answer in answers),
            "records of these": len(ids - {answer.id for answer in answers}),
            "longest answer, s": max(answer.seconds for answer in answers),
            "longest in the records, s": max(record["duration"] for record in records),
            "longest without a byte, s": heard.gap,
            "memory of the gateway that stays, MiB": f"{before:.0f}, later {after:.0f}",
            "memory of the one that is killed, at most": max(mib for _, mib in self._memory[fronts[-1].name]),
            "kills": len(fronts[-1].killed),
        }

    def _on_disk(self) -> list[str]:
        """What stands in records, in what was printed, in Redis."""
        folder = self._town.folder
        found = {name for text in self._town.outputs for name in leaked(text.encode())}
        for path in (path for each in (*folder.glob("records-*"), folder / "redis") for path in each.rglob("*")):
            if path.is_file():
                found.update(leaked(path.read_bytes()))
        return [f"private text in records, output or Redis: {', '.join(sorted(found))}"] if found else []


class _Heard:
    """What callers have written down by now. `gap` is the longest time without a byte."""

    def __init__(self, path: Path) -> None:
        self._file, self._rest = path.open("rb"), b""
        self.answers: list[Told] = []
        self.outcomes, self.bad, self.gap = Counter[str](), 0, 0.0
        self.under_way: list[int] = []

    def look(self) -> None:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            self._add(json.loads(line))

    def _add(self, line: dict[str, Any]) -> None:
        if "under_way" in line:
            self.under_way.append(line["under_way"])
            return
        told = Told(*(line[key] for key in ("id", "outcome", "began", "ended", "leaks", "strange")))
        self.answers.append(told)
        self.outcomes[told.outcome] += 1
        self.bad += not told.clean
        self.gap = max(self.gap, line["gap"])


def _records(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Of requests. A line that a kill has cut off is none."""
    for line in (line for path in files for line in path.read_bytes().splitlines()):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["event"] == "request":
            yield record


def _written_late(front: Front) -> float:
    """How many records the running gateway could not write at once."""
    page = httpx.get(f"{front.management}/metrics", trust_env=False, timeout=60).text
    return sum(float(line.split()[1]) for line in page.splitlines() if line.startswith("tightlip_log_failures_total"))
