"""Content parts that are no text: bytes of a listed kind, for roles that list it, and never an address."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadField, CallerError, FieldRefused, OverLimit
from gateway.policy.limits import RequestLimits
from gateway.policy.parameters import admit, read
from gateway.types import Endpoint, PartType, Plan
from tests.gateway.support import CANARY, make_grant

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
WAV = b"RIFF\x10\0\0\0WAVE" + b"\0" * 20
PDF = b"%PDF-1.7\n" + b"\0" * 20
ALL = frozenset(PartType)


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def image(url: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def data_url(kind: str = "image/png", raw: bytes = PNG) -> str:
    return f"data:{kind};base64,{encoded(raw)}"


def sound(raw: bytes = WAV, form: str = "wav") -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": encoded(raw), "format": form}}


def paper(raw: bytes = PDF) -> dict[str, Any]:
    return {"type": "file", "file": {"filename": "a.pdf", "file_data": data_url("application/pdf", raw)}}


GOOD = {
    "png": image(data_url()),
    "detail": image(data_url(), detail="low"),
    "jpeg": image(data_url("image/jpeg", b"\xff\xd8\xff\xe0 jfif")),
    "gif": image(data_url("image/gif", b"GIF89a...")),
    "webp": image(data_url("image/webp", b"RIFF\0\0\0\0WEBPVP8 ")),
    "wav": sound(),
    "mp3": sound(b"ID3\x04", "mp3"),
    "pdf": paper(),
}


def plan_of(*parts: Any, role: str = "user", allowed: frozenset[PartType] = ALL, **limits: int) -> Plan:
    message = {"role": role, "content": [{"type": "text", "text": "What is this?"}, *parts]}
    body = {"model": "assistant", "messages": [message, {"role": "user", "content": "Well?"}]}
    grant = make_grant(content_parts=allowed, request=RequestLimits(**limits))
    return admit(read(json.dumps(body).encode(), Endpoint.CHAT), grant)


def refusal(*parts: Any, **grant: Any) -> CallerError:
    with pytest.raises(CallerError) as refused:
        plan_of(*parts, **grant)
    assert refused.value.param == "messages"
    assert CANARY not in json.dumps(refused.value.body()) + str(refused.value) + refused.value.reason
    return refused.value


@pytest.mark.parametrize("part", GOOD.values(), ids=GOOD)
def test_a_role_has_the_types_that_it_lists(part: dict[str, Any]) -> None:
    plan = plan_of(part)
    assert plan.body["messages"][0]["content"][1] == part
    assert plan.own_texts == ("What is this?", "Well?")
    own = frozenset({PartType(part["type"])})
    assert plan_of(part, allowed=own) == plan_of(part, allowed=own)
    for others in (frozenset[PartType](), ALL - own):
        assert isinstance(refusal(part, allowed=others), FieldRefused)


@pytest.mark.parametrize("role", ["system", "assistant", "tool"])
def test_only_users_show_anything(role: str) -> None:
    assert isinstance(refusal(image(data_url()), role=role), FieldRefused)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://plimsol.example/a.png",
        "HTTPS://plimsol.example/a.png",
        "//plimsol.example/a.png",
        " https://plimsol.example/a.png",
        "\thttp://plimsol.example",
        "h\nttp://plimsol.example",
        "file:///etc/hosts",
        "FILE:/etc/hosts",
        "/etc/hosts",
        "a.png",
        "ftp://plimsol.example/a.png",
        "s3://bucket/a.png",
        "blob:plimsol",
        "data:",
        "data:image/png,abc",
        "data:image/png;base64",
        "Data:image/png;base64," + encoded(PNG),
        "data:;base64," + encoded(PNG),
        "data:image/png;charset=utf-8;base64," + encoded(PNG),
        "data:image/png;base64,http://plimsol.example",
        "data:image/png;base64," + encoded(PNG)[:-1],
        "data:image/png;base64,\n" + encoded(PNG),
        "data:image/png;base64," + encoded(PNG) + "\nhttp://plimsol.example",
        "data:image/png;base64,",
        data_url("image/svg+xml", b"<svg/>"),
        data_url("image/tiff", b"II*\0"),
        data_url("text/html", b"<html>"),
        data_url("audio/wav", WAV),
        data_url("image/png", b"<svg xmlns=''/>"),
        data_url("image/png", b"\xff\xd8\xff"),
        CANARY,
        7,
        None,
        ["http://plimsol.example"],
        {"url": "http://plimsol.example"},
    ],
)
def test_what_is_no_picture_goes_nowhere(url: Any) -> None:
    assert isinstance(refusal(image(url)), BadField)


@given(st.text(max_size=60))
def test_no_text_but_a_picture_is_one(url: str) -> None:
    assert isinstance(refusal(image(url)), BadField)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url"},
        {"type": "image_url", "image_url": "http://plimsol.example"},
        image(data_url(), detail="microscopic"),
        sound(b"ID3\x04"),
        sound(WAV, "mp3"),
        sound(WAV, "flac"),
        {"type": "input_audio", "input_audio": {"data": "http://plimsol.example/a.wav", "format": "wav"}},
        paper(b"MZ"),
        {"type": "file", "file": {}},
        {"type": "nonsense"},
        {"type": ["image_url"], "image_url": {"url": data_url()}},
    ],
)
def test_a_part_that_is_not_what_it_says_is_refused(part: dict[str, Any]) -> None:
    assert isinstance(refusal(part), BadField)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "file-1", "file_data": data_url("application/pdf", PDF)}},
        {"type": "video_url", "video_url": {"url": data_url()}},
        {"type": "audio_url", "audio_url": {"url": data_url()}},
        {"type": "image_embeds", "image_embeds": encoded(PNG)},
        {"type": "prompt_embeds", "data": encoded(PNG)},
        {"type": "image_pil", "image_pil": encoded(PNG)},
    ],
)
def test_other_ways_to_show_something_are_for_nobody(part: dict[str, Any]) -> None:
    assert isinstance(refusal(part), FieldRefused)


def test_size_and_number_are_bounded() -> None:
    small = len(PNG)
    assert plan_of(image(data_url()), media_bytes=small)
    assert isinstance(refusal(image(data_url()), media_bytes=small - 1), OverLimit)
    assert plan_of(*[image(data_url())] * 3, media=3)
    assert isinstance(refusal(*[image(data_url())] * 4, media=3), OverLimit)
