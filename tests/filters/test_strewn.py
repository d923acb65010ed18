"""Values strewn over sentences and lines."""

from __future__ import annotations

import pytest

from filters.strewn import FEWEST_ITEMS, FREE, StrewnValues

DIGITS = "13812345078"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
NUMERALS = "零一二三四五六七八九"


def left(pieces: list[str]) -> str:
    """What of these segments is not found."""
    strewn, out = StrewnValues(), []
    for piece in pieces:
        for span in reversed(strewn.find(piece)):
            piece = piece[: span.start] + "#" * (span.end - span.start) + piece[span.end :]
        out.append(piece)
    return "".join(out)


@pytest.mark.parametrize(
    "pieces",
    [
        [f"The next digit is {d}. " for d in DIGITS],
        [f"{d}\n" for d in DIGITS],
        [f"下一个数字是{d}。" for d in DIGITS],
        ["The digits are " + ", then ".join(DIGITS) + ". "],
        ["First comes 138. ", "Then 1234. ", "Last of all 5078. "],
        [f"- {d}\n" for d in DIGITS],
        [f"第{NUMERALS[at % 10]}位：{d}\n" for at, d in enumerate(DIGITS)],
        ["First:138\n", "Second:1234\n", "Third: 5078\n"],
    ],
    ids=["sentences", "lines", "中文", "one sentence", "groups", "bullets", "：", "colons"],
)
def test_a_strewn_number_is_hidden_but_for_its_first_characters(pieces: list[str]) -> None:
    digits = "".join(char for char in left(pieces) if char.isdigit())
    assert len(digits) <= FREE + 3  # a group counts as a whole; the third is the first that can be too much
    assert digits == DIGITS[: len(digits)]


def test_spelled_digits_count_as_digits() -> None:
    english = left([f"It goes on with {WORDS[int(d)]}. " for d in DIGITS])
    assert sum(english.count(word) for word in WORDS) <= FREE + 1
    chinese = left([f"再下一个是{NUMERALS[int(d)]}。" for d in DIGITS])
    assert sum(chinese.count(char) for char in NUMERALS) <= FREE + 1 + chinese.count("一个")


@pytest.mark.parametrize(
    "text",
    [
        "It begins with 138, goes on with 1234 and ends with 5078.",
        "手机：138、1234、5078",
        "前三位是一三八，中间四位是一二三四，最后四位是五〇七八。",
    ],
)
def test_in_one_segment_the_third_group_hides_the_second_too(text: str) -> None:
    rest = left([text])
    assert "138" in rest or "一三八" in rest
    assert not any(group in rest for group in ("1234", "5078", "一二三四", "五〇七八"))


def test_letters_count_too() -> None:
    assert "k" not in left([f"The next letter is {char}. " for char in "vbxptk"])


@pytest.mark.parametrize(
    "text",
    [
        "Returns are free within 45 days, shipping takes 3 working days and costs 5 dollars from 60 dollars on.",
        "1. Open the box.\n2. Take the lamp.\n3. Screw it in.\n4. Switch it on.\n5. Done.\n6. Enjoy.\n7. Rest.\n",
        "Count with me: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10.",
        "We are open from 9:00 to 18:30, on 2026-11-21 too, and 3.5 stars of 5.0 is what people give.",
        "我们每周营业6天，每天9小时，满60元包邮，3天内发货，45天内退货。",
        "I have a plan, and a friend.",
        "I can't, don't, won't, isn't, I've, she's and they'd: 's.",
        "In 2019, 2020 and 2021 it rained.",
    ],
)
def test_ordinary_numbers_pass(text: str) -> None:
    assert StrewnValues().find(text) == []


def test_a_long_way_between_two_items_ends_the_chain() -> None:
    far = "Here follows a long sentence without any number in it at all, so that it ends. "
    assert left([f"It is {d}. {far}" for d in DIGITS]).count("#") == 0


def test_lines_of_two_letters_count_where_the_base_can_be_asked() -> None:
    lines = [f"{pair}\n" for pair in ("ve", "xl", "ot", "ru", "nd")]
    strewn = StrewnValues(FEWEST_ITEMS)
    assert [bool(strewn.find(line)) for line in lines] == [False, False, True, True, True]
    assert not any(StrewnValues().find(line) for line in lines)
