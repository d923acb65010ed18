"""Draws docs/data-flow.svg: where text is, and what is made of it. Run it after docs/data-flow.md has changed.

python -m docs.draw_data_flow
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docs.drawing import INK, LINE, SOFT, Rectangle, head, line, text

PATH: Final = Path(__file__).with_name("data-flow.svg")
WIDTH, HEIGHT = 1120, 560
TITLE: Final = "Where text is, and what is made of it"
RAW, TUNING, STATE, PUBLIC = "#fdf1e0", "#f6e8f3", "#e8f0fb", "#f4f5f7"
LINE_HEIGHT = 16


@dataclass(frozen=True)
class Zone:
    """An area of trust: what it is called, and where."""

    x: int
    y: int
    width: int
    height: int
    title: str
    colour: str


@dataclass(frozen=True)
class Place(Rectangle):
    """Where something is, what, and how long."""

    x: int
    y: int
    width: int
    title: str
    lines: tuple[str, ...]

    @property
    def height(self) -> int:
        return 36 + LINE_HEIGHT * len(self.lines)


ZONES: Final = (
    Zone(20, 50, 220, 300, "public", PUBLIC),
    Zone(270, 50, 830, 180, "raw: every text as it was said", RAW),
    Zone(780, 260, 320, 280, "fine-tuning: as the set itself", TUNING),
    Zone(270, 380, 480, 160, "state: no text; persons as hashes, marks, names", STATE),
)
CALLER: Final = Place(40, 90, 180, "application", ("prompt, released answer",))
METRICS: Final = Place(40, 260, 180, "Prometheus", ("counts in closed sets,", "nobody's"))
GATEWAY: Final = Place(
    300, 90, 230, "gateway's memory", ("request: until the answer ends", "raw answer: until it is decided")
)
TUNED: Final = Place(840, 80, 230, "tuned server", ("prompts, raw answers;", "prefix cache, by tenant"))
BASE: Final = Place(840, 155, 230, "base server", ("questions: raw answers too",))
INDEX: Final = Place(810, 300, 260, "index, deny list, public values", ("keyed hashes", "as long as the release"))
SET: Final = Place(810, 385, 260, "fine-tuning set, tuned weights", ("erased here: a new training",))
RELEASE: Final = Place(810, 455, 260, "release file", ("hashes, thresholds;", "house phrases: plain, approved"))
STORE: Final = Place(
    285, 420, 140, "store", ("hashes: hours", "last uses: 400 days", "revocations: names", "subject erase")
)
RECORDS: Final = Place(440, 420, 140, "records", ("metadata, marks", "retention", "no text"))
AUDIT: Final = Place(595, 420, 140, "audit log", ("who did what", "180 days, sealed", "stays"))
PLACES: Final = (CALLER, METRICS, GATEWAY, TUNED, BASE, INDEX, SET, RELEASE, STORE, RECORDS, AUDIT)


def main() -> None:
    """Write the picture beside this script."""
    PATH.write_text(picture(), encoding="utf-8")
    print(f"wrote {PATH.name}")


def picture() -> str:
    """The whole drawing as SVG."""
    return "\n".join([head(TITLE, WIDTH, HEIGHT), *map(_zone, ZONES), *map(_place, PLACES), *_ways(), "</svg>"]) + "\n"


def _zone(zone: Zone) -> str:
    frame = (
        f'<rect x="{zone.x}" y="{zone.y}" width="{zone.width}" height="{zone.height}" rx="12" fill="{zone.colour}"/>'
    )
    return "\n".join([frame, text(zone.x + 14, zone.y + 24, zone.title, SOFT, 14)])


def _place(place: Place) -> str:
    frame = (
        f'<rect x="{place.x}" y="{place.y}" width="{place.width}" height="{place.height}" rx="8" '
        f'fill="white" stroke="{LINE}"/>'
    )
    title = text(place.centre, place.y + 22, place.title, INK, 14, bold=True, anchor="middle")
    lines = [
        text(place.centre, place.y + 41 + LINE_HEIGHT * at, said, SOFT, 12, anchor="middle")
        for at, said in enumerate(place.lines)
    ]
    return "\n".join([frame, title, *lines])


def _ways() -> list[str]:
    """What goes from where to where."""
    counted, kept, looked, asked = GATEWAY.x + 15, GATEWAY.x + 40, GATEWAY.right - 40, GATEWAY.right - 15
    edge = STORE.y - 40
    return [
        line([(CALLER.right, 108), (GATEWAY.x, 108)]),
        line([(GATEWAY.x, 128), (CALLER.right, 128)], strong=True),
        _label(GATEWAY.x - 30, 150, "Released"),
        line([(GATEWAY.right, 100), (TUNED.x, 100)]),
        line([(TUNED.x, 118), (GATEWAY.right, 118)]),
        _label(685, 92, "prompt"),
        _label(685, 134, "raw answer, tokens, log-probabilities"),
        line([(asked, GATEWAY.bottom), (asked, BASE.middle + 10), (BASE.x, BASE.middle + 10)]),
        _label(685, 184, "up to 2,048 tokens of both"),
        line([(counted, GATEWAY.bottom), (counted, METRICS.middle), (METRICS.right, METRICS.middle)]),
        line([(kept, GATEWAY.bottom), (kept, edge)]),
        _label(kept + 72, 320, "hashes, marks, counts"),
        line([(INDEX.x, INDEX.middle), (looked, INDEX.middle), (looked, GATEWAY.bottom)]),
        _label(650, INDEX.middle + 18, "is it in there, of how many?"),
    ]


def _label(x: int, y: int, said: str) -> str:
    return text(x, y, said, SOFT, 12, anchor="middle")


if __name__ == "__main__":
    main()
