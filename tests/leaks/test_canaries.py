"""Whatever is said on whatever path, nothing of it lies anywhere afterwards. The paths are those of paths.py, walked
through two real gateway processes; the sinks those of sinks.py, searched once for all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import connect

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from redis import Redis as Client

from gateway.key_files import write_pair
from gateway.observe.files import DayFiles
from tests.leaks import page, paths, sinks
from tests.leaks.paths import ALL, BESIDE, FIRST, KILLED, LOCKED, ON_REDIS, PLANTED, PLANTS, SHUT_DOWN, SLOW, THEN
from tests.leaks.stage import RELEASED, SUBJECT, SUBJECTS, WIRE, Stage, lawful, locked_stage, stage
from tests.leaks.words import Canaries, Said
from tests.support.collector import Collected, check_trace
from tests.support.redis import DURABLE, needs_redis, redis

READABLE = (*DURABLE, "--rdbcompression", "no")  # a search sees through no compression
ENDED = "a revocation ends an answer"
MAY: Mapping[Said, frozenset[str]] = {  # docs/state.md: a revocation names whom it means
    Said(ENDED, SUBJECT): frozenset({sinks.SQLITE, sinks.WAL, sinks.RDB, sinks.AOF, sinks.REVOCATIONS}),
    Said("what is kept of a person", SUBJECT): frozenset({SUBJECTS}),  # the receipt says whose it is
}


@dataclass
class Walked:
    """What was said, and what lies where."""

    canaries: Canaries
    answers: dict[str, bytes]
    found: list[tuple[str, bytes]]
    core: str  # the process's limits
    folder: Path
    traces: Collected

    def leaks(self) -> set[tuple[str, str, str, str]]:
        """Path, place, sink and form of all that lies where it may not."""
        return {
            (hit.said.path, hit.said.place, sink, hit.form)
            for sink, data in self.found
            for hit in self.canaries.hits(data)
            if sink not in MAY.get(hit.said, ())
        }

    def told(self) -> set[tuple[str, str, str, str]]:
        """The same of answers: who may not have been told what he was."""
        return {
            (hit.said.path, hit.said.place, path, hit.form)
            for path, data in self.answers.items()
            for hit in self.canaries.hits(data)
            if hit.form != "plain" or not lawful(hit.said, path)
        }


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    """All paths that want neither Redis nor TLS, on SQLite."""
    canaries = _canaries()
    with stage(tmp_path_factory.mktemp("gateway"), canaries, {"file": "state.db"}) as walked:
        _walk(walked, FIRST)
        with ThreadPoolExecutor(len(SLOW)) as beside:
            slow = [beside.submit(path.walk, walked.walk(path.name)) for path in SLOW]
            _walk(walked, [*BESIDE, PLANTS])
            for each in slow:
                each.result()
        _walk(walked, THEN)
        found, core = list(sinks.live(walked)), _core(walked)
        _walk(walked, [SHUT_DOWN])
        found += sinks.dead(walked)
        yield Walked(canaries, walked.answers, found, core, walked.front.folder, walked.traces)


@pytest.fixture(scope="module")
def on_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    """Those paths of which a store is told or that want TLS, and the one that the process does not survive; records are
    encrypted."""
    canaries, folder = _canaries(), tmp_path_factory.mktemp("redis")
    with redis(folder / "store", *READABLE) as store, locked_stage(folder, canaries, store) as walked:
        _walk(walked, ON_REDIS)
        found, core = list(sinks.live(walked)), _core(walked)
        _walk(walked, [KILLED])
        with Client(port=store.port) as client:
            client.save()
        found += [*sinks.dead(walked), *sinks.files(folder / "store")]
        yield Walked(canaries, walked.answers, found, core, folder, walked.traces)


def _canaries() -> Canaries:
    """Whoever encrypts has to be known by name before the process starts."""
    canaries = Canaries()
    for path in paths.ENCRYPTED:
        canaries.word(path.name, SUBJECT)
    return canaries


def _walk(walked: Stage, along: Sequence[paths.Path]) -> None:
    for path in along:
        path.walk(walked.walk(path.name))


def _core(walked: Stage) -> str:
    limits = Path(f"/proc/{walked.front.child.process.pid}/limits").read_text()
    return next(line for line in limits.splitlines() if line.startswith("Max core file size"))


def test_nothing_that_was_said_lies_anywhere(sqlite: Walked) -> None:
    leaks = {leak for leak in sqlite.leaks() if leak[0] != PLANTED}
    assert not leaks


@needs_redis
def test_nor_with_redis_and_after_kill_9(on_redis: Walked) -> None:
    assert not on_redis.leaks()
    assert not on_redis.told()
    full = {sink for sink, data in on_redis.found if data}
    assert full >= {sinks.LOG, sinks.READ, sinks.RDB, sinks.AOF, SUBJECTS}


def test_nobody_was_told_more_than_the_model_said_to_him(sqlite: Walked) -> None:
    assert not sqlite.told()


def test_the_search_sees_what_may_lie_there(sqlite: Walked) -> None:
    """What was released came to its caller, what is revoked lies in the store: so the search reads what it seems to."""
    answers = {(hit.said.place, path) for path, data in sqlite.answers.items() for hit in sqlite.canaries.hits(data)}
    assert {place for place, _ in answers} == RELEASED
    assert {path for _, path in answers} >= {path.name for path in paths.ANSWERED[:4]}
    revoked = {
        sink for sink, data in sqlite.found for hit in sqlite.canaries.hits(data) if hit.said == Said(ENDED, SUBJECT)
    }
    assert {sinks.SQLITE, sinks.REVOCATIONS} <= revoked


def test_every_path_was_walked_and_every_sink_is_there(sqlite: Walked) -> None:
    """A sink that was empty would hold nothing whatever leaked."""
    silent = {"what is no HTTP", "a policy with wrong values", "a policy that is no YAML", "the leak probe asks"}
    walked = {path.name for path in ALL if path not in (KILLED, *LOCKED)}
    assert walked - silent <= sqlite.answers.keys() | silent
    full = {sink for sink, data in sqlite.found if data}
    elsewhere = {sinks.RDB, sinks.AOF, sinks.ANSWERS, sinks.WIRES, sinks.CORE}
    assert full == sinks.SINKS.keys() - elsewhere
    assert any(path.endswith(WIRE) for path in sqlite.answers)
    assert len(ALL) >= 40


def test_every_request_of_every_path_has_one_whole_trace(sqlite: Walked) -> None:
    files = (sqlite.folder / "records").glob("records-*")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    traces = sqlite.traces.traces
    assert sorted(line["trace"] for line in lines if line["event"] == "request") == sorted(traces)
    for spans in traces.values():
        check_trace(spans)


def test_no_core_is_dumped(sqlite: Walked) -> None:
    assert sqlite.core.split()[4:6] == ["0", "0"]


def test_the_page_lists_what_was_walked_and_searched() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), "run: python -m tests.leaks.page, as it says"


# ---- it would be seen ------------------------------------------------------------------------------------------------


def test_what_the_process_wrote_down_in_that_run_was_found(sqlite: Walked) -> None:
    """Lines and a temporary file that a part of the process planted, each in another form."""
    planted = {(sink, form) for path, _, sink, form in sqlite.leaks() if path == PLANTED}
    assert planted == {(sinks.STDOUT, "base64"), (sinks.STDERR, "hex"), (sinks.OPEN, "reversed")}
    assert "prompt" in {place for path, place, _, _ in sqlite.leaks() if path == PLANTED}


LINES = (lambda word: f"a {word}", lambda word: word.upper().encode().hex(), lambda word: f"{word[:9]}\n{word[9:]}")


@pytest.mark.parametrize("sink", sorted(sinks.SINKS.keys() - {sinks.CORE}))
def test_a_line_more_is_found_beside_all_that_lies_there(sqlite: Walked, sink: str) -> None:
    said = Said("chat, whole", "prompt")
    data = b"\n".join(data for name, data in sqlite.found if name == sink)
    assert said not in {hit.said for hit in sqlite.canaries.hits(data)}
    for line in LINES:
        more = data + b"\n" + line(sqlite.canaries.words[said]).encode()
        assert said in {hit.said for hit in sqlite.canaries.hits(more)}


def test_a_line_more_in_any_file_is_found(sqlite: Walked, tmp_path: Path) -> None:
    """In the files themselves, and in a row of the store."""
    planted = sqlite.canaries.words[Said("chat, whole", "held")]
    copy = shutil.copytree(sqlite.folder, tmp_path / "copy")
    (copy / "tmp" / "new").touch()
    *_, log = sorted((copy / "audit").glob("*.jsonl"))  # two, where midnight fell into the run
    for file in (log, *(copy / "records").iterdir(), copy / "tmp" / "new", *(copy / "logs").iterdir()):
        with file.open("a") as text:
            text.write(f'{{"detail": "{planted}"}}\n')
    with closing(connect(copy / "state.db")) as store:
        store.execute("create table planted (word text)")
        store.execute("insert into planted values (?)", (planted,))
        store.commit()
    hits = {(sink, hit.said.place) for sink, data in sinks.files(copy) for hit in sqlite.canaries.hits(data)}
    files = {sinks.STDOUT, sinks.STDERR, sinks.LOG, sinks.AUDIT, sinks.TEMPORARY, sinks.SQLITE}
    assert {sink for sink, place in hits if place == "held"} == files


def test_a_line_more_among_encrypted_records_is_found_where_they_are_read(tmp_path: Path) -> None:
    canaries, private = Canaries(), X25519PrivateKey.generate()
    planted = canaries.word("a path", "a place")
    write_pair(key := tmp_path / "records.pem", private)
    (folder := tmp_path / "records").mkdir(mode=0o700)
    files = DayFiles(folder, "records", 7, private.public_key())
    files.write(f'{{"event": "process", "code": "{planted}"}}\n'.encode())
    files.close()
    assert [canaries.hits(data) for _, data in sinks.files(tmp_path) if data] == [frozenset()] * 3
    assert canaries.hits(sinks.read(folder, key))


@needs_redis
def test_a_value_more_in_redis_is_found(tmp_path: Path) -> None:
    canaries = Canaries()
    planted = canaries.word("a path", "a place")
    with redis(tmp_path, *READABLE) as store, Client(port=store.port) as client:
        client.set("a", f"it is {planted}")
        client.save()
        hits = {sink for sink, data in sinks.files(tmp_path) for _ in canaries.hits(data)}
    assert hits == {sinks.RDB, sinks.AOF}
