"""Records what a real vLLM answers to a list of requests, as tests/vectors/vllm_frames/*.json.

Run by hand, never by the tests:

    python -m tests.embedded.record_frames model DIR        # writes the tiny model that the requests are for
    python -m vllm.entrypoints.openai.api_server --model DIR --served-model-name tiny --dtype float32 \
        --enforce-eager --max-model-len 256 --max-logprobs 20 --port 8123
    python -m tests.embedded.record_frames record http://127.0.0.1:8123

Each file holds the request, the status, the content type, and the body: parsed JSON, or one entry per `data:` line.
"""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors" / "vllm_frames"
SEED = 7

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is the 快递 of Zoë?"}]
PREFIX = [*MESSAGES, {"role": "assistant", "content": "the answer is"}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}]
TOOLS = [{"type": "function", "function": {"name": "look", "description": "é <b>", "parameters": {"type": "object"}}}]
TEXT = "the answer is 快递 in the a"
SURE = {"temperature": 1, "top_k": 1}  # greedy by another name: more than one choice is refused of the plain one
IDS = [0, 120, 80, 90, 100, 200, 260, 261, 17]


def chat(**fields: Any) -> tuple[str, str, dict[str, Any]]:
    return (
        "POST",
        "/v1/chat/completions",
        {"model": "tiny", "messages": MESSAGES, "max_tokens": 12, "temperature": 0, **fields},
    )


def legacy(**fields: Any) -> tuple[str, str, dict[str, Any]]:
    return "POST", "/v1/completions", {"model": "tiny", "prompt": TEXT, "max_tokens": 8, "temperature": 0, **fields}


