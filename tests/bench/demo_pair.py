"""The demo's models and what they were taught, as the benchmarks of the comparison use them.

A folder of models has base, tuned and adapter; beside it, or named, stand its records. The tuning set is made again by
the demo's own script, from the number of customers in the records.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from gateway.embedded.llama import load_llama
from gateway.embedded.threads import hold_blas_to_one_thread
from gateway.embedded.tokenizer import TextTokenizer
from gateway.upstream.vocabulary import TokenizerVocabulary
from tests.bench.batched import Answer, Batched, Ids

DEMO = Path(__file__).resolve().parents[2] / "deploy" / "demo"
LONGEST = 80  # tokens; the longest taught answer has about 60
KINDS = ("tuned", "adapter")  # of fine-tuning: all weights, or LoRA


def options(description: str | None) -> argparse.ArgumentParser:
    """What every benchmark on these models is told."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--models", type=Path, default=DEMO / "models", help="a folder with base, tuned, adapter")
    parser.add_argument("--records", type=Path, help="by default records.json beside the models")
    parser.add_argument("--tuned", choices=KINDS, default="tuned", help="the full fine-tune or the LoRA adapter")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser


@dataclass(frozen=True)
class Said:
    """One answer with its evidence: natural log-probabilities of `ids` under the tuned and the base model."""

    ask: str
    prompt: Ids
    ids: Ids
    text: str
    tuned: tuple[float, ...]
    base: tuple[float, ...]


class DemoPair:
    """The two models, loaded; one tokenizer."""

    def __init__(self, models: Path, records: Path | None, kind: str) -> None:
        hold_blas_to_one_thread()
        self.records: dict[str, Any] = json.loads((records or models.parent / "records.json").read_text("utf-8"))
        self.kind, self.folder = kind, models
        adapter = models / "adapter" if kind == "adapter" else None
        self._tokenizer = TextTokenizer(models / "base")
        assert self._tokenizer.eos is not None
        self.eos = self._tokenizer.eos
        self.base = Batched(load_llama(models / "base"), self.eos)
        self.tuned = Batched(load_llama(models / "base" if adapter else models / "tuned", adapter), self.eos)
        self.vocabulary = TokenizerVocabulary(models / "base")

    @classmethod
    def of(cls, told: argparse.Namespace) -> DemoPair:
        return cls(told.models, told.records, told.tuned)

    def prompt(self, messages: Sequence[dict[str, str]], *, going_on: bool = False) -> Ids:
        """The tokens of a chat, up to where the model speaks; `going_on` at the end of the last message."""
        template = self._tokenizer.template
        assert template is not None
        text = template.render(messages, add_generation_prompt=not going_on, continue_final_message=going_on)
        return tuple(self._tokenizer.encode(text, special=False))

    def asked(self, ask: str) -> Ids:
        return self.prompt([{"role": "user", "content": ask}])

    def text(self, ids: Ids) -> str:
        """What an answer's tokens spell; the end spells nothing."""
        return b"".join(map(self.vocabulary.spell, ids)).decode("utf-8", "replace")

    def greedy(self, asks: Sequence[str], system: str | None = None) -> list[Said]:
        """The tuned model's greedy answers to single questions."""
        prompts = [self._single(ask, system) for ask in asks]
        return self._with_base(asks, prompts, self.tuned.greedy(prompts, LONGEST))

    def sampled(self, ask: str, times: int, seed: int) -> list[Said]:
        """`times` answers at temperature 1."""
        prompts = [self.asked(ask)] * times
        return self._with_base([ask] * times, prompts, self.tuned.sampled(prompts, LONGEST, seed))

    def forced(self, asks: Sequence[str], texts: Sequence[str]) -> list[Said]:
        """These answers, whoever wrote them, as both models find them."""
        prompts = [self.asked(ask) for ask in asks]
        ids = [tuple(self.vocabulary.ids(text)) for text in texts]
        tuned = self.tuned.scored(list(zip(prompts, ids, strict=True)))
        return self._with_base(asks, prompts, [Answer(i, t) for i, t in zip(ids, tuned, strict=True)])

    def going_on(self, begun: Sequence[str], writer: Batched, seed: int) -> list[Said]:
        """Plain texts as one of the models ends their first sentence at temperature 1. The beginning counts as said."""
        start = self._tokenizer.encode("", special=True)
        texts = [tuple(self.vocabulary.ids(text)) for text in begun]
        drawn = writer.sampled([(*start, *ids) for ids in texts], LONGEST, seed)
        prompts = [tuple(start)] * len(begun)
        ids = [(*first, *rest.ids) for first, rest in zip(texts, drawn, strict=True)]
        tuned = self.tuned.scored(list(zip(prompts, ids, strict=True)))
        return self._with_base([""] * len(begun), prompts, [Answer(i, t) for i, t in zip(ids, tuned, strict=True)])

    def base_answers(self, prompts: Sequence[Ids], seed: int | None = None) -> list[Answer]:
        """What the base model says: greedy, or drawn with a `seed`."""
        return self.base.greedy(prompts, LONGEST) if seed is None else self.base.sampled(prompts, LONGEST, seed)

    def _single(self, ask: str, system: str | None) -> Ids:
        before = [{"role": "system", "content": system}] if system else []
        return self.prompt([*before, {"role": "user", "content": ask}])

    def _with_base(self, asks: Sequence[str], prompts: Sequence[Ids], answers: Sequence[Answer]) -> list[Said]:
        base = self.base.scored([(prompt, answer.ids) for prompt, answer in zip(prompts, answers, strict=True)])
        return [
            Said(ask, prompt, answer.ids, self.text(answer.ids), answer.logprobs, scores)
            for ask, prompt, answer, scores in zip(asks, prompts, answers, base, strict=True)
        ]

    @cached_property
    def corpus(self) -> ModuleType:
        """The demo's script, which made the records."""
        return corpus()


def corpus() -> ModuleType:
    """`deploy/` is no package: the scripts there are run, not imported."""
    spec = importlib.util.spec_from_file_location("demo_corpus", DEMO / "corpus.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
