"""The detectors of a profile: special categories beside typed values, by default and never silently without."""

from __future__ import annotations

import pytest

from filters.detectors import WithCategories, detector_of
from filters.evidence import DetectorError
from filters.offline import filter_text
from filters.pii.detector import build_detector
from filters.profile import Profile
from filters.specificity.special import SpecialCategories

TEXT = "She has diabetes. Her number is 13812345678."


def types(profile: Profile, text: str = TEXT) -> set[str]:
    return {span.type for span in detector_of(profile).find(text)}


def test_a_profile_looks_for_both_unless_it_says_otherwise() -> None:
    assert types(Profile("one")) == {"SPECIAL_HEALTH", "PHONE"}
    assert types(Profile("two", persons=False)) == {"PHONE"}


def test_a_bare_name_in_lower_case_ties_a_category() -> None:
    assert types(Profile("one"), "Margaret Holloway quietly and for years hid her depression.") >= {"SPECIAL_HEALTH"}


@pytest.mark.parametrize("error", [DetectorError("out of time"), RuntimeError("canary 13812345678")])
def test_one_that_fails_is_an_error_without_text(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> list[object]:
        raise error

    categories = SpecialCategories()
    monkeypatch.setattr(categories, "find", fail)
    with pytest.raises(DetectorError) as raised:
        WithCategories(build_detector(["PHONE"]), categories).find(TEXT)
    assert "canary" not in str(raised.value)
    assert raised.value.__context__ is None or raised.value is error


def test_a_text_without_a_server_is_filtered_too() -> None:
    assert filter_text("She has diabetes.").text == "She has [SPECIAL_HEALTH_1]."
    assert (
        filter_text("She has diabetes.", profile=Profile("off", compare=False, persons=False)).text
        == "She has diabetes."
    )
