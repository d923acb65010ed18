"""The shipped tables are whole and sound; a wrong one is refused with its file and key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from filters.specificity.crowd_tables import (
    SHIPPED,
    CrowdTableError,
    Kind,
    Trait,
    age_band,
    load_crowds,
    shipped_crowds,
)

CROWDS = shipped_crowds()
EXPECTED = {"AU", "CA", "CN", "GB", "HK", "IE", "MO", "NZ", "SG", "TW", "US", "XX"}


def listed() -> list[Trait]:
    kinds = (Kind.JOB, Kind.ILLNESS, Kind.ETHNICITY, Kind.EDUCATION, Kind.CHILDREN, Kind.MARITAL, Kind.GENDER)
    words = [Trait(kind, path) for kind in kinds for _, path in CROWDS.words(kind)]
    places = [Trait(Kind.PLACE, path) for path in CROWDS.places.values()]
    ages = [Trait(Kind.AGE, (age_band(age), str(age))) for age in range(0, 121, 7)]
    dates = [Trait(kind, ("199", "1991", "03", "12")) for kind in (Kind.BIRTH, Kind.WEDDING, Kind.JOINING)]
    others = [Trait(Kind.EMPLOYER, ("plimsol",)), Trait(Kind.SCHOOL, ("plimsol",)), Trait(Kind.PLACE, ("~kelvo",))]
    return [*dict.fromkeys([*words, *places, *ages, *dates, *others])]


def test_there_is_a_table_for_each_country() -> None:
    assert CROWDS.countries == EXPECTED
    assert {"US", "GB", "CA", "AU", "IE", "NZ", "TW", "HK", "SG", "CN"} == CROWDS.assumed
    for path in SHIPPED.glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["source"]


@pytest.mark.parametrize("country", sorted(EXPECTED))
def test_what_is_more_general_is_never_rarer(country: str) -> None:
    """The ladder of generalisations rests on it."""
    for trait in listed():
        shares = [CROWDS.share(country, Trait(trait.kind, trait.path[:n])) for n in range(len(trait.path), -1, -1)]
        assert shares == sorted(shares), trait
        assert 0 < shares[0] <= shares[-1] == 1


def test_shares() -> None:
    assert CROWDS.share("GB", Trait(Kind.PLACE, ("GB", "England", "Leeds"))) == pytest.approx(0.81 / 67)
    nurse, tuner = Trait(Kind.JOB, ("health", "nurse")), Trait(Kind.JOB, ("tuba tuner",))
    assert CROWDS.share("GB", tuner) < CROWDS.share("GB", nurse)
    assert CROWDS.share("CN", Trait(Kind.ETHNICITY, ("han",))) == 0.91
    assert CROWDS.share("US", Trait(Kind.BIRTH, ("--", "--", "07", "04"))) == pytest.approx(1 / 372)
    assert CROWDS.share("US", Trait(Kind.JOB, ())) == 1


def test_places_go_by_both_languages() -> None:
    assert CROWDS.places["杭州"] == CROWDS.places["hangzhou"] == ("CN", "Zhejiang", "Hangzhou")
    assert CROWDS.place_names(("CN", "Zhejiang")) == ("Zhejiang", "浙江")
    assert CROWDS.place_names(("GB",)) == ("United Kingdom", "英国")
    assert CROWDS.place_names(("XX",)) is None
    assert CROWDS.place_names(("~kelvo",)) is None


def test_a_file_may_be_replaced(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "crowds")
    edit(tmp_path / "crowds/NZ.json", lambda table: table.update(heads={"employer": {"plimsol": 90_000}}))
    crowds = load_crowds(tmp_path / "crowds")
    trait = Trait(Kind.EMPLOYER, ("plimsol",))
    assert crowds.share("NZ", trait) > CROWDS.share("NZ", trait)


WRONG: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    ("GB.json", lambda t: t.update(population=0), r"GB\.json.*\$\.population"),
    ("GB.json", lambda t: t.update(code="UK"), "must be called UK.json"),
    ("GB.json", lambda t: t.update(popullation=1), "GB.json.*popullation"),
    ("GB.json", lambda t: t["cities"]["Leeds"].update(region="Narnia"), "Leeds: no region 'Narnia'"),
    ("GB.json", lambda t: t["cities"]["Leeds"].update(population=10**9), "Leeds has more people than the country"),
    ("GB.json", lambda t: t["cities"]["Leeds"].update(population=6 * 10**7), "Leeds has more people than its region"),
    ("GB.json", lambda t: t["cities"]["Leeds"].update(zh=["2"]), "Leeds: a word"),
    ("GB.json", lambda t: t["shares"].update(job={"wizard": 0.1}), "shares.job.*wizard"),
    ("GB.json", lambda t: t["shares"].update(place={"Leeds": 0.1}), "this kind has no shares"),
    ("GB.json", lambda t: t.update(shares={"job": {"nurse": 1.5}}), r"\$\.shares"),
    ("common.json", lambda t: t["kinds"].pop("job"), "kinds missing job"),
    ("common.json", lambda t: t["heads"].pop("employer"), "heads missing employer"),
    ("common.json", lambda t: t["per_year"].pop("birth"), "per_year missing birth"),
    ("common.json", lambda t: t["kinds"]["age"]["values"].pop("90+"), r"age.values missing 90\+"),
    ("common.json", lambda t: t["kinds"]["job"]["values"]["nurse"].update(group="wizards"), "nurse: no group"),
    ("common.json", lambda t: t["kinds"]["job"]["values"]["nurse"].update(share=0.5), "larger share than its group"),
    ("common.json", lambda t: t["kinds"]["job"]["values"]["nurse"].update(en=["Nurse 2", ""]), "nurse: a word"),
    ("common.json", lambda t: t["kinds"]["job"]["groups"]["health"].update(en='a "quote"'), "common.json"),
]


@pytest.mark.parametrize(("name", "change", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_a_wrong_table_is_refused(
    tmp_path: Path, name: str, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    shutil.copytree(SHIPPED, tmp_path / "crowds")
    edit(tmp_path / "crowds" / name, change)
    with pytest.raises(CrowdTableError, match=message):
        load_crowds(tmp_path / "crowds")


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CrowdTableError, match=r"common\.json: can't be read"):
        load_crowds(tmp_path)
    (tmp_path / "common.json").write_text("{", encoding="utf-8")
    with pytest.raises(CrowdTableError, match=r"common\.json: "):
        load_crowds(tmp_path)
    shutil.copy(SHIPPED / "common.json", tmp_path)
    with pytest.raises(CrowdTableError, match="no country is assumed"):
        load_crowds(tmp_path)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    table = json.loads(path.read_text(encoding="utf-8"))
    change(table)
    path.write_text(json.dumps(table), encoding="utf-8")
