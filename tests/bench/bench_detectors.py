"""CPU time of the filters: the whole pipeline, and every recognizer by itself, on prose and on text with values.

    python -m tests.bench.bench_detectors [--data FOLDER] [--json figures.json]

Microseconds of the process, all its threads counted, a token; a token is four characters in either language. Whole: a
text fed token by token through `TextFilter` (cut, detect, ground, rewrite), with every detector and with patterns only,
and, in the same rounds, Presidio's pattern recognizers called once a sentence, and once a token with the sentence so
far; medians of the rounds, and ratios of them. Sentences of about eighty characters are shown to the recognizers one by
one. Dense: texts that are nothing but numbers or addresses, in seconds for a million characters. With --data the
annotated development sets (web text, Wikipedia) are prose as well.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filters.offline import TextFilter
from filters.pii.detector import PatternDetector, boundary_ok, build_detector, open_tail
from filters.pii.readings import readings
from filters.pii.recognizers import PresidioPatterns, Recognizer
from filters.pii.types import TYPES
from filters.pii.view import View
from filters.profile import Profile
from tests.bench.bench_recall import presidio

REPEATS = 40
ROUNDS = 5
TOKEN = 4  # characters
WHOLE_CHARACTERS = 12_000
PRESIDIO_TOKENS = 400
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？\n]*\s*")

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


DENSE: dict[str, Callable[[int], str]] = {
    "IPv4 addresses": lambda k: f"10.{k % 251}.{k % 241}.{k % 239} 203.0.113.{k % 250}, ",
    "IPv6 addresses": lambda k: f"2001:db8:{k % 9999}::{k % 997:x} ",
    "eleven digits": lambda k: f"0{2_000_000_000 + 7_919 * k} ",
    "card-like numbers": lambda k: f"4{k:03d} 1{k % 1000:03d} 2222 {k % 9999:04d} ",
    "single digits": lambda k: " ".join(str(7_919 * k + 31)) + " ",
    "amounts": lambda k: f"${k % 997}.{k % 100:02d} ",
}
DENSE_CHARACTERS = 40_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = {"whole": _whole(_prose(options.data)), "dense": _dense()}
    _recognizers()
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


# ---- the whole pipeline ----------------------------------------------------------------------------------------------


def _prose(data: Path | None) -> dict[str, list[str]]:
    """Sentences by text."""
    texts = {name: list(sentences) for name, sentences in TEXTS.items()}
    for name in ("prose_en.txt", "prose_zh.txt"):
        path = Path(__file__).with_name(name)
        if path.exists():
            texts[name] = _SENTENCE.findall(path.read_text(encoding="utf-8"))
    for name in ("en_ewt_dev", "zh_gsdsimp_dev") if data else ():
        with gzip.open(f"{data}/ner/{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts[name] = [json.loads(line)["text"] + (" " if name.startswith("en") else "") for line in file]
    return texts


def _whole(texts: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    every, patterns, find = build_detector(TYPES), build_detector(), presidio()
    ways: dict[str, Callable[[list[str]], float]] = {
        "every detector": lambda sentences: _fed(every, sentences, names=True),
        "patterns only": lambda sentences: _fed(patterns, sentences, names=False),
        "Presidio a sentence": lambda sentences: _called(find, sentences),
        "Presidio a token": lambda sentences: _called(find, list(_beginnings(sentences))[:PRESIDIO_TOKENS]),
    }
    print(
        f"{'us a token of four characters':32}"
        + "".join(f"{way:>22}" for way in ways)
        + f"{'ratios to a sentence':>24}"
    )
    report = {}
    for name, sentences in texts.items():
        sentences = _first(sentences, WHOLE_CHARACTERS)
        rounds = [[work(sentences) for work in ways.values()] for _ in range(ROUNDS)]
        medians = [statistics.median(row[i] for row in rounds) for i in range(len(ways))]
        ratios = f"{medians[0] / medians[2]:.2f}, {medians[1] / medians[2]:.2f}"
        print(f"{name:32}" + "".join(f"{value:22.1f}" for value in medians) + f"{ratios:>24}")
        report[name] = dict(zip(ways, medians, strict=True))
    return report


def _first(sentences: list[str], characters: int) -> list[str]:
    """As many sentences as hold so many characters, from the beginning again where there are fewer."""
    found: list[str] = []
    size = 0
    for sentence in itertools.cycle(sentences):
        if size >= characters:
            break
        found.append(sentence)
        size += len(sentence)
    return found


def _fed(detector: PatternDetector, sentences: list[str], *, names: bool) -> float:
    text = "".join(sentences)
    stream = TextFilter(detector, profile=Profile("bench", compare=False, evidence=False, names=names))
    began = time.process_time_ns()
    for at in range(0, len(text), TOKEN):
        stream.push(text[at : at + TOKEN])
    stream.close()
    return _per_token(began, len(text))


def _called(find: Callable[[str], object], texts: list[str]) -> float:
    """A call a token counts as one token, whatever it is shown."""
    began = time.process_time_ns()
    for text in texts:
        find(text)
    alone = len(texts) == PRESIDIO_TOKENS
    return _per_token(began, TOKEN * len(texts) if alone else sum(map(len, texts)))


def _beginnings(sentences: list[str]) -> Iterator[str]:
    return (sentence[: at + TOKEN] for sentence in sentences for at in range(0, len(sentence), TOKEN))


def _per_token(began: int, characters: int) -> float:
    return (time.process_time_ns() - began) / 1000 / characters * TOKEN


# ---- dense texts -----------------------------------------------------------------------------------------------------


def _dense() -> dict[str, float]:
    detector = build_detector(TYPES)
    report = {}
    print(f"\n{'seconds for 1,000,000 characters':32}{'find()':>22}")
    for name, piece in DENSE.items():
        text = "".join(map(piece, range(DENSE_CHARACTERS)))[:DENSE_CHARACTERS]
        began = time.process_time()
        detector.find(text)
        report[name] = (time.process_time() - began) * 1e6 / DENSE_CHARACTERS
        print(f"{name:32}{report[name]:22.2f}")
    return report


# ---- every recognizer ------------------------------------------------------------------------------------------------


def _recognizers() -> None:
    detector = build_detector()
    print(f"\n{'us a character':24}" + "".join(f"{name:>22}" for name in TEXTS))
    for recognizer in detector.recognizers:
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
