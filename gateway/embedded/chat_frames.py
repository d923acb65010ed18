"""Chat completions in the shape of vLLM 0.32: which field stands where, which is null and which is absent."""

from collections.abc import Iterable, Sequence

from gateway.embedded.engine import Output, Prompt
from gateway.embedded.requests import ChatRequest
from gateway.embedded.sampling import Position
from gateway.embedded.shapes import Head, Json, TokenNames, full_usage, of_lane, prompt_scores, token_name, usage
from gateway.embedded.tokenizer import TextTokenizer


class ChatFrames:
    """The frames, or the whole answer, of one chat request."""

    def __init__(self, request: ChatRequest, head: Head, tokenizer: TextTokenizer, prompts: Sequence[Prompt]) -> None:
        self._request, self._head, self._tokenizer = request, head, tokenizer
        (self._prompt,) = prompts
        self._echo = _repeated(request, tokenizer) if request.echo else ""
        self._names = [TokenNames(tokenizer) for _ in range(request.choices)]
        self._counts = [0] * request.choices
        self._usage_at_end, self._usage_always = request.usage_frames

    def opening(self) -> Iterable[Json]:
        """The role of each choice, with the prompt's ids and text where asked for; then what `echo` repeats."""
        more = {"prompt_token_ids": self._prompt_ids(), "prompt_text": self._prompt_text()}
        for index in range(self._request.choices):
            yield self._frame(_unscored(index, {"role": self._request.role, "content": ""}), 0, more)
        for index in range(self._request.choices if self._echo else 0):
            yield self._frame(_unscored(index, {"content": self._echo}), 0, {})

    def frame(self, output: Output) -> Json:
        """One token's frame."""
        self._counts[output.lane] += 1
        choice: Json = {
            "index": output.lane,
            "delta": {"content": output.text},
            "logprobs": self._logprobs([output]),
            "finish_reason": output.finish,
            **({"stop_reason": output.stop} if output.finish else {}),
            "token_ids": [output.token] if self._request.return_token_ids else None,
        }
        last = bool(output.finish) and not self._usage_at_end
        return self._frame(
            choice, self._counts[output.lane], {"system_fingerprint": self._head.fingerprint} if last else {}
        )

    def closing(self) -> Iterable[Json]:
        """The frame after the last token, where usage is asked for."""
        if self._usage_at_end:
            yield {
                **self._head.frame("chat.completion.chunk", []),
                "usage": usage(len(self._prompt.ids), sum(self._counts)),
                "system_fingerprint": self._head.fingerprint,
            }

    def whole(self, outputs: Sequence[Output]) -> Json:
        """The answer of a request that does not stream."""
        choices = [self._choice(index, of_lane(outputs, index)) for index in range(self._request.choices)]
        return {
            **self._head.frame("chat.completion", choices),
            "service_tier": None,
            "system_fingerprint": self._head.fingerprint,
            "usage": full_usage(len(self._prompt.ids), len(outputs)),
            "prompt_logprobs": prompt_scores(self._prompt, self._tokenizer),
            "prompt_token_ids": self._prompt_ids(),
            "prompt_text": self._prompt_text(),
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def _frame(self, choice: Json, generated: int, more: Json) -> Json:
        frame = self._head.frame("chat.completion.chunk", [choice])
        if self._usage_always:
            frame["usage"] = usage(len(self._prompt.ids), generated) | {"completion_tokens_details": None}
        return frame | more

    def _choice(self, index: int, outputs: Sequence[Output]) -> Json:
        message = {
            "role": self._request.role,
            "content": self._echo + "".join(output.text for output in outputs),
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "reasoning": None,
        }
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(outputs),
            "finish_reason": outputs[-1].finish,
            "stop_reason": outputs[-1].stop,
            "token_ids": [output.token for output in outputs] if self._request.return_token_ids else None,
            "routed_experts": None,
        }

    def _logprobs(self, outputs: Sequence[Output]) -> Json | None:
        if not self._request.logprobs:
            return None
        return {"content": [self._scored(out.lane, out.position) for out in outputs if out.position is not None]}

    def _scored(self, lane: int, position: Position) -> Json:
        """One token's entry. Where ids stand for names, its own bytes are still its text's, and the rivals' are not."""
        texts = self._names[lane].texts(position)
        as_ids = self._request.return_tokens_as_token_ids
        entries = [
            _entry(token_name(token, texts[token], as_ids), scored.logprob) for token, scored in position.items()
        ]
        own = {**entries[0], "bytes": list(next(iter(texts.values())).encode())}
        return {**own, "top_logprobs": entries[: self._request.top_logprobs]}

    def _prompt_ids(self) -> list[int] | None:
        return list(self._prompt.ids) if self._request.return_token_ids else None

    def _prompt_text(self) -> str | None:
        return self._prompt.text if self._request.return_prompt_text else None


def _repeated(request: ChatRequest, tokenizer: TextTokenizer) -> str:
    assert tokenizer.template is not None, "the prompt was rendered by it"
    return tokenizer.template.last_text(request.conversation, request.role)


def _unscored(index: int, delta: Json) -> Json:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


def _entry(name: str, logprob: float) -> Json:
    return {"token": name, "logprob": logprob, "bytes": list(name.encode())}
