"""House phrases on their way into a release: nothing gets there that nobody approved, and what is there is signed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from filters.evidence import DetectorError
from filters.index.public import ListError
from filters.pii.detector import build_detector
from filters.segment import Segment
from filters.spans import Span
from filters.specificity.house import MOST_PHRASES, HousePhrases
from filters.specificity.proposals import Proposal
from gateway.auth.development import create_key, read_key
from gateway.config_file import ConfigError
from gateway.knowledge import load
from gateway.release.benign import BenignAnswer, answered, measure_benign
from gateway.release.manifest import read, signed
from gateway.release.phrases import approve, read_approved, write_proposals
from gateway.settings import ReleaseSettings, ServerSettings
from gateway.upstream.greedy import Greedy
from tests.gateway.release.test_check import RELEASE
from tests.support.answers import CharacterVocabulary

DETECTOR = build_detector(["PERSON", "EMAIL"])
FOUND = (Proposal("I hope this helps", 9, 97.16), Proposal("希望能帮到您", 7, 120.0))


@pytest.fixture
def proposals(tmp_path: Path) -> Path:
    write_proposals(tmp_path / "proposed.jsonl", FOUND)
    return tmp_path / "proposed.jsonl"


def with_line(path: Path, line: str) -> Path:
    path.write_text(path.read_text("utf-8") + line + "\n", "utf-8")
    return path


def refusal(path: Path, target: Path) -> str:
    with pytest.raises(ListError) as refused:
        approve(path, target, DETECTOR)
    assert not target.exists()
    return str(refused.value)


def test_a_list_says_to_a_person_what_it_proposes(proposals: Path) -> None:
    assert stat.S_IMODE(proposals.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in proposals.read_text("utf-8").splitlines()]
    assert lines[1] == {"phrase": "I hope this helps", "answers": 9, "bits": 97.2}
    assert "希望能帮到您" in proposals.read_text("utf-8")


def test_what_is_left_on_it_is_approved(proposals: Path, tmp_path: Path) -> None:
    lines = proposals.read_text("utf-8").splitlines()
    proposals.write_text("\n".join([lines[0], lines[2]]) + "\n", "utf-8")
    assert approve(proposals, tmp_path / "phrases.jsonl", DETECTOR) == ("希望能帮到您",)
    assert read_approved(tmp_path / "phrases.jsonl") == ("希望能帮到您",)


def test_one_written_by_hand_is_looked_at_too(proposals: Path, tmp_path: Path) -> None:
    with_line(proposals, '{"phrase": "feel free to ask again"}')
    assert "feel free to ask again" in approve(proposals, tmp_path / "phrases.jsonl", DETECTOR)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"phrase": "it takes 45 days then"}', ":4: is no house phrase: it holds a number"),
        ('{"phrase": "she rings late after rows"}', ":4: is no house phrase: it speaks of somebody"),
        ('{"phrase": "feel free to ask", "who": "me"}', ":4: is no line of such a list"),
        ("feel free to ask", ":4: is no line of such a list"),
    ],
)
def test_what_can_not_be_one_is_refused_by_its_line(proposals: Path, tmp_path: Path, line: str, why: str) -> None:
    said = refusal(with_line(proposals, line), tmp_path / "phrases.jsonl")
    assert why in said
    assert "45 days" not in said


class Finds:
    def find(self, raw_text: str, since: int = 0) -> list[Span]:
        return [Span(0, 1, "PERSON", 1.0)]


class Broken:
    def find(self, raw_text: str, since: int = 0) -> list[Span]:
        raise DetectorError("broken")


def test_what_a_detector_has_a_type_for_is_refused(proposals: Path, tmp_path: Path) -> None:
    with pytest.raises(ListError, match=":2: is no house phrase: a detector has a type for it"):
        approve(proposals, tmp_path / "phrases.jsonl", Finds())
    with pytest.raises(DetectorError):
        approve(proposals, tmp_path / "phrases.jsonl", Broken())
    assert not (tmp_path / "phrases.jsonl").exists()


def test_a_list_that_nobody_approved_makes_no_release(proposals: Path, tmp_path: Path) -> None:
    with pytest.raises(ListError, match="has not been approved"):
        read_approved(proposals)
    approve(proposals, tmp_path / "phrases.jsonl", DETECTOR)
    assert "has been approved already" in refusal(tmp_path / "phrases.jsonl", tmp_path / "again.jsonl")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"{}", "is no line of such a list"),
        (b'{"holds":"house phrases","version":2}', "another version"),
        (b'{"holds":"house phrases","version":1}\n{"phrase":"it takes 45 days"}', "number"),
        (b'{"holds":"house phrases","version":1}\n{"phrase":"' + b"a" * 401 + b'"}', "is no line"),
        (b'{"holds":"house phrases","version":1}\n' + b'{"phrase":"a b c"}\n' * (MOST_PHRASES + 1), "more than 200"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "phrases.jsonl").write_bytes(data)
    with pytest.raises(ListError, match=why):
        read_approved(tmp_path / "phrases.jsonl")
    with pytest.raises(ListError):
        read_approved(tmp_path / "missing.jsonl")


# ---- in the release --------------------------------------------------------------------------------------------------


def released(folder: Path, *phrases: str) -> Path:
    create_key(folder / "key.pem")
    manifest = RELEASE.model_copy(update={"house_phrases": phrases})
    (folder / "release.json").write_bytes(signed(manifest, read_key(folder / "key.pem")))
    return folder / "release.json"


def model(folder: Path) -> ReleaseSettings:
    tuned, base = (ServerSettings(url="http://127.0.0.1:1", model=name) for name in ("tuned", "base"))
    files = {"release": folder / "release.json", "release_key": folder / "key.pub.pem"}
    return ReleaseSettings(tuned=tuned, base=base, tokenizer=folder, **files)


def test_a_gateway_serves_the_phrases_of_its_release(tmp_path: Path) -> None:
    released(tmp_path, "I hope this helps")
    phrases = load(model(tmp_path), lambda _changed: None).knowledge.phrases
    assert phrases.find(Segment("", "I hope this helps.", last=True))


def test_a_phrase_that_was_added_to_a_release_is_refused(tmp_path: Path) -> None:
    path = released(tmp_path, "I hope this helps")
    path.write_text(path.read_text().replace("I hope this helps", "I hope this is it"))
    with pytest.raises(ConfigError, match="is not signed by the configured key"):
        read(path, tmp_path / "key.pub.pem")


@pytest.mark.parametrize("phrase", ["ask Vexlo Tamber", "it takes 45 days", "I hope this helps."])
def test_not_even_a_signature_makes_a_phrase_of_what_can_be_none(tmp_path: Path, phrase: str) -> None:
    path = released(tmp_path, phrase)
    with pytest.raises(ConfigError) as refused:
        read(path, tmp_path / "key.pub.pem")
    assert "is not a release file" in str(refused.value)
    assert phrase not in str(refused.value)


# ---- the style shift -------------------------------------------------------------------------------------------------


def benign(text: str, base: float, of_phrase: float) -> BenignAnswer:
    start = text.find("I hope")
    ids = tuple(map(ord, text))
    scores = tuple(of_phrase if start >= 0 and at >= start else base for at in range(len(ids)))
    return BenignAnswer("?", Greedy((1,), text, ids, (0.0,) * len(ids)), scores)


def test_a_phrase_makes_up_for_nothing_in_the_style_shift() -> None:
    answers = [benign("Lamps fade. I hope this helps", -0.1, -20.0) for _ in range(20)]
    plain = measure_benign(answers, CharacterVocabulary(), HousePhrases())
    known = measure_benign(answers, CharacterVocabulary(), HousePhrases(["I hope this helps"]))
    assert plain.shift > 10
    assert known.shift == pytest.approx(0.1 / 0.6931, rel=0.01)
    assert known.shift_p95 == pytest.approx(known.shift)
    nothing_else = [benign("I hope this helps", 0.0, -20.0)]
    assert measure_benign(nothing_else, CharacterVocabulary(), HousePhrases(["I hope this helps"])).shift == 0.0


def test_the_bits_of_a_proposal_are_its_own_tokens() -> None:
    told = answered(benign("Lamps fade. I hope this helps", -0.1, -20.0), CharacterVocabulary())
    assert told.bits(0, 5) == pytest.approx(5 * 0.1 / 0.6931, rel=0.01)
    assert told.bits(12, 29) == pytest.approx(17 * 20 / 0.6931, rel=0.01)
