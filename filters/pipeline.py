"""One answer on its way out: raw text and evidence in, decided events out.

Rules
-----
1. Nothing here waits. What needs the base model's opinion leaves as a `Question`; the shell asks and calls `answer`.
   A missed deadline is an answer too: `UNAVAILABLE`.
2. What is asked is a function of the text alone. Segments of one choice are decided in the order in which their text
   closed them, whenever the answers come; so the same text and the same evidence give the same events for each channel,
   however both arrived.
3. Raw text is held, never filtered text. What a segment's verdict hides never leaves, not its first character.
4. A typed value that the caller did not give and the role is not cleared for is always hidden. The base model decides
   how: what the base could have said as well is masked; what only fine-tuning can have put there makes the choice fall
   back to the base model, which answers as if it had never been tuned. Names, strewn characters and exact values of no
   known type are only suspicions: they are released where the base would have said them too. Not so where the profile
   names dates, ages, amounts: an age is six bits, which no comparison can tell from chance. A request which puts
   identifiers up to be confirmed, denied or picked from is answered by the base (verdicts.py).
5. What could not be decided (a detector failed, the base did not answer, no tokens hold the text) is masked whole or
   stops the choice, as the profile says. It is never released.
6. Hidden once, hidden for the rest of the choice, in all its channels. Prose that is still open where another channel
   goes on is judged first: nothing of it leaves, but a copy of what must stay hidden is known. Where what was hidden
   can't be found again, since nobody judged it or it was strewn, the base may merely copy it: its word frees nothing.
7. JSON (tool arguments, JSON mode) is filtered as it streams (json_text.py) when its turn in the queue comes, so that
   it knows what was hidden before it. It is read ahead (json_scout.py) and asked about in stretches (json_evidence.py);
   with the answer at hand each suspicion in it is decided (json_judge.py). Direct identifiers are hidden unasked. A
   tool's name leaves when its arguments begin, another call is spoken of or the answer ends well; what comes of an
   unknown tool stops the choice. Once JSON has begun to leave nothing can take its place, so that what only fine-tuning
   can have put there, or into other channels, is masked.
8. Where the base has to say first whether it would decline (opening.py), nothing of any choice leaves before it has.
9. After an exception the pipeline refuses more input, and what it held is gone.
10. Once the budget is spent (budget.py), which is read at each segment's end, the base model says the
    rest of the choice; where it can't, nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from filters.begun import BegunValues
from filters.budget import LEAK_BUDGET, Budget, cost_of
from filters.channels import ANSWERS, PROSE, Choice, End, Hidden, Pending
from filters.documents import Documents, Schemas, Told
from filters.events import (
    Channel,
    Decided,
    Ending,
    Event,
    FallBack,
    Field,
    Finished,
    Opening,
    Origin,
    Question,
    RawText,
    RawTokens,
    Released,
    Unavailable,
    Verdict,
)
from filters.evidence import UNDECIDED, Detector, DetectorError, Grounds, Vocabulary
from filters.examine import Examiner
from filters.json_evidence import Part, Wants
from filters.json_judge import JsonJudge
from filters.json_schema import Schema
from filters.json_text import Rules
from filters.knowledge import NOTHING_KNOWN, Knowledge
from filters.opening import REFUSAL, Gate
from filters.pii.actions import Rewriter, check_key
from filters.pii.blocks import InternalRecords
from filters.pii.generalise import around
from filters.pii.scores import at_least
from filters.profile import Action, OnFailure, Profile
from filters.segment import WINDOW, Segment
from filters.spans import Span, merge
from filters.specificity.described import Described
from filters.specificity.excess import excess_bits, is_memorised
from filters.specificity.sampling import Sampler, sample
from filters.specificity.style import NO_SHIFT, StyleShift
from filters.specificity.triggers import Own
from filters.strewn import SHARE, STREWN
from filters.tokens import TokenLedger
from filters.told import Piece, unchanged
from filters.verdicts import CONFIRMATION, OF_INDEX, Bits, Suspect

_NEAR = 8192  # bytes around the text that was matched last
_OF_GLIMPSES = -1  # the chain that counts the strewn values of open segments
_ENDS = frozenset({Verdict.FALL_BACK, Verdict.STOP})
_FALLS_BACK = frozenset({Field.CONTENT, Field.REASONING, Field.REFUSAL})
_UNSAID = OF_INDEX | {CONFIRMATION}  # nothing stands in for these: it would say that there was something
_PRIMED_CHARACTERS = WINDOW  # the longest value that is seen whole


class PipelineClosed(Exception):
    """Input after an error or after the end."""


@dataclass(frozen=True, slots=True)
class RequestEvidence:
    """What the request says about its answer."""

    grounds: Grounds
    chat: bool = True
    own_text: str = ""  # what the caller wrote; exact values of no known type may come back from it
    json_mode: bool = False
    continued: str = ""  # the end of the text that the model goes on from
    json_keys: frozenset[str] = frozenset()
    tool_names: frozenset[str] = frozenset()
    answer_schema: Schema | None = None  # of the document in JSON mode
    tool_schemas: Mapping[str, Schema] = field(default_factory=dict)  # of each tool's arguments, by its name
    stops: tuple[str, ...] = ()
    clearance: str | None = None  # the highest audience of the tuning set that the caller may see
    tells_tokens: bool = False  # released text comes with its tokens
    suspicious: bool = False  # worth asking the base whether it would decline
    described: Described | None = None  # what was said of persons before, where that counts


# Called with each piece of raw text as it is decided, with what is hidden in it, and with what was decided of parts.
Watch = Callable[[str, Sequence[Span], Sequence[Hidden]], None]


class Pipeline:
    """The filters of one answer. Feed it in the upstream's order; send its events in the order in which they come."""

    def __init__(
        self,
        profile: Profile,
        request: RequestEvidence,
        detector: Detector,
        vocabulary: Vocabulary | None = None,
        style_shift: StyleShift = NO_SHIFT,
        key: bytes = b"",
        watch: Watch | None = None,
        knowledge: Knowledge = NOTHING_KNOWN,
        budget: Budget | None = None,
        sampler: Sampler | None = None,
        *,
        scored: bool = False,
    ) -> None:
        """`vocabulary` and `style_shift` belong to the pair of models.

        Without a vocabulary nothing can be compared, and all suspects are masked. `key` is the tenant's, for the
        profile's pseudonyms and surrogates; ValueError if it has any and there is none. `watch` is for tools that show
        what they hid, never for a server. `budget` is the answer's, its profile's by default. `sampler` picks harmless
        text that is scored for a metric. `scored`: the tuned model sends no log-probabilities with its text; it is
        asked as the base is. ValueError where the index of `knowledge` knows no such clearance or k.
        """
        check_key(profile.actions, key)
        self._profile = profile
        self._scored = scored
        self._style_shift = style_shift
        self._request = request
        self._detector = at_least(detector, profile.min_scores)
        self._table = profile.table
        begun = BegunValues(request.own_text if request.chat else "", self._detector)
        self._examiner = Examiner(
            profile,
            request.grounds,
            self._detector,
            begun,
            knowledge,
            request.clearance,
            Own(request.own_text),
            hides_grounded=self._table.hides_grounded,
        )
        self._denied = knowledge.denied
        self._reads_types = profile.names or bool(profile.verdicts) or knowledge.index is not None
        self._key = key
        self._watch = watch
        self._budget = budget or Budget(profile.budget)
        self._sampler = sampler
        self._compares = profile.compare and vocabulary is not None
        self._vocabulary = vocabulary if self._compares or request.tells_tokens else None
        gated = request.chat and profile.checks_refusals(suspicious=request.suspicious)
        self._gate = Gate() if gated else None
        self._choices: dict[int, Choice] = {}
        self._judges: dict[int, JsonJudge] = {}  # by choice
        self._asked: dict[int, tuple[Choice, Pending | Part]] = {}
        self._question_ids = count()
        self._closed = False

    @property
    def holds(self) -> bool:
        """Whether any raw text is undecided."""
        return any(choice.holds for choice in self._choices.values())

    def begin(self, choices: Iterable[int]) -> list[Event]:
        """What comes before all text: where the budget is spent already, the base model speaks from the start; else it
        may have to say first whether it would decline. A choice that waits for that never opens without this call."""
        return self._guarded(lambda: self._begin([self._choice(index) for index in choices]))

    def answer_opening(self, raw_opening: str | Unavailable) -> list[Event]:
        """Take how the base would begin, or that nobody knows. KeyError if that was never asked or is told twice."""
        return self._guarded(lambda: self._answer_opening(raw_opening))

    def feed(self, items: Iterable[RawText | RawTokens], origin: Origin = Origin.TUNED) -> list[Event]:
        """Take what the upstream sent. Text from a model that no longer speaks for its choice is ignored.

        Raises PipelineClosed after an error, and whatever a filter raised that is no DetectorError.
        """
        return self._guarded(lambda: [event for item in items for event in self._feed_one(item, origin)])

    def answer(
        self, question: int, score: Sequence[float] | Unavailable, tuned: Sequence[float] | Unavailable | None = None
    ) -> list[Event]:
        """Take the base model's natural log-probabilities for a question, or that there are none; with `scored` the
        tuned model's as well.

        Raises KeyError for a question that was never asked or is answered twice.
        """
        return self._guarded(lambda: self._answer(question, score, tuned))

    def finish(self, choice: int, ending: Ending, origin: Origin = Origin.TUNED) -> list[Event]:
        """The upstream ended this choice. `stop` and `tool_calls` mean that it said all it wanted to."""
        return self._guarded(lambda: self._finish(self._choice(choice), ending, origin))

    def abandon(self) -> None:
        """Forget everything that is held. Nothing of it can come out any more."""
        self._closed = True
        self._choices.clear()
        self._asked.clear()

    def _guarded(self, work: Callable[[], list[Event]]) -> list[Event]:
        if self._closed:
            raise PipelineClosed
        try:
            return work()
        except BaseException:
            self.abandon()
            raise

    def _choice(self, index: int) -> Choice:
        if index not in self._choices:
            rewriter = Rewriter(self._profile.actions, self._key)
            self._choices[index] = Choice(
                index,
                self._vocabulary,
                self._request.stops,
                rewriter,
                self._documents,
                self._request.described,
                compares=self._compares,
                scored=self._scored,
                tells_tokens=self._request.tells_tokens,
                record_fields=self._profile.record_fields,
                quantities=bool(self._profile.quantities),
                denied=self._denied,
            )
            if self._gate is not None:
                self._choices[index].queue.append(self._gate)
        return self._choices[index]

    # ---- in ----------------------------------------------------------------------------------------------------------

    def _feed_one(self, item: RawText | RawTokens, origin: Origin) -> list[Event]:
        choice = self._choice(item.choice if isinstance(item, RawTokens) else item.channel.choice)
        if choice.done or choice.origin is not origin:
            return []
        if isinstance(item, RawTokens):
            if choice.ledger is not None:
                choice.ledger.add(item.ids, item.logprobs)
            return []
        if item.channel.field in choice.unheard:
            return []
        if self._is_json(item.channel.field):
            return self._hear_json(choice, item) + self._drain(choice)
        questions = self._glimpses(choice, item)
        questions += self._read_ahead(choice, choice.close_json(self._wants(choice))) if item.raw_text else []
        primed = partial(self._primed, choice, item.channel)
        segments = choice.cut(item, self._profile.release, self._detector, primed)
        questions += self._examine_all(choice, [(item.channel, segment) for segment in segments])
        return questions + self._drain(choice)

    def _finish(self, choice: Choice, ending: Ending, origin: Origin) -> list[Event]:
        if choice.done or choice.origin is not origin:
            return []
        questions = self._read_ahead(choice, choice.close_json(self._wants(choice)))
        questions += self._examine_all(choice, choice.close(complete=ending in (Ending.STOP, Ending.TOOL_CALLS)))
        choice.queue.append(End(ending))
        return questions + self._drain(choice)

    def _is_json(self, kind: Field) -> bool:
        return kind not in PROSE or (self._request.json_mode and kind in ANSWERS)

    def _primed(self, choice: Choice, channel: Channel) -> str:
        said = choice.left.content[-_PRIMED_CHARACTERS:] if channel.field is Field.CONTENT else ""
        return (self._request.continued[-_PRIMED_CHARACTERS:] + said)[-_PRIMED_CHARACTERS:]

    # ---- examine: what is suspect, and what must be asked -----------------------------------------------------------

    def _examine_all(self, choice: Choice, parts: Sequence[tuple[Channel, Segment]]) -> list[Event]:
        return [question for part in parts for question in self._examine(choice, *part)]

    def _examine(self, choice: Choice, channel: Channel, segment: Segment) -> list[Event]:
        at = choice.place(channel, segment)
        pending = Pending(channel, segment, at)
        chain = choice.strewn.chain
        runs = self._examiner.read(choice, channel, segment)
        try:
            blocks = choice.blocks[channel].find(segment.context, segment.raw_text)
            suspects = [] if segment.opaque else self._examiner.suspects(choice, channel, segment, runs, blocks, at)
        except DetectorError:
            self._undecided(pending)
        else:
            pending.chains = frozenset({chain, choice.strewn.chain})
            if segment.opaque:
                pending.hide(Suspect(_whole_of(segment)), Verdict.MASK)
            self._settle(choice, pending, suspects)
            self._note_harmless(choice, pending, suspects)
        choice.queue.append(pending)
        if pending.verdict is None and at is not None:
            return [self._ask(choice, pending, at)]
        return self._sampled(choice, pending)

    def _settle(self, choice: Choice, pending: Pending, suspects: Sequence[Suspect]) -> None:
        """Decide what needs no second opinion, and note what does."""
        for suspect in suspects:
            verdict = self._settled(choice, suspect)
            if verdict is None:
                pending.asked.append(suspect)
            else:
                pending.hide(suspect, self._possible(choice, verdict, pending.channel.field))
        if not pending.asked or pending.gravest in _ENDS:
            pending.verdict = pending.gravest
        elif pending.at is None:
            self._undecided(pending)

    def _settled(self, choice: Choice, suspect: Suspect) -> Verdict | None:
        kind, known = suspect.span.type, suspect.known
        if suspect.grounded:
            return self._table.of_grounded(kind, known)
        return self._table.settled(kind, known) if choice.compares else self._table.decide(kind, known, Bits.UNKNOWN)

    def _sampled(self, choice: Choice, pending: Pending) -> list[Event]:
        """A share of the text that nothing was found in is scored for a metric; it does not wait for that."""
        raw_text = pending.segment.raw_text
        if self._sampler is None or self._scored or not choice.compares or choice.ledger is None or pending.at is None:
            return []
        if pending.hidden or pending.asked or not self._sampler.picks(raw_text):
            return []
        return list(sample(choice.index, choice.ledger, pending.at, raw_text))

    def _note_harmless(self, choice: Choice, pending: Pending, suspects: Sequence[Suspect]) -> None:
        """Remember the tokens that show the answer's style, where the release says how far it may be followed and the
        engine's own tokens are at hand."""
        if self._style_shift.most_bits is None or self._scored or not choice.compares or pending.segment.opaque:
            return
        ledger, raw_text = choice.ledger_of(pending.channel), pending.segment.raw_text
        if ledger is not None and pending.at is not None:
            start, end = ledger.holding(pending.at, raw_text, 0, len(raw_text))
            # what is said to everybody shows no style of this answer, and would make up for what its neighbour is
            spans = [*(each.span for each in suspects), *self._examiner.phrases(pending.segment)]
            inside = [ledger.holding(pending.at, raw_text, span.start, span.end) for span in spans]
            choice.harmless.note(start, end, inside)

    def _ask(self, choice: Choice, pending: Pending, at: int) -> Question:
        ledger = choice.ledger_of(pending.channel)
        assert ledger is not None
        raw_text = pending.segment.raw_text
        spans = (each.span for each in pending.asked)
        pending.tokens = tuple(ledger.holding(at, raw_text, span.start, span.end) for span in spans)
        pending.style = choice.harmless.near(*pending.reach)
        return self._question(choice, pending, ledger, pending.reach)

    def _question(self, choice: Choice, about: Pending | Part, ledger: TokenLedger, reach: tuple[int, int]) -> Question:
        question = next(self._question_ids)
        self._asked[question] = (choice, about)
        return Question(question, choice.index, ledger.ids_until(reach[1]), start=reach[0])

    # ---- judge: evidence in, verdict out ----------------------------------------------------------------------------

    def _answer(
        self, question: int, score: Sequence[float] | Unavailable, tuned: Sequence[float] | Unavailable | None
    ) -> list[Event]:
        choice, pending = self._asked.pop(question)
        if not any(pending is waiting for waiting in choice.queue):
            return []  # the choice has fallen back or ended meanwhile
        pending.score = score
        if isinstance(pending, Pending):
            pending.tuned = tuned
        return self._drain(choice)

    def _judge(self, choice: Choice, pending: Pending, score: Sequence[float] | Unavailable) -> None:
        tuned, (start, end) = choice.tuned_score(pending), pending.reach
        if isinstance(score, Unavailable) or tuned is None or not len(score) == len(tuned) == end - start:
            self._undecided(pending)
            return
        ranges = [slice(first - start, last - start) for first, last in pending.tokens]
        style = [token - start for token in pending.style]
        shift = self._style_shift.refined([tuned[at] for at in style], [score[at] for at in style])
        bits = [excess_bits(tuned[at], score[at], shift) for at in ranges]
        choice.judge_names(pending, [score[at] for at in ranges])
        chain = _strewn_bits(choice, pending, bits)
        # What is strewn is decided first: whatever else there is may be a copy of it.
        for suspect, number in sorted(
            zip(pending.asked, bits, strict=True), key=lambda each: each[0].span.type != STREWN
        ):
            self._decide(choice, pending, suspect, number, chain if suspect.span.type == STREWN else 0.0)
        pending.verdict = pending.gravest

    def _decide(self, choice: Choice, pending: Pending, suspect: Suspect, number: float, of_chain: float) -> None:
        kind, bits = suspect.span.type, self._class(number, of_chain)
        if any(hidden.span.type == STREWN for hidden in pending.hidden):
            choice.hidden.types.add(STREWN)
        if bits is Bits.PLAUSIBLE and choice.may_be_copied(kind):
            bits = Bits.UNKNOWN
        verdict = self._table.decide(kind, suspect.known, bits, number)
        pending.hide(suspect, self._possible(choice, verdict, pending.channel.field), number)

    def _class(self, bits: float, bits_of_chain: float) -> Bits:
        enough = self._profile.memorised_bits
        memorised = is_memorised(bits, enough) or is_memorised(bits_of_chain, SHARE * enough)
        return Bits.MEMORISED if memorised else Bits.PLAUSIBLE

    def _possible(self, choice: Choice, verdict: Verdict, kind: Field) -> Verdict:
        if verdict is not Verdict.FALL_BACK:
            return verdict
        if not (self._request.chat and kind in _FALLS_BACK):
            return Verdict.MASK  # without a chat template the base model has nothing to decline with
        return verdict if choice.origin is Origin.TUNED else Verdict.MASK  # nobody else is left to speak

    def _undecided(self, pending: Pending) -> None:
        pending.verdict = Verdict.STOP if self._profile.on_failure is OnFailure.STOP else Verdict.MASK
        pending.hidden = [Hidden(_whole_of(pending.segment), pending.verdict)]

    # ---- act: what has been decided leaves in order ------------------------------------------------------------------

    def _drain(self, choice: Choice) -> list[Event]:
        events: list[Event] = []
        while choice.queue and not choice.done:
            head = choice.queue[0]
            if isinstance(head, Gate) and head.verdict is None:
                break
            if isinstance(head, Part) and head.waits:
                break
            if isinstance(head, Pending) and head.verdict is None:
                if head.score is None:
                    break
                self._judge(choice, head, head.score)
            choice.queue.popleft()
            if self._budget.spent and choice.origin is Origin.TUNED and not isinstance(head, End):
                return events + self._give_way(choice)
            acted = self._act(choice, head)
            self._budget.spend(cost_of(acted, self._profile.memorised_bits))
            events += acted
        return events

    def _give_way(self, choice: Choice) -> list[Event]:
        """The budget is spent: the base says the rest of the choice, or nobody does where it can't."""
        possible = self._request.chat and choice.can_be_taken_over(Channel(choice.index, Field.CONTENT))
        note = self._note(choice, LEAK_BUDGET, Verdict.FALL_BACK if possible else Verdict.STOP)
        return [note, *(self._fall_back(choice) if possible else self._stop(choice))]

    def _from_the_start(self, choice: Choice) -> FallBack:
        choice.start_over()
        return FallBack(choice.index, "")

    def _act(self, choice: Choice, head: Gate | Pending | Part | End) -> list[Event]:
        if isinstance(head, Gate):
            return self._pass_gate(choice, head)
        if isinstance(head, End):
            return self._close(choice, head.ending)
        if isinstance(head, Part):
            return self._read(choice, head)
        assert head.verdict is not None
        if head.verdict is Verdict.FALL_BACK and not choice.can_be_taken_over(head.channel):
            head.verdict = Verdict.MASK
        if head.is_glimpse and head.verdict not in _ENDS:
            for hidden in head.hidden:
                choice.hidden.add(head.segment.raw_text[hidden.span.start : hidden.span.end], hidden.span.type)
            return []
        if not head.is_glimpse:
            self._generalise(choice, head)
        decided: list[Event] = [
            Decided(choice.index, hidden.span.type, _done(hidden, head.verdict), choice.origin, hidden.bits)
            for hidden in head.hidden
        ]
        if head.verdict is Verdict.FALL_BACK:
            return decided + self._fall_back(choice, head)
        if head.verdict is Verdict.STOP:
            return decided + self._stop(choice)
        pieces = self._pieces(choice, head.segment.raw_text, head.hidden, head.segment.context)
        if choice.told is not None:
            choice.told.write(head.channel, pieces, head.segment.raw_text, choice.ledger_of(head.channel), head.at)
        return decided + self._release(choice, head.channel, _text_of(pieces))

    def _begin(self, choices: Sequence[Choice]) -> list[Event]:
        if self._budget.spent:
            return [self._from_the_start(choice) for choice in choices]
        return [Opening()] if self._gate is not None else []

    def _answer_opening(self, raw_opening: str | Unavailable) -> list[Event]:
        if self._gate is None:
            raise KeyError("opening")
        self._gate.answer(raw_opening, self._profile.on_failure)
        return [event for choice in list(self._choices.values()) for event in self._drain(choice)]

    def _pass_gate(self, choice: Choice, gate: Gate) -> list[Event]:
        if gate.verdict in (None, Verdict.RELEASE):
            return []
        if gate.verdict is Verdict.FALL_BACK:
            return [self._note(choice, REFUSAL, Verdict.FALL_BACK), *self._fall_back(choice)]
        events: list[Event] = [self._note(choice, UNDECIDED, gate.verdict)]
        if gate.verdict is Verdict.MASK and not self._request.json_mode:
            events += self._release(choice, Channel(choice.index, Field.CONTENT), choice.rewriter.mask(UNDECIDED, ""))
        return [*events, *self._stop(choice)]

    def _generalise(self, choice: Choice, pending: Pending) -> None:
        """Hide what would say too much of a person, of a segment that is about to leave."""
        if pending.verdict in _ENDS:
            return
        try:
            traits = choice.generalise(pending.segment.raw_text, pending.segment.context)
        except DetectorError:
            self._undecided(pending)
            return
        for span in traits:
            pending.hide(Suspect(span), Verdict.MASK if span.type in self._profile.actions else Verdict.GENERALISE)
        if traits and pending.verdict is Verdict.RELEASE:
            pending.verdict = Verdict.GENERALISE

    def _pieces(self, choice: Choice, raw_text: str, hidden: Sequence[Hidden], before: str = "") -> list[Piece]:
        """The text with replacements for its suspects and for whatever was hidden earlier. `before` is read with it."""
        pieces: list[Piece] = []
        at = 0
        for each in hidden:
            choice.hidden.add(raw_text[each.span.start : each.span.end], each.span.type)
        generalised = {(each.span.start, each.span.end) for each in hidden if each.verdict is Verdict.GENERALISE}
        own = merge(each.span for each in hidden)
        spans = merge([*own, *(again for again in choice.hidden.find(raw_text) if not again.within(own))])
        if self._watch:
            self._watch(raw_text, spans, hidden)
        for span in spans:
            value = raw_text[span.start : span.end]
            context = around(before + raw_text, len(before) + span.start, len(before) + span.end)
            action = Action.GENERALISE if (span.start, span.end) in generalised else None
            pieces += [
                unchanged(raw_text, at, span.start),
                (None, choice.rewriter.rewrite(span.type, value, context, action)),
            ]
            at = span.end
        return [*pieces, unchanged(raw_text, at, len(raw_text))]

    def _release(self, choice: Choice, channel: Channel, text: str) -> list[Event]:
        text, stopped = choice.matcher(channel).push(text)
        choice.left.add(channel, text)
        events: list[Event] = [Released(channel, text, choice.tokens_of(channel, text))] if text else []
        if stopped:
            choice.end()
            events.append(Finished(choice.index, Ending.STOP))
        return events

    # ---- JSON and tool calls -----------------------------------------------------------------------------------------

    def _documents(self, choice: Choice) -> Documents:
        request = self._request
        judge = self._judges[choice.index] = JsonJudge(
            choice,
            self._examiner,
            self._table,
            class_of=self._class,
            rewrite=partial(self._rewritten, choice),
            style_shift_bits=self._style_shift.bits,
            own_text=request.own_text,
            allowed_keys=request.json_keys,
            asks=request.grounds.asks,
            reads_types=self._reads_types,
        )
        rules = Rules(
            judge=judge,
            detector=self._detector,
            unit=self._profile.release,
            allowed_keys=request.json_keys,
            words_join=self._profile.names,
            record_fields=self._hidden_fields(),
            quantities=bool(self._profile.quantities),
            denied=self._denied,
        )
        return Documents(choice.index, rules, Schemas(request.tool_names, request.answer_schema, request.tool_schemas))

    def _hidden_fields(self) -> frozenset[str]:
        if InternalRecords.kind in self._profile.allowed_types:
            return frozenset()
        return frozenset(self._profile.record_fields)

    def _rewritten(self, choice: Choice, raw_text: str, spans: Sequence[Span]) -> str:
        choice.notes += [self._note(choice, span.type, Verdict.MASK) for span in spans]
        return _text_of(self._pieces(choice, raw_text, [Hidden(span, Verdict.MASK) for span in spans]))

    def _hear_json(self, choice: Choice, item: RawText) -> list[Event]:
        questions = self._glimpses(choice, item)
        return questions + self._read_ahead(choice, choice.speaks_json(item, self._wants(choice)))

    def _glimpses(self, choice: Choice, item: RawText) -> list[Event]:
        """Judge prose that is still open where another channel goes on: what that copies from it, the base would copy
        as well."""
        questions: list[Event] = []
        if choice.compares and choice.ledger is not None and item.raw_text:
            for channel, tail in choice.open_tails(item.channel):
                questions += self._read_ahead(choice, choice.close_json(self._wants(choice)))
                questions += self._glimpse(choice, channel, tail)
        return questions

    def _glimpse(self, choice: Choice, channel: Channel, tail: Segment) -> list[Event]:
        assert choice.ledger is not None
        at = choice.ledger.find(tail.raw_text, max(0, choice.ledger.matched - _NEAR), 2 * _NEAR)
        pending = Pending(channel, tail, at, chains=frozenset({_OF_GLIMPSES}), is_glimpse=True)
        try:
            suspects = self._examiner.suspects_so_far(choice, tail, at)
        except DetectorError:
            self._undecided(pending)
        else:
            self._settle(choice, pending, suspects)
        choice.queue.append(pending)
        return [self._ask(choice, pending, at)] if pending.verdict is None and at is not None else []

    def _wants(self, choice: Choice) -> Wants:
        return self._judges[choice.index].wants

    def _read_ahead(self, choice: Choice, parts: Iterable[Part]) -> list[Event]:
        """Queue these parts of documents; the questions about them."""
        questions: list[Event] = []
        for part in parts:
            choice.queue.append(part)
            if part.asked and part.tokens is not None and choice.ledger is not None:
                questions.append(self._question(choice, part, choice.ledger, part.tokens))
        return questions

    def _read(self, choice: Choice, part: Part) -> list[Event]:
        self._judges[choice.index].take(part)
        return self._judged(choice, lambda: choice.documents.push(part.channel, part.raw_text))

    def _judged(self, choice: Choice, tell: Callable[[], Told]) -> list[Event]:
        """What comes out of the choice's documents, unless something in it ends the tuned model's part."""
        content = Channel(choice.index, Field.CONTENT)
        is_fresh = self._request.chat and choice.can_be_taken_over(content) and not choice.left.any_of(Field.CONTENT)
        told = tell()
        noted = self._judges[choice.index].take_noted()
        if noted is None or choice.documents.failure is not None:
            return self._told(choice, told)
        verdict, kind, bits = noted
        decided = Decided(choice.index, kind, verdict, choice.origin, bits)
        if verdict is Verdict.FALL_BACK and is_fresh:
            choice.notes.clear()
            return [decided, *self._fall_back(choice)]
        if verdict is Verdict.STOP or kind == CONFIRMATION:
            return [decided, *self._stop(choice)]
        return self._told(choice, told)

    def _told(self, choice: Choice, told: Told) -> list[Event]:
        """What has come out of the choice's documents, and its end if one has failed."""
        events: list[Event] = [*choice.notes]
        choice.notes.clear()
        for channel, text in told:
            if not choice.done:
                events += self._release(choice, channel, text)
        if choice.documents.failure is not None and not choice.done:
            events += [self._note(choice, choice.documents.failure, Verdict.STOP), *self._stop(choice)]
        return events

    def _close(self, choice: Choice, ending: Ending) -> list[Event]:
        """The upstream's own end."""
        complete = ending in (Ending.STOP, Ending.TOOL_CALLS)
        events = self._judged(choice, lambda: choice.documents.close(complete=complete))
        return events if choice.done else [*events, *self._end(choice, ending)]

    def _note(self, choice: Choice, kind: str, verdict: Verdict) -> Decided:
        return Decided(choice.index, kind, verdict, choice.origin)

    def _fall_back(self, choice: Choice, head: Pending | None = None) -> list[Event]:
        """Close what has left, so that the base model can go on behind a finished sentence. `head`: the cause."""
        events = self._flush_matchers(choice)
        placeholders = {Channel(choice.index, Field.CONTENT): ""}
        if head is not None:
            placeholders[head.channel] = self._placeholder(choice, head)
        for channel, placeholder in placeholders.items():
            events += self._close_sentence(choice, channel, placeholder)
        if choice.done:  # a stop string stood in what closes
            return events
        choice.start_over()
        return [*events, FallBack(choice.index, choice.left.content.rstrip())]

    def _close_sentence(self, choice: Choice, channel: Channel, placeholder: str) -> list[Event]:
        text = choice.left.closing(channel, placeholder)
        if choice.done or not text:
            return []
        if choice.told is not None:
            choice.told.write(channel, [(None, text)], "", None, None)
        return self._release(choice, channel, text)

    def _placeholder(self, choice: Choice, head: Pending) -> str:
        """What stands in for the first of the segment's values that may be named. All of them count as hidden."""
        pieces = self._pieces(choice, head.segment.raw_text, head.hidden, head.segment.context)
        unsaid = any(hidden.span.type in _UNSAID for hidden in head.hidden)
        return next((text for place, text in pieces if place is None and not unsaid), "")

    def _stop(self, choice: Choice) -> list[Event]:
        return self._end(choice, Ending.CONTENT_FILTER)

    def _end(self, choice: Choice, ending: Ending) -> list[Event]:
        events = self._flush_matchers(choice)
        choice.end()
        return [*events, Finished(choice.index, ending)]

    def _flush_matchers(self, choice: Choice) -> list[Event]:
        events: list[Event] = []
        for channel, matcher in choice.open_matchers():
            if text := matcher.close():
                events.append(Released(channel, text, choice.tokens_of(channel, text)))
                choice.left.add(channel, text)
        return events


def _done(hidden: Hidden, verdict: Verdict) -> Verdict:
    """What became of it: what hides a whole segment, or all the rest, is told of each of its spans."""
    return verdict if verdict in _ENDS or hidden.verdict in _ENDS else hidden.verdict


def _strewn_bits(choice: Choice, pending: Pending, bits: Sequence[float]) -> float:
    """Excess bits of the chain that this segment's strewn characters belong to, so far; 0 where it has none."""
    own = [of_span for of_span, suspect in zip(bits, pending.asked, strict=True) if suspect.span.type == STREWN]
    for chain in pending.chains if own else ():
        choice.strewn_bits[chain] += sum(own)
    return max((choice.strewn_bits[chain] for chain in pending.chains if own), default=0.0)


def _whole_of(segment: Segment) -> Span:
    """A segment's text but for the white space behind it, so that placeholders stand like words."""
    return Span(0, len(segment.raw_text.rstrip()) or len(segment.raw_text), UNDECIDED, 1.0)


def _text_of(pieces: Iterable[Piece]) -> str:
    return "".join(text for _, text in pieces)
