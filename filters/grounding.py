"""What the caller gave himself, so that it may come back to him.

Grounding must be no oracle: whoever pastes candidates and asks which of them is right must learn nothing. So a value
counts only as a whole, as a value of its type, and only where it was told, not asked about:

- The value was found by the detector in what the end user wrote, under the same finding type. A part of it, or a longer
  value that merely contains it, is another value; but what a detector sees inside a value that counts comes with it.
- Spelling may vary (width, case, spacing, grouping). The released form may be shorter only by a country prefix that the
  request had (+86, +1) and never longer: what goes out holds no digit that did not come in. What is encoded or spelled
  out comes back as it was spelled, and no other way.
- Of a person's name a part comes back alone too: a given name, a surname, "Ms Lovelace", 小明 or 王先生 of 王小明.
- What a special category says of a person (his health, his faith …) counts of that person only
  (specificity/told_categories.py).
- With two or three different values of a type in the request, none counts if a text that holds one of them also holds a
  question or a choice (?, which, whose, or, 哪, 还是, 是不是, 选 …), or any other text of the request asks to choose
  (which, whose, 哪, 还是, 是不是 …), in a few other languages too, or its text has one of them taken out, marked or
  moved ("delete the wrong one", "highlight Ada's", 留下正确的), or is in a script that is neither Latin nor Chinese: it
  could ask anything.
- With more than MOST_VALUES a value counts only beside the person beside whom it stood wherever the request has it
  (persons.py), and not at all if the request asks or chooses as above, or has them checked, corrected or sifted ("keep
  the right ones"). That person must be told from all others of the request, and have no more than MOST_VALUES values of
  the type, together with those who share a name with him ("Ada Red", "Ada Blue" …). In the answer the value must have
  that person beside it, and nobody who was not in the same place of the request. A person's name counts there with the
  value that it stands beside, never alone.
- A single one does not count where its clause asks about it ("is it …?", "…, right?", 是不是, …对吗, any question that
  asks for nothing to be done) or only supposes it ("could be", 可能), or where any text asks for confirmation ("correct
  me if I'm wrong", "if so, say yes"). It counts where it
  stands in a clause of its own beside a question ("My number is 138…, where is my parcel?") or in a request to do
  something with it ("can you send it to …?"). Told once and asked about once is asked about.

Whether the request *asks* (`Grounds.asks`) is read off the same words, of exact values that no type has as well. So
does one that tells whose a value is and then asks for what is that person's ("Ada's number is 138…. What is Ada's
number?").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import regex

from filters.evidence import Detector, DetectorError
from filters.normalise import normalise
from filters.persons import LARGE, Company, Name, Person, Places, names_in, own_parts, parts_of, spellings_of
from filters.pii.canonical import canonical
from filters.pii.types import INDIRECT, NAMES
from filters.spans import Span, merge
from filters.specificity.special_terms import KINDS
from filters.specificity.told_categories import ToldCategories, Whom, whom_of
from filters.specificity.triggers import CODE, exact_values

# More than a person has of one kind and fewer than a list worth trying.
MOST_VALUES = 3
# Detectors read some 5 to 50 microseconds a character here; more than this would hold a core for seconds.
MOST_CHARACTERS = 32_768
_PIECE = 4096

_PERSON = "PERSON"
_SPOKEN_OF = NAMES | {CODE}  # what questions are about: "Where does Ada work?", "Where is order GD-85205?"
_CATEGORIES = frozenset(KINDS)
_NOTHING_TOLD = ToldCategories()


@dataclass(frozen=True, slots=True)
class RequestGrounds:
    """Fulfils `filters.evidence.Grounds` for one request."""

    alone: frozenset[tuple[str, str]] = frozenset()  # type and form of what counts wherever it stands
    names: frozenset[Person] = frozenset()  # persons that do
    pairs: Pairs | None = None  # what counts beside its person only
    asks: bool = False  # as `filters.evidence.Grounds`; a request that can't be read may ask anything
    categories: ToldCategories = _NOTHING_TOLD

    @property
    def reads_context(self) -> bool:
        """As `filters.evidence.Grounds`."""
        return self.pairs is not None

    @classmethod
    def from_texts(cls, own_texts: Sequence[str], detector: Detector) -> RequestGrounds:
        """Read what the end user wrote (his messages and tool results, in order).

        Of a long request only the end counts; and where a detector fails, nothing does.
        """
        try:
            texts = [_read(text, detector) for text in _latest(own_texts)]
            told, asks = _categories(texts)
        except DetectorError:
            return cls(asks=True)
        kinds = {kind for text in texts for kind in text.values} - _CATEGORIES
        if any(_CONFIRMS.search(text.plain) for text in texts):
            return cls(asks=bool(kinds - INDIRECT) or asks)
        alone = frozenset(form for kind in kinds for form in _accepted(kind, texts))
        names = frozenset(parts_of(form) for kind, form in alone if kind == _PERSON)
        asks = asks or any(_is_put_up(kind, texts) for kind in kinds - INDIRECT) or any(map(_guesses, texts))
        return cls(alone, names, _pairs(kinds, texts), asks, told)

    def covered(self, seen: str, found: Collection[Span], beside: str = "") -> frozenset[Span]:
        """Those of the values `found` in `seen` that stood in the request in a way that counts.

        `beside` is what else stands with `seen` in one object of a document.
        """
        own = {span for span in found if self._counts_alone(span, seen)}
        if self.pairs:
            own |= self.pairs.covered(seen, found, beside)
        wholes = [span for span in own if span.type not in LARGE]
        return frozenset(own.union(span for span in found if span.within(wholes)))

    def _counts_alone(self, span: Span, seen: str) -> bool:
        if span.type in _CATEGORIES:
            return self.categories.covers(seen, span)
        raw_value = seen[span.start : span.end]
        if (span.type, canonical(span.type, raw_value)) in self.alone:
            return True
        parts = parts_of(raw_value) if span.type == _PERSON else frozenset()
        return bool(parts) and any(parts <= name for name in self.names)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Values of which the request has many, by type and form, with the persons beside whom they stood."""

    told: Mapping[tuple[str, str], Company]
    with_names: bool  # whether the name counts that a value stands beside
    people: Mapping[str, Collection[Person]]  # everybody in the request, by each part of the name
    known: Mapping[str, Person]  # and how Chinese names may be written

    def covered(self, seen: str, found: Collection[Span], beside: str) -> set[Span]:
        """As `RequestGrounds.covered`."""
        places = Places(seen, found, self.known)
        around = Company(tuple(names_in(beside, self.known)), None)
        own: set[Span] = set()
        for kind in {span.type for span in found} & {kind for kind, _ in self.told}:
            company = places.company(kind)
            for span in (span for span in found if span.type == kind):
                names = company.get(span, around)
                told = self.told.get((kind, canonical(kind, seen[span.start : span.end])))
                if told and self._are_told(names, told):
                    own.add(span)
                    own |= _named(found, names.names) if self.with_names and names is not around else set()
        return own

    def _are_told(self, names: Company, told: Company) -> bool:
        """Whether the person is among these names, told from all others, and nobody who was not there."""
        assert told.person is not None
        his = [person for person in names.people if person <= told.person]
        if not his or not all(any(person <= one for one in told.people) for person in names.people):
            return False
        return all(self._is_nobody_elses(person, told.person) for person in his)

    def _is_nobody_elses(self, name: Person, person: Person) -> bool:
        return all(other <= person or not name <= other for part in name for other in self.people.get(part, ()))


