"""Generation: a `Lane` per choice of an answer, which is stepped; an `Engine` per model, with a thread to step them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from gateway.embedded.llama import KvCache, Llama
from gateway.embedded.sampling import Position, SamplingParams, choose, log_softmax, score
from gateway.embedded.tokenizer import TextTokenizer
from gateway.embedded.weights import Array

T = TypeVar("T")


@dataclass(frozen=True)
class Output:
    """What one step of one choice adds.

    Attributes:
        lane: the number of the choice, counted over all prompts of the request.
        text: the delta; may be empty.
        token: the id it came from.
        position: that token's scores, where the request asks for them.
        finish: "stop" or "length" at the end, else None.
        stop: the stop string or stop id that ended it; None for the end-of-text token.
    """

    lane: int
    text: str
    token: int
    position: Position | None
    finish: str | None
    stop: str | int | None


@dataclass(frozen=True)
class Encoded:
    """A prompt as token ids, at least one, and as the text that `echo` repeats."""

    ids: Sequence[int]
    text: str


@dataclass(frozen=True)
class Prompt:
    """A prompt that went through the model.

    Attributes:
        ids, text: as in Encoded.
        scores: per position, None first, where the request asks for them.
        logits: of the next token, [vocab].
        cache: the keys and values of the prompt.
    """

    ids: Sequence[int]
    text: str
    scores: list[Position | None] | None
    logits: Array
    cache: KvCache


class Lane:
    """One choice. `step` gives an Output until one has a finish; no step may follow it."""

    def __init__(
        self, number: int, prompt: Prompt, model: Llama, tokenizer: TextTokenizer, params: SamplingParams, limit: int
    ) -> None:
        self._number, self._prompt, self._model, self._params, self._limit = number, prompt, model, params, limit
        self._cache = prompt.cache.fork()
        self._logits = prompt.logits
        self._rng = _generator(params.seed, number % params.n)
        self._answer: list[int] = []
        self._text = StopText(params.stop, params.include_stop)
        self._stream = tokenizer.stream(prompt.ids, skip_special=params.skip_special)

    def step(self) -> Output:
        """Choose one more token and say what it adds."""
        token = choose(self._logits, self._params, self._rng, self._prompt.ids, self._answer)
        position = None
        if self._params.logprobs is not None:
            position = score(log_softmax(self._logits[None])[0], token, self._params.logprobs)
        self._answer.append(token)
        finish: str | None
        stop: str | int | None
        finish, stop = self._ending(token)
        hidden = finish == "stop" and not self._params.include_stop
        armed = len(self._answer) > self._params.min_tokens
        matched = self._text.add("" if hidden else self._stream.feed(token), armed)
        if matched is not None:
            finish, stop = "stop", matched
        if finish is None:
            self._advance(token)
        return Output(self._number, self._text.take(finish is not None), token, position, finish, stop)

    def _advance(self, token: int) -> None:
        hidden = self._model.forward(np.array([token]), self._cache)
        self._logits = self._model.logits(hidden)[0]

    def _ending(self, token: int) -> tuple[str | None, int | None]:
        if token == self._params.eos:
            return "stop", None
        if token in self._params.stop_ids:
            return "stop", token
        return ("length" if len(self._answer) >= self._limit else None), None


class StopText:
    """An answer's text, held back by as much as may still become a stop string.

    As in vLLM the hold-back is a length, the longest stop string less one character, however the text ends.
    """

    def __init__(self, stops: Sequence[str], include: bool) -> None:
        self._stops, self._include = stops, include
        self._held = max((len(stop) for stop in stops), default=1) - 1 if not include else 0
        self._text = ""
        self._taken = 0

    def add(self, delta: str, armed: bool = True) -> str | None:
        """Append; where armed, the stop string that is now complete (the first to end) cuts the text and comes back."""
        seen = len(self._text)
        self._text += delta
        found = [(at + len(stop), stop) for stop in self._stops if (at := self._find(stop, seen)) >= 0]
        if not (delta and armed and found):
            return None
        end, stop = min(found, key=lambda pair: pair[0])
        self._text = self._text[: end if self._include else end - len(stop)]
        return stop

    def take(self, finished: bool) -> str:
        """What may go out now; everything once finished."""
        end = len(self._text) - (0 if finished else self._held)
        if end <= self._taken:
            return ""
        start, self._taken = self._taken, end
        return self._text[start:end]

    def _find(self, stop: str, seen: int) -> int:
        return self._text.find(stop, max(0, seen - len(stop) + 1))


class Engine:
    """A model and its tokenizer behind one worker thread: one step at a time runs there, and none on the event loop.

    Requests take turns token by token, since each step waits its turn in the thread's queue.

    Attributes:
        max_model_len: prompt and answer together, in tokens.
        running: how many requests are being answered.
    """

    def __init__(self, model: Llama, tokenizer: TextTokenizer, max_model_len: int) -> None:
        self.model, self.tokenizer, self.max_model_len = model, tokenizer, max_model_len
        self.running = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedded-model")

    async def generate(self, prompts: Sequence[Encoded], params: SamplingParams) -> "Run":
        """Run the prompts through the model; the answers come out of the returned run.

        Cancelling stops after the step that runs, as does closing the run's outputs.
        """
        done: list[Prompt] = []
        for prompt in prompts:
            done.append(await self._in_thread(partial(self._prefill, prompt, params, done[-1] if done else None)))
        return Run(done, self._outputs([self._lane(n, done, params) for n in range(len(done) * params.n)]))

    def close(self) -> None:
        """Let the step that runs end, and no other begin."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _lane(self, number: int, prompts: Sequence[Prompt], params: SamplingParams) -> Lane:
        prompt = prompts[number // params.n]
        limit = min(params.max_tokens, self.max_model_len - len(prompt.ids))
        return Lane(number, prompt, self.model, self.tokenizer, params, limit)

    async def _outputs(self, lanes: list[Lane]) -> AsyncGenerator[Output, None]:
        self.running += 1
        try:
            while lanes:
                going = []
                for lane in lanes:
                    output = await self._in_thread(lane.step)
                    going += [lane] if output.finish is None else []
                    yield output
                lanes = going
        finally:
            self.running -= 1

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _prefill(self, prompt: Encoded, params: SamplingParams, before: Prompt | None) -> Prompt:
        """A prompt that goes on from the one before it in the request is computed from there."""
        if before is not None and params.prompt_logprobs is None and _goes_on(prompt.ids, before.ids):
            cache, known = before.cache.fork(), len(before.ids)
        else:
            cache, known = KvCache(self.model.config, len(prompt.ids) + 1), 0
        hidden = self.model.forward(np.array(prompt.ids[known:]), cache)
        if params.prompt_logprobs is None:
            return Prompt(prompt.ids, prompt.text, None, self.model.logits(hidden[-1:])[0], cache)
        logits = self.model.logits(hidden)
        pairs = zip(log_softmax(logits[:-1]), prompt.ids[1:], strict=True)
        scores = [score(row, token, params.prompt_logprobs) for row, token in pairs]
        return Prompt(prompt.ids, prompt.text, [None, *scores], logits[-1], cache)


@dataclass(frozen=True)
class Run:
    """A request under way: its prompts, scored where asked for, and its outputs as they come."""

    prompts: Sequence[Prompt]
    outputs: AsyncGenerator[Output, None]


def _goes_on(ids: Sequence[int], before: Sequence[int]) -> bool:
    """Whether these are the tokens of `before` and at least one more."""
    return len(ids) > len(before) and list(ids[: len(before)]) == list(before)


def _generator(seed: int | None, choice: int) -> np.random.Generator:
    """Each choice draws from its own stream; without a seed, from the system's entropy."""
    return np.random.default_rng(None if seed is None else [seed % 2**64, choice])
