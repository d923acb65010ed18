"""Draws docs/data-path.svg: one request's way through the files. Run it after the way has changed.

python -m docs.draw_data_path
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docs.drawing import INK, LINE, SOFT, Rectangle, head, line, text

PATH: Final = Path(__file__).with_name("data-path.svg")
WIDTH, HEIGHT = 1120, 560
SHELL, CORE, MODEL, OUTSIDE = "#e8f0fb", "#e9f7ee", "#fdf1e0", "#f4f5f7"


@dataclass(frozen=True)
class Box(Rectangle):
    """A part: where it stands, what it is called, and what it does in a few words."""

    x: int
    y: int
    width: int
    title: str
    lines: tuple[str, ...]
    colour: str
    height: int = 76


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
    PATH.write_text(picture(), encoding="utf-8")
    print(f"wrote {PATH.name}")


def picture() -> str:
    """The whole drawing as SVG."""
    parts = [
        head("One request's way through Tightlip", WIDTH, HEIGHT),
        *_zones(),
        *map(_box, BOXES),
        *_arrows(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _zones() -> list[str]:
    return [
        text(190, 40, "gateway/: the thin shell, the only part that waits", SOFT, 14),
        text(520, 430, "filters/: pure; text and evidence in, events out", SOFT, 14),
        text(1000, 40, "vLLM", SOFT, 14),
    ]


def _box(box: Box) -> str:
    title = text(box.centre, box.y + 28, box.title, INK, 15, bold=True, anchor="middle")
    lines = [
        text(box.centre, box.y + 47 + 16 * at, said, SOFT, 12, anchor="middle") for at, said in enumerate(box.lines)
    ]
    frame = (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8" '
        f'fill="{box.colour}" stroke="{LINE}"/>'
    )
    return "\n".join([frame, title, *lines])


def _arrows() -> list[str]:
    return [
        *(_right(a, b) for a, b in ((CALLER, ROUTES), (ROUTES, TOKENS), (TOKENS, PARAMETERS), (PARAMETERS, RELAY))),
        line([(RELAY.x + RELAY.width, 84), (TUNED.x, 84)]),
        line([(TUNED.x, 112), (RELAY.x + RELAY.width, 112)]),
        line([(RELAY.centre + 30, 136), (RELAY.centre + 30, BASE.middle), (BASE.x, BASE.middle)]),
        text(938, 165, "questions,", SOFT, 12),
        text(938, 181, "fallbacks", SOFT, 12),
        line([(RELAY.centre, 136), (RELAY.centre, SEGMENT.y)]),
        text(RELAY.centre - 8, 245, "raw text, tokens,", SOFT, 12, anchor="end"),
        text(RELAY.centre - 8, 261, "log-probabilities", SOFT, 12, anchor="end"),
        *(_left(a, b) for a, b in ((SEGMENT, DETECT), (DETECT, GROUND), (GROUND, COMPARE), (COMPARE, DECIDE))),
        line([(COMPARE.centre, COMPARE.y), (COMPARE.centre, 180), (RELAY.x + 20, 180), (RELAY.x + 20, 136)]),
        text(COMPARE.centre + 10, 200, "a question to the base model leaves as a value", SOFT, 12),
        line(
            [
                (DECIDE.centre, DECIDE.y),
                (DECIDE.centre, OUTBOUND.middle),
                (OUTBOUND.x + OUTBOUND.width, OUTBOUND.middle),
            ]
        ),
        text(DECIDE.centre + 8, 262, "Released", INK, 13, bold=True),
        line([(OUTBOUND.centre, OUTBOUND.y), (OUTBOUND.centre, CALLER.y + CALLER.height)]),
        line([(DECIDE.centre, DECIDE.y + DECIDE.height), (DECIDE.centre, RECORDS.y)]),
    ]


def _right(a: Box, b: Box) -> str:
    return line([(a.right, a.middle), (b.x, b.middle)])


def _left(a: Box, b: Box) -> str:
    return line([(a.x, a.middle), (b.right, b.middle)])


if __name__ == "__main__":
    main()
