"""Asking an OpenAI-compatible server for raw answers, and putting two servers' answers into a form to compare.

Nothing here is shared with the gateway's own reader: a mistake common to both would hide itself.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.vllm_server import Endpoint

CHAT = "/v1/chat/completions"
LEGACY = "/v1/completions"
TIMEOUT_S = 120.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """What one choice said."""

    text: str
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    finish_reason: str | None
    stop_reason: str | int | None


def post(endpoint: Endpoint, path: str, **body: Any) -> httpx.Response:
    request = {"model": endpoint.model, **body}
    return httpx.post(endpoint.url + path, json=request, timeout=TIMEOUT_S, trust_env=False)


def ask(endpoint: Endpoint, path: str, **body: Any) -> Json:
    response = post(endpoint, path, **body)
    assert response.status_code == httpx.codes.OK, response.text
    answer: Json = response.json()
    return answer


def stream(endpoint: Endpoint, path: str, **body: Any) -> list[Json]:
    """Every frame; fails unless the last event is `[DONE]`."""
    response = post(endpoint, path, stream=True, **body)
    assert response.status_code == httpx.codes.OK, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = [event.removeprefix(b"data: ") for event in response.content.split(b"\n\n") if event]
    assert events[-1] == b"[DONE]"
    return [json.loads(event) for event in events[:-1]]


def samples(answer: Json) -> list[Sample]:
    """The choices of an answer that was not streamed, by index."""
    choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
    return [joined([choice]) for choice in choices]


def streamed_samples(frames: Sequence[Json]) -> list[Sample]:
    """The choices of a streamed answer, by index."""
    parts: dict[int, list[Json]] = {}
    for frame in frames:
        for choice in frame["choices"]:
            parts.setdefault(choice["index"], []).append(choice)
    return [joined(parts[index]) for index in sorted(parts)]


def joined(parts: Sequence[Json]) -> Sample:
    scored = [pair for part in parts for pair in _scored_tokens(part)]
    return Sample(
        text="".join(_text(part) for part in parts),
        token_ids=tuple(each for part in parts for each in part.get("token_ids") or ()),
        tokens=tuple(token for token, _ in scored),
        logprobs=tuple(logprob for _, logprob in scored),
        finish_reason=parts[-1]["finish_reason"],
        stop_reason=parts[-1]["stop_reason"],
    )


def frame_kind(frame: Json) -> str:
    """Which of the four places in a stream a frame has; frames of one kind must look the same."""
    if not frame["choices"]:
        return "usage"
    choice = frame["choices"][0]
    if choice["finish_reason"] is not None:
        return "finish"
    return "opening" if "role" in choice.get("delta", ()) else "token"


def assert_frames_look_alike(real: Sequence[Json], embedded: Sequence[Json]) -> None:
    """Kind by kind. A server under load puts several tokens into one frame, and then there may be no "token" frame."""
    real_shapes, embedded_shapes = frame_shapes(real), frame_shapes(embedded)
    assert real_shapes.keys() ^ embedded_shapes.keys() <= {"token"}
    for kind in real_shapes.keys() & embedded_shapes.keys():
        assert embedded_shapes[kind] == real_shapes[kind], kind


def frame_shapes(frames: Iterable[Json]) -> dict[str, set[str]]:
    """Per kind of frame, every path in it with the type found there, however tokens were put together in frames."""
    shapes: dict[str, set[str]] = {}
    for frame in frames:
        paths = {path for path in shape(frame) if ".prompt_token_ids" not in path}
        shapes.setdefault(frame_kind(frame), set()).update(paths)
    return shapes


def prompt_token_ids(frames: Sequence[Json]) -> list[list[int]]:
    """Every occurrence, in order: chat has them beside the choices, legacy in the first frame of each choice."""
    places = [place for frame in frames for place in (frame, *frame["choices"])]
    return [place["prompt_token_ids"] for place in places if place.get("prompt_token_ids")]


def shape(value: Any) -> set[str]:
    return set(_paths(value, ""))


def prompt_scores(entries: Sequence[Mapping[str, Json] | None]) -> list[dict[int, tuple[float, int]]]:
    """`prompt_logprobs` as {token id: (log-probability, rank)} per position; the first position has none."""
    return [{int(key): (it["logprob"], it["rank"]) for key, it in (entry or {}).items()} for entry in entries]


def _text(part: Json) -> str:
    if "text" in part:
        return str(part["text"])
    said = part.get("delta") or part.get("message") or {}
    return said.get("content") or ""


def _scored_tokens(part: Json) -> Iterator[tuple[str, float]]:
    scores = part.get("logprobs") or {}
    if "tokens" in scores:
        yield from zip(scores["tokens"], scores["token_logprobs"], strict=True)
    for entry in scores.get("content") or ():
        yield entry["token"], entry["logprob"]


def _paths(value: Any, at: str) -> Iterator[str]:
    yield f"{at}: {_type_name(value)}"
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, f"{at}.{'*' if _is_keyed_by_data(at) else key}")
    if isinstance(value, list):
        for inner in value:
            yield from _paths(inner, f"{at}[]")


def _is_keyed_by_data(at: str) -> bool:
    """Maps whose keys are tokens: what matters is that they are maps, and what stands in them."""
    return at.endswith((".prompt_logprobs[]", ".logprobs.top_logprobs[]"))


def _type_name(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "object"}
    return names.get(type(value), "null")