REQUESTS: dict[str, tuple[str, str, Any]] = {
    "models": ("GET", "/v1/models", None),
    "version": ("GET", "/version", None),
    "chat_stream": chat(stream=True),
    "chat_stream_ids": chat(stream=True, logprobs=True, return_token_ids=True),
    "chat_stream_top": chat(stream=True, logprobs=True, top_logprobs=3, stream_options={"include_usage": True}),
    "chat_stream_long": chat(stream=True, logprobs=True, return_token_ids=True, max_tokens=120, ignore_eos=True),
    "chat_stream_specials": chat(stream=True, max_tokens=120, ignore_eos=True, skip_special_tokens=False),
    "chat_stream_usage": chat(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True}),
    "chat_stream_n2": chat(
        stream=True,
        n=2,
        logprobs=True,
        return_token_ids=True,
        max_tokens=4,
        **SURE,
        stream_options={"include_usage": True},
    ),
    "chat_stream_cold": chat(stream=True, temperature=0.01, seed=5, logprobs=True, max_tokens=8),
    "chat_stream_sampled": chat(stream=True, temperature=1.0, seed=5, logprobs=True, top_logprobs=2, max_tokens=6),
    "chat_stream_echo": chat(
        stream=True,
        messages=PREFIX,
        continue_final_message=True,
        add_generation_prompt=False,
        echo=True,
        return_token_ids=True,
    ),
    "chat_stream_one": chat(stream=True, max_tokens=1, logprobs=True, return_token_ids=True),
    "chat_full": chat(),
    "chat_full_ids": chat(logprobs=True, top_logprobs=2, return_token_ids=True),
    "chat_full_n2": chat(n=2, logprobs=True, max_completion_tokens=4, **SURE),
    "chat_full_scored": chat(prompt_logprobs=1, max_tokens=1),
    "chat_full_continue": chat(
        messages=PREFIX, continue_final_message=True, add_generation_prompt=False, return_token_ids=True, echo=True
    ),
    "chat_full_continue_ids": chat(
        messages=PREFIX, continue_final_message=True, add_generation_prompt=False, return_token_ids=True
    ),
    "chat_full_no_prompt": chat(add_generation_prompt=False, return_token_ids=True),
    "chat_full_prefix_closed": chat(messages=PREFIX, add_generation_prompt=False, return_token_ids=True),
    "chat_full_parts": chat(messages=PARTS, return_token_ids=True),
    "chat_full_tools": chat(tools=TOOLS, tool_choice="none", return_token_ids=True),
    "chat_full_developer": chat(messages=[{"role": "developer", "content": "x"}]),
    "chat_full_specials": chat(add_special_tokens=True, return_token_ids=True, max_tokens=2),
    "chat_full_rest": chat(max_tokens=None, ignore_eos=True, return_token_ids=True),
    "chat_full_salted": chat(cache_salt="abc", priority=0, user="u", max_tokens=2),
    "chat_token_names": chat(logprobs=True, top_logprobs=1, return_tokens_as_token_ids=True, max_tokens=3),
    "legacy_stream": legacy(stream=True),
    "legacy_stream_ids": legacy(stream=True, logprobs=2, return_token_ids=True, stream_options={"include_usage": True}),
    "legacy_stream_zero": legacy(stream=True, logprobs=0, return_token_ids=True),
    "legacy_stream_echo": legacy(stream=True, echo=True, logprobs=1, max_tokens=3),
    "legacy_stream_echo_ids": legacy(stream=True, echo=True, return_token_ids=True, max_tokens=3),
    "legacy_stream_n2": legacy(stream=True, n=2, return_token_ids=True, max_tokens=3, **SURE),
    "legacy_stream_two": legacy(stream=True, prompt=["the a", "in the"], return_token_ids=True, max_tokens=1),
    "legacy_stream_long": legacy(stream=True, logprobs=1, return_token_ids=True, max_tokens=100, ignore_eos=True),
    "legacy_full": legacy(),
    "legacy_full_ids": legacy(prompt=IDS, logprobs=2, return_token_ids=True),
    "legacy_full_scored_0": legacy(prompt=IDS, prompt_logprobs=0, max_tokens=1),
    "legacy_full_scored_1": legacy(prompt=IDS, prompt_logprobs=1, max_tokens=1),
    "legacy_full_scored_3": legacy(prompt=TEXT, prompt_logprobs=3, max_tokens=1, return_token_ids=True),
    "legacy_full_scored_one": legacy(prompt=[7], prompt_logprobs=1, max_tokens=1),
    "legacy_full_echo": legacy(echo=True, logprobs=1, max_tokens=2),
    "legacy_full_echo_only": legacy(echo=True, logprobs=1, max_tokens=0),
    "legacy_full_echo_plain": legacy(echo=True, max_tokens=2),
    "legacy_full_echo_ids": legacy(prompt=IDS, echo=True, max_tokens=2),
    "legacy_full_many": legacy(prompt=[IDS, IDS[:4]], max_tokens=2, return_token_ids=True, n=2, **SURE),
    "legacy_full_bare": legacy(add_special_tokens=False, return_token_ids=True, max_tokens=2),
    "legacy_full_default": legacy(max_tokens=None, ignore_eos=True),
    "legacy_full_specials": legacy(skip_special_tokens=False, ignore_eos=True, max_tokens=100),
    "error_model": chat(model="absent"),
    "error_model_legacy": legacy(model="absent"),
    "error_model_null": legacy(model=None, max_tokens=1),
    "error_context": legacy(prompt=[5] * 300),
    "error_context_exact": legacy(prompt=[5] * 256, max_tokens=4),
    "error_context_last": legacy(prompt=[5] * 255, max_tokens=4),
    "error_context_text": legacy(prompt="x " * 300),
    "error_context_chat": chat(messages=[{"role": "user", "content": "x " * 300}]),
    "error_max_tokens": legacy(max_tokens=1000),
    "error_max_tokens_chat": chat(max_tokens=1000),
    "error_max_tokens_zero": legacy(max_tokens=0),
    "error_max_tokens_negative": chat(max_tokens=-1),
    "error_token_id": legacy(prompt=[3, 99999]),
    "error_token_negative": legacy(prompt=[3, -1]),
    "error_prompt_empty": legacy(prompt=""),
    "error_prompt_no_ids": legacy(prompt=[]),
    "error_prompt_missing": ("POST", "/v1/completions", {"model": "tiny"}),
    "error_scored_stream": legacy(stream=True, prompt_logprobs=1),
    "error_scored_negative": legacy(prompt_logprobs=-3),
    "error_scored_many": legacy(prompt_logprobs=50),
    "error_scored_zero_stream": legacy(stream=True, prompt_logprobs=0, max_tokens=1),
    "error_logprobs_many": legacy(logprobs=50),
    "error_top_logprobs_many": chat(logprobs=True, top_logprobs=50),
    "error_top_without": chat(top_logprobs=2),
    "error_logprobs_type": legacy(logprobs="x"),
    "error_stream_options": chat(stream_options={"include_usage": True}),
    "error_messages_missing": ("POST", "/v1/chat/completions", {"model": "tiny"}),
    "error_messages_empty": chat(messages=[]),
    "error_role": chat(messages=[{"role": "wizard", "content": "x"}]),
    "error_temperature": chat(temperature=-1),
    "error_temperature_high": chat(temperature=3, max_tokens=1),
    "error_temperature_type": chat(temperature="hot"),
    "error_top_p": chat(top_p=1.5),
    "error_top_k": chat(top_k=-5),
    "error_n": chat(n=0),
    "error_n_many": chat(n=2000),
    "error_tools_auto": chat(tools=TOOLS),
    "error_tools_none": chat(tool_choice="auto"),
    "error_bias": chat(logit_bias={"99999": 1}),
    "error_min_tokens": chat(min_tokens=50),
    "error_max_completion": chat(max_completion_tokens=1000),
    "error_n_type": chat(n="x"),
    "error_stop_type": chat(stop=5),
    "error_content": chat(messages=[{"role": "user", "content": 5}]),
    "error_no_role": chat(messages=[{"content": "x"}]),
    "chat_full_null_content": chat(messages=[{"role": "user"}], return_token_ids=True, max_tokens=2),
    "chat_full_penalties": chat(
        repetition_penalty=1.3,
        frequency_penalty=0.5,
        presence_penalty=0.2,
        max_tokens=60,
        return_token_ids=True,
        ignore_eos=True,
    ),
    "chat_full_bias": chat(logit_bias={"74": 100, "31": 3}, max_tokens=6, return_token_ids=True),
    "chat_full_min_tokens": chat(
        messages=[{"role": "user", "content": "end 21"}], max_tokens=30, min_tokens=30, return_token_ids=True
    ),
    "chat_full_prompt_text": chat(return_prompt_text=True, max_tokens=1),
    "chat_stream_prompt_text": chat(stream=True, return_prompt_text=True, max_tokens=1),
    "legacy_stream_echo_only": legacy(stream=True, echo=True, logprobs=1, max_tokens=0),
    "legacy_full_echo_ids_scored": legacy(prompt=IDS, echo=True, logprobs=2, return_token_ids=True, max_tokens=2),
    "legacy_stream_usage": legacy(
        stream=True, max_tokens=3, stream_options={"include_usage": True, "continuous_usage_stats": True}
    ),
    "legacy_token_names": legacy(logprobs=1, return_tokens_as_token_ids=True, max_tokens=3),
    "error_continue": chat(messages=PREFIX, continue_final_message=True, add_generation_prompt=True),
    "error_tools_empty": chat(tools=[]),
    "error_stop_empty": chat(stop=[""]),
    "error_json": ("POST", "/v1/chat/completions", "{not json"),
    "error_not_object": ("POST", "/v1/chat/completions", "[1]"),
    "error_path": ("GET", "/v1/absent", None),
    "error_method": ("GET", "/v1/chat/completions", None),
}


