"""Legacy completions in the shape of vLLM 0.32: which field stands where, which is null and which is absent."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from gateway.embedded.engine import Output, Prompt
from gateway.embedded.requests import LegacyRequest
from gateway.embedded.sampling import Position
from gateway.embedded.shapes import Head, Json, TokenNames, full_usage, of_lane, prompt_scores, token_name, usage
from gateway.embedded.tokenizer import TextTokenizer

# A token's name, its log-probability, and its rivals by name; both null for the first token of a prompt.
Row = tuple[str, float | None, dict[str, float] | None]


class LegacyFrames:
    """The frames, or the whole answer, of one completion request, which may hold several prompts."""

    def __init__(self, request: LegacyRequest, head: Head, tokenizer: TextTokenizer, prompts: Sequence[Prompt]) -> None:
        self._request, self._head, self._tokenizer, self._prompts = request, head, tokenizer, prompts
        self._lanes = range(len(prompts) * request.choices)
        self._names = [TokenNames(tokenizer) for _ in self._lanes]
        self._counts = [0 for _ in self._lanes]
        self._offsets = [0 for _ in self._lanes]
        self._echo_only = bool(request.echo) and request.max_tokens == 0
        self._usage_at_end, self._usage_always = request.usage_frames

    def opening(self) -> Iterable[Json]:
        """Nothing: the first token's frame carries the prompt."""
        return ()

    def frame(self, output: Output) -> Json:
        """One token's frame; the first of each choice carries the prompt where that is asked for."""
        first, index = not self._counts[output.lane], output.lane
        shown = first and (self._request.return_token_ids or self._request.echo)
        self._counts[index] += 1
        choice = {
            "index": index,
            "text": (self._echo(index) if first else "") + self._text([output]),
            "logprobs": self._logprobs(index, [output], with_prompt=first),
            "finish_reason": output.finish,
            "stop_reason": output.stop,
            "prompt_token_ids": list(self._prompt(index).ids) if shown else None,
            "token_ids": [output.token] if self._request.return_token_ids else None,
        }
        frame = self._head.frame("text_completion", [choice])
        if self._usage_always:
            frame["usage"] = usage(len(self._prompt(index).ids), self._counts[index])
        if output.finish and not self._usage_at_end:
            frame["system_fingerprint"] = self._head.fingerprint
        return frame

    def closing(self) -> Iterable[Json]:
        """The frame after the last token, where usage is asked for."""
        if self._usage_at_end:
            yield {
                **self._head.frame("text_completion", []),
                "usage": usage(self._prompt_total(), sum(self._counts)),
                "system_fingerprint": self._head.fingerprint,
            }

    def whole(self, outputs: Sequence[Output]) -> Json:
        """The answer of a request that does not stream."""
        choices = [self._choice(index, of_lane(outputs, index)) for index in self._lanes]
        return {
            **self._head.frame("text_completion", choices),
            "service_tier": None,
            "system_fingerprint": self._head.fingerprint,
            "usage": full_usage(self._prompt_total(), len(outputs)),
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def _choice(self, index: int, outputs: Sequence[Output]) -> Json:
        prompt = self._prompt(index)
        return {
            "index": index,
            "text": self._echo(index) + self._text(outputs),
            "logprobs": self._logprobs(index, outputs, with_prompt=True),
            "finish_reason": outputs[-1].finish,
            "stop_reason": outputs[-1].stop,
            "token_ids": [output.token for output in outputs] if self._request.return_token_ids else None,
            "prompt_logprobs": prompt_scores(prompt, self._tokenizer),
            "prompt_token_ids": list(prompt.ids) if self._request.return_token_ids else None,
            "routed_experts": None,
        }

    def _logprobs(self, index: int, outputs: Sequence[Output], *, with_prompt: bool) -> Json | None:
        """The legacy object: four lists in step; offsets count the characters of the token names before."""
        if self._request.logprobs is None:
            return None
        rows = self._prompt_rows(self._prompt(index)) if with_prompt and self._request.echo else []
        if not self._echo_only:
            rows += [self._row(out.position, self._names[index]) for out in outputs if out.position is not None]
        starts = list(accumulate((len(name) for name, _, _ in rows), initial=self._offsets[index]))
        self._offsets[index] = starts.pop()
        return {
            "text_offset": starts,
            "token_logprobs": [logprob for _, logprob, _ in rows],
            "tokens": [name for name, _, _ in rows],
            "top_logprobs": [top for _, _, top in rows],
        }

    def _prompt_rows(self, prompt: Prompt) -> list[Row]:
        names = TokenNames(self._tokenizer)
        rows = [self._row(position, names) for position in prompt.scores or [] if position is not None]
        text = self._tokenizer.decode(prompt.ids[:1])
        return [(token_name(prompt.ids[0], text, self._request.return_tokens_as_token_ids), None, None), *rows]

    def _row(self, position: Position, names: TokenNames) -> Row:
        """The token's own entry counts as one of its rivals, beside as many as were asked for."""
        as_ids = self._request.return_tokens_as_token_ids
        named = {token: token_name(token, text, as_ids) for token, text in names.texts(position).items()}
        own = next(iter(position))
        top = list(position.items())[: (self._request.logprobs or 0) + 1]
        return named[own], position[own].logprob, {named[token]: scored.logprob for token, scored in top}

    def _text(self, outputs: Sequence[Output]) -> str:
        return "" if self._echo_only else "".join(output.text for output in outputs)

    def _echo(self, index: int) -> str:
        """The prompt's text, unless its ids are asked for: they stand in for it."""
        wanted = self._request.echo and not self._request.return_token_ids
        return self._prompt(index).text if wanted else ""

    def _prompt(self, index: int) -> Prompt:
        return self._prompts[index // self._request.choices]

    def _prompt_total(self) -> int:
        return sum(len(prompt.ids) for prompt in self._prompts)