def _holds(whole: Span | Name, part: Span) -> bool:
    return whole.start <= part.start and part.end <= whole.end


def _named(found: Collection[Span], names: Sequence[Name]) -> set[Span]:
    return {span for span in found if span.type == _PERSON and any(_holds(name, span) for name in names)}


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
    raw_text: str
    plain: str
    values: dict[str, dict[str, set[str]]]  # by type and value: the forms in which it may come back
    spans: dict[Span, str]  # where each value stands
    asked: set[tuple[str, str]]  # those that a clause asks about


def _read(own_text: str, detector: Detector) -> _OwnText:
    found = {span.shifted(start) for start, piece in _pieces(own_text) for span in detector.find(piece)}
    # Both the single readings and their union: the answer is compared by spans that were merged.
    found.update(merge(found))
    found.update(code for code in exact_values(own_text) if not any(code.overlaps(span) for span in found))
    text = _OwnText(own_text, normalise(own_text).text.lower(), {}, {}, set())
    for span in found:
        forms = _forms(span.type, own_text[span.start : span.end])
        value = text.spans[span] = min(forms, key=len)
        text.values.setdefault(span.type, {}).setdefault(value, set()).update(forms)
        if _is_asked_about(own_text, span):
            text.asked.add((span.type, value))
    return text