def derived(base: str) -> dict[str, tuple[str, str, Any]]:
    """Requests that need to know what the model says: stop strings cut from its own greedy answer."""
    text = call(base, *chat(max_tokens=40, ignore_eos=True))["body"]["choices"][0]["message"]["content"]
    ids = call(base, *chat(max_tokens=40, return_token_ids=True))["body"]["choices"][0]["token_ids"]
    tail = legacy(logprobs=1, return_token_ids=True)
    words = call(base, *tail)["body"]["choices"][0]["text"]
    stop, near = text[9:12], [text[9:11] + "§", text[14:17]]
    begun = next(i for i, piece in enumerate(words) if piece.isalnum() or piece == "&")
    return {
        "chat_stream_stop": chat(stream=True, stop=[stop], logprobs=True, return_token_ids=True, max_tokens=40),
        "chat_stream_stop_near": chat(stream=True, stop=near, return_token_ids=True, max_tokens=40),
        "chat_stream_stop_kept": chat(stream=True, stop=stop, include_stop_str_in_output=True, max_tokens=40),
        "chat_full_stop": chat(stop=[stop], logprobs=True, return_token_ids=True, max_tokens=40),
        "chat_stream_stop_id": chat(stream=True, stop_token_ids=[ids[5]], logprobs=True, return_token_ids=True),
        "legacy_stream_stop": legacy(stream=True, stop=words[begun : begun + 2], logprobs=1, return_token_ids=True),
        "legacy_full_stop": legacy(stop=words[begun : begun + 2], logprobs=1, return_token_ids=True),
    }


