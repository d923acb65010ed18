"""Draws docs/data-path.svg: one request's way through the files. Run it after the way has changed.

python docs/draw_data_path.py
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 1120, 560
INK, SOFT, LINE = "#1f2733", "#5b6675", "#8793a3"
SHELL, CORE, MODEL, OUTSIDE = "#e8f0fb", "#e9f7ee", "#fdf1e0", "#f4f5f7"


@dataclass(frozen=True)
class Box:
    """A part: where it stands, what it is called, and what it does in a few words."""

    x: int
    y: int
    width: int
    title: str
    lines: tuple[str, ...]
    colour: str
    height: int = 76

    @property
    def middle(self) -> int:
        return self.y + self.height // 2

    @property
    def centre(self) -> int:
        return self.x + self.width // 2


CALLER = Box(20, 60, 130, "application", ("any OpenAI client",), OUTSIDE)
ROUTES = Box(190, 60, 170, "http/routes", ("body → ChatRequest",), SHELL)
TOKENS = Box(400, 60, 170, "auth/tokens, rbac", ("token → Principal", "→ Grant"), SHELL)
PARAMETERS = Box(610, 60, 190, "policy/parameters", ("one table of fields", "→ Plan"), SHELL)
RELAY = Box(840, 60, 120, "relay", ("asks, feeds,", "sends"), SHELL)
TUNED = Box(1000, 60, 100, "tuned", ("model",), MODEL)
BASE = Box(1000, 200, 100, "base", ("model",), MODEL)
SEGMENT = Box(840, 330, 120, "segment", ("where to cut",), CORE)
DETECT = Box(680, 330, 120, "pii/", ("typed values",), CORE)
GROUND = Box(520, 330, 120, "grounding", ("the caller's own",), CORE)
COMPARE = Box(360, 330, 120, "specificity/", ("excess bits",), CORE)
DECIDE = Box(190, 330, 130, "pipeline", ("release, mask,", "fall back, stop"), CORE)
OUTBOUND = Box(20, 200, 130, "http/outbound", ("takes Released,", "nothing else"), SHELL)
RECORDS = Box(190, 460, 290, "observe/", ("records and metrics: kinds and counts, no text",), SHELL, 60)
BOXES = (
    CALLER,
    ROUTES,
    TOKENS,
    PARAMETERS,
    RELAY,
    TUNED,
    BASE,
    SEGMENT,
    DETECT,
    GROUND,
    COMPARE,
    DECIDE,
    OUTBOUND,
    RECORDS,
)


def main() -> None:
    """Write the picture beside this script."""
    path = Path(__file__).with_name("data-path.svg")
    path.write_text(picture(), encoding="utf-8")
    print(f"wrote {path.name}")


def picture() -> str:
    """The whole drawing as SVG."""
    parts = [_head(), *_zones(), *map(_box, BOXES), *_arrows(), "</svg>"]
    return "\n".join(parts) + "\n"


def _head() -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="Helvetica, Arial, sans-serif" fill="{INK}">\n'
        f"<title>One request's way through Tightlip</title>\n"
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    )


def _zones() -> list[str]:
    return [
        _text(190, 40, "gateway/: the thin shell, the only part that waits", SOFT, 14),
        _text(520, 430, "filters/: pure; text and evidence in, events out", SOFT, 14),
        _text(1000, 40, "vLLM", SOFT, 14),
    ]


def _box(box: Box) -> str:
    title = _text(box.centre, box.y + 28, box.title, INK, 15, bold=True, centred=True)
    lines = [_text(box.centre, box.y + 47 + 16 * at, line, SOFT, 12, centred=True) for at, line in enumerate(box.lines)]
    frame = (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8" '
        f'fill="{box.colour}" stroke="{LINE}"/>'
    )
    return "\n".join([frame, title, *lines])


def _arrows() -> list[str]:
    return [
        *(_right(a, b) for a, b in ((CALLER, ROUTES), (ROUTES, TOKENS), (TOKENS, PARAMETERS), (PARAMETERS, RELAY))),
        _line([(RELAY.x + RELAY.width, 84), (TUNED.x, 84)]),
        _line([(TUNED.x, 112), (RELAY.x + RELAY.width, 112)]),
        _line([(RELAY.centre + 30, 136), (RELAY.centre + 30, BASE.middle), (BASE.x, BASE.middle)]),
        _text(938, 165, "questions,", SOFT, 12),
        _text(938, 181, "fallbacks", SOFT, 12),
        _line([(RELAY.centre, 136), (RELAY.centre, SEGMENT.y)]),
        _text(RELAY.centre - 8, 245, "raw text, tokens,", SOFT, 12, right=True),
        _text(RELAY.centre - 8, 261, "log-probabilities", SOFT, 12, right=True),
        *(_left(a, b) for a, b in ((SEGMENT, DETECT), (DETECT, GROUND), (GROUND, COMPARE), (COMPARE, DECIDE))),
        _line([(COMPARE.centre, COMPARE.y), (COMPARE.centre, 180), (RELAY.x + 20, 180), (RELAY.x + 20, 136)]),
        _text(COMPARE.centre + 10, 200, "a question to the base model leaves as a value", SOFT, 12),
        _line(
            [
                (DECIDE.centre, DECIDE.y),
                (DECIDE.centre, OUTBOUND.middle),
                (OUTBOUND.x + OUTBOUND.width, OUTBOUND.middle),
            ]
        ),
        _text(DECIDE.centre + 8, 262, "Released", INK, 13, bold=True),
        _line([(OUTBOUND.centre, OUTBOUND.y), (OUTBOUND.centre, CALLER.y + CALLER.height)]),
        _line([(DECIDE.centre, DECIDE.y + DECIDE.height), (DECIDE.centre, RECORDS.y)]),
    ]


def _right(a: Box, b: Box) -> str:
    return _line([(a.x + a.width, a.middle), (b.x, b.middle)])


def _left(a: Box, b: Box) -> str:
    return _line([(a.x, a.middle), (b.x + b.width, b.middle)])


def _line(points: list[tuple[int, int]]) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.6" marker-end="url(#tip)"/>'


def _text(
    x: int, y: int, text: str, colour: str, size: int, *, bold: bool = False, centred: bool = False, right: bool = False
) -> str:
    anchor = "middle" if centred else "end" if right else "start"
    weight = "600" if bold else "400"
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    main()
