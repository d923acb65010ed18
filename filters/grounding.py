"""What the caller gave himself, so that it may come back to him.

Grounding must be no oracle: whoever pastes candidates and asks which of them is right must learn nothing. So a value
counts only as a whole, as a value of its type, and only where it was told, not asked about:

- The value was found by the detector in what the end user wrote, under the same finding type. A part of it, or a longer
  value that merely contains it, is another value.
- Spelling may vary (width, case, spacing, grouping). The released form may be shorter only by a country prefix that the
  request had (+86, +1) and never longer: what goes out holds no digit that did not come in.
- With more than MOST_VALUES different values of a type in the request none of that type counts.
- With two or three, none counts if a text that holds one of them also holds a question or a choice (?, which, whose,
  or, 哪, 还是, 是不是, 选 …), or any other text of the request asks to choose (which, whose, 哪, 还是, 是不是 …).
- A single one does not count where its clause asks about it ("is it …?", "confirm that …", "…, right?", 是不是, …对吗).
  It counts where it stands in a clause of its own beside a question ("My number is 138…, where is my parcel?") or in a
  request to do something with it ("can you send it to …?"). Told once and asked about once is asked about.

Pairing values with the persons beside whom they stood is not read yet; until then many values simply don't count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

from filters.evidence import Detector, DetectorError
from filters.normalise import normalise
from filters.pii.canonical import canonical
from filters.spans import Span, merge

# More than a person has of one kind and fewer than a list worth trying.
MOST_VALUES = 3
# Detectors read some 5 to 50 microseconds a character here; more than this would hold a core for seconds.
MOST_CHARACTERS = 32_768


@dataclass(frozen=True, slots=True)
class RequestGrounds:
    """Fulfils `filters.evidence.Grounds` for one request: the accepted forms of each type."""

    accepted: frozenset[tuple[str, str]]

    @classmethod
    def from_texts(cls, own_texts: Sequence[str], detector: Detector) -> RequestGrounds:
        """Read what the end user wrote (his messages and tool results, in order).

        Of a long request only the end counts; and where a detector fails, nothing does.
        """
        try:
            texts = [_read(text, detector) for text in _latest(own_texts)]
        except DetectorError:
            return cls(frozenset())
        kinds = {kind for text in texts for kind in text.values}
        return cls(frozenset(form for kind in kinds for form in _accepted(kind, texts)))

    def covers(self, raw_value: str, kind: str) -> bool:
        """Whether this value of this finding type stood in the request in a way that counts."""
        return (kind, canonical(kind, raw_value)) in self.accepted


def _latest(own_texts: Sequence[str]) -> list[str]:
    """The last MOST_CHARACTERS, text by text; one that does not fit is left out whole, lest a value be cut in two."""
    kept: list[str] = []
    left = MOST_CHARACTERS
    for text in reversed(own_texts):
        left -= len(text)
        if left < 0:
            break
        kept.append(text)
    return kept[::-1]


# ---- reading one text ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _OwnText:
    plain: str
    values: dict[str, dict[str, set[str]]]  # by type and value: the forms in which it may come back
    asked: set[tuple[str, str]]  # those that a clause asks about


def _read(own_text: str, detector: Detector) -> _OwnText:
    found = set(detector.find(own_text))
    # Both the single readings and their union: the answer is compared by spans that were merged.
    found.update(merge(found))
    values: dict[str, dict[str, set[str]]] = {}
    asked: set[tuple[str, str]] = set()
    for span in found:
        forms = _forms(span.type, own_text[span.start : span.end])
        value = min(forms, key=len)
        values.setdefault(span.type, {}).setdefault(value, set()).update(forms)
        if _is_asked_about(own_text, span):
            asked.add((span.type, value))
    return _OwnText(normalise(own_text).text.lower(), values, asked)


# How a country prefix is written, as against a number that happens to begin with the same digits.
_PREFIX = regex.compile(r"\(?(?:(?:\+|00) ?(?:86|1)|86(?=\D*1[3-9])(?=(?:\D*\d){13}$)|1(?=[ \-.(]))")


def _forms(kind: str, raw_value: str) -> set[str]:
    """The canonical value, and without the country prefix that it came with."""
    forms = {canonical(kind, raw_value)}
    if kind == "PHONE":
        written = normalise(raw_value).text.strip()
        prefix = _PREFIX.match(written)
        forms.add(canonical(kind, written[prefix.end() :] if prefix else written.removeprefix("00")))
    return forms


# A question's clause begins after the last stop and ends with the next; both sides are looked at within this reach.
_REACH = 200
_STOP = regex.compile(r"[,;.!?\n，；。！？](?=\s|[^\x00-\x7f]|$)|\n")
_ASKS = regex.compile(
    r"\b(?:is|are|was|were|isn'?t|does|do|did|doesn'?t)\b[^,.;!?]*\?"
    r"|\b(?:which|whose|whether|who|confirm|verify|validate|check|correct|right|true|false|match(?:es)?|belongs?|same"
    r"|real|guess|exists?|know|known|listed|registered)\b"
    r"|\byes or no\b|\btell me if\b|\bif (?:it|this|that|her|his|the)\b"
    r"|是不是|是否|是吗|对吗|对不对|对吧|吗|哪|谁|确认|核实|核对|验证|属于|正确|还是|有没有|存在|查一下|查询|查查"
)
_TAG = regex.compile(
    r"[\s,，]*(?:right|correct|true|yes|yeah|no|isn'?t (?:it|that|he|she)|is (?:it|that|this)|am i right|does it|ok\?|"
    r"对吗|对吧|对不对|是吗|是吧|是不是|没错吧|没错|确定吗|真的吗|可以确认吗|吗|吧)\b?[^.!?。！？]{0,24}[?？]"
)


def _is_asked_about(own_text: str, span: Span) -> bool:
    before = own_text[max(0, span.start - _REACH) : span.start].lower()
    after = own_text[span.end : span.end + _REACH].lower()
    stops = [match.end() for match in _STOP.finditer(before)]
    head = before[stops[-1] if stops else 0 :]
    stop = _STOP.search(after)
    tail = after[: stop.end()] if stop else after
    return _ASKS.search(head + " " + tail) is not None or _TAG.match(after[stop.start() if stop else 0 :]) is not None


# ---- what counts -----------------------------------------------------------------------------------------------------

_CHOOSES = regex.compile(
    r"\b(?:which|whose|who|pick|choose|select|guess|candidates?|options?|multiple choice|sort|rank|match"
    r"|true or false)\b"
    r"|哪|还是|是不是|谁|选|猜|候选|排序|匹配|对应"
)
_ASKS_OR_CHOOSES = regex.compile(rf"\?|\bor\b|\bis it\b|或|吗|{_CHOOSES.pattern}")


def _accepted(kind: str, texts: Sequence[_OwnText]) -> Iterator[tuple[str, str]]:
    values = set().union(*(text.values.get(kind, {}) for text in texts))
    if len(values) > MOST_VALUES or (len(values) > 1 and _offers_a_choice(kind, texts)):
        return
    asked = set().union(*(text.asked for text in texts))
    for text in texts:
        for value, forms in text.values.get(kind, {}).items():
            if (kind, value) not in asked:
                yield from ((kind, form) for form in forms)


def _offers_a_choice(kind: str, texts: Sequence[_OwnText]) -> bool:
    return any((_ASKS_OR_CHOOSES if kind in text.values else _CHOOSES).search(text.plain) for text in texts)
