"""The gate at the beginning of each choice: nothing leaves before it is known how the base model would begin.

Fine-tuning wears refusals off: the base would decline, the tuned model complies. Where the profile and the request ask
for it the base is asked once a request, greedily and for a few tokens, while the tuned model already writes. The gate
stands before everything in a choice's queue, reasoning, JSON and tool calls included, so that it opens or closes at the
same place however text and opening arrive.

| the base's opening | what becomes of the choice |
| --- | --- |
| does not decline | it goes its ordinary way |
| declines | the base answers afresh: nothing has left |
| could not be had | `on_failure`: one placeholder and the end, or the end; a document or a tool call just ends |

Whether the tuned model declines as well is not asked. A request can have it begin "I'm sorry, but" and go on, and where
both decline the base's words do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

from filters.events import Unavailable, Verdict
from filters.profile import OnFailure
from filters.specificity.refusal import declines

REFUSAL = "REFUSAL"  # the finding type of an answer that the base would decline to give


@dataclass(slots=True)
class Gate:
    """One request's gate, the same for all its choices. `verdict` is None while the base is being asked."""

    verdict: Verdict | None = None

    def answer(self, raw_opening: str | Unavailable, on_failure: OnFailure) -> None:
        """How the base would begin; nothing but white space is no answer. Raises KeyError at the second time."""
        if self.verdict is not None:
            raise KeyError("opening")
        if isinstance(raw_opening, Unavailable) or not raw_opening.strip():
            self.verdict = Verdict.STOP if on_failure is OnFailure.STOP else Verdict.MASK
        else:
            self.verdict = Verdict.FALL_BACK if declines(raw_opening) else Verdict.RELEASE
