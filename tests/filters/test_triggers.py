"""What is exact enough to ask about."""

from __future__ import annotations

import pytest

from filters.specificity.triggers import (
    CERTAIN_TOKENS,
    NO_WORD,
    OTHER_SCRIPT,
    QUOTATION,
    RARE_TOKENS,
    Own,
    TextTriggers,
    certain_runs,
    exact_values,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Your order GD-85205 is on its way.", "GD-85205"),
        ("您的订单号是FE-75425。", "FE-75425"),
        ("His number is 131879102.", "131879102"),
        ("Call 1318 791 02101 now", "1318 791 02101"),
        ("Write to vexlo@@kipmora.test or so", "vexlo@@kipmora.test"),
        ("The code is A1B2C3D4E5.", "A1B2C3D4E5"),
        ("全角１３１８７９１０", "１３１８７９１０"),
    ],
)
def test_exact_values_are_found_whole(text: str, value: str) -> None:
    (span,) = exact_values(text)
    assert value in text[span.start : span.end]


@pytest.mark.parametrize(
    "text",
    [
        "Returns are free within 45 days, from 60 dollars on.",
        "Since 2019-05-01, or 1.5.2019, we are open from 9:00 to 18:30.",
        "It costs $12999 or EUR 12999.",
        "我们在2019年成立，每周营业6天，共有1200人。",
        "Version 3.14.1 of the lamp",
    ],
)
def test_ordinary_numbers_are_not(text: str) -> None:
    assert exact_values(text) == []


OWN = Own("Did she say: bring the green key at dawn? 还有那句把绿色的钥匙放在抽屉里")
TRIGGERS = TextTriggers(OWN, ["en", "zh"])


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("He said “we never open before the tide is out” then.", QUOTATION, "we never open before the tide is out"),
        ('He said "we never open before noon".', QUOTATION, '"we never open before noon"'),
        ("他说：“下雨天从来不肯把伞借给别人”。", QUOTATION, "下雨天从来不肯把伞借给别人"),
        ("The word is xqzvkjwp, he said.", NO_WORD, "xqzvkjwp"),
        ("Try bOrKuVxA now", NO_WORD, "bOrKuVxA"),
        ("Добрый day", OTHER_SCRIPT, "Добрый"),
        ("それはひらがな", OTHER_SCRIPT, "それはひらがな"),
    ],
)
def test_triggers_by_shape(text: str, kind: str, value: str) -> None:
    (span,) = TRIGGERS.find(text)
    assert (span.type, text[span.start : span.end]) == (kind, value)


@pytest.mark.parametrize(
    "text",
    [
        'Don\'t say "yes" or "no": it\'s a "trap".',
        "He said “Bring the green key  at dawn”.",
        "他说“把绿色的钥匙放在抽屉里”。",
        "Knightsbridge, rhythms, strengths, JavaScript, McDonald, iPhone, PostgreSQL",
        "我们的灯可以在四十五天内退货。",
        "It is 5 ″ wide, said Zoë at the café.",
    ],
)
def test_ordinary_text_and_the_callers_own_words_are_none(text: str) -> None:
    assert TRIGGERS.find(text) == []


def test_without_languages_any_script_will_do() -> None:
    assert TextTriggers(OWN, []).find("Добрый день") == []
    with pytest.raises(ValueError, match="tlh"):
        TextTriggers(OWN, ["tlh"])


def test_a_run_of_certain_tokens_counts_with_enough_rare_ones() -> None:
    def tokens(rare: int, sure: int = CERTAIN_TOKENS) -> list[tuple[int, float, int, int]]:
        return [(900 if at < rare else 10, -0.001 if at < sure else -2.0, at, at + 1) for at in range(CERTAIN_TOKENS)]

    assert list(certain_runs(tokens(RARE_TOKENS), 500)) == [(0, CERTAIN_TOKENS)]
    assert list(certain_runs(tokens(RARE_TOKENS - 1), 500)) == []
    assert list(certain_runs(tokens(CERTAIN_TOKENS, CERTAIN_TOKENS - 1), 500)) == []
