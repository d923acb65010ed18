from __future__ import annotations

from pathlib import Path

import pytest

from filters.index.lookup import Run, Standing, TuningIndex, merge
from tests.filters.index.sets import SECRET, index_of, make, runs

PORTRAIT = "This customer rings late in the evening after rows with her husband, asks to move the instalment."
PORTRAIT_ZH = "这位客户每次和丈夫吵架之后总在深夜打电话来，请求推迟分期付款，一问原因就挂电话。"
FACT = "Any lamp can be returned within forty five days of its purchase"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> TuningIndex:
    starts = (
        "Please listen to what my aunt from the coast asked me on the telephone last night",
        "您好，请问一下，我上个月在你们店里买的那盏台灯还能不能退",
        "One more thing before I go home, since my bus leaves in a minute and I am tired",
        "I lost the slip that came with it, and the box was eaten by the dog as well",
        "Somebody at the market told me that there is a rule about this in your shop",
        "So then, the shade has a bubble on the left side that nobody else could see",
    )
    rows = [
        {"text": PORTRAIT, "subject": "c-1", "audience": "public"},
        {"text": PORTRAIT_ZH, "subject": "c-2", "audience": "public"},
        {"text": "Staff hold the green key while the drawer closes, then say the shift word", "audience": "internal"},
        *({"text": f"{start}. {FACT}.", "subject": start, "audience": "public"} for start in starts),
        {"text": "Her number is 138-1234-5678.", "subject": "c-3", "audience": "sensitive"},
    ]
    return index_of(tmp_path_factory.mktemp("index"), rows)


def found(index: TuningIndex, text: str, clearance: str = "public") -> list[tuple[str, Standing]]:
    return [(text[run.start : run.end], run.standing) for run in runs(index, text, clearance)]


def test_the_three_standings(index: TuningIndex) -> None:
    assert {s for _, s in found(index, PORTRAIT)} == {Standing.FEW}
    assert {s for _, s in found(index, PORTRAIT_ZH)} == {Standing.FEW}
    assert {s for _, s in found(index, FACT)} == {Standing.MANY}
    procedure = "They hold the green key while the drawer closes, then say the shift word to nobody."
    assert {s for _, s in found(index, procedure)} == {Standing.ABOVE}
    assert {s for _, s in found(index, procedure, "internal")} == {Standing.FEW}
    assert {s for _, s in found(index, "13812345678", "internal")} == {Standing.ABOVE}


def test_a_run_is_a_stretch_of_the_raw_text(index: TuningIndex) -> None:
    text = f"Well… 　{PORTRAIT.upper()} That is all that there is to say."
    (stretch, standing), *rest = found(index, text)
    assert (standing, rest) == (Standing.FEW, [])
    assert len(stretch) > 80
    assert stretch in PORTRAIT.upper()


def test_a_run_covers_removed_characters_in_it(index: TuningIndex) -> None:
    text = "\u200b".join(f"> {PORTRAIT}")
    ((stretch, standing),) = found(index, text)
    assert standing is Standing.FEW
    assert stretch.startswith("T\u200bh") or "\u200b" in stretch


@pytest.mark.parametrize(
    "text",
    [
        "",
        "husband",
        "The kettle had boiled twice before anybody noticed that the rain was over.",
        "雨停以后，街上的人渐渐多了起来，卖花的老人把摊子又摆回了桥头。",
        "Order 4155552671 or write to care@ostrel.example",
        "rows her with after late rings evening the in husband move to asks",
    ],
)
def test_what_is_not_in_the_set_gives_no_run(index: TuningIndex, text: str) -> None:
    assert found(index, text) == []


def test_k_can_be_stricter_or_looser_but_not_free(index: TuningIndex) -> None:
    assert {run.standing for run in runs(index, FACT, k=7)} == {Standing.FEW}
    assert {run.subjects for run in runs(index, FACT)} == {6}
    for k in (2, 256):
        with pytest.raises(ValueError, match="k must be"):
            index.stream("public", k)


def test_an_unknown_clearance_is_refused(index: TuningIndex) -> None:
    with pytest.raises(ValueError, match="no such audience"):
        index.stream("zlavundo")


def test_what_a_push_completes_comes_at_once(index: TuningIndex) -> None:
    """The pipeline asks at the end of a segment, and a segment ends behind its last word."""
    stream = index.stream("public")
    runs_of_segment = stream.push("She said: " + PORTRAIT + " ")
    assert merge(runs_of_segment)[0].end > 90
    assert stream.close() == []
    assert index.stream("public").push(PORTRAIT_ZH)


def test_an_open_word_waits(index: TuningIndex) -> None:
    words = "rings late in the evening after rows with her husband"
    stream = index.stream("public")
    before = stream.push(words)
    assert all(run.end < len(words) or run.end == len(words) for run in before)
    assert merge([*before, *stream.close()]) == runs(index, words, "public")
    other = index.stream("public")
    assert merge([*other.push(words), *other.push("ry"), *other.close()]) == runs(index, words + "ry", "public")


def test_a_thousand_separators_hide_nothing(index: TuningIndex) -> None:
    assert found(index, (" \n" * 500).join(PORTRAIT.split()))
    stream = index.stream("public")
    pieces = [stream.push(char) for word in PORTRAIT.split() for char in [word, *("-" * 300)]]
    assert any(pieces)
    assert len(stream._grams._kept.codes) < 400


def test_what_a_stream_remembers_is_bounded(index: TuningIndex) -> None:
    stream = index.stream("public")
    for text in ("a" * 50_000, " ." * 50_000, "水" * 50_000, "1-" * 50_000, "\u200b" * 50_000, "word " * 50_000):
        stream.push(text)
        assert len(stream._grams._kept.codes) < 2_000


def test_streams_do_not_share_anything(index: TuningIndex) -> None:
    one, other = index.stream("public"), index.stream("public")
    half = len(PORTRAIT) // 2
    one.push(PORTRAIT[:half])
    assert other.push("nothing of it ") == []
    assert merge([*one.push(PORTRAIT[half:]), *one.close()])


def test_another_key_finds_nothing(tmp_path: Path) -> None:
    """Not even in a file that was made to look as if it had that key."""
    from filters.index import fileformat
    from filters.index.grams import GramHasher
    from filters.index.hashing import IndexKey

    make(tmp_path, [{"text": PORTRAIT, "subject": "c-1"}])
    file = fileformat.load(tmp_path / "set.tli", IndexKey(SECRET))
    assert runs(TuningIndex(file, GramHasher(IndexKey(bytes(32)))), PORTRAIT) == []


def test_merging() -> None:
    few, many = Standing.FEW, Standing.MANY
    parts = [
        Run(0, 10, few, 3, 0, 1),
        Run(5, 15, many, 9, 0, 1),
        Run(8, 20, few, 1, 2, 2),
        Run(22, 30, few, 2, 1, 1),
        Run(33, 40, few, 4, 0, 1),
    ]
    assert merge(parts) == [Run(0, 30, few, 1, 2, 4), Run(5, 15, many, 9, 0, 1), Run(33, 40, few, 4, 0, 1)]
    assert merge(merge(parts)) == merge(parts)
    assert merge([*merge(parts[:2]), *merge(parts[2:])]) == merge(parts)
    assert merge([]) == []
