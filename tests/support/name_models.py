"""Small spaCy pipelines that know a few made-up names, as the weights that an operator might have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import spacy
import yaml

# Names that the embedded model does not find, each by its label.
KNOWN = {
    "en": {"zorvek": "PERSON", "plimsolia": "ORG", "kelvomere": "GPE"},
    "zh": {"查十十": "PERSON", "驫驫": "ORG", "灥灥": "LOC"},
}


def save(folder: Path, language: str, known: Mapping[str, str] | None = None) -> Path:
    """A pipeline that finds what is `known`, in lower case or not."""
    pipeline = spacy.blank(language)
    ruler = pipeline.add_pipe("entity_ruler")
    names = KNOWN[language] if known is None else known
    ruler.add_patterns([{"label": label, "pattern": _tokens(language, name)} for name, label in names.items()])  # type: ignore[attr-defined]
    pipeline.to_disk(folder / language)
    return folder / language


def _tokens(language: str, name: str) -> list[dict[str, str]]:
    return [{"LOWER": part} for part in (name if language == "zh" else [name])]


def configure(folder: Path, **more: object) -> Path:
    """Both pipelines and the Presidio configuration that names them."""
    models = [{"lang_code": language, "model_name": save(folder, language).name} for language in KNOWN]
    path = folder / "names.yaml"
    path.write_text(yaml.safe_dump({"nlp_engine_name": "spacy", "models": models} | more))
    return path
