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
_PO_BOX = regex.compile(r"(?r)(?i)\bp\.?[ ]?o\.?[ ]?(?:b|bo|box)?[ ]?\d{0,6}")

_TOLD = rf"(?:{DIGIT_WORD}|{TIMES_WORD}|[a-z]|[0-9]{{1,4}})"
_SPOKEN = "dash|hyphen|minus|space|dot|point|and|then|colon|slash|plus"
_TOLD_GAP = rf"(?:[ \t\n]{{1,3}}|[ \t]?[,.;:/\n-][ \t\n]{{0,2}}){{1,2}}(?:(?:{_SPOKEN})[ ,])?"
_TOLD_ROW = regex.compile(rf"(?ri)(?<![a-z0-9])(?:{_TOLD}{_TOLD_GAP}){{1,40}}[a-z]{{0,9}}")
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

    Give up to 80 characters of each side. An empty `right` means that nothing is known of what comes.
    """
    before, after = normalise(left).text, normalise(right).text
    # Space at the cut belongs to the left, so that "221| Baker" and "221 |Baker" are one case.
    words = after.lstrip(" \t\n")
    before += after[: len(after) - len(words)]
    if not before.strip():
        return True
    if not words:
        return _open_from(before) == len(before)
    return not (_goes_on(before, words) or _wrapped_token(before, words) or _straddles(before, words))


# ---- the rules -------------------------------------------------------------------------------------------------------


def _open_from(text: str) -> int:
    starts = [len(text), _open_block(text), _open_run(text)]
    starts += [_begin(rule, text) for rule in (_DIGITS, _NUMERALS, _LETTER_GROUPS, _PREFIXED, _PLATE, _SPELLED_MAIL)]
    starts += [_begin(rule, text) for rule in (_ENGLISH, _STREET_FIRST, _PO_BOX)]
    starts += [_begin(rule, text) for rule in (_WORD_AND_SPACE, _TURNED_PLATE, _TOLD_ROW, _APART, _ESCAPES, _HEX_PAIRS)]
    wrapped = _WRAPPED.match(text) if "\n" in text else None
    starts.append(wrapped.start() if wrapped else len(text))
    starts.append(_open_chinese_address(text))
    return min(starts)


def _begin(rule: regex.Pattern[str], text: str) -> int:
    """Where the match of a backward rule that ends at the text's end begins; the text's length if there is none."""
    match = rule.match(text, max(0, len(text) - _REACH), len(text))
    return int(match.start()) if match else len(text)


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


def _open_chinese_address(text: str) -> int:
    match = _HAN_RUN.match(text)
    if match is None or not _HAN.search(match.group()):
        return len(text)
    run = match.group()
    if not _AREA_WORDS.search(run):
        return len(text)
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
_MORE_TOLD = regex.compile(r"[zotfsned0-9]|(?-i:[ZOTFSNED])(?![a-z])")
# A line, or a word between separators, of one character; not the bracket that closes a block of code.
_APART_END = regex.compile(r"(?r)(?<![^\s:,;(\"'])[^\s{}()\[\]](?:[ \t]{0,2}\n[ \t]{0,2}|[ \t]{1,3}|[-.,_·•|*/])")
_ONE_MORE = regex.compile(r"\S(?![A-Za-z])")
_ESCAPE_START = regex.compile(r"[%&\\#0-9A-Za-z]")
_HEX_START = regex.compile(r"[0-9A-Fa-f]{2}(?![0-9A-Za-z]{3})|[0-9A-Fa-f]$")
_LATIN_RULES = (_LETTER_GROUPS, _PREFIXED, _PLATE, _ENGLISH, _STREET_FIRST, _PO_BOX, _SPELLED_MAIL)


def _goes_on(left: str, right: str) -> bool:
    """Whether `right` continues what is open at the end of `left`."""
    return (
        (_open_run(left) < len(left) and _STARTS_VALUE.match(right) is not None)
        or (_DIGIT_END.match(left) is not None and _NEXT_DIGIT.match(right) is not None)
        or (_NEXT_DIGIT.match(right) is not None and _begin(_NUMERALS, left) < len(left))
        or (_LATIN.match(right) is not None and any(_begin(rule, left) < len(left) for rule in _LATIN_RULES))
        or _open_block(left) < len(left)
        or (_MORE_TOLD.match(right) is not None and _begin(_TOLD_ROW, left) < len(left))
        or (_ONE_MORE.match(right) is not None and _APART_END.match(left) is not None)
        or (_ESCAPE_START.match(right) is not None and _begin(_ESCAPES, left) < len(left))
        or (_HEX_START.match(right) is not None and _begin(_HEX_PAIRS, left) < len(left))
        or (_open_chinese_address(left) < len(left) and _HAN_GOES_ON.match(right) is not None)
    )


# What begins so shortly before the cut that nothing is open yet: a road's name, a plate, a national insurance number.
_BEGINS = regex.compile(
    rf"[{CJK}]\|(?:[{CJK}]{{0,6}}(?:{ROAD_WORDS})[{CJK}]{{0,8}}[\d{NUMERALS}十百])"
    rf"|[{PLATE_PROVINCES}使] ?\|[A-Za-z][ ·.\-•]{{0,2}}[A-Za-z0-9]|[A-Z]{{2}} ?\|\d"
)


def _straddles(left: str, right: str) -> bool:
    if _MAIL_SIGN.match(right):
        return True
    if _BEGINS.search(f"{left[-3:]}|{right[:24]}"):
        return True
    near, cut = left[-4:] + right[:4], len(left[-4:])
    return any(match.start() < cut < match.end() for match in _PROVINCE.finditer(near))


_WRAPPED_END = regex.compile(r"(?r)[A-Za-z0-9+/=_-]{40,}\n?")
_WRAPPED_START = regex.compile(r"\n?[A-Za-z0-9+/=_-]")


def _wrapped_token(left: str, right: str) -> bool:
    """A line break inside a long base64 block, whose head may be out of sight."""
    return _WRAPPED_END.match(left) is not None and _WRAPPED_START.match(right) is not None
