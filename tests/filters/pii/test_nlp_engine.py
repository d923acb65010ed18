"""The operator's own name models: real spaCy pipelines, small ones that know a few made-up names."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import presidio_analyzer
import pytest
import spacy
import yaml
from presidio_analyzer.nlp_engine import NerModelConfiguration

from filters import filter_text
from filters.evidence import DetectorError
from filters.pii.detector import Detectors, PatternDetector, build_detector
from filters.pii.nlp_engine import EngineError, EngineNames, Entity, Model, NlpEngine, load_engine
from filters.pii.types import NAMES, TYPES
from filters.profile import Profile
from tests.support.name_models import KNOWN, configure, save

NAMED = Profile("names", compare=False, names=True)
STOCK = Path(presidio_analyzer.__path__[0]) / "conf"
CANARY = "zqCanaryWordxv"


def configuration(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("models")
    configure(made)
    return made


@pytest.fixture(scope="module")
def engine(folder: Path) -> NlpEngine:
    return load_engine(configuration(folder / "names.yaml"), folder)


def found(engine: NlpEngine, text: str) -> list[tuple[str, str]]:
    return [(span.type, text[span.start : span.end]) for span in engine.read(text)]


# ---- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ask Zorvek at plimsolia.", [("PERSON", "Zorvek"), ("ORGANIZATION", "plimsolia")]),
        ("请问查十十在灥灥吗？", [("PERSON", "查十十"), ("LOCATION", "灥灥")]),
        ("zorvek 和驫驫", [("PERSON", "zorvek"), ("ORGANIZATION", "驫驫")]),
        ("12345, 67!", []),
        ("", []),
    ],
)
def test_names_of_both_languages_become_our_types(
    engine: NlpEngine, text: str, expected: list[tuple[str, str]]
) -> None:
    assert found(engine, text) == expected


@pytest.mark.parametrize("written", ["Zorvek", "ＺＯＲＶＥＫ", "Zor\u200bvek", "%5a%6f%72%76%65%6b"])
def test_a_name_is_hidden_in_any_form(engine: NlpEngine, written: str) -> None:
    detector = Detectors(engine).of(NAMED)
    result = filter_text(f"You may ask {written} about it.", profile=NAMED, detector=detector)
    assert result.text == "You may ask [PERSON_1] about it."


@pytest.mark.parametrize(("beside", "embedded"), [(False, False), (True, True)])
def test_the_embedded_model_looks_as_well_where_the_setting_says_so(folder: Path, beside: bool, embedded: bool) -> None:
    engine = load_engine(configuration(folder / "names.yaml"), folder, beside_embedded=beside)
    text = "Please ask Margaret Holloway and zorvek about the delivery on Tuesday."
    names = {text[span.start : span.end] for span in build_detector(TYPES, names_engine=engine).find(text)}
    assert "zorvek" in names
    assert ("Margaret Holloway" in names) is embedded


def test_without_names_in_the_profile_nobody_asks_the_engine(engine: NlpEngine) -> None:
    assert not Detectors(engine).of(Profile("plain", compare=False)).types & NAMES
    assert Detectors(engine).of(NAMED).types >= NAMES


def test_a_profiles_detector_is_built_once(engine: NlpEngine) -> None:
    detectors = Detectors(engine)
    other = Profile("names", compare=False, names=True, record_fields=frozenset({"risk_score"}))
    assert detectors.of(NAMED) is detectors.of(Profile("more", names=True))
    assert detectors.of(NAMED) is not detectors.of(other)


def test_scores_are_the_models_and_the_configurations(folder: Path) -> None:
    ner = {"default_score": 0.6, "low_score_entity_names": ["LOCATION"], "low_confidence_score_multiplier": 0.5}
    engine = load_engine(
        configuration(folder / "names.yaml") | {"ner_model_configuration": ner}, folder, beside_embedded=True
    )
    assert [span.score for span in engine.read("Zorvek of kelvomere")] == [0.6, 0.3]


def test_a_mapping_says_what_a_models_labels_mean(tmp_path: Path) -> None:
    save(tmp_path, "en", {"zorvek": "WHO", "plimsolia": "FIRM", "tuesday": "DATE"})
    ner = {"model_to_presidio_entity_mapping": {"WHO": "PERSON", "FIRM": "ORGANIZATION"}, "labels_to_ignore": ["FIRM"]}
    given = {
        "nlp_engine_name": "spacy",
        "models": [{"lang_code": "en", "model_name": "en"}],
        "ner_model_configuration": ner,
    }
    engine = load_engine(given, tmp_path, beside_embedded=True)
    assert found(engine, "Zorvek of plimsolia, on Tuesday") == [("PERSON", "Zorvek")]
    assert engine.kinds("en") == {"PERSON"}


def test_one_model_for_both_languages_reads_a_text_once(tmp_path: Path) -> None:
    save(tmp_path, "en", {**KNOWN["en"], "李珂": "PERSON"})
    models = [{"lang_code": language, "model_name": "en"} for language in ("en", "zh")]
    engine = load_engine({"nlp_engine_name": "spacy", "models": models}, tmp_path)
    assert found(engine, "zorvek 李珂") == [("PERSON", "zorvek"), ("PERSON", "李珂")]


def test_threads_agree(engine: NlpEngine) -> None:
    texts = [f"word{i} and Zorvek{'' if i % 2 else ' of plimsolia'}" for i in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(engine.read, texts)) == [engine.read(text) for text in texts]


def test_the_vocabulary_does_not_grow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[spacy.Language] = []
    load = spacy.load
    monkeypatch.setattr(spacy, "load", lambda *given: loaded.append(load(*given)) or loaded[-1])
    engine = load_engine(configuration(folder / "names.yaml"), folder)
    sizes = [(len(nlp.vocab.strings), len(list(nlp.vocab))) for nlp in loaded]
    for i in range(500):
        engine.read(f"neverseen{i} and zorvek, 从未{chr(0x4E00 + i)}见过")
    assert [(len(nlp.vocab.strings), len(list(nlp.vocab))) for nlp in loaded] == sizes
    assert len(loaded) == 2


# ---- what fails ------------------------------------------------------------------------------------------------------


def made(read: Callable[[str], Iterable[Entity]]) -> PatternDetector:
    model = Model(read, None)
    engine = NlpEngine({"en": model, "zh": model}, NerModelConfiguration(), beside_embedded=False)
    return PatternDetector([EngineNames(kind, engine) for kind in sorted(NAMES)])


def raising(text: str) -> Iterable[Entity]:
    raise RuntimeError(text)


@pytest.mark.parametrize(
    "read",
    [
        raising,
        lambda text: [("PERSON", 0, len(text) + 1, 0.9)],
        lambda text: [("PERSON", -1, 2, 0.9)],
        lambda text: [("PERSON", 2, 2, 0.9)],
        lambda text: [("PERSON", 0, 2, float("nan"))],
        lambda text: [("PERSON", 0, 2, 1.5)],
    ],
)
def test_what_fails_hides_the_text_and_tells_nothing(read: Callable[[str], Iterable[Entity]]) -> None:
    detector = made(read)
    with pytest.raises(DetectorError) as failed:
        detector.find(CANARY)
    assert CANARY not in str(failed.value)
    assert failed.value.__cause__ is None
    assert failed.value.__context__ is None
    assert CANARY not in filter_text(f"It was {CANARY}.", profile=NAMED, detector=detector).text


def test_one_text_at_a_time() -> None:
    inside = threading.Semaphore(1)

    def read(text: str) -> list[Entity]:
        assert inside.acquire(blocking=False)
        threading.Event().wait(0.001)
        inside.release()
        return []

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(made(read).find, ["some words"] * 20)) == [[]] * 20


# ---- what is refused at the start ------------------------------------------------------------------------------------

MODELS = [{"lang_code": "en", "model_name": "en"}, {"lang_code": "zh", "model_name": "zh"}]
HUB = [{"lang_code": "en", "model_name": {"spacy": "en", "transformers": "someone/some-model"}}]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "nlp_engine_name must be one of gliner, spacy, stanza, transformers"),
        ({"nlp_engine_name": "no_op", "models": MODELS}, "nlp_engine_name must be one of"),
        ({"nlp_engine_name": "spacy"}, "models must be a list"),
        ({"nlp_engine_name": "spacy", "models": [{"lang_code": "en"}]}, "needs lang_code and model_name"),
        ({"nlp_engine_name": "spacy", "models": [*MODELS, MODELS[0]]}, "each once"),
        ({"nlp_engine_name": "spacy", "models": [{"lang_code": "xx", "model_name": "en"}]}, "lang_code must be one of"),
        ({"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": 7}]}, "model_name must be text"),
        (
            {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": "nowhere"}]},
            "the spaCy model for en is neither a folder nor an installed package",
        ),
        (
            {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": "broken"}]},
            "the model for en can't be loaded",
        ),
        ({"nlp_engine_name": "spacy", "models": MODELS[:1]}, "nothing would find LOCATION, ORGANIZATION, PERSON in zh"),
        (
            {
                "nlp_engine_name": "spacy",
                "models": MODELS,
                "ner_model_configuration": {"labels_to_ignore": ["ORG"]},
            },
            "nothing would find ORGANIZATION in en",
        ),
        (
            {
                "nlp_engine_name": "spacy",
                "models": MODELS,
                "ner_model_configuration": {"default_score": "high"},
            },
            "ner_model_configuration is not as Presidio wants it",
        ),
        (
            {
                "nlp_engine_name": "spacy",
                "models": MODELS,
                "ner_model_configuration": {"aggregation_strategy": "none"},
            },
            "aggregation_strategy must be one of",
        ),
        ({"nlp_engine_name": "transformers", "models": MODELS}, "model_name for en needs spacy and transformers"),
        ({"nlp_engine_name": "transformers", "models": HUB}, "the model for en is not a folder here"),
        (
            {"nlp_engine_name": "gliner", "models": [{"lang_code": "en", "model_name": "someone/some-model"}]},
            "the model for en is not a folder here",
        ),
    ],
)
def test_what_can_not_work_is_refused_in_plain_words(folder: Path, given: Mapping[str, Any], says: str) -> None:
    (folder / "broken").mkdir(exist_ok=True)
    with pytest.raises(EngineError, match=says):
        load_engine(given, folder)


@pytest.mark.parametrize("engine", ["spacy", "transformers", "stanza"])
def test_presidios_own_configurations_download_nothing(
    folder: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*arguments: object) -> None:
        raise AssertionError("tried to download")

    monkeypatch.setattr(spacy.cli, "download", download)
    with pytest.raises(EngineError):
        load_engine(configuration(STOCK / f"{engine}.yaml"), folder)
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_an_engine_that_can_not_read_a_sentence_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NlpEngine, "read", lambda self, text: raising(CANARY))
    with pytest.raises(EngineError, match=r"can't read a sentence \(RuntimeError\)"):
        load_engine(configuration(folder / "names.yaml"), folder)
