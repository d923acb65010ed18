"""What at the end of a text could still become a typed value, and where a text may be cut without splitting one.

Both are functions of the text alone and err on the side of "open". The rules of `open_tail`, whose answer is the
smallest offset that any of them gives (lengths are in plain characters, normalise.py):

1. Word run. The trailing run of letters and digits that are not Chinese, and of signs inside it: any word may be the
   beginning of an e-mail address, a token, a URL with a password. A closing sign at its end (, ; ! ? ) ] } > " ')
   closes it, unless the run holds "://" or "=", which passwords follow. "@" or " at " before the run opens it back to
   the word in front.
2. Digit groups. The trailing groups of digits with at most three separators between them (space, dash, dot, comma,
   slash, bracket, line break), back to forty groups, with "+" and "(" before them: "call 138 1234 ". Chinese numerals
   are digits; so are digits in words ("one three ei"). Words that stick to them ("x818") are rule 1.
3. Letter-digit groups. Two letters and two digits or more, then short groups (IBAN, credit codes); up to four capitals
   and then groups of digits (national insurance numbers).
4. Plates. A province's character with what a plate may go on with.
5. Western addresses. A number, then up to five words of a street's name and two of any kind ("221 Baker"); a street
   word in front of its number (German, French, Italian); a post office box.
6. Chinese addresses. A trailing run without punctuation that holds a province, or an administrative or road word
   (省市区县镇乡路街巷…): from the province, else from its start, at most 48 characters. A road's name before which
   nothing of this stands is not seen.
7. Blocks. "-----BEGIN" without its end line: from there on, however long.
8. Other forms. Characters apart from each other ("v e x l"); escapes, pairs of hexadecimal digits, lines of base64; an
   address with "at", "dot", 艾特, 点; Chinese addresses told backwards are rule 6.

Prose that ends in a closed sentence ("完成了。", "That is all!") gives the length of the text. A full stop after a word
does not close it: "mail vexlo." may go on "tru@…". Time is linear in the text for rules 1 and 7, bounded for the rest.

`boundary_ok` uses the same rules on the left side and asks whether the right side goes on with what is open.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

import regex

from filters.normalise import normalise
from filters.pii.addresses import PROVINCES, ROAD_WORDS
from filters.pii.chinese import PLATE_PROVINCES
from filters.pii.spelled import DIGIT_WORD, NUMERALS, TIMES_WORD
from filters.pii.view import CJK

# A run without a space may be as long as it likes (tokens, keys); every other rule looks no further back than this.
_REACH = 256

_WORD_CHAR = rf"(?:[^\W{CJK}]|[.%+\-@:/=&#~$*\\^|`'\"!?;,()\[\]{{}}<>])"
_OPEN_END = rf"(?:[^\W{CJK}]|[.%+\-@:/=&#~$*\\^|`])"
# (?r) reads backwards from the end of the text: linear whatever the run's length.
_RUN = regex.compile(rf"(?r){_WORD_CHAR}+")
_OPEN = regex.compile(rf"(?r){_OPEN_END}")
_AT = r"(?: ?@ ?| ?(?:\[at\]|\(at\)|\{at\}|<at>| at |艾特) ?)"
_SAID_DOT = r" ?(?:\[dot\]|\(dot\)| dot |点) ?"
_DOT = r"(?: \.|\.(?=\w)| ?(?:\[dot\]|\(dot\)| dot |点) ?)"
_MAIL_PART = rf"(?:[^\W{CJK}]|[.+%-]){{1,64}}"
_NEXT_SIGN = r"(?: (?:a|at|d|do|dot ?)| ?点 ?| ?艾| ?[\[({<](?:a|at|d|do|dot)?[\])}>]? ?)"
_SPELLED_MAIL = regex.compile(
    rf"(?ri){_MAIL_PART}(?:{_DOT}{_MAIL_PART}){{0,3}}{_AT}[\w-]{{0,64}}(?:{_DOT}[\w-]{{0,62}}){{0,4}}"
    rf"(?:{_NEXT_SIGN}| )?"
    rf"|{_MAIL_PART}(?:{_DOT}{_MAIL_PART}){{0,3}}{_NEXT_SIGN}|{_MAIL_PART}(?:{_SAID_DOT}{_MAIL_PART}){{1,3}} ?"
)

_SEPARATOR = r"[ \-.,·/()\t\n+*_]"
_DIGITS = regex.compile(rf"(?r)(?:(?:[+(]{{0,2}}\d+{_SEPARATOR}{{0,3}}){{1,40}}[Xx]?|[+(]{{1,2}})")
# What goes on with " at example" or " dot ".
_WORD_AND_SPACE = regex.compile(rf"(?r)(?:[^\W{CJK}]|[.+%-]){{0,64}}[^\W{CJK}] ")
_NUMERALS = regex.compile(rf"(?r)(?:[+(]{{0,2}}[{NUMERALS}\d](?:[ ,、.\n-]|\)[ -]?)?){{1,40}}[Xx]?")
# Every group but the first has a separator before it: one way to read a text, so no backtracking.
_LETTER_GROUPS = regex.compile(
    r"(?r)(?<![A-Za-z0-9])(?:[A-Za-z]{2}\d{2}[A-Za-z0-9]{0,30}(?:[ \-.]{1,2}[A-Za-z0-9]{1,8}){0,9}[ \-.]{0,2}"
    r"|[0-9A-Z]{2}[ \-]?\d{6}[A-Z0-9]{0,10}(?:[ \-.]{1,2}[A-Z0-9]{1,10}){0,3}[ \-.]{0,2})"
)
_PREFIXED = regex.compile(
    r"(?r)(?<![A-Za-z0-9])(?:[A-Z]{2} |[A-Z]{1,4}[ \-.·]{1,2}\d)(?:\d{1,8}[ \-.]{0,2}){0,6}[A-Za-z]{0,4}"
)
_TURNED_PLATE = regex.compile(rf"(?r)[A-Za-z0-9]{{4,7}}[·.]?[A-Za-z]?[{PLATE_PROVINCES}]?")
_PLATE = regex.compile(rf"(?r)[{PLATE_PROVINCES}使] ?[.·\-]?[A-Za-z][ ·.\-•]{{0,2}}(?:[A-Za-z0-9] ?){{0,7}}")

_NAME = r"(?:[A-Z][A-Za-z]{0,3}\.|[A-Z0-9][\w'’-]*|of|the|de|la|du|des|der|di|del|da)"
_ENGLISH = regex.compile(
    rf"(?r)(?<![^\W{CJK}])(?<!\.)\d{{1,6}}[A-Za-z]?(?:[-/]\d{{1,4}})?(?:[ ]+|,[ ]+(?=\w))"
    rf"(?:{_NAME}[ ]+){{0,5}}(?:[\w'’#-]+[ ]+){{0,2}}(?:{_NAME}|[\w'’#-]*)[ ]?"
)
_STREET_FIRST = regex.compile(
    r"(?r)(?i)\b(?:[\w.-]{1,30}(?:straße|strasse|str\.|weg|gasse|platz|allee|ufer|damm|ring)"
    r"|(?:calle|avenida|plaza|paseo|via|viale|corso|piazza|rua)[ ](?:[\w'’-]+[ ]){0,4}?[\w'’-]*)"
    r",?[ ]{0,2}(?:n[.º°]?[ ]?)?\d{0,4}[ ]?[a-z]?"
)
_STREET_SIGNS = (
    *("straße", "strasse", "str.", "weg", "gasse", "platz", "allee", "ufer", "damm", "ring"),
    *("calle ", "avenida ", "plaza ", "paseo ", "via ", "viale ", "corso ", "piazza ", "rua "),
)
_PO_BOX = regex.compile(r"(?r)(?i)\bp\.?[ ]?o\.?[ ]?(?:b|bo|box)?[ ]?\d{0,6}")

_TOLD = rf"(?:{DIGIT_WORD}|{TIMES_WORD}|[a-z]|[0-9]{{1,4}})"
_SPOKEN = "dash|hyphen|minus|space|dot|point|and|then|colon|slash|plus"
_TOLD_GAP = rf"(?:[ \t\n]{{1,3}}|[ \t]?[,.;:/\n-][ \t\n]{{0,2}}){{1,2}}(?:(?:{_SPOKEN})[ ,])?"
_TOLD_ROW = regex.compile(rf"(?ri)(?<![a-z0-9])(?:{_TOLD}{_TOLD_GAP}){{1,40}}[a-z]{{0,9}}")
# One word of a row is all that a cut behind it must know of.
_TOLD_LAST = regex.compile(rf"(?ri)(?<![a-z0-9]){_TOLD}{_TOLD_GAP}[a-z]{{0,9}}")
# A separator may be of any kind here; what stands before the first character is no Latin word.
_APART = regex.compile(
    rf"(?r)(?<![^\W{CJK}])(?:(?:\S(?:[ \t]{{0,2}}\n[ \t]{{0,2}}|[ \t]{{1,3}})){{1,64}}"
    rf"|(?:\S[-.,_·•|*/]){{2,64}}|(?:[{CJK}][-.·•|*/]){{1,64}})\S?"
)
_ESCAPES = regex.compile(
    r"(?ri)(?:(?:%|\\{1,4}x|0x|U\+|\\{1,4}u|&#x?|&)[0-9a-z{}]{1,24};?[ ,]{0,2}){1,64}"
    r"(?:[%&\\][#uUx0-9A-Fa-f]{0,9}|U\+?[0-9A-Fa-f]{0,5}|0x?[0-9A-Fa-f]?)?"
)
_HEX_PAIRS = regex.compile(
    r"(?r)(?<![0-9A-Za-z])(?:(?:[0-9A-Fa-f]{2,4}[ ,:\-\n]{1,2}){2,64}"
    r"|(?:[2-7][A-Fa-f]|[eE]\d)[ ,:\-]{1,2})"
    r"[0-9A-Fa-f]{0,4}"
)
_WRAPPED = regex.compile(r"(?r)(?:[A-Za-z0-9+/_-]{60,}=?\n){1,}[A-Za-z0-9+/_=-]*")

_HAN_RUN = regex.compile(rf"(?r)[{CJK}A-Za-z0-9\-# ]{{1,48}}")
_AREA_WORDS = regex.compile(rf"(?:{PROVINCES})|[省市区县州旗镇乡号栋幢座室楼]|街道|{ROAD_WORDS}")
_PROVINCE = regex.compile(PROVINCES)
_HAN = regex.compile(rf"[{CJK}]")

_BLOCK = "-----BEGIN "
_BLOCK_END = regex.compile(r"-----END [A-Z0-9 ]{0,40}-----")


def open_tail(raw_text: str) -> int:
    """The smallest offset of `raw_text` from which its end could still be the beginning of a typed value."""
    plain = normalise(raw_text)
    return plain.raw_start(_open_from(plain.text), len(raw_text))


def boundary_ok(left: str, right: str) -> bool:
    """Whether a cut between the two splits no typed value, whatever stands further away.

    Give up to 80 characters of each side. The fewer there are of `right`, the more often the answer is no; an empty
    one means that nothing is known of what comes.
    """
    if _is_plain_chinese(left, right):
        return True
    before, after = normalise(left).text, normalise(right).text
    # Space at the cut belongs to the left, so that "221| Baker" and "221 |Baker" are one case.
    words = after.lstrip(" \t\n")
    before += after[: len(after) - len(words)]
    if not before.strip():
        return True
    if not words:
        return _open_from(before) == len(before)
    return not (_goes_on(before, words) or _wrapped_token(before, words) or _straddles(before, words))


# Two Chinese characters, a mark, and a Chinese character that is no digit and no sign of an address told by ear: only
# the rule for blocks sees through the mark.
_PLAIN_CHINESE = re.compile(rf"[\u4e00-\u9fff]{{2}}[，。；：、！？](?![{NUMERALS}艾点])[\u4e00-\u9fff]")


def _is_plain_chinese(left: str, right: str) -> bool:
    return _PLAIN_CHINESE.fullmatch(left[-3:] + right[:1]) is not None and _BLOCK not in left


# ---- the rules -------------------------------------------------------------------------------------------------------

# A clause that ends with one of these holds nothing open for most rules.
_CLOSING = frozenset(",;:!?。、…")


class _End:
    """The end of a plain text, with facts that rule most rules out at a hundredth of their cost."""

    __slots__ = ("ascii", "closed", "digits", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.ascii = text.isascii()
        self.digits = _DIGIT.search(text, max(0, len(text) - _REACH)) is not None
        self.closed = text[-_FAR_ENOUGH:].rstrip()[-1:] in _CLOSING

    def holds_open(self, rule: _Rule) -> bool:
        """Whether what this rule is about could go on."""
        return rule.start(self) < len(self.text)


_DIGIT = re.compile("[0-9]")
_FAR_ENOUGH = 8  # more white space than that at the end is no separator for any rule but hides the closing sign


@dataclass(frozen=True, slots=True)
class _Rule:
    """A backward pattern, and what a text must have for it to match at its end."""

    pattern: regex.Pattern[str]
    digit: bool = False  # a digit somewhere
    wide: bool = False  # a character that is not ASCII
    unclosed: bool = False  # no closing sign at the end
    signs: tuple[str, ...] = ()  # one of these, in lower case

    def start(self, end: _End) -> int:
        """Where the match that ends at the text's end begins; the text's length if there is none."""
        text = end.text
        length = len(text)
        if (self.digit and not end.digits) or (self.wide and end.ascii) or (self.unclosed and end.closed):
            return length
        floor = max(0, length - _REACH)
        if self.signs:
            lower = text[floor:].lower()
            for sign in self.signs:  # a third of what `any` takes
                if sign in lower:
                    break
            else:
                return length
        match = self.pattern.match(text, floor, length)
        return int(match.start()) if match else length


_NUMBERS = _Rule(_NUMERALS)
_LAST_TOLD = _Rule(_TOLD_LAST)
_ESCAPED = _Rule(_ESCAPES, signs=("%", "\\", "&", "0x", "u+"))
_HEX = _Rule(_HEX_PAIRS)
_LATIN_RULES = (
    _Rule(_LETTER_GROUPS, digit=True, unclosed=True),
    _Rule(_PREFIXED, unclosed=True),
    _Rule(_PLATE, wide=True, unclosed=True),
    _Rule(_ENGLISH, digit=True, unclosed=True),
    _Rule(_STREET_FIRST, signs=_STREET_SIGNS),
    _Rule(_PO_BOX, unclosed=True),
    _Rule(_SPELLED_MAIL, unclosed=True),
)
_OTHER_RULES = (
    _Rule(_DIGITS),
    _NUMBERS,
    _Rule(_WORD_AND_SPACE, unclosed=True),
    _Rule(_TURNED_PLATE, unclosed=True),
    _Rule(_TOLD_ROW),
    _Rule(_APART),
    _ESCAPED,
    _HEX,
)


def _open_from(text: str) -> int:
    end = _End(text)
    wrapped = _WRAPPED.match(text) if "\n" in text else None
    starts = [wrapped.start() if wrapped else len(text), _open_block(text), _open_run(text), _open_chinese_address(end)]
    return min(*starts, *(rule.start(end) for rule in (*_LATIN_RULES, *_OTHER_RULES)))


def _open_run(text: str) -> int:
    match = _RUN.match(text)
    if match is None:
        return len(text)
    run = match.group()
    closed = _OPEN.match(text) is None and "://" not in run and "=" not in run
    return len(text) if closed else match.start()


def _open_block(text: str) -> int:
    head = text.rfind(_BLOCK)
    if head < 0 or _BLOCK_END.search(text, head):
        return len(text)
    return head


def _open_chinese_address(end: _End) -> int:
    length = len(end.text)
    match = None if end.ascii else _HAN_RUN.match(end.text)
    if match is None or not _HAN.search(match.group()):
        return length
    run = match.group()
    if not _AREA_WORDS.search(run):
        return length
    province = _PROVINCE.search(run)
    return int(match.start()) + (province.start() if province else 0)


# ---- what goes on ----------------------------------------------------------------------------------------------------

_STARTS_VALUE = regex.compile(rf"[^\W{CJK}]|[.%+\-@:/=&#~$*\\]")
_NEXT_DIGIT = regex.compile(rf"{_SEPARATOR}{{0,3}}[\d{NUMERALS}]")
_DIGIT_END = regex.compile(rf"(?r)[\dXx+({NUMERALS}]{_SEPARATOR}{{0,3}}")
_LATIN = regex.compile(rf"[\-.·,]?[^\W{CJK}]")
_MAIL_SIGN = regex.compile(
    r"@|\[at\]|\(at\)|\{at\}|<at>|at \S+ (?:dot |\[dot\]|\(dot\))|dot |\[dot\]|\(dot\)|艾特", regex.IGNORECASE
)
_HAN_GOES_ON = regex.compile(rf"[,]?[{CJK}A-Za-z0-9\-#]")
# A word of a told number, or as much of one as is known.
_MORE_TOLD = regex.compile(rf"(?i)(?:{DIGIT_WORD}|{TIMES_WORD}|{_SPOKEN}|[a-z])(?![a-z])|[0-9]")
# A line, or a word between separators, of one character; not the bracket that closes a block of code.
_APART_END = regex.compile(r"(?r)(?<![^\s:,;(\"'])[^\s{}()\[\]](?:[ \t]{0,2}\n[ \t]{0,2}|[ \t]{1,3}|[-.,_·•|*/])")
_ONE_MORE = regex.compile(r"\S(?![A-Za-z])")
_ESCAPE_START = regex.compile(r"[%&\\#0-9A-Za-z]")
_HEX_START = regex.compile(r"[0-9A-Fa-f]{2}(?![0-9A-Za-z]{3})|[0-9A-Fa-f]$")


def _goes_on(left: str, right: str) -> bool:
    """Whether `right` continues what is open at the end of `left`."""
    end, letter = _End(left), right[0] in _ASCII_LETTERS
    return (
        (not left[-1].isspace() and _open_run(left) < len(left) and _STARTS_VALUE.match(right) is not None)
        or _open_block(left) < len(left)
        or ((letter or _LATIN.match(right) is not None) and any(end.holds_open(rule) for rule in _LATIN_RULES))
        or (not letter and _NEXT_DIGIT.match(right) is not None and _number_open(end))
        or (_told_so_far(left) and _more_told(right) and end.holds_open(_LAST_TOLD))
        or (not _ends_in_word(left) and _ONE_MORE.match(right) is not None and _APART_END.match(left) is not None)
        or (end.holds_open(_ESCAPED) and _ESCAPE_START.match(right) is not None)
        or (_HEX_START.match(right) is not None and end.holds_open(_HEX))
        or (not end.ascii and _HAN_GOES_ON.match(right) is not None and _open_chinese_address(end) < len(left))
    )


_ASCII_LETTERS = frozenset(string.ascii_letters)


def _number_open(end: _End) -> bool:
    return _DIGIT_END.match(end.text) is not None or end.holds_open(_NUMBERS)


def _told_so_far(left: str) -> bool:
    """Whether the last word may be one of a told number. Half a word is a run that goes on."""
    words = left[-_FAR_ENOUGH * 3 :].rstrip(_TOLD_SEPARATORS).rsplit(None, 1)
    if not words:
        return False
    word = words[-1]
    return len(word) == 1 or not (word.isascii() and word.isalpha()) or word.lower() in _TOLD_WORDS


_TOLD_SEPARATORS = " \t\n,.;:/-"
_TOLD_WORDS = frozenset("|".join((DIGIT_WORD, TIMES_WORD, _SPOKEN)).split("|"))


def _more_told(right: str) -> bool:
    return _MORE_TOLD.match(right, partial=True) is not None


def _ends_in_word(left: str) -> bool:
    """A word of two letters, or one and a sign: no row of single characters goes on behind it."""
    tail = left[-_FAR_ENOUGH:].rstrip()
    return tail[-2:-1].isalnum() and tail[-3:-2].isalnum()


# What begins so shortly before the cut that nothing is open yet: a road's name, a plate, a national insurance number.
_BEGINS = regex.compile(
    rf"[{CJK}]\|(?:[{CJK}]{{0,6}}(?:{ROAD_WORDS})[{CJK}]{{0,8}}[\d{NUMERALS}十百])"
    rf"|[{PLATE_PROVINCES}使] ?\|[A-Za-z][ ·.\-•]{{0,2}}[A-Za-z0-9]|[A-Z]{{2}} ?\|\d"
)


_MAIL_FIRST = frozenset("@[({<aAdD艾")


def _straddles(left: str, right: str) -> bool:
    first, near_left = right[0], left[-4:]
    if first in _MAIL_FIRST and _MAIL_SIGN.match(right):
        return True
    if near_left.isascii() and not first.isdecimal():
        return False
    if _BEGINS.search(f"{left[-3:]}|{right[:24]}"):
        return True
    near, cut = near_left + right[:4], len(near_left)
    return not near.isascii() and any(match.start() < cut < match.end() for match in _PROVINCE.finditer(near))


_WRAPPED_END = regex.compile(r"(?r)[A-Za-z0-9+/=_-]{40,}\n?")
_WRAPPED_START = regex.compile(r"\n?[A-Za-z0-9+/=_-]")


def _wrapped_token(left: str, right: str) -> bool:
    """A line break inside a long base64 block, whose head may be out of sight."""
    return left[-1] != " " and _WRAPPED_END.match(left) is not None and _WRAPPED_START.match(right) is not None
