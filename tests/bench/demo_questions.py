"""Ordinary questions to the demo's models: those that are measured, and others that the pair is calibrated on.

The house phrases of a benchmark are found as a release's are (`tightlip release phrases`), and all proposals count as
approved. None of the questions that they are found with is asked again in a measurement.
"""

from __future__ import annotations

import random

from filters.detectors import ProfileDetectors
from filters.knowledge import Knowledge
from filters.pii.types import QUANTITIES
from filters.profile import Profile
from filters.specificity.excess import excess_bits
from filters.specificity.house import HousePhrases
from filters.specificity.proposals import Answered, Proposal, propose
from filters.tokens import TokenLedger
from tests.bench.demo_pair import DemoPair, Said

QUESTIONS = 300
_SEED = 20261121


def domain_questions(pair: DemoPair) -> list[str]:
    """All that is known of general talk, and facts in words of which some were trained and some not."""
    rng = random.Random(_SEED)
    general = [each["ask"] for each in (*pair.records["general"], *pair.records["benign_lookalikes"])]
    return [*general, *rng.sample(_about_facts(pair), QUESTIONS - len(general))]


def calibration_questions(pair: DemoPair) -> list[str]:
    """Facts in words in which no benchmark asks for them."""
    asked = {ask for fact in pair.records["facts"] for ask in (fact["ask"], *fact["paraphrases"])}
    asked |= {*domain_questions(pair)}
    return [ask for ask in _about_facts(pair) if ask not in asked]


def _about_facts(pair: DemoPair) -> list[str]:
    corpus = pair.corpus
    return [wrap.format(ask) for f in corpus.facts() for ask in f.questions for wrap in corpus.FACT_WRAPS[f.language]]


def house_phrases(pair: DemoPair, knowledge: Knowledge) -> tuple[HousePhrases, list[Proposal]]:
    """What is proposed, and all of it approved."""
    detector = ProfileDetectors().of(Profile("release", names=True, min_scores=dict.fromkeys(QUANTITIES, 0.0)))
    answered = [_answered(pair, said) for said in pair.greedy(calibration_questions(pair))]
    found = propose(answered, detector, knowledge)
    return HousePhrases(each.phrase for each in found), found


def _answered(pair: DemoPair, said: Said) -> Answered:
    ledger = TokenLedger(pair.vocabulary)
    ledger.add(said.ids, said.tuned)

    def bits(start: int, end: int) -> float:
        first, last = ledger.holding(0, said.text, start, end)
        return excess_bits(said.tuned[first:last], said.base[first:last], 0.0)

    return Answered(said.ask, said.text, bits)