def _pieces(own_text: str) -> Iterator[tuple[int, str]]:
    """The text by lines, some _PIECE characters at a time: a thousand candidates must not put a pattern out of time."""
    start = end = 0
    for line in own_text.splitlines(keepends=True):
        if end > start and end - start + len(line) > _PIECE:
            yield start, own_text[start:end]
            start = end
        end += len(line)
    yield start, own_text[start:]


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


# What is only supposed is put up for confirmation too.
_SUPPOSES = (
    r"\b(?:maybe|perhaps|possibly|probably|presumably|supposedly|apparently|suppose|assume|suspect"
    r"|i (?:think|believe|bet)|(?:could|might|may|must|should) be|not sure|only one|the one|hers|belongs?)\b"
    r"|可能|也许|大概|或许|估计|好像|似乎|应该是|应该就是|猜|吧(?=[\s。！？?!，,；;]|$)|如果|假如|要是|若是"
)
# Other languages by the words that ask for one of several; a script that is not read here could ask anything.
_FOREIGN = (
    r"\bcu[aá]l(?:es)?\b|\bqui[eé]n(?:es)?\b|\belig[ei]\w*|\bwelche[rsmn]?\b|\bwessen\b|\bgeh(?:ö|oe)rt\b|\brichtige[nrs]?\b"
    r"|\boder\b|\b(?:le|la)?quel(?:le)?s?\b|\b(?:à|a) qui\b|\bou\b|\bquale\b|\bdi chi\b|\bqual\b|\bquem\b|\bhvilken\b"
    r"|\best-ce\b|\bist (?:ihre?|seine?|das|es|die|der)\b|\bstimmt\b|\bverdad\b|\bcierto\b|\bvero\b|\bgiusto\b"
    r"|\bvilken\b|\bkt[oó]r[aey]\b|\bczyj\b|\bhangisi\b|\bkimin\b|\byang mana\b|¿"
)
_UNREAD = r"[^\P{L}\p{Latin}\p{Han}\p{Common}]"
# A question's clause begins after the last stop and ends with the next; both sides are looked at within this reach.
_REACH = 200
_STOP = regex.compile(r"[,;.!?\n，；。！？](?=\s|[^\x00-\x7f]|$)|\n")
_ASKS = regex.compile(
    r"\b(?:is|are|was|were|isn'?t|does|do|did|doesn'?t)\b[^,.;!?]*\?"
    r"|\b(?:which|whose|whether|who|confirm|verify|validate|check|correct|right|true|false|match(?:es)?|belongs?|same"
    r"|real|guess|exists?|know|known|listed|registered)\b"
    r"|\byes or no\b|\btell me if\b|\bif (?:it|this|that|her|his|the)\b"
    r"|是不是|是否|是吗|对吗|对不对|对吧|吗|哪|谁|确认|核实|核对|验证|属于|正确|还是|有没有|存在|查一下|查询|查查"
    rf"|{_SUPPOSES}|{_FOREIGN}"
)
# Who is named, and which order, may be what a question is about: only whether it is he, or that, must not be asked.
_ASKS_FOR_A_NAME = regex.compile(
    r"^\W*(?:is|are|was|were|isn'?t|does|do|did)\b.*\?"
    r"|\b(?:which|whose|whether|confirm|verify|validate|check|correct|right|true|false|match(?:es)?|belongs?|guess)\b"
    r"|\bwho(?:'?s)?\b(?! (?:is |was )?\0)|\byes or no\b|\btell me if\b"
    r"|是不是|是否|吗|对不对|对吧|谁|哪个|哪位|确认|核实|核对|验证|属于|正确|还是"
    rf"|{_SUPPOSES}|{_FOREIGN}"
)
_TAG = regex.compile(
    r"[\s,，.。]*(?:right|correct|true|yes|yeah|no|(?:is|are|was|were|do|does|did|has|have|had|ca|wo|would)n'?t"
    r" (?:it|that|this|he|she|they|you|i)|is (?:it|that|this)|am i right"
    r"|does it|ok\?|"
    r"对吗|对吧|对不对|是吗|是吧|是不是|没错吧|没错|确定吗|真的吗|可以确认吗|吗|吧)\b?[^.!?。！？]{0,24}[?？]"
)
# A clause that ends in a question mark asks about its values, unless it asks for something to be done with them.
_DOES = regex.compile(
    r"^\W*(?:(?:and|so|then|please|hi|hello) )*(?:(?:can|could|would|will) (?:you|i|we|someone)\b"
    r"|(?:may|should|shall) (?:i|we)\b|how\b(?! about)|when\b|where\b|why\b)"
    r"|(?<!可)能|可以|可否|请|麻烦|帮|怎么|如何|为什么|什么时候|何时|多久|多少|几"
)
_DOES_TO_A_NAME = regex.compile(rf"{_DOES.pattern}|^\W*(?:what|who(?:'?s| is| was) \0)|什么|哪里|哪儿|怎样")


