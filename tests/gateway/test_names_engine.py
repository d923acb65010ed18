"""The operator's name model in the settings: read from its file, or the process does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from filters.profile import Profile
from gateway.config_file import ConfigError
from gateway.names_engine import build_detectors
from gateway.settings import NamesEngineSettings
from tests.support.name_models import configure

NAMED = Profile("names", compare=False, names=True)


def test_without_a_setting_the_embedded_model_finds_names() -> None:
    text = "Please ask Margaret Holloway about the delivery on Tuesday."
    assert "Margaret Holloway" in {text[s.start : s.end] for s in build_detectors(None).of(NAMED).find(text)}


def test_the_engine_of_the_settings_finds_names(tmp_path: Path) -> None:
    detector = build_detectors(NamesEngineSettings(configuration=configure(tmp_path))).of(NAMED)
    assert [span.type for span in detector.find("Ask zorvek.")] == ["PERSON"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "can't be read"),
        ("[]", "must be a mapping"),
        ("nlp_engine_name: spacy\nmodels: [{lang_code: en, model_name: nowhere}]\n", "neither a folder nor"),
    ],
)
def test_what_does_not_load_is_the_operators_to_mend(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "names.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=says) as refused:
        build_detectors(NamesEngineSettings(configuration=path))
    assert str(refused.value).startswith(str(path))
