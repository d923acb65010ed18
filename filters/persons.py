"""Who stands beside a value, read without the name model: it is off in many profiles, and a guess must err one way.

A wrong guess may only keep a value from counting, so the rules are strict and cheap. A name is

- a run of capitalised words ("Ada Lovelace", "ADA", "J. van Dyke"), without titles, labels and common first words of a
  sentence, which also end a run; a single letter is none, and what is in no script that is read here (kana, Hangul,
  Arabic …) is a name nobody can compare;
- a Chinese surname with one or two characters, or with a title (王先生), between edges: a sign, an end, or a word that
  stands before names (请, 联系 …) or behind them (的, 电话 …); foreign names by their middle dot (艾达·洛夫).

A name is compared as the set of its parts, so that a given name or a surname is a part of the full name. Values don't
count as names: what was found in the text is blanked first.

A value's place is the smallest of these that holds a name: its part of a line (up to a full stop or a semicolon), its
line or table row, its block of lines. Inside a JSON object it is that object and nothing larger. There, in this order:

1. The one name behind a name's label ("name": "Ada", 姓名：…), or in the name's column of a table with a heading. The
   place's other names are its companions (a city, a department, a colleague).
2. The only name of the place, for all values of it.
3. Names and values in strict turns, beginning with a name: each value is its predecessor's.
4. Otherwise nobody's. One value among several names has companions and no person.

Each character is searched a fixed number of times; each place is read once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import regex

from filters.normalise import normalise
from filters.pii.types import NAMES
from filters.spans import Span, merge

# The parts of a name, case-folded: {"ada", "lovelace"}, {"王", "小明"}.
Person: TypeAlias = frozenset[str]


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A person's name in characters `start` to `end` (exclusive) of a text."""

    start: int
    end: int
    person: Person = field(compare=False)


@dataclass(frozen=True, slots=True)
class Company:
    """The names of a value's place. `person` is whose it is, None where that can't be said."""

    names: tuple[Name, ...]
    person: Person | None

    @property
    def people(self) -> frozenset[Person]:
        return frozenset(name.person for name in self.names)


# ---- names -----------------------------------------------------------------------------------------------------------