def _is_asked_about(own_text: str, span: Span) -> bool:
    before = own_text[max(0, span.start - _REACH) : span.start].lower()
    after = own_text[span.end : span.end + _REACH].lower()
    stops = [match.end() for match in _STOP.finditer(before)]
    stop = _STOP.search(after)
    clause = f"{before[stops[-1] if stops else 0 :]}\0{after[: stop.end()] if stop else after}"
    asks, does = (_ASKS_FOR_A_NAME, _DOES_TO_A_NAME) if span.type in _SPOKEN_OF else (_ASKS, _DOES)
    if asks.search(clause) or _TAG.match(after[stop.start() if stop else 0 :]):
        return True
    return clause.rstrip().endswith(("?", "？")) and not does.search(clause)


# ---- what counts -----------------------------------------------------------------------------------------------------

# Anywhere in the request: all that it holds is put up for confirmation.
_CONFIRMS = regex.compile(
    r"\bcorrect me\b|\bam i (?:right|wrong|correct|close)\b|\b(?:right|true|correct) or (?:wrong|false|not|incorrect)\b"
    r"|\byes or no\b|\bor am i\b|\bdid i (?:get|guess)\b"
    r"|\b(?:is|was|isn'?t|wasn'?t|are|aren'?t) (?:that|this|it|these|they) (?:\w+ ){0,2}?"
    r"(?:right|correct|true|hers|his|theirs|accurate|valid|wrong|\w+'s)\b"
    r"|\bdoes (?:that|this|it) (?:match|belong|look right|sound right)\b|\bconfirm (?:it|this|that|or deny|my guess)\b"
    r"|\bif (?:so|not|true|false|yes|no|right|wrong|correct)\b"
    r"|\bif (?:\w+ ){1,3}(?:has|have|owns?|uses?) (?:it|this|that)\b"
    r"|\botherwise\b|\belse\b(?!where)|\btrue ?/ ?false\b|\byes ?/ ?no\b"
    r"|对吗|对不对|是不是|正确吗|准确吗|没错吧|是她的吗|是他的吗|对还是错|猜对|猜得对|我说得对|如有错误|如果.{0,3}错"
    r"|否则|不然|不是就|的话就|如果(?:是|不是|对|没错)"
    r"|\bonly (?:if|when|in case)\b|\bin (?:the )?case (?:that )?(?:it|this|that|he|she)\b|\bwhen true\b"
    r"|\b(?:score|rate|grade|judge) (?:this|that|the|my) (?:statement|claim|guess|sentence)\b|打分|评分"
    r"|[\s.!,。！，](?:true|false|verify|(?:has|is|does|did) (?:s?he|it|this|that) not|真|假|属实|核实|验证|核对)\W*$"
)
_CHOOSES = regex.compile(
    r"\b(?:which|whose|who|pick|choose|select|guess|candidates?|options?|choices?|multiple choice|sort|rank"
    r"|order (?:by|these|them)|match|one of (?:these|them|those)|true or false|likel(?:y|iest)|complete|fill in"
    rf"|finish)\b|哪|还是|是不是|谁|选|猜|候选|排序|排列|匹配|对应|之一|其中|补全|填空|填写|完成|最可能"
    rf"|\A\W*(?:\w+\W+){{0,2}}\w+\s*[?？]\W*\Z|{_SUPPOSES}|{_FOREIGN}|{_UNREAD}"
)
# Two or three may be put up to have one of them taken out or brought to the front without a word that asks: by what is
# right, by a mark, by whose it is.
_OF_A_KIND = r"(?:one|number|phone|e-?mail|mail|card|address|account|id|value|entry|row|line|item)s?"
_TAKES_OUT = (
    rf"\b(?:right|correct|real|true|actual|genuine|wrong|false|fake|incorrect|invalid) {_OF_A_KIND}\b"
    r"|\bthat (?:are|is) (?:not )?(?:right|correct|real|true|hers|his|wrong|false|fake)\b"
    r"|\b(?:highlight|bold|underline|circle|tick|star|cross out|strike|keep|delete) (?:only |just )?"
    r"(?:hers|his|\w+'s)\b"
    r"|\b(?:put|list|move)\b.{1,40}\b(?:first|last|top)\b"
    rf"|\b(?:her|his|(?<!\b(?:it|that|what|here|there|let|one))\w+'s) (?:\w+ )?{_OF_A_KIND}\b"
    r"(?! ?(?:is|was|are|were|[:=(])|\W{0,3}[\d+]|\W{0,3}[\w.]+@)|\bhers\b"
    r"|留下|(?:正确|错误|真实|真|假|对|错)的|标出|标记|勾出|划掉|圈出|挑|第几个|放(?:在|到)?(?:最?前|第一|首)"
    r"|把(?!客户|用户|联系人|这|以下|大家|我|你|您|他们|她们|员工|同事|朋友|门店)\p{Han}{1,4}的(?:号码|电话|手机|邮箱|卡号|身份证|地址|账号)"
    r"\p{Han}{0,3}(?:写|说|报|念|列|放|找|给|发|留|输|重复|复述)"
)
_ASKS_OR_CHOOSES = regex.compile(rf"[?？]|\bor\b|\bis it\b|或|吗|{_TAKES_OUT}|{_CHOOSES.pattern}")
# What is told beside persons may still be told to be sifted.
_SIFTS = regex.compile(
    r"\b(?:keep|remove|drop|delete|strike|cross|mark|flag|tick|highlight|check|verify|validate|confirm|correct(?:ed|ions?)?"
    r"|wrong|incorrect|right|real|actual|true|false|valid|invalid|fake|genuine|mistakes?|mistaken|errors?|fix|update"
    r"|up to date|outdated|swap(?:ped)?|mixed up|only (?:the|those|these|list|keep)|except|know|known)\b"
    r"|保留|留下|只要|只列|删|去掉|去除|标记|标出|勾|划掉|核对|核实|验证|检查|确认|正确|错|真实|真的|假|有误|纠正|改正|更正|修正|更新"
    r"|已知|知道|对的|除了"
)