def ended(base: str) -> dict[str, tuple[str, str, Any]]:
    """Requests whose greedy answer ends by the end-of-text token, found by trying short prompts."""
    for number in range(400):
        messages = [{"role": "user", "content": f"end {number}"}]
        answer = call(base, *chat(messages=messages, max_tokens=30))["body"]["choices"][0]
        if answer["finish_reason"] == "stop":
            return {
                "chat_stream_eos": chat(
                    stream=True, messages=messages, max_tokens=30, logprobs=True, return_token_ids=True
                ),
                "chat_full_eos": chat(messages=messages, max_tokens=30, logprobs=True, return_token_ids=True),
                "chat_full_eos_shown": chat(messages=messages, max_tokens=30, skip_special_tokens=False),
            }
    raise SystemExit("no prompt ended by itself: take another seed")


def record(base: str) -> None:
    VECTORS.mkdir(parents=True, exist_ok=True)
    for old in VECTORS.glob("*.json"):
        old.unlink()
    for name, request in {**REQUESTS, **derived(base), **ended(base)}.items():
        answer = without_paths(call(base, *request))
        text = json.dumps(answer, ensure_ascii=False, indent=None, separators=(",", ":"))
        (VECTORS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def without_paths(answer: dict[str, Any]) -> dict[str, Any]:
    """The list of models names the folder that each was read from."""
    for card in answer["body"].get("data", []) if isinstance(answer["body"], dict) else []:
        card["root"] = "model"
    return answer


def call(base: str, method: str, path: str, body: Any) -> dict[str, Any]:
    """One request and its answer; a `str` body is sent as it is."""
    raw = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    request = urllib.request.Request(base + path, raw, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            status, kind, data = answer.status, answer.headers["content-type"], answer.read()
    except urllib.error.HTTPError as error:
        status, kind, data = error.code, error.headers["content-type"], error.read()
    return {"method": method, "path": path, "request": body, "status": status, "type": kind, "body": parse(kind, data)}


def parse(kind: str, data: bytes) -> Any:
    """JSON, or the list of data lines of an event stream (`[DONE]` as that string)."""
    if not kind.startswith("text/event-stream"):
        return json.loads(data)
    lines = [event.removeprefix(b"data: ") for event in data.split(b"\n\n") if event]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


if __name__ == "__main__":
    if sys.argv[1] == "model":
        from tests.embedded.tiny import write_model

        write_model(Path(sys.argv[2]), seed=SEED)
    else:
        record(sys.argv[2])
