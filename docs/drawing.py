"""What the drawings of these pages have in common: pieces of SVG. Numbers are in the picture's own units."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, Literal

INK: Final = "#1f2733"
SOFT: Final = "#5b6675"
LINE: Final = "#8793a3"
Anchor = Literal["start", "middle", "end"]


class Rectangle:
    """What lines begin and end at."""

    x: int
    y: int
    width: int

    @property
    def height(self) -> int:
        raise NotImplementedError

    @property
    def middle(self) -> int:
        return self.y + self.height // 2

    @property
    def centre(self) -> int:
        return self.x + self.width // 2

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height


def head(title: str, width: int, height: int) -> str:
    """Up to the first shape; `</svg>` ends it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="Helvetica, Arial, sans-serif" fill="{INK}">\n'
        f"<title>{title}</title>\n"
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker></defs>\n'
        f'<rect width="{width}" height="{height}" fill="white"/>'
    )


def line(points: Sequence[tuple[int, int]], *, strong: bool = False) -> str:
    """An arrow through these points."""
    path = " ".join(f"{x},{y}" for x, y in points)
    colour, width = (INK, 2.4) if strong else (LINE, 1.6)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" marker-end="url(#tip)"/>'


def text(x: int, y: int, said: str, colour: str, size: int, *, bold: bool = False, anchor: Anchor = "start") -> str:
    weight = "600" if bold else "400"
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(said)}</text>'
    )