# Somebody whose value is told and asked for in one request: a guess, whatever it is put as.
_OWNER = regex.compile(
    r"(?<owner>(?:\p{Lu}[\w-]+ ){0,2}\p{Lu}[\w-]+)(?<mark>['’]s\b|(?<=s)['’](?!\w))"
    r"|(?<owner>(?!我|你|您|他|她|它|这|那)\p{Han}{2,4}?)(?<mark>的)"
)
_ASK = r"\b(?:what|which|tell me|give me|say|repeat|state|need|want)\b"
_WHAT = rf"{_ASK}[^.!?\n]{{0,40}}?"
_WHAT_ZH = r"[^。！？?!\n]{0,16}(?:什么|多少|几|哪|告诉|[?？])"


_ASKS_OF_SOMEBODY = regex.compile(rf"{_ASK}|的{_WHAT_ZH}", regex.I)


def _guesses(text: _OwnText) -> bool:
    """Whether the text says whose a value is and asks for what is that person's."""
    if not text.spans or _ASKS_OF_SOMEBODY.search(text.raw_text) is None:
        return False
    owners = {match["owner"]: match["mark"] for match in _OWNER.finditer(text.raw_text)}
    return any(_is_told_and_asked(text.raw_text, owner, mark) for owner, mark in owners.items())


def _is_told_and_asked(raw_text: str, owner: str, mark: str) -> bool:
    name = regex.escape(owner)
    asked = rf"{name}的{_WHAT_ZH}" if mark == "的" else rf"{_WHAT}{name}['’]s?(?!\w)"
    return raw_text.count(owner) > 1 and bool(regex.search(asked, raw_text, regex.I))


def _is_put_up(kind: str, texts: Sequence[_OwnText]) -> bool:
    """Whether values of this type are there to be confirmed, denied or picked from."""
    asked = any(own == kind for text in texts for own, _ in text.asked)
    return asked or (_count(kind, texts) > 1 and _offers_a_choice(kind, texts))


