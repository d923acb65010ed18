"""What at the end of a text could still become a typed value, and where a text may be cut without splitting one.

Both are functions of the text alone and err on the side of "open". The rules of `open_tail`, whose answer is the
smallest offset that any of them gives (lengths are in plain characters, normalise.py):

1. Word run. The trailing run of letters and digits that are not Chinese, and of signs inside it: any word may be the
   beginning of an e-mail address, a token, a URL with a password. A closing sign at its end (, ; ! ? ) ] } > " ')
   closes it, unless the run holds "://" or "=", which passwords follow. "@" or " at " before the run opens it back to
   the word in front.
2. Digit groups. The trailing groups of digits with at most three separators between them (space, dash, dot, comma,
   slash, bracket, line break), back to forty groups, with "+" and "(" before them: "call 138 1234 ". Chinese numerals
   count as digits from the third on. Words that stick to them ("x818") are rule 1.
3. Letter-digit groups. Two letters and two digits or more, then short groups (IBAN, credit codes); up to four capitals
   and then groups of digits (national insurance numbers).
4. Plates. A province's character with what a plate may go on with.
5. Western addresses. A number, then up to five words of a street's name and two of any kind ("221 Baker"); a street
   word in front of its number (German, French, Italian); a post office box.
6. Chinese addresses. A trailing run without punctuation that holds a province, or an administrative or road word
   (省市区县镇乡路街巷…): from the province, else from its start, at most 48 characters. A road's name before which
   nothing of this stands is not seen.
7. Blocks. "-----BEGIN" without its end line: from there on, however long.

Prose that ends in a closed sentence ("完成了。", "That is all!") gives the length of the text. A full stop after a word
does not close it: "mail vexlo." may go on "tru@…". Time is linear in the text for rules 1 and 7, bounded for the rest.

`boundary_ok` uses the same rules on the left side and asks whether the right side goes on with what is open.
"""

from __future__ import annotations

import regex

from filters.normalise import normalise
from filters.pii.addresses import PROVINCES, ROAD_WORDS
from filters.pii.chinese import PLATE_PROVINCES
from filters.pii.view import CJK

# A run without a space may be as long as it likes (tokens, keys); every other rule looks no further back than this.
_REACH = 256

_WORD_CHAR = rf"(?:[^\W{CJK}]|[.%+\-@:/=&#~$*\\^|`'\"!?;,()\[\]{{}}<>])"
_OPEN_END = rf"(?:[^\W{CJK}]|[.%+\-@:/=&#~$*\\^|`])"
# (?r) reads backwards from the end of the text: linear whatever the run's length.
_RUN = regex.compile(rf"(?r){_WORD_CHAR}+")
_OPEN = regex.compile(rf"(?r){_OPEN_END}")
_AT = r"(?: ?@ ?| ?(?:\[at\]|\(at\)|\{at\}|<at>| at |艾特) ?)"
_DOT = r"(?: \.|\.(?=\w)| ?(?:\[dot\]|\(dot\)| dot |点) ?)"
_SPELLED_MAIL = regex.compile(
    rf"(?r)[\w.+%-]{{1,64}}{_AT}[\w-]{{0,64}}(?:{_DOT}[\w-]{{0,62}}){{0,4}} ?(?:[\[({{<]?(?:at|dot|do|d|a)?)?"
)

_NUMERAL = "〇零○一二三四五六七八九幺两壹贰叁肆伍陆柒捌玖"
_SEPARATOR = r"[ \-.,·/()\t\n+*_]"
_DIGITS = regex.compile(rf"(?r)(?:(?:[+(]{{0,2}}\d+{_SEPARATOR}{{0,3}}){{1,40}}[Xx]?|[+(]{{1,2}})")
_NUMERALS = regex.compile(rf"(?r)(?:[{_NUMERAL}\d][ ,、.-]?){{3,40}}")
# Every group but the first has a separator before it: one way to read a text, so no backtracking.
_LETTER_GROUPS = regex.compile(
    r"(?r)(?<![A-Za-z0-9])(?:[A-Za-z]{2}\d{2}[A-Za-z0-9]{0,30}(?:[ \-.]{1,2}[A-Za-z0-9]{1,8}){0,9}[ \-.]{0,2}"
    r"|[0-9A-Z]{2}[ \-]?\d{6}[A-Z0-9]{0,10}(?:[ \-.]{1,2}[A-Z0-9]{1,10}){0,3}[ \-.]{0,2})"
)
_PREFIXED = regex.compile(
    r"(?r)(?<![A-Za-z0-9])(?:[A-Z]{2} |[A-Z]{1,4}[ \-.·]{1,2}\d)(?:\d{1,8}[ \-.]{0,2}){0,6}[A-Za-z]?"
)
_PLATE = regex.compile(rf"(?r)[{PLATE_PROVINCES}使] ?[A-Za-z][ ·.\-•]{{0,2}}(?:[A-Za-z0-9] ?){{0,7}}")

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
    opened = _open_from(before)
    if not words:
        return opened == len(before)
    if opened < len(before) and _goes_on(before, words):
        return False
    return not (_wrapped_token(before, words) or _straddles(before, words))


