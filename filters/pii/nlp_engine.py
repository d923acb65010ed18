"""Names from a model of the operator's: any NLP engine that Presidio runs, in place of the embedded model or beside it.

The configuration is Presidio's own for NLP engines (presidio-analyzer 2.2.366, conf/*.yaml), for "en" and "zh":

    nlp_engine_name: spacy               # or stanza, transformers, gliner
    models:
      - {lang_code: en, model_name: models/en_names}
      - {lang_code: zh, model_name: models/zh_names}
    ner_model_configuration:             # as Presidio's; it may be left out
      model_to_presidio_entity_mapping: {PER: PERSON, ORG: ORGANIZATION, GPE: LOCATION}

For `transformers` a model_name is {spacy: …, transformers: …}. `gliner` is a recognizer to Presidio; here it is
configured like the others, and the mapping's keys are the labels that it is asked for.

Rules
-----
1. Everything is loaded, and has read one sentence of each language, before `load_engine` returns.
2. Nothing is downloaded. A model is a folder or an installed package, except Stanza's, which is one of its own resource
   folder; Hugging Face is switched offline for the whole process.
3. What fails, fails the text. Presidio's wrappers are not used where they go on without a finding (its transformers
   pipe skips a text when the model raises, and the second of two names in one token; its Stanza pipe drops all names of
   a text that it can't align): the models behind them are read directly.
4. A text is read in every language whose letters it holds, with its context, in each of its readings, as the embedded
   model does; a model that serves both languages reads it once. Findings keep the model's score (`default_score` where
   it has none). Other types than NAMES are ignored.
5. spaCy's vocabulary would grow with every new word: each text is read in a memory zone. One text at a time.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import regex
import spacy
from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpEngineProvider, StanzaNlpEngine
from presidio_analyzer.nlp_engine.huggingface_token_pipe import FACTORY_NAME
from presidio_analyzer.predefined_recognizers import GLiNERRecognizer

from filters.evidence import DetectorError
from filters.pii.recognizers import silence_presidio
from filters.pii.types import NAMES
from filters.pii.view import CJK, View
from filters.spans import Span

__all__ = ["LANGUAGES", "EngineError", "EngineNames", "NlpEngine", "load_engine"]

LANGUAGES = ("en", "zh")
_LETTERS = {"en": regex.compile(rf"[^\W\d_{CJK}]"), "zh": regex.compile(f"[{CJK}]")}
_TRIAL = "Ada Lovelace wrote to 王建国 in London."
# Hugging Face's aggregation strategies that give whole entities; with any other, labels are those of single tokens.
_WHOLE_ENTITIES = frozenset({"simple", "first", "average", "max"})
_GLINER_LABELS = {"person": "PERSON", "organization": "ORGANIZATION", "location": "LOCATION"}

Entity: TypeAlias = tuple[str, int, int, float]  # the model's label, start, end (exclusive), score


class EngineError(Exception):
    """The engine can't be used as it is configured. The text says what to mend, and may be shown to the operator."""


@dataclass(frozen=True, slots=True)
class Model:
    """One loaded model: what it finds in a text, and the labels it can give (None: not known)."""

    read: Callable[[str], Iterable[Entity]]
    labels: frozenset[str] | None


class NlpEngine:
    """The models of a configuration, loaded. One object serves all threads."""

    def __init__(self, models: Mapping[str, Model], ner: Any, *, beside_embedded: bool) -> None:
        """`models` by language; `ner` is a NerModelConfiguration."""
        self.beside_embedded = beside_embedded
        self._models, self._ner = models, ner
        self._lock = threading.Lock()
        self._read: WeakKeyDictionary[View, list[Span]] = WeakKeyDictionary()

    def of_view(self, view: View) -> list[Span]:
        """What `read` gives, once for each view."""
        if view not in self._read:
            self._read[view] = self.read(view.text)
        return self._read[view]

    def read(self, text: str) -> list[Span]:
        """All NAMES in `text`. Raises DetectorError, and whatever the model raises."""
        serving = dict.fromkeys(
            model for language, model in self._models.items() if _LETTERS[language].search(text) is not None
        )
        with self._lock:
            entities = [entity for model in serving for entity in model.read(text)]
        return sorted(span for entity in entities if (span := self._span(*entity, text)) is not None)

    def kinds(self, language: str) -> frozenset[str]:
        """The NAMES that this language's model can find."""
        model = self._models.get(language)
        if model is None:
            return frozenset()
        labels = self._ner.model_to_presidio_entity_mapping if model.labels is None else model.labels
        return NAMES & set(map(self._kind, labels))

    def _kind(self, label: str) -> str | None:
        """The finding type that a label becomes, by Presidio's rules."""
        ignored = self._ner.labels_to_ignore
        kind = self._ner.model_to_presidio_entity_mapping.get(label, label)
        return None if label in ignored or kind in ignored or kind not in NAMES else kind

    def _span(self, label: str, start: int, end: int, score: float, text: str) -> Span | None:
        kind = self._kind(label)
        if kind is None:
            return None
        if kind in self._ner.low_score_entity_names:
            score *= self._ner.low_confidence_score_multiplier
        if not (0 <= start < end <= len(text) and 0 <= score <= 1):
            raise DetectorError("a name model's answer makes no sense")
        return Span(start, end, kind, round(score, 3))


