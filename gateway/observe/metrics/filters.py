"""What the filters found, what became of it, and what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from filters.events import Decided, Verdict
from gateway.observe.metrics.labels import CHECKS, LEAK_BUDGET_STEPS, Known, closed
from gateway.observe.metrics.make import SHORT_BUCKETS, Maker
from gateway.types import Release

SHY_STEP: Final = 5  # answers; the smallest k that a policy takes by default


class Filters:
    """Findings and verdicts.

    Findings of a shy type (health, religion …) count answers, not findings, and the series moves by SHY_STEP of them at
    once: that one answer had such a finding can't be told from the page, whoever asked when. What is left below a step
    is forgotten with the process.
    """

    def __init__(self, make: Maker, known: Known, shy: Collection[str]) -> None:
        """`shy` are the finding types of special categories."""
        self._known, self._shy = known, frozenset(shy)
        self._unseen: Counter[tuple[str, str, str, str]] = Counter()
        self._verdicts = make.counter(
            "tightlip_verdicts",
            f"Findings by type and what became of them. Of special categories answers, in steps of {SHY_STEP}.",
            "model",
            "release",
            "type",
            "verdict",
        )
        self._excess = make.histogram(
            "tightlip_excess_bits",
            "Bits by which the tuned model was surer than its base, per segment asked about.",
            "model",
            "release",
            buckets=(0, 1, 2, 4, 8, 12, 16, 24, 32, 64, 128),
        )
        self._answers = make.counter(
            "tightlip_filtered_answers",
            "Answers that went through the filters, by whether they could.",
            "model",
            "release",
            "check",
        )
        self._fallbacks = make.counter("tightlip_fallbacks", "Answers handed to the base model.", "model", "release")
        self._make_costs(make)
        self._make_budgets(make)

    def _make_costs(self, make: Maker) -> None:
        self._hold_back = make.histogram(
            "tightlip_hold_back_seconds", "How long text waited until it was decided.", buckets=SHORT_BUCKETS
        )
        self._cpu = make.counter(
            "tightlip_filter_cpu_seconds",
            "CPU time that the filters took of the thread they run on.",
            "model",
            "release",
        )

    def _make_budgets(self, make: Maker) -> None:
        self._leak_bits = make.counter(
            "tightlip_leak_budget_bits", "Excess bits of what was judged memorised and hidden.", "role"
        )
        self._leak_findings = make.counter(
            "tightlip_leak_budget_findings",
            "What was hidden, and what else made an answer fall back: how often somebody pulls.",
            "role",
        )
        self._leak_budget = make.counter("tightlip_leak_budget_spent", "What spent budgets led to.", "role", "step")

    def is_shy(self, kind: str) -> bool:
        """Whether this finding type is counted by answers: `shy_answer`, and not `decided`."""
        return kind in self._shy

    def decided(self, release: Release, decided: Decided) -> None:
        """One finding, of no shy type."""
        labels = *self._known.release(release), self._known.kind(decided.kind), decided.verdict.value
        self._verdicts.labels(*labels).inc()
        if decided.excess_bits is not None:
            self._excess.labels(*labels[:2]).observe(decided.excess_bits)

    def shy_answer(self, release: Release, kind: str, verdict: Verdict) -> None:
        """An answer with one finding or more of this shy type has ended."""
        labels = *self._known.release(release), self._known.kind(kind), verdict.value
        self._unseen[labels] += 1
        if self._unseen[labels] == SHY_STEP:
            del self._unseen[labels]
            self._verdicts.labels(*labels).inc(SHY_STEP)

    def answered(self, release: Release, check: str, cpu_seconds: float) -> None:
        """An answer that went through the filters has ended, well or not; `check` is of CHECKS."""
        names = self._known.release(release)
        self._answers.labels(*names, closed(check, CHECKS)).inc()
        self._cpu.labels(*names).inc(cpu_seconds)

    def hold_back(self, seconds: float) -> None:
        """How long a piece of text waited from its arrival until it was decided."""
        self._hold_back.observe(seconds)

    def fallback(self, release: Release) -> None:
        self._fallbacks.labels(*self._known.release(release)).inc()

    def leaks(self, role: str, bits: float, findings: int) -> None:
        """What was hidden, and counts against the budgets of its answer, its caller and his end user."""
        self._leak_bits.labels(self._known.role(role)).inc(bits)
        self._leak_findings.labels(self._known.role(role)).inc(findings)

    def leak_budget(self, role: str, step: str) -> None:
        """A budget is spent; `step` is of LEAK_BUDGET_STEPS: the rest of an answer is the base's, a whole answer is
        under the strict profile or the base's, or there is none."""
        self._leak_budget.labels(self._known.role(role), closed(step, LEAK_BUDGET_STEPS)).inc()
