"""CPU time of every recognizer, in microseconds per character, on ordinary prose and on text with private values.

    python -m tests.bench.bench_detectors

Sentences of about eighty characters, as the pipeline gives them. The last lines are the whole detector and what that is
for a token of four characters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from filters.pii.detector import boundary_ok, build_detector, open_tail
from filters.pii.readings import readings
from filters.pii.recognizers import PresidioPatterns, Recognizer
from filters.pii.view import View

REPEATS = 40

TEXTS: dict[str, Sequence[str]] = {
    "English prose": (
        "The kettle had boiled twice before anybody noticed that the rain was over, and then ",
        "we walked down to the harbour, where the ferry waits until the last passenger is on. ",
        "A refund is made within 45 days if the goods are unused and the receipt is kept. ",
        "In 2019 the team rewrote version 3.4 in eleven weeks; it cost about $12,500 in all. ",
        "Nothing in the report explains why the pump stops, although three people looked at it. ",
    ),
    "Chinese prose": (
        "雨停以后，街上的人渐渐多了起来，卖花的老人把摊子又摆回了桥头，笑着招呼每一个路过的人。",
        "根据规定，商品在未拆封的情况下可以在45天之内申请退货，运费由本店承担，请您放心购买。",
        "这台机器的工作原理并不复杂：先把水加热，再让蒸汽推动叶片，最后带动轴承转动起来。",
        "2019年，团队用了十一周重写了3.4版，总共花费大约12500元，效果比预想的还要好一些。",
        "报告里没有说明水泵为什么会停，虽然已经有三个人去看过，可谁也没有找到真正的原因。",
    ),
    "with private values": (
        "You can write to vexlo.tamber@example.com or call (415) 555-2671 between nine and noon. ",
        "客户的手机号是138 1234 5678，身份证号11010519491231002X，收货地址为北京市海淀区学院路12号3单元401室。",
        "Card 4111 1111 1111 1111 was charged; the transfer went to GB82 WEST 1234 5698 7654 32. ",
        "我的微信号是wx_tamber88，车牌京A·12345，办公电话010-62345678，请尽快联系。",
        "The host 10.20.30.40 uses postgres://app:s3cret-9x@db.internal/main; SSN 536-90-4399. ",
    ),
}


def main() -> None:
    detector = build_detector()
    recognizers = detector.recognizers
    print(f"{'':24}" + "".join(f"{name:>22}" for name in TEXTS))
    for recognizer in recognizers:
        _row(_name(recognizer), lambda text, r=recognizer: list(r.find(_views[text])))  # type: ignore[misc]
    print()
    _row("normalise + readings", lambda text: list(readings(text)))
    _row("all, find()", detector.find)
    _row("all, a token", detector.find, characters_per_unit=4)
    _row("open_tail", open_tail)
    _row("boundary_ok", lambda text: boundary_ok(text[:40], text[40:]))


_views = {text: View(next(iter(readings(text))).text) for texts in TEXTS.values() for text in texts}


def _name(recognizer: Recognizer) -> str:
    if isinstance(recognizer, PresidioPatterns):
        return recognizer.name
    return f"{type(recognizer).__name__} {recognizer.kind}"


def _row(name: str, work: Callable[[str], object], characters_per_unit: int = 1) -> None:
    cells = [f"{_microseconds(work, texts) * characters_per_unit:>22.3f}" for texts in TEXTS.values()]
    print(f"{name[:32]:32}" + "".join(cells)[8:])


def _microseconds(work: Callable[[str], object], texts: Sequence[str]) -> float:
    """Per character; the fastest of some runs, since the machine is shared."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.process_time_ns()
        for text in texts:
            work(text)
        best = min(best, time.process_time_ns() - began)
    return best / 1000 / sum(map(len, texts))


if __name__ == "__main__":
    main()
