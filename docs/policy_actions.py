"""Writes the table of types and actions in docs/policy.md from what the code does. A test holds the two in step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filters.pii.actions import Rewriter
from filters.pii.generalise import generalise
from filters.pii.surrogates import surrogate
from filters.pii.types import TYPES
from filters.profile import Action

PAGE = Path(__file__).with_name("policy.md")
BEGIN, END = "<!-- made by docs/policy_actions.py -->", "<!-- end -->"
KEY = b"the documentation's key, no other's"
LANGUAGES = (("English", "It is"), ("Chinese", "这是"))

# Made up, one for each language: (English, Chinese).
EXAMPLES = {
    "EMAIL": ("vexlo@plimsol.example", "ruva@plimsol.example"),
    "PHONE": ("(415) 555-0142", "138 1234 5678"),
    "CARD": ("4111 1111 1111 1111", "6222 0212 3456 7890 128"),
    "IBAN": ("GB82 WEST 1234 5698 7654 32", "DE89 3704 0044 0532 0130 00"),
    "ACCOUNT": ("83920184", "83920184"),
    "IP_ADDRESS": ("203.0.113.77", "10.20.30.40"),
    "MAC_ADDRESS": ("02:42:ac:11:00:02", "02-42-AC-11-00-02"),
    "US_SSN": ("536-90-4399", "536904399"),
    "RESIDENT_ID": ("11010519491231002X", "11010519491231002X"),
    "NATIONAL_ID": ("AB 12 34 56 C", "12345678Z"),
    "PASSPORT": ("K4821957", "E12345678"),
    "DRIVER_LICENCE": ("D4821957", "D4821957"),
    "CREDIT_CODE": ("91110105MA00AB1C0X", "91110105MA00AB1C0X"),
    "PLATE": ("京A·12345", "粤BD12345"),
    "WECHAT": ("wx_tamber88", "wx_tamber88"),
    "DATE": ("3 March 1987", "1987年3月3日"),
    "WEB_ADDRESS": ("https://vexlo.example/cellar", "https://vexlo.example/cellar"),
    "QQ": ("81234567", "81234567"),
    "ADDRESS": ("221 Kelvo Street, London", "北京市海淀区学院路12号"),
    "CRYPTO_WALLET": ("1Cm9GXcqSEpMfNKjDxgMyebg1jwaUUiz5x", "1E3RXGAAyhPCw7Eeg5ahGWgkbH4kHdTFWs"),
    "SECRET": ("hunter2-vexlo", "hunter2-vexlo"),
    "HIGH_ENTROPY_KEY": ("q8Zt3vKxW2mR7pLc9YbN", "q8Zt3vKxW2mR7pLc9YbN"),
    "INTERNAL_HOST": ("ledger.plimsol.internal", "ledger.plimsol.internal"),
    "PRIVATE_IP": ("10.20.30.40", "192.168.7.9"),
    "FILE_PATH": ("/srv/plimsol/ledger.db", "/srv/plimsol/ledger.db"),
    "STACK_TRACE": ('File "ledger.py", line 7, in post', "at plimsol.Ledger.post(Ledger.java:7)"),
    "INTERNAL_RECORD": ('{"ledger_id": 7}', '{"ledger_id": 7}'),
    "ADMIN_NOTE": ("Admin note: call back first.", "管理员备注：先回电。"),
    "AGE": ("43 years old", "四十三岁"),
    "AMOUNT": ("$12,300", "1.2万元"),
    "COORDINATES": ("48.8584, 2.2945", "北纬31.23度，东经121.47度"),
    "NUMBER": ("48,213", "一万二千三百"),
    "PERSON": ("Vexlo Tamber", "甄禾砚"),
    "ORGANIZATION": ("Plimsol Ltd", "浦林索公司"),
    "LOCATION": ("Plimsol Bay", "浦林索湾"),
    "QUASI_IDENTIFIER": ("a beekeeper", "养蜂人"),
    "SPECIAL_HEALTH": ("diabetes", "糖尿病"),
    "SPECIAL_RELIGION": ("a Quaker", "佛教徒"),
    "SPECIAL_POLITICS": ("voted for the mayor", "投票给市长"),
    "SPECIAL_UNION": ("shop steward", "工会代表"),
    "SPECIAL_SEXUALITY": ("bisexual", "双性恋"),
    "SPECIAL_ETHNICITY": ("Uyghur", "彝族"),
    "SPECIAL_BIOMETRIC": ("fingerprints", "指纹"),
    "SPECIAL_FINANCE": ("overdraft", "欠款"),
    "SPECIAL_WHEREABOUTS": ("is staying at", "目前在"),
    "SPECIAL_CRIME": ("was convicted", "被判刑"),
    "SPECIAL_CHILD": ("seven years old", "七岁"),
    "DENIED": ("Vexlo Tamber", "甄禾砚"),
}


def table() -> str:
    """One row for each type and language."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    actions = [action for action in Action if action is not Action.REMOVE]  # which writes nothing
    yield f"| type | | for example | {' | '.join(actions)} |"
    yield "| --- " * (3 + len(actions)) + "|"
    for kind in sorted(TYPES):
        for place, (language, context) in enumerate(LANGUAGES):
            value = EXAMPLES[kind][place]
            written = [_written(action, kind, value, context) for action in actions]
            yield f"| {kind if not place else ''} | {language} | {value} | {' | '.join(written)} |"


def _written(action: Action, kind: str, value: str, context: str) -> str:
    has_none = (
        (action is Action.GENERALISE and generalise(kind, value, chinese=False) is None)
        or (action is Action.SURROGATE and surrogate(kind, value, KEY) is None)
    )  # fmt: skip
    written = Rewriter({kind: action}, KEY).rewrite(kind, value, context)
    return "as mask" if has_none else f"`{written}`" if written.startswith("[") else written


def page(text: str) -> str:
    """The page with its table made anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
