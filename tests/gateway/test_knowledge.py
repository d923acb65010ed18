"""What is known of a tuning set is loaded whole or the process does not start; what is not the release's is a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.auth.development import create_key, read_key
from gateway.config_file import ConfigError
from gateway.knowledge import Loaded, load
from gateway.release.check import Fault
from gateway.release.manifest import Manifest, signed
from gateway.settings import ReleaseSettings, ServerSettings
from tests.gateway.release.test_check import RELEASE
from tests.support.knowledge import FILES, SECRET, deny, write_index, write_knowledge

CANARY = "zlavundo"
PORTRAIT = f"This customer rings late after rows with her husband and calls her lamp {CANARY}."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"text": PORTRAIT, "subject": "c-1", "audience": "internal"}]
    write_knowledge(tmp_path, rows, {"18005550199": "PHONE"}, [CANARY])
    return tmp_path


def loaded(folder: Path, released: Manifest | None = None, **changes: str | None) -> Loaded:
    files = {name: folder / file for name, file in (FILES | changes).items() if file is not None}
    servers = {name: ServerSettings(url="http://127.0.0.1:1", model=name) for name in ("tuned", "base")}
    if released is not None:
        if not (folder / "release.pem").exists():
            create_key(folder / "release.pem")
        (folder / "release.json").write_bytes(signed(released, read_key(folder / "release.pem")))
        files |= {"release": folder / "release.json", "release_key": folder / "release.pub.pem"}
    model = ReleaseSettings(**servers, tokenizer=folder, unreleased=released is None, **files)
    return load(model, lambda _changed: None)


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        loaded(folder)
    assert CANARY not in str(refused.value)
    assert SECRET not in str(refused.value)
    return str(refused.value)


def test_all_of_it(folder: Path) -> None:
    known = loaded(folder)
    assert known.audiences == ("public", "internal", "sensitive")
    assert known.knowledge.public is not None
    assert known.knowledge.public.covers("1-800-555-0199", "PHONE")
    assert known.knowledge.denied is not None
    assert known.knowledge.denied.find(PORTRAIT)
    assert known.knowledge.denied is known.deny_list


def test_nothing_is_known_of_a_model_without_files(folder: Path) -> None:
    assert loaded(folder, **dict.fromkeys(FILES)) == Loaded()


def test_each_alone(folder: Path) -> None:
    for only in ("index", "public_values", "deny_list"):
        files = {name: None for name in FILES if name not in (only, "index_key")}
        knowledge = loaded(folder, **files).knowledge
        present = [each is not None for each in (knowledge.index, knowledge.public, knowledge.denied)]
        assert sum(present) == 1


@pytest.mark.parametrize("file", ["set.tli", "public.jsonl", "deny.jsonl"])
def test_what_can_not_be_used_stops_the_start(folder: Path, file: str) -> None:
    path = folder / file
    whole = path.read_bytes()
    harms = {"missing": None, "empty": b"", "cut off": whole[:-5], "foreign": CANARY.encode() + b"\n" + whole}
    if file != "public.jsonl":  # a public value whose hash was altered is the hash of nothing
        at = len(whole) - len(whole) // 4
        harms["altered"] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for harm, content in harms.items():
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        assert file in refusal(folder), harm


def test_another_key_stops_the_start(folder: Path) -> None:
    (folder / "key").write_text(SECRET[::-1])
    assert "another key" in refusal(folder)
    (folder / "key").write_text("short")
    assert "key: must hold 32 characters" in refusal(folder)
    (folder / "key").unlink()
    assert "key: can't be read" in refusal(folder)


# ---- the release's ---------------------------------------------------------------------------------------------------


def faults(folder: Path, **changes: Any) -> list[Fault]:
    whole = loaded(folder)
    assert whole.deny_list is not None
    manifest = RELEASE.model_copy(update={"index": whole.index_sha256, "deny_list": whole.deny_list.pin()})
    files = changes.pop("files", {})
    manifest = manifest.model_copy(update=changes)
    if "deny" in files:
        deny(folder, files.pop("deny"))
    return list(loaded(folder, manifest, **files).faults())


def test_the_releases_own_files_have_no_fault(folder: Path) -> None:
    assert faults(folder) == []
    assert faults(folder, files={"deny": [CANARY, "Vexlo Tamber"]}) == []


def test_a_deny_list_may_come_after_the_release(folder: Path) -> None:
    assert faults(folder, deny_list=None) == []


def test_files_that_are_not_the_releases(folder: Path) -> None:
    assert faults(folder, files={"index": None}) == [Fault.NO_INDEX]
    assert faults(folder, index="0" * 64) == [Fault.OTHER_INDEX]
    assert faults(folder, index=None) == [Fault.OTHER_INDEX]
    assert faults(folder, files={"deny_list": None}) == [Fault.NO_DENY_LIST]
    assert faults(folder, files={"deny": ["Vexlo Tamber"]}) == [Fault.OTHER_DENY_LIST]


def test_an_index_that_was_built_again_from_other_rows_is_another(folder: Path) -> None:
    whole = loaded(folder)
    write_index(folder, [{"text": PORTRAIT, "subject": "c-2", "audience": "public"}] * 2)
    manifest = RELEASE.model_copy(update={"index": whole.index_sha256})
    assert list(loaded(folder, manifest).faults()) == [Fault.OTHER_INDEX]
    assert list(loaded(folder).faults()) == []  # served without a release