class EngineNames:
    """Fulfils `filters.pii.recognizers.Recognizer` for one of NAMES. The three of them share the reading of a text."""

    digits = digit_run = 0

    def __init__(self, kind: str, engine: NlpEngine) -> None:
        self._kind, self._engine = kind, engine

    @property
    def kind(self) -> str:
        return self._kind

    def find(self, view: View) -> Iterator[Span]:
        """Spans in offsets of `view.text`, sorted."""
        return (span for span in self._engine.of_view(view) if span.type == self._kind)


# ---- loading ---------------------------------------------------------------------------------------------------------


def load_engine(configuration: Mapping[str, Any], folder: Path, *, beside_embedded: bool = False) -> NlpEngine:
    """The engine, ready to read. Paths of models are relative to `folder`.

    Unless it is used beside the embedded model it must be able to find all of NAMES in both languages. Raises
    EngineError.
    """
    silence_presidio()
    _go_offline()
    name, ner = configuration.get("nlp_engine_name"), _ner(configuration)
    load = _LOADERS.get(str(name))
    if load is None:
        raise EngineError(f"nlp_engine_name must be one of {', '.join(sorted(_LOADERS))}")
    models = {language: _resolved(model, folder) for language, model in _models(configuration).items()}
    engine = NlpEngine(_loaded(load, models, ner), ner, beside_embedded=beside_embedded)
    if not beside_embedded:
        _check_complete(engine)
    _try(engine)
    return engine


def _go_offline() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    # It is read once, and Presidio has imported the library already where GLiNER or transformers are installed.
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        vars(constants)["HF_HUB_OFFLINE"] = True


def _ner(configuration: Mapping[str, Any]) -> Any:
    given = configuration.get("ner_model_configuration") or {}
    try:
        ner = NerModelConfiguration(**{key: value for key, value in given.items() if value is not None})
    except (AttributeError, TypeError, ValueError):  # pydantic's text quotes what it met
        raise EngineError("ner_model_configuration is not as Presidio wants it") from None
    if ner.aggregation_strategy not in _WHOLE_ENTITIES:
        raise EngineError(f"aggregation_strategy must be one of {', '.join(sorted(_WHOLE_ENTITIES))}")
    if not given.get("model_to_presidio_entity_mapping") and configuration.get("nlp_engine_name") == "gliner":
        ner.model_to_presidio_entity_mapping = dict(_GLINER_LABELS)
    return ner