def _accepted(kind: str, texts: Sequence[_OwnText]) -> Iterator[tuple[str, str]]:
    """The forms of a type that count wherever they stand."""
    count = _count(kind, texts)
    if count > MOST_VALUES or (count > 1 and _offers_a_choice(kind, texts)):
        return
    asked = set().union(*(text.asked for text in texts))
    for text in texts:
        for value, forms in text.values.get(kind, {}).items():
            if (kind, value) not in asked:
                yield from ((kind, form) for form in forms)


def _count(kind: str, texts: Sequence[_OwnText]) -> int:
    """How many different values of a type there are. A person's full name and a part of it are one."""
    values = set().union(*(text.values.get(kind, {}) for text in texts))
    if kind != _PERSON or len(values) > _MANY_NAMES:
        return len(values)
    people = {parts_of(value) for value in values}
    return sum(not any(person < other for other in people) for person in people)


def _categories(texts: Sequence[_OwnText]) -> tuple[ToldCategories, bool]:
    """What the caller told of persons' special categories, and whether he puts something of the kind up to be
    confirmed or picked from that is neither his own nor a relative's. Raises DetectorError."""
    told: defaultdict[tuple[str, str], list[Whom]] = defaultdict(list)
    asks = False
    for text in texts:
        for span, value in text.spans.items():
            if span.type in _CATEGORIES:
                of = whom_of(text.raw_text, span)
                told[span.type, value].append(of)
                asks = asks or (of.another and _is_put_up(span.type, texts))
    kinds = {kind for kind, _ in told}
    accepted = {form for kind in kinds for form in _accepted(kind, texts)}
    kept = {form: of for form, of in told.items() if form in accepted}
    return ToldCategories.read((text.raw_text for text in texts), kept), asks


_MANY_NAMES = 4 * MOST_VALUES  # each is compared with each


def _offers_a_choice(kind: str, texts: Sequence[_OwnText]) -> bool:
    return any((_ASKS_OR_CHOOSES if kind in text.values else _CHOOSES).search(text.plain) for text in texts)


# ---- what counts beside a person -------------------------------------------------------------------------------------


def _pairs(kinds: Set[str], texts: Sequence[_OwnText]) -> Pairs | None:
    crowded = [kind for kind in kinds - NAMES if _count(kind, texts) > MOST_VALUES and _may_pair(kind, texts)]
    if not crowded:
        return None
    places = [Places(text.raw_text, text.spans) for text in texts]
    told = {form: company for kind in crowded for form, company in _told(kind, texts, places)}
    people: defaultdict[str, set[Person]] = defaultdict(set)
    for person in (name.person for place in places for name in place.names):
        for part in person:
            people[part].add(person)
    known = {spelling: person for group in people.values() for one in group for spelling, person in spellings_of(one)}
    return Pairs(told, _PERSON in kinds and _may_pair(_PERSON, texts), dict(people), known)


def _may_pair(kind: str, texts: Sequence[_OwnText]) -> bool:
    return not _offers_a_choice(kind, texts) and not any(_SIFTS.search(text.plain) for text in texts)


def _told(kind: str, texts: Sequence[_OwnText], places: Sequence[Places]) -> Iterator[tuple[tuple[str, str], Company]]:
    """The forms of a type with the one person beside whom each always stood, and who else was there."""
    companies: defaultdict[str, list[Company | None]] = defaultdict(list)
    for text, place in zip(texts, places, strict=True):
        found = place.company(kind)
        for span, value in text.spans.items():
            if span.type == kind and found.get(span) not in companies[value][-1:]:
                companies[value].append(found.get(span))
    asked = {value for text in texts for type_, value in text.asked if type_ == kind}
    owners = {value: owner for value in companies.keys() - asked if (owner := _only_owner(companies[value]))}
    crowds = _crowds(owners)
    for text in texts:
        for value, forms in text.values.get(kind, {}).items():
            if value in owners and crowds.isdisjoint(own_parts(owners[value])):
                names = tuple(name for company in companies[value] if company for name in company.names)
                yield from (((kind, form), Company(names, owners[value])) for form in forms)


def _crowds(owners: Mapping[str, Person]) -> set[str]:
    """Parts of names that have more values than a person has."""
    values: defaultdict[str, set[str]] = defaultdict(set)
    for value, owner in owners.items():
        for part in own_parts(owner):
            values[part].add(value)
    return {part for part, his in values.items() if len(his) > MOST_VALUES}


def _only_owner(companies: Sequence[Company | None]) -> Person | None:
    owners = {company.person if company else None for company in companies}
    return owners.pop() if len(owners) == 1 else None
