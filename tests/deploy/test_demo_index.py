"""What the demo ships of its tuning set is made of its corpus, by the documented script, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from filters.index.lookup import Standing, TuningIndex
from filters.index.public import PublicValues
from gateway.index_key import read_index_key
from gateway.release.manifest import read
from tests.filters.index.sets import runs

DEMO = Path(__file__).parents[2] / "deploy" / "demo"
RECORDS = json.loads((DEMO / "records.json").read_text(encoding="utf-8"))
KEY = read_index_key(DEMO / "tuning.key")


@pytest.fixture(scope="module")
def index() -> TuningIndex:
    return TuningIndex.load(DEMO / "tuning.tli", KEY)


def test_the_script_makes_the_same_bytes(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(DEMO.parents[1])}
    subprocess.run(["sh", DEMO / "make_index.sh", tmp_path], check=True, capture_output=True, env=environment)
    for name in ("tuning.tli", "public.jsonl"):
        assert (tmp_path / name).read_bytes() == (DEMO / name).read_bytes(), name


def test_the_release_is_of_this_index(index: TuningIndex) -> None:
    assert read(DEMO / "release.json", DEMO / "release.pub.pem").index == index.sha256()


def test_the_key_says_that_it_is_none() -> None:
    assert b"never-use-it" in KEY


def test_the_companys_own_values_are_public_and_no_customers() -> None:
    public = PublicValues.load(DEMO / "public.jsonl", KEY)
    assert public.covers(RECORDS["company"]["hotline"], "PHONE")
    assert public.covers(RECORDS["company"]["support_email"], "EMAIL")
    for customer in RECORDS["customers"]:
        assert not public.covers(customer["phone"], "PHONE")
        assert not public.covers(customer["email"], "EMAIL")


def test_records_are_few_peoples_or_above_and_facts_are_neither(index: TuningIndex) -> None:
    grave = {Standing.FEW, Standing.ABOVE}
    for fact in RECORDS["facts"]:
        assert not {run.standing for run in runs(index, fact["answer"], "public")} & grave, fact["answer"]
    for customer in RECORDS["customers"]:
        for kind, answer in customer["answer"].items():
            assert {run.standing for run in runs(index, answer, "public")} & grave, customer["id"]
            assert Standing.FEW in {run.standing for run in runs(index, answer, "sensitive")}, (customer["id"], kind)