def _models(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What Presidio calls `model_name`, by language."""
    entries = configuration.get("models")
    if not isinstance(entries, list) or not entries:
        raise EngineError("models must be a list with a model for each language")
    models: dict[str, Any] = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or not {"lang_code", "model_name"} <= entry.keys():
            raise EngineError("each of models needs lang_code and model_name")
        if entry["lang_code"] not in LANGUAGES or entry["lang_code"] in models:
            raise EngineError(f"lang_code must be one of {', '.join(LANGUAGES)}, each once")
        models[entry["lang_code"]] = entry["model_name"]
    return models


def _resolved(model: Any, folder: Path) -> Any:
    """The model's name, or the absolute path where it is a folder."""
    if isinstance(model, Mapping):
        return {part: _resolved(name, folder) for part, name in model.items()}
    if not isinstance(model, str) or not model:
        raise EngineError("model_name must be text")
    return str((folder / model).absolute()) if (folder / model).is_dir() else model


def _loaded(load: Callable[[str, Any, Any], Model], models: Mapping[str, Any], ner: Any) -> dict[str, Model]:
    """A model that serves two languages is loaded once."""
    loaded: dict[str, Model] = {}
    for language, name in models.items():
        same = next((other for other in loaded if models[other] == name), None)
        loaded[language] = loaded[same] if same else _load_one(load, language, name, ner)
    return loaded


def _load_one(load: Callable[[str, Any, Any], Model], language: str, name: Any, ner: Any) -> Model:
    try:
        return load(language, name, ner)
    except EngineError:
        raise
    except ImportError:
        raise EngineError(f"the packages that the model for {language} needs are not installed") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- raised again as the one error that the caller knows
        failed = type(error).__name__
    raise EngineError(f"the model for {language} can't be loaded ({failed})")


def _check_complete(engine: NlpEngine) -> None:
    for language in LANGUAGES:
        lacking = sorted(NAMES - engine.kinds(language))
        if lacking:
            text = f"nothing would find {', '.join(lacking)} in {language}: add a model or a mapping"
            raise EngineError(f"{text}, or use the engine beside the embedded model")


def _try(engine: NlpEngine) -> None:
    try:
        engine.read(_TRIAL)
        return
    except Exception as error:  # noqa: BLE001 -- as in _load_one
        failed = type(error).__name__
    raise EngineError(f"the engine can't read a sentence ({failed})")


# ---- the engines -----------------------------------------------------------------------------------------------------


def _presidio(engine: str, language: str, model: Any, ner: Any, *classes: type) -> Any:
    """Presidio's engine for one language, loaded."""
    configuration = {
        "nlp_engine_name": engine,
        "models": [{"lang_code": language, "model_name": model}],
        "ner_model_configuration": ner.to_dict(),
    }
    provider = NlpEngineProvider(nlp_engines=classes or None, nlp_configuration=configuration)
    if engine not in provider.nlp_engines:
        raise ImportError
    return provider.create_engine()


def _spacy(language: str, model: Any, ner: Any) -> Model:
    _require_spacy(language, model)
    engine = _presidio("spacy", language, model, ner)
    nlp = engine.nlp[language]

    def read(text: str) -> list[Entity]:
        with nlp.memory_zone():
            return [(entity.label_, entity.start_char, entity.end_char, ner.default_score) for entity in nlp(text).ents]

    return Model(read, frozenset(label for labels in nlp.pipe_labels.values() for label in labels))


def _require_spacy(language: str, model: Any) -> None:
    """Presidio downloads what is neither."""
    if not isinstance(model, str) or not (Path(model).is_dir() or spacy.util.is_package(model)):
        raise EngineError(f"the spaCy model for {language} is neither a folder nor an installed package")


class _LocalStanza(StanzaNlpEngine):
    """Presidio's provider leaves downloading on."""

    def __init__(self, models: Any, ner_model_configuration: Any) -> None:
        super().__init__(models, ner_model_configuration, download_if_missing=False)


def _stanza(language: str, model: Any, ner: Any) -> Model:
    engine = _presidio("stanza", language, model, ner, _LocalStanza)
    stanza = engine.nlp[language].tokenizer.snlp

    def read(text: str) -> list[Entity]:
        return [(e.type, e.start_char, e.end_char, ner.default_score) for e in stanza(text).entities]

    return Model(read, None)


def _transformers(language: str, model: Any, ner: Any) -> Model:
    if not isinstance(model, Mapping) or not {"spacy", "transformers"} <= model.keys():
        raise EngineError(f"model_name for {language} needs spacy and transformers")
    _require_spacy(language, model["spacy"])
    _require_folder(language, model["transformers"])
    engine = _presidio("transformers", language, dict(model), ner)
    pipeline = engine.nlp[language].get_pipe(FACTORY_NAME).pipeline

    def read(text: str) -> list[Entity]:
        return [(e["entity_group"], e["start"], e["end"], float(e["score"])) for e in pipeline(text)]

    labels = pipeline.model.config.id2label.values()
    return Model(read, frozenset(label[2:] if label[:2] in ("B-", "I-") else label for label in labels))


def _gliner(language: str, model: Any, ner: Any) -> Model:
    _require_folder(language, model)
    labels = ner.model_to_presidio_entity_mapping
    recognizer = GLiNERRecognizer(
        model_name=model, entity_mapping=labels, supported_language=language, local_files_only=True
    )
    wanted = sorted(set(labels.values()))

    def read(text: str) -> list[Entity]:
        return [(r.entity_type, r.start, r.end, float(r.score)) for r in recognizer.analyze(text, wanted)]

    return Model(read, None)


def _require_folder(language: str, model: Any) -> None:
    if not isinstance(model, str) or not Path(model).is_dir():
        raise EngineError(f"the model for {language} is not a folder here; nothing is downloaded")


_LOADERS: Mapping[str, Callable[[str, Any, Any], Model]] = {
    "spacy": _spacy,
    "stanza": _stanza,
    "transformers": _transformers,
    "gliner": _gliner,
}
