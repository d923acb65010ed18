"""The embedded server answers the recorded requests as the recorded vLLM did: same keys in the same order, same values.

What differs by nature is normalised: ids, times, fingerprints, paths. Log-probabilities may differ by the rounding of
float32.
"""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic_core import from_json, to_json

from tests.embedded import record_frames
from tests.support.waiting import PATIENCE_S

RECORDED = sorted(record_frames.VECTORS.glob("*.json"))
TOLERANCE = 1e-4  # nats; the two differ in the order of float32 sums
OWN = {"id": "", "created": 0, "system_fingerprint": "", "root": ""}
# Sampled with another generator: only the shape can be the same.
SHAPE_ONLY = {"chat_stream_sampled"}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_answers_as_vllm_did(server: str, path: Path) -> None:
    recorded = json.loads(path.read_text(encoding="utf-8"))
    answer = record_frames.call(server, recorded["method"], recorded["path"], recorded["request"])
    assert (answer["status"], answer["type"]) == (recorded["status"], recorded["type"])
    compare(grouped(normal(answer["body"])), grouped(normal(recorded["body"])), exact=path.stem not in SHAPE_ONLY)


def test_there_are_recordings_of_each_kind() -> None:
    names = [path.stem.split("_")[0] for path in RECORDED]
    assert {kind: names.count(kind) > 10 for kind in ("chat", "legacy", "error")} == dict.fromkeys(
        ("chat", "legacy", "error"), True
    )


def test_frames_are_written_byte_for_byte_as_pydantic_writes_them(server: str) -> None:
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "é"}], "max_tokens": 60, "ignore_eos": True}
    body = {**asked, "stream": True, "logprobs": True}
    raw = httpx.post(f"{server}/v1/chat/completions", json=body, timeout=PATIENCE_S).content
    *events, done, empty = raw.split(b"\n\n")
    assert (done, empty) == (b"data: [DONE]", b"")
    for event in events:
        assert event == b"data: " + to_json(from_json(event.removeprefix(b"data: ")))


def normal(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("type") == "Bad Request":  # the text quotes the validation library, the path is what counts
            value = {**value, "message": "", "param": re.sub(r"\.[A-Z]\w+", "", value["param"])}
        return {key: OWN.get(key, normal(inner)) for key, inner in value.items()}
    return [normal(inner) for inner in value] if isinstance(value, list) else value


def grouped(body: Any) -> Any:
    """The frames of a stream choice by choice: in which order several choices take turns is the scheduler's affair."""
    if not isinstance(body, list):
        return body
    return sorted(
        body, key=lambda frame: frame["choices"][0]["index"] if frame != "[DONE]" and frame["choices"] else 99
    )


def compare(ours: Any, theirs: Any, *, exact: bool, where: str = "") -> None:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if exact or not any(key.isdigit() for key in theirs):
            assert list(ours) == list(theirs), where
        for mine, his in zip(ours, theirs, strict=True):
            compare(ours[mine], theirs[his], exact=exact, where=f"{where}.{his}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        assert not exact or len(ours) == len(theirs), where
        for number, (mine, his) in enumerate(zip(ours, theirs, strict=False)):
            compare(mine, his, exact=exact, where=f"{where}[{number}]")
    elif isinstance(theirs, float):
        assert isinstance(ours, float), where
        assert not exact or abs(ours - theirs) < TOLERANCE, where
    else:
        assert type(ours) is type(theirs), where
        assert not exact or ours == theirs, where