_TITLES = frozenset({"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "madam", "dame"})
# Labels, words that begin sentences, and what a list of candidates is labelled with. One that is missing here makes a
# name too many, which only keeps values from counting.
_NO_NAME = regex.compile(
    r"a|about|above|account|action|add|address|after|again|age|all|also|am|amount|an|and|another|answer|any|"
    r"anybody|april|are|arrange|as|ask|at|attach|attached|august|be|before|below|best|birth|birthday|both|but|by|"
    r"call|called|can|candidate|card|cell|cellphone|ceo|change|city|clean|client|client's|code|column|company|"
    r"complete|confirm|contact|contacts|convert|copy|correct|could|country|create|csv|customer|customers|data|"
    r"date|day|dear|december|department|detail|details|dial|directory|do|does|done|draft|e-mail|each|email|"
    r"employee|entry|every|everybody|everyone|ext|extract|fax|february|field|fields|fill|final|find|first|"
    r"following|for|format|former|forms|forward|four|friday|from|full|get|give|given|good|got|great|group|guess|"
    r"he|he's|hello|her|here|here's|hers|hi|his|home|hotline|how|hr|html|i|i'll|i'm|iban|id|if|in|include|info|"
    r"input|insert|is|isn't|it|it's|item|its|january|join|json|july|june|just|keep|know|landline|last|let|line|"
    r"list|look|ltd|mail|make|march|match|matching|may|me|member|merge|mine|mobile|mobiles|monday|more|most|mr|ms|"
    r"my|name|names|need|new|next|no|nobody|none|not|note|noted|november|number|number's|numbers|numbers'|october|"
    r"of|office|ok|old|on|one|only|option|or|order|other|others|our|output|own|passport|paste|patient|pdf|people|"
    r"person|persons|phone|phone's|phones|please|position|postcode|previous|price|print|put|qq|question|reach|"
    r"real|record|records|regards|remember|repeat|reply|respond|result|return|rewrite|right|ring|role|row|"
    r"saturday|save|say|second|see|send|sentence|september|set|sex|she|she's|show|so|some|somebody|sort|split|"
    r"staff|state|status|step|store|street|sum|summarise|summarize|summary|sunday|sure|surname|table|take|team|"
    r"team's|tel|telephone|tell|text|thank|thanks|that|that's|the|their|them|then|there|there's|these|they|"
    r"they're|third|this|those|three|thursday|tick|tidy|title|to|today|total|translate|translation|true|tuesday|"
    r"turn|two|type|under|use|user|value|values|version|vip|want|was|we|wechat|wednesday|welcome|were|what|when|"
    r"where|which|who|whose|will|with|work|would|write|xml|yes|you|you're|your|zip"
)
_PARTICLES = "de|van|von|der|den|da|di|del|la|le|bin|al|el|ter"
_WORD = r"\p{Lu}[\p{L}\p{M}'’]*(?:-[\p{L}\p{M}'’]+)*"
_WORD_RUN = rf"(?<!\p{{Latin}}){_WORD}(?:\.? {{1,2}}(?:(?:{_PARTICLES}) )*{_WORD})*"
_ONE_WORD = regex.compile(_WORD)
_POSSESSIVE = regex.compile(r"['’](?:s|S)?$")
_UNREAD_SCRIPT = r"[^\P{L}\p{Latin}\p{Han}\p{Greek}\p{Cyrillic}]+"

_COMPOUND = "欧阳|歐陽|司马|司馬|上官|诸葛|諸葛|东方|東方|皇甫|尉迟|公孙|慕容|令狐|宇文|司徒|夏侯"
_SURNAME = (
    rf"(?:{_COMPOUND}|[王李张張刘劉陈陳杨楊赵趙黄黃周吴吳徐孙孫胡朱高林何郭马馬罗羅梁宋郑鄭谢謝韩韓唐冯馮于董萧蕭程曹袁邓鄧许許"
    r"傅沈曾彭吕呂苏蘇卢盧蒋蔣蔡贾賈丁魏薛叶葉阎閻余潘杜戴夏钟鍾汪田任姜范方石姚谭譚廖邹鄒熊金陆陸郝孔白崔康毛邱秦江史顾顧侯邵孟龙龍"
    r"万萬段雷钱錢汤湯尹黎易常武乔喬贺賀赖賴龚龔文庞龐樊兰蘭殷施陶洪翟安颜顏倪严嚴牛温溫芦季俞章鲁魯葛伍韦韋申尤毕畢聂聶丛焦向柳邢路"
    r"岳齐齊梅莫庄莊辛管祝左涂谷祁舒耿牟卜詹关關苗凌费費纪紀靳盛童欧歐甄项項曲成游阳陽裴席卫衛查屈鲍鮑位覃霍翁隋植甘景薄单單包司柏"
    r"宁寧柯阮桂闵閔解强強柴华華车車冉房边邊])"
)
_CJK_TITLE = "先生|女士|小姐|太太|老师|医生|师傅|经理|同学"
_BEFORE_NAME = (
    "姓名|名字|客户|联系人|收件人|同事|员工|用户|患者|病人|顾客|会员|学生|老师|朋友|联系|致电|拨打|通知|告诉|关于|"
    "是|叫|找|给|请|和|与|跟|及|为|由|让|把|问|将|对|，"
)
_BEHIND_NAME = (
    rf"{_CJK_TITLE}|电话|手机|邮箱|邮件|号码|地址|身份证|微信|银行卡|卡号|车牌|护照|联系|本人|"
    "的|是|在|和|与|跟|及|住|说|有|叫|用|打|为"
)
_GIVEN = (
    rf"(?:(?!{_BEHIND_NAME})(?![了吗呢吧我你您他她它们这那哪谁给把被请找问不要什么怎以]"
    r"|[式法便级子路点号位件码信息单物])\p{Han}){1,2}?"
)
_HAN_RUN = (
    rf"\p{{Han}}{{1,6}}(?:[·•]\p{{Han}}{{1,6}})+"
    rf"|(?:(?<!\p{{Han}})|(?<={_BEFORE_NAME}))(?<surname>{_SURNAME})"
    rf"(?:(?<given>{_GIVEN})(?:(?!\p{{Han}})|(?={_BEHIND_NAME}))|(?:{_CJK_TITLE}))"
)
_NAMES = regex.compile(rf"(?<run>{_WORD_RUN})|(?<han>{_HAN_RUN})|(?<unread>{_UNREAD_SCRIPT})")
_SPLIT_HAN = regex.compile(rf"({_SURNAME})?(.*?)(?:{_CJK_TITLE})?", regex.DOTALL)
_HAN = regex.compile(r"\p{Han}{2,}")
_LONGEST_HAN = 4  # characters of a surname of two and a given name of two
_NOBODY: Mapping[str, Person] = MappingProxyType({})


def names_in(text: str, known: Mapping[str, Person] = _NOBODY) -> list[Name]:
    """The names of a text in order, none overlapping. What is in `known` (Chinese, by spelling) needs no edges."""
    found = [name for match in _NAMES.finditer(text) for name in _names_of(match)]
    if known:
        taken = {at for name in found for at in range(name.start, name.end)}
        found += _known_in(text, known, taken)
    return sorted(found)


def spellings_of(person: Person) -> Iterator[tuple[str, Person]]:
    """How a Chinese name may be written, and who that is: whole, or a given name of two characters alone."""
    parts = [part for part in person if regex.fullmatch(r"\p{Han}+", part)]
    if len(parts) == 2:
        yield from (("".join(order), person) for order in (parts, parts[::-1]))
    yield from ((part, frozenset([part])) for part in parts if len(part) > 1 and not regex.fullmatch(_COMPOUND, part))


def parts_of(raw_name: str) -> Person:
    """The parts of what is known to be one name, without titles; spaces and case don't matter."""
    plain = normalise(raw_name).text.strip()
    if regex.fullmatch(r"[\p{Han} ]+", plain):
        surname, given = _SPLIT_HAN.fullmatch("".join(plain.split())).groups()
        return frozenset(filter(None, (surname, given)))
    words = (_POSSESSIVE.sub("", word).casefold() for word in regex.findall(r"[\p{L}\p{M}'’·-]+", plain))
    return frozenset(word for word in words if word and word not in _TITLES)


def _known_in(text: str, known: Mapping[str, Person], taken: set[int]) -> Iterator[Name]:
    for length in range(_LONGEST_HAN, 1, -1):
        for run in _HAN.finditer(text):
            for at in range(run.start(), run.end() - length + 1):
                person = known.get(text[at : at + length])
                if person is not None and taken.isdisjoint(range(at, at + length)):
                    taken.update(range(at, at + length))
                    yield Name(at, at + length, person)


def own_parts(person: Person) -> Iterator[str]:
    """What of a name is a person's own: the whole, and parts of it but for single characters, which many share. What
    张三甲 and 张三乙 have in common is a part too."""
    yield "".join(sorted(person))
    for part in person:
        if len(part) > 1:
            yield part
            yield from (other + part[0] for other in person if regex.fullmatch(_SURNAME, other))


def _names_of(match: regex.Match[str]) -> Iterator[Name]:
    if match["run"]:
        yield from _in_run(match)
    elif match["surname"]:
        yield Name(match.start(), match.end(), frozenset(filter(None, (match["surname"], match["given"]))))
    else:
        yield Name(match.start(), match.end(), frozenset([match.group().casefold()]))


def _in_run(match: regex.Match[str]) -> Iterator[Name]:
    """The run without the words that are no names; what such a word divides is two names."""
    open_words: list[tuple[int, int, str]] = []
    for word in _ONE_WORD.finditer(match.string, *match.span()):
        part = _POSSESSIVE.sub("", word.group()).casefold()
        if _NO_NAME.fullmatch(part):
            yield from _joined(open_words)
            open_words = []
        elif part not in _TITLES:
            open_words.append((*word.span(), part))
            if _POSSESSIVE.search(word.group()):  # "Ada's Lovelace" is no one name
                yield from _joined(open_words)
                open_words = []
    yield from _joined(open_words)


def _joined(words: Sequence[tuple[int, int, str]]) -> Iterator[Name]:
    parts = frozenset(part for _, _, part in words if len(part) > 1)
    if parts:
        yield Name(words[0][0], words[-1][1], parts)


# ---- places ----------------------------------------------------------------------------------------------------------

# Found over whole lines and objects: they hold names and values, and are none.
LARGE = frozenset({"INTERNAL_RECORD", "ADMIN_NOTE", "STACK_TRACE"})
_OBJECT = regex.compile(r"\{[^{}]*\}")
_PART_END = regex.compile(r"(?<!\b\p{Lu})(?<!\b(?:Mr|Ms|Mrs|Dr|Prof))[.!?]++(?=\s|$)|[;；。！？\n]")
_LINE_END = regex.compile(r"\n")
_BLOCK_END = regex.compile(r"\n[ \t]*(?=\n)")
_NAME_LABEL = (
    r"(?:full |first |last )?name|customer(?: name)?|client|contact|patient|employee"
    "|姓名|名字|客户|联系人|收件人|员工|患者"
)
_LABELLED = regex.compile(rf"(?<![\p{{Latin}}_])(?:{_NAME_LABEL})[\"']?\s*[:：=]\s*[\"']?$", regex.IGNORECASE)
_LONGEST_LABEL = 32
_CELL_ENDS = ("|", "\t", ",", "，", ";")
_HEADING = regex.compile(rf"\s*(?:{_NAME_LABEL})\s*", regex.IGNORECASE)


class Places:
    """One text with what was found in it."""

    def __init__(self, raw_text: str, found: Iterable[Span], known: Mapping[str, Person] = _NOBODY) -> None:
        """`known`: as in `names_in`."""
        values = [span for span in found if span.type not in NAMES | LARGE]
        self._text = _blanked(raw_text, values)
        # Hidden characters may divide a name or join two: then nobody stands beside anything.
        self.names = names_in(self._text, known) if len(normalise(raw_text).text) == len(raw_text) else []
        self._values = values
        self._starts = [name.start for name in self.names]
        self._objects: list[tuple[int, int]] = [match.span() for match in _OBJECT.finditer(self._text)]
        self._ends: list[list[int]] = [
            [match.end() for match in end.finditer(self._text)] for end in (_PART_END, _LINE_END, _BLOCK_END)
        ]

    def company(self, kind: str) -> dict[Span, Company]:
        """The names beside each value of this type; a value with none about it is left out."""
        company: dict[Span, Company] = {}
        left = [span for span in self._values if span.type == kind]
        for level in range(len(self._ends)):
            places: dict[tuple[int, int], list[Span]] = {}
            for span in left:
                places.setdefault(self._place(span, level), []).append(span)
            left = []
            for place, spans in places.items():
                if names := self._names_of(place):
                    company.update(self._shared(place, names, spans))
                else:
                    left += spans
        return company

    def _place(self, span: Span, level: int) -> tuple[int, int]:
        at = bisect_right(self._objects, (span.start, len(self._text))) - 1
        if at >= 0 and span.start < self._objects[at][1]:
            return self._objects[at]
        ends = self._ends[level]
        at = bisect_right(ends, span.start)
        return (ends[at - 1] if at else 0, ends[at] if at < len(ends) else len(self._text))

    def _names_of(self, place: tuple[int, int]) -> list[Name]:
        return self.names[bisect_left(self._starts, place[0]) : bisect_left(self._starts, place[1])]

    def _shared(self, place: tuple[int, int], names: list[Name], spans: list[Span]) -> dict[Span, Company]:
        """Who of the names of a place stands beside which of its values."""
        people = {name.person for name in names}
        owners = {name.person for name in names if self._is_labelled(name)} or self._under_heading(place, names)
        if len(owners or people) == 1:
            return dict.fromkeys(spans, Company(tuple(names), next(iter(owners or people))))
        values = merge(spans)
        turns: list[Name | Span] = sorted([*names, *values], key=lambda item: item.start)
        if len(names) == len(values) and all(isinstance(item, Name) == (i % 2 == 0) for i, item in enumerate(turns)):
            starts = [name.start for name in names]
            before = [names[bisect_left(starts, span.start) - 1] for span in spans]
            return {span: Company((name,), name.person) for span, name in zip(spans, before, strict=True)}
        return dict.fromkeys(spans, Company(tuple(names) if len(values) == 1 else (), None))

    def _is_labelled(self, name: Name) -> bool:
        return _LABELLED.search(self._text[max(0, name.start - _LONGEST_LABEL) : name.start]) is not None

    def _under_heading(self, place: tuple[int, int], names: list[Name]) -> set[Person]:
        """Whoever stands in the cell whose column a table's first line calls a name."""
        block = bisect_right(self._ends[2], place[0])
        first = self._ends[2][block - 1] if block else 0
        heading = self._text[first : first + 200].lstrip("\n").partition("\n")[0]
        row = self._text[place[0] : place[1]]
        for end in _CELL_ENDS:
            columns, cells = heading.split(end), row.split(end)
            at = next((i for i, column in enumerate(columns) if _HEADING.fullmatch(column)), None)
            if at is not None and len(columns) == len(cells) > 1:
                start = place[0] + sum(len(cell) + 1 for cell in cells[:at])
                return {name.person for name in names if start <= name.start < start + len(cells[at])}
        return set()


def _blanked(text: str, spans: Iterable[Span]) -> str:
    parts, at = [], 0
    for span in sorted(spans):
        if span.end > at:
            start = max(at, span.start)
            parts += [text[at:start], "\0" * (span.end - start)]
            at = span.end
    return "".join([*parts, text[at:]])