# ---- the rules -------------------------------------------------------------------------------------------------------


def _open_from(text: str) -> int:
    starts = [len(text), _open_block(text), _open_run(text)]
    starts += [_begin(rule, text) for rule in (_DIGITS, _NUMERALS, _LETTER_GROUPS, _PREFIXED, _PLATE, _SPELLED_MAIL)]
    starts += [_begin(rule, text) for rule in (_ENGLISH, _STREET_FIRST, _PO_BOX)]
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
_NEXT_DIGIT = regex.compile(rf"{_SEPARATOR}{{0,3}}[\d{_NUMERAL}]")
_DIGIT_END = regex.compile(rf"(?r)[\dXx+(]{_SEPARATOR}{{0,3}}")
_LATIN = regex.compile(rf"[\-.·,]?[^\W{CJK}]")
_MAIL_SIGN = regex.compile(
    r"@|\[at\]|\(at\)|\{at\}|<at>|at \S+ (?:dot |\[dot\]|\(dot\))|dot |\[dot\]|\(dot\)|艾特", regex.IGNORECASE
)
_HAN_GOES_ON = regex.compile(rf"[,]?[{CJK}A-Za-z0-9\-#]")
_LATIN_RULES = (_LETTER_GROUPS, _PREFIXED, _PLATE, _ENGLISH, _STREET_FIRST, _PO_BOX, _SPELLED_MAIL)


def _goes_on(left: str, right: str) -> bool:
    """Whether `right` continues what is open at the end of `left`."""
    return (
        (_open_run(left) < len(left) and _STARTS_VALUE.match(right) is not None)
        or (_DIGIT_END.match(left) is not None and _NEXT_DIGIT.match(right) is not None)
        or (_begin(_NUMERALS, left) < len(left) and _NEXT_DIGIT.match(right) is not None)
        or (any(_begin(rule, left) < len(left) for rule in _LATIN_RULES) and _LATIN.match(right) is not None)
        or _open_block(left) < len(left)
        or (_open_chinese_address(left) < len(left) and _HAN_GOES_ON.match(right) is not None)
    )


# What begins so shortly before the cut that nothing is open yet: a road's name, a plate, a national insurance number.
_BEGINS = regex.compile(
    rf"[{CJK}]\|(?:[{CJK}]{{0,6}}(?:{ROAD_WORDS})[{CJK}]{{0,8}}[\d{_NUMERAL}十百])"
    rf"|[{PLATE_PROVINCES}使] ?\|[A-Za-z][ ·.\-•]{{0,2}}[A-Za-z0-9]|[A-Z]{{2}} ?\|\d"
)


def _straddles(left: str, right: str) -> bool:
    if _MAIL_SIGN.match(right):
        return True
    if _BEGINS.search(f"{left[-3:]}|{right[:24]}"):
        return True
    near, cut = left[-4:] + right[:4], len(left[-4:])
    return any(match.start() < cut < match.end() for match in _PROVINCE.finditer(near))


_WRAPPED_END = regex.compile(r"(?r)[A-Za-z0-9+/=]{40,}\n?")
_WRAPPED_START = regex.compile(r"\n?[A-Za-z0-9+/=]{16,}")


def _wrapped_token(left: str, right: str) -> bool:
    """A line break inside a long base64 block, whose head may be out of sight."""
    return _WRAPPED_END.match(left) is not None and _WRAPPED_START.match(right) is not None
