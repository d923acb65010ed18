"""A release file is what was signed, by the key that is configured, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.auth.development import create_key, read_key
from gateway.config_file import ConfigError
from gateway.release.manifest import read, signed
from tests.gateway.release.test_check import RELEASE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_key(tmp_path / "key.pem")
    (tmp_path / "release.json").write_bytes(signed(RELEASE, read_key(tmp_path / "key.pem")))
    return tmp_path


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        read(folder / "release.json", folder / "key.pub.pem")
    return str(refused.value)


def test_what_was_signed_is_read(folder: Path) -> None:
    assert read(folder / "release.json", folder / "key.pub.pem") == RELEASE


def test_order_and_spaces_are_not_part_of_what_is_signed(folder: Path) -> None:
    file = json.loads((folder / "release.json").read_text())
    file["manifest"] = dict(reversed(file["manifest"].items()))
    (folder / "release.json").write_text(json.dumps(file))
    assert read(folder / "release.json", folder / "key.pub.pem") == RELEASE


@pytest.mark.parametrize(("key", "value"), [("name", "r-2"), ("style_shift_bits", 50.0), ("tolerance_nats", 1.0)])
def test_what_was_changed_is_refused(folder: Path, key: str, value: object) -> None:
    file = json.loads((folder / "release.json").read_text())
    file["manifest"][key] = value
    (folder / "release.json").write_text(json.dumps(file))
    assert "is not signed by the configured key" in refusal(folder)


def test_another_key_is_refused(folder: Path) -> None:
    (folder / "key.pem").unlink()
    create_key(folder / "key.pem")
    assert "is not signed by the configured key" in refusal(folder)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff\xfe", b'{"manifest": 1, "signature": ""}', b"[" * 5000])
def test_what_is_no_release_file_is_refused(folder: Path, data: bytes) -> None:
    (folder / "release.json").write_bytes(data)
    assert "is not a release file" in refusal(folder)


def test_a_file_that_was_cut_off_is_refused(folder: Path) -> None:
    whole = (folder / "release.json").read_bytes()
    for length in range(0, len(whole) - 2, 97):
        (folder / "release.json").write_bytes(whole[:length])
        assert "is not a release file" in refusal(folder)


def test_a_signed_file_of_another_format_is_refused(folder: Path) -> None:
    other = RELEASE.model_copy(update={"format": 2})
    (folder / "release.json").write_bytes(signed(other, read_key(folder / "key.pem")))
    assert "is not a release file" in refusal(folder)


def test_a_key_that_is_none_is_named(folder: Path) -> None:
    (folder / "key.pub.pem").write_text("nonsense")
    assert "key.pub.pem: is not a public key in PEM form" in refusal(folder)
