"""`tightlip release phrases`, `approve` and `make` refuse what can't be used before they ask a server anything, and
`verify` asks none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from filters.specificity.proposals import Proposal
from gateway.release.benign import FEWEST_BENIGN
from gateway.release.phrases import write_proposals
from tests.support import commands
from tests.support.gateways import MODEL, server, settings

NOBODY = "http://127.0.0.1:1"
DEMO = Path(__file__).parents[2] / "deploy" / "demo"
DEMO_TOKENIZER = DEMO / "models" / "base"


def tightlip(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = commands.tightlip("release", *arguments)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = settings(server(NOBODY, "tuned"), server(NOBODY, "base"), DEMO_TOKENIZER)
    (tmp_path / "tightlip.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "few.txt").write_text("Hello!\n\nGood morning.\n" * FEWEST_BENIGN)
    (tmp_path / "enough.txt").write_text("".join(f"Hello {number}!\n" for number in range(FEWEST_BENIGN)))
    write_proposals(tmp_path / "proposed.jsonl", [Proposal("I hope this helps", 9, 97.0)])
    return tmp_path


def propose(folder: Path, benign: str, model: str = MODEL) -> tuple[int, str, str]:
    files = f"--benign={folder / benign}", f"--out={folder / 'out.jsonl'}"
    return tightlip("phrases", f"--config={folder / 'tightlip.yaml'}", f"--model={model}", *files)


def make(folder: Path, phrases: str) -> tuple[int, str, str]:
    told = {"config": "tightlip.yaml", "key": "key.pem", "out": "release.json", "phrases": phrases}
    options = [f"--{name}={folder / file}" for name, file in told.items()]
    canary = f"--model={MODEL}", "--name=r-1", "--question=Well?", "--answer=Within 45 days."
    return tightlip("make", "--create-key", *options, *canary)


def test_too_few_different_questions_are_refused(folder: Path) -> None:
    status, _, said = propose(folder, "few.txt")
    assert (status, f"few.txt: holds fewer than {FEWEST_BENIGN} different questions" in said) == (2, True), said


def test_so_is_a_model_that_is_none(folder: Path) -> None:
    status, _, said = propose(folder, "enough.txt", "nobody")
    assert (status, "is not a model of the configuration" in said) == (2, True), said


def test_servers_that_do_not_answer_are_named_and_nothing_is_written(folder: Path) -> None:
    status, _, said = propose(folder, "enough.txt")
    assert (status, "did not answer" in said) == (1, True), said
    assert not (folder / "out.jsonl").exists()


def test_what_is_approved_is_shown(folder: Path) -> None:
    target = folder / "phrases.jsonl"
    status, said, _ = tightlip("approve", folder / "proposed.jsonl", f"--out={target}")
    assert (status, said) == (0, f"house phrase: I hope this helps\n{target}: 1 house phrases\n")
    status, _, said = tightlip("approve", target, f"--out={target}")
    assert (status, "phrases.jsonl: has been approved already" in said) == (2, True), said


def test_no_release_is_made_with_what_nobody_approved(folder: Path) -> None:
    status, _, said = make(folder, "proposed.jsonl")
    assert (status, "proposed.jsonl: has not been approved" in said) == (2, True), said
    status, _, said = make(folder, "missing.jsonl")
    assert (status, "missing.jsonl: No such file" in said) == (2, True), said
    assert not (folder / "release.json").exists()


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """The demo's release, whose servers don't run."""
    for name in ("release.json", "release.pub.pem", "tuning.tli"):
        (tmp_path / name).write_bytes((DEMO / name).read_bytes())
    config = settings(server(NOBODY, "tuned"), server(NOBODY, "base"), DEMO_TOKENIZER)
    model = config["models"][MODEL]
    del model["unreleased"]
    model |= {"release": "release.json", "release_key": "release.pub.pem"}
    model |= {"index": "tuning.tli", "index_key": "nowhere.key"}
    (tmp_path / "tightlip.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def verify(folder: Path) -> tuple[int, str, str]:
    return tightlip("verify", f"--config={folder / 'tightlip.yaml'}")


def test_the_files_of_a_release_are_verified_without_a_server_and_without_the_index_key(demo: Path) -> None:
    assert verify(demo) == (0, f"{MODEL}: as signed\n", "")


def test_a_file_of_a_release_that_was_changed_is_named(demo: Path) -> None:
    (demo / "tuning.tli").write_bytes(b"another")
    status, said, why = verify(demo)
    assert (status, said, why) == (1, "", f"tightlip: model {MODEL}: the tuning index is not the release's\n")
    release = demo / "release.json"
    release.write_text(release.read_text().replace('"style_shift_bits": ', '"style_shift_bits": 1', 1))
    status, said, why = verify(demo)
    assert (status, said) == (2, "")
    assert "release.json: is not signed by the configured key" in why
    (demo / "tuning.tli").unlink()
    release.write_bytes((DEMO / "release.json").read_bytes())
    status, said, why = verify(demo)
    assert (status, said) == (2, "")
    assert "tuning.tli: No such file or directory" in why


def test_a_model_that_is_not_released_has_nothing_to_verify(folder: Path) -> None:
    assert verify(folder) == (0, f"{MODEL}: served without a release\n", "")
