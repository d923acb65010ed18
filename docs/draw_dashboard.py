"""Draws docs/dashboard.svg: some panels of the Grafana dashboard, with what a real Prometheus knew of a real run.

python -m tests.bench.dashboard_run --json run.json
python docs/draw_dashboard.py run.json

It has the colours of light and of dark pages, whichever its reader's are.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

SHOWN = {
    "At a glance": ("Ready", "Requests", "Errors of ours", "Failed closed", "Findings per 1,000 answers"),
    "Traffic": ("Requests by status", "Requests by role", "Tokens"),
    "Errors by fault": ("Errors by fault", "Errors by code", "Error ratio"),
    "How soon": ("Time to first text", "Gaps", "Hold-back"),
    "Findings": ("Findings by type", "Findings by verdict", "Findings per 1,000 answers"),
    "Questions to the base model": ("Questions by outcome", "How long the base takes", "Tokens that the base reads"),
    "Fallbacks and leak budgets": ("Fallbacks", "Leak budget: findings", "Leak budgets spent"),
    "Releases": ("Share", "Requests by release"),
}
WIDTH, MARGIN, GAP = 1120, 16, 12
GRAPH, STAT, HEADING = 180, 66, 26  # heights
LEFT, TOP, BELOW = 46, 30, 54  # of a graph's plot: room for its values, title, times and legend
LINES = 4  # of values
TEN_POWER_STEPS = (1, 2, 2.5, 5, 10)
CHARACTER, CAPITAL = 5.4, 1.8  # its width in the legend's size, about, and by how much a capital is wider
COLOURS = ("#3d8bd4", "#d9822b", "#2fa36b", "#c94f6d", "#8f6fd6", "#b8a019", "#17a2b8", "#8a8f98", "#d065b8", "#6b8e23")
STYLE = """
.page{fill:#f4f5f8}.card{fill:#fff;stroke:#d5d9e0}.ink{fill:#1f2733}.soft{fill:#5b6675}.line{stroke:#e3e6ec}
@media (prefers-color-scheme: dark){
.page{fill:#111217}.card{fill:#181b1f;stroke:#2e333b}.ink{fill:#d8dbe0}.soft{fill:#9aa1ac}.line{stroke:#2a2e36}}
"""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One series: (seconds since the start, value)."""

    legend: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    title: str
    unit: str
    stacked: bool
    most: float | None
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Scale:
    """What the right and the upper edge of a plot stand for."""

    ends: float
    top: float


def main() -> None:
    """Write the picture beside this script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path, help="what tests/bench/dashboard_run.py wrote")
    path = Path(__file__).with_name("dashboard.svg")
    path.write_text(picture(json.loads(parser.parse_args().run.read_text("utf-8"))), encoding="utf-8")
    print(f"wrote {path.name}, {path.stat().st_size / 1000:.0f} kB")


def picture(run: Sequence[Mapping[str, Any]]) -> str:
    """The whole drawing as SVG. Raises KeyError for a panel that the run does not have."""
    panels = {(each["section"], each["title"]): _panel(each) for each in run}
    parts: list[str] = []
    top = float(MARGIN)
    for section, titles in SHOWN.items():
        height = STAT if section == "At a glance" else GRAPH
        parts.append(_text(MARGIN + 2, top + 17, section, size=13, bold=True))
        top += HEADING
        for box, title in zip(_row(top, height, len(titles)), titles, strict=True):
            panel = panels[section, title]
            parts += _stat(panel, box) if height == STAT else _graph(panel, box)
        top += height + GAP
    return "\n".join([_head(top + MARGIN - GAP), *parts, "</svg>"]) + "\n"


def _panel(told: Mapping[str, Any]) -> Panel:
    lines = (
        Line(each["legend"], tuple((at, value) for at, value in each["points"] if math.isfinite(value)))
        for each in told["series"]
    )
    known = tuple(line for line in lines if line.points)
    return Panel(told["title"], told["unit"], told["stacked"], told["most"], known)


def _head(height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" '
        f'font-family="Helvetica, Arial, sans-serif">\n<title>Tightlip in Grafana</title>\n<style>{STYLE}</style>\n'
        f'<rect class="page" width="{WIDTH}" height="{height:g}" rx="6"/>'
    )


def _row(top: float, height: float, count: int) -> Iterator[Box]:
    width = (WIDTH - 2 * MARGIN - (count - 1) * GAP) / count
    return (Box(MARGIN + at * (width + GAP), top, width, height) for at in range(count))


def _card(panel: Panel, box: Box) -> list[str]:
    frame = f'<rect class="card" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="3"/>'
    return [frame, _text(box.x + 10, box.y + 18, panel.title, size=12, bold=True)]


# ---- one number ------------------------------------------------------------------------------------------------------


def _stat(panel: Panel, box: Box) -> list[str]:
    told = _told(panel.lines[0].points[-1][1], panel.unit) if panel.lines else "no value"
    return [*_card(panel, box), _text(box.x + 10, box.y + 50, told, size=24)]


# ---- lines over time -------------------------------------------------------------------------------------------------


def _graph(panel: Panel, box: Box) -> list[str]:
    plot = Box(box.x + LEFT, box.y + TOP, box.width - LEFT - 12, box.height - TOP - BELOW)
    bands = list(_bands(panel))
    step = _step(max((upper for _, band in bands for _, _, upper in band), default=1), panel.most)
    ends = max((at for line in panel.lines for at, _ in line.points), default=0) or 1
    scale = Scale(ends, step * LINES)
    drawn = [_band(panel, band, plot, scale, COLOURS[at % len(COLOURS)]) for at, (_, band) in enumerate(bands)]
    drawn.reverse()  # what adds nothing to a stack does not hide what it stands on
    return [*_card(panel, box), *_grid(panel, plot, ends, step), *drawn, *_legend([name for name, _ in bands], box)]


def _bands(panel: Panel) -> Iterator[tuple[str, list[tuple[float, float, float]]]]:
    """Of each line (time, lower end, upper end); those of a stack stand on one another."""
    ground: dict[float, float] = {}
    for line in panel.lines:
        yield line.legend, [(at, ground.get(at, 0.0), ground.get(at, 0.0) + value) for at, value in line.points]
        if panel.stacked:
            ground |= {at: ground.get(at, 0.0) + value for at, value in line.points}


def _band(panel: Panel, band: Sequence[tuple[float, float, float]], plot: Box, scale: Scale, colour: str) -> str:
    def places(values: Iterable[Point]) -> str:
        return " ".join(
            f"{plot.x + plot.width * at / scale.ends:.0f},{plot.y + plot.height * (1 - value / scale.top):.1f}"
            for at, value in values
        )

    upper = places((at, high) for at, _, high in band)
    line = f'<polyline points="{upper}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
    if not panel.stacked:
        return line
    lower = places((at, low) for at, low, _ in reversed(band))
    return f'<polygon points="{upper} {lower}" fill="{colour}" fill-opacity="0.15"/>{line}'


def _grid(panel: Panel, plot: Box, ends: float, step: float) -> Iterator[str]:
    right = plot.x + plot.width
    for at in range(LINES + 1):
        y = plot.y + plot.height * (1 - at / LINES)
        yield f'<line class="line" x1="{plot.x:g}" x2="{right:g}" y1="{y:g}" y2="{y:g}"/>'
        if at % 2 == 0:
            yield _text(plot.x - 6, y + 3.5, _told(at * step, panel.unit), size=10, soft=True, anchor="end")
    for minute in range(int(ends // 60) + 1):
        x = plot.x + plot.width * 60 * minute / ends
        yield _text(x, plot.y + plot.height + 13, f"{minute} min", size=10, soft=True, anchor="middle")


def _legend(names: Sequence[str], box: Box) -> Iterator[str]:
    """On two lines; what does not fit is only in the dashboard."""
    x, y = box.x + 12, box.y + box.height - 20
    for at, name in enumerate(names):
        width = 22 + CHARACTER * len(name) + (CAPITAL if name.isupper() else 0) * len(name)
        if x + width > box.x + box.width and x > box.x + 12:
            x, y = box.x + 12, y + 13
        if y > box.y + box.height:
            return
        yield f'<rect x="{x:.0f}" y="{y - 7:.0f}" width="8" height="8" rx="1" fill="{COLOURS[at % len(COLOURS)]}"/>'
        yield _text(x + 12, y, name, size=10, soft=True)
        x += width


def _step(highest: float, most: float | None) -> float:
    """Between two lines: a round number, so that LINES of them hold everything."""
    least = (most or highest or 1) / LINES
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * step for step in TEN_POWER_STEPS if power * step >= least * (1 - 1e-9))


# ---- words -----------------------------------------------------------------------------------------------------------


def _told(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" + {"reqps": "/s", "cps": "/s"}.get(unit, "")


def _text(
    x: float, y: float, text: str, *, size: int, bold: bool = False, soft: bool = False, anchor: str = "start"
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text class="{"soft" if soft else "ink"}" x="{x:.0f}" y="{y:.0f}" font-size="{size}"{weight} '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    main()
