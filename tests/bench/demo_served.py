"""The demo models' answers through the real pipeline, in this process: what a caller gets of thousands of them.

The shell around the pipeline is the benchmark's: every question is answered from one scoring of the whole answer by the
base, and the base speaks where a choice falls back. Bounds, deadlines and the network play no part; bench_served.py
sends the same requests through gateway processes and says where the two differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from filters.channels import Hidden
from filters.events import (
    Channel,
    Decided,
    Ending,
    Event,
    FallBack,
    Field,
    Origin,
    Question,
    RawText,
    RawTokens,
    Released,
)
from filters.evidence import Detector
from filters.grounding import RequestGrounds
from filters.knowledge import NOTHING_KNOWN, Knowledge
from filters.pipeline import Pipeline, RequestEvidence
from filters.profile import Profile
from filters.spans import Span
from filters.specificity.style import StyleShift
from gateway.upstream.scoring import Bounds
from tests.bench.demo_pair import DemoPair, Said

CONTENT = Channel(0, Field.CONTENT)
STRICT = Profile("strict")


_MOST_READ = Bounds().context_tokens


class NoDetector:
    """Finds nothing."""

    def find(self, raw_text: str, since: int = 0) -> Sequence[Span]:
        return ()


@dataclass
class Served:
    """What became of one answer. `tuned_text` is what of `text` the tuned model's words became."""

    said: Said
    text: str = ""
    tuned_text: str = ""
    decided: list[Decided] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    segments: int = 0
    fallback: FallBack | None = None

    def prefilled(self, prompt: int | None = None) -> int:
        """Tokens that the base reads to answer the questions; behind a request of so many tokens, its own if None."""
        before = len(self.said.prompt) if prompt is None else prompt
        return sum(min(before + len(question.ids), _MOST_READ) for question in self.questions)

    @property
    def untouched(self) -> bool:
        """Whether the tuned model's words came through as they were."""
        return self.text == self.said.text


class Serving:
    """One profile with its detector and what is known of the tuning set."""

    def __init__(
        self,
        pair: DemoPair,
        detector: Detector,
        knowledge: Knowledge = NOTHING_KNOWN,
        profile: Profile = STRICT,
        style_shift_bits: float = 0.0,
    ) -> None:
        self._pair, self._detector, self._knowledge = pair, detector, knowledge
        self._profile, self._shift = profile, style_shift_bits

    def serve(self, answers: Sequence[Said], seed: int | None = None) -> list[Served]:
        """What callers get; the base's own words are greedy, or drawn with a `seed`."""
        runs = [_Run(self._pipeline, said) for said in answers]
        waiting = [run for run in runs if run.served.fallback is not None]
        for run, text in zip(waiting, self._base_says([run.served for run in waiting], seed), strict=True):
            run.base_says(text)
        return [run.served for run in runs]

    def forced(self, said: Said, parts: Sequence[tuple[Channel, str]]) -> Served:
        """The same for an answer whose text is told in several channels, in this order."""
        return _Run(self._pipeline, said, parts).served

    def _pipeline(self, run: _Run) -> Pipeline:
        grounds = RequestGrounds.from_texts([run.served.said.ask], self._detector)
        request = RequestEvidence(grounds, own_text=run.served.said.ask)
        return Pipeline(
            self._profile,
            request,
            self._detector,
            self._pair.vocabulary,
            StyleShift(self._shift),
            watch=run.watch,
            knowledge=self._knowledge,
        )

    def _base_says(self, served: Sequence[Served], seed: int | None) -> list[str]:
        prompts = []
        for each in served:
            assert each.fallback is not None
            messages = [{"role": "user", "content": each.said.ask}]
            said = each.fallback.released_text
            spoken = [{"role": "assistant", "content": said}] if said else []
            prompts.append(self._pair.prompt([*messages, *spoken], going_on=bool(said)))
        return [self._pair.text(answer.ids) for answer in self._pair.base_answers(prompts, seed)]


class _Run:
    """One answer on its way."""

    def __init__(
        self, pipeline: Callable[[_Run], Pipeline], said: Said, parts: Sequence[tuple[Channel, str]] | None = None
    ) -> None:
        self.served = Served(said)
        self._pipeline = pipeline(self)
        told = [RawText(channel, text) for channel, text in parts or [(CONTENT, said.text)]]
        self._take(self._pipeline.feed([RawTokens(0, said.ids, said.tuned), *told]))
        self._take(self._pipeline.finish(0, Ending.STOP))

    def watch(self, raw_text: str, hidden: Sequence[Span], parts: Sequence[Hidden]) -> None:
        if self.served.fallback is None:
            self.served.segments += 1

    def base_says(self, text: str) -> None:
        self._take(self._pipeline.feed([RawText(CONTENT, text)], Origin.BASE), Origin.BASE)
        self._take(self._pipeline.finish(0, Ending.STOP, Origin.BASE), Origin.BASE)

    def _take(self, events: Sequence[Event], origin: Origin = Origin.TUNED) -> None:
        for event in events:
            if isinstance(event, Released):
                self.served.text += event.text
                if origin is Origin.TUNED:
                    self.served.tuned_text += event.text
            elif isinstance(event, Question):
                self.served.questions.append(event)
                score = self.served.said.base[event.start : len(event.ids)]
                self._take(self._pipeline.answer(event.id, score), origin)
            elif isinstance(event, FallBack):
                self.served.fallback = event
                self.served.segments += 1
            elif isinstance(event, Decided):
                self.served.decided.append(event)
