"""ROC curves: the figures, their intervals, and a picture that needs nothing but this file.

A score says how suspicious a span is. The area under the curve is the share of (private, other) pairs that it puts in
the right order, ties half (Mann and Whitney 1947). Intervals are percentiles of a bootstrap over cases (Efron 1979):
spans of one answer are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

import numpy as np
from numpy.typing import NDArray

FALSE_POSITIVES = 0.01
_SAMPLES = 500
_SEED = 20261121
_LOWEST = 1e-3  # of the picture's axis, which is logarithmic

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Scores of private and other spans, and the case that each belongs to."""

    private: Sequence[float]
    other: Sequence[float]
    private_cases: Sequence[int]
    other_cases: Sequence[int]


@dataclass(frozen=True)
class Curve:
    """`auc` and `tpr` (at FALSE_POSITIVES) with their 95 % intervals; `threshold` is the score at which `tpr` holds."""

    name: str
    private: int
    other: int
    auc: tuple[float, float, float]
    tpr: tuple[float, float, float]
    threshold: float
    points: tuple[tuple[float, float], ...]


def curve(name: str, scores: Scores) -> Curve:
    """Of at least one span of each side."""
    private, other = np.array(scores.private, float), np.array(scores.other, float)
    drawn = np.array(list(_bootstrap(scores)))
    (auc_low, tpr_low), (auc_high, tpr_high) = np.quantile(drawn, (0.025, 0.975), axis=0)
    return Curve(
        name,
        len(private),
        len(other),
        (auc(private, other), float(auc_low), float(auc_high)),
        (tpr(private, other), float(tpr_low), float(tpr_high)),
        threshold(other),
        _points(private, other),
    )


def table(curves: Sequence[Curve]) -> str:
    """Markdown."""
    lines = [
        "| | private | other | ROC-AUC | found at 1 % of the others | score there, bits |",
        "| --- | --: | --: | --- | --- | --: |",
    ]
    for each in curves:
        auc, tpr = (f"{mid:.3f} ({low:.3f}–{high:.3f})" for mid, low, high in (each.auc, each.tpr))
        lines.append(f"| {each.name} | {each.private:,} | {each.other:,} | {auc} | {tpr} | {each.threshold:.1f} |")
    return "\n".join(lines)


def auc(private: Floats, other: Floats) -> float:
    """The area under the ROC curve."""
    ordered = np.sort(other)
    below = np.searchsorted(ordered, private, "left")
    equal = np.searchsorted(ordered, private, "right") - below
    return float((below + equal / 2).mean() / len(other))


def threshold(other: Floats, share: float = FALSE_POSITIVES) -> float:
    """The lowest score that at most this share of the others exceeds."""
    ordered = np.sort(other)[::-1]
    return float(ordered[int(share * len(other))])


def tpr(private: Floats, other: Floats, share: float = FALSE_POSITIVES) -> float:
    """The share of private spans above that score."""
    return float((private > threshold(other, share)).mean())


def _bootstrap(scores: Scores) -> list[tuple[float, float]]:
    rng = np.random.default_rng(_SEED)
    private = _by_case(scores.private, scores.private_cases)
    other = _by_case(scores.other, scores.other_cases)
    drawn = []
    for _ in range(_SAMPLES):
        one, two = (
            np.concatenate([groups[at] for at in rng.integers(0, len(groups), len(groups))])
            for groups in (private, other)
        )
        drawn.append((auc(one, two), tpr(one, two)))
    return drawn


def _by_case(values: Sequence[float], cases: Sequence[int]) -> list[Floats]:
    groups: dict[int, list[float]] = {}
    for value, case in zip(values, cases, strict=True):
        groups.setdefault(case, []).append(value)
    return [np.array(group, float) for group in groups.values()]


def _points(private: Floats, other: Floats) -> tuple[tuple[float, float], ...]:
    """(false positives, true positives) at every threshold where either changes, thinned to what a picture shows."""
    levels = np.unique(np.concatenate((private, other)))[::-1]
    false = np.searchsorted(-np.sort(other)[::-1], -levels, "right") / len(other)
    true = np.searchsorted(-np.sort(private)[::-1], -levels, "right") / len(private)
    seen = dict.fromkeys(
        (round(float(f), 4), round(float(t), 3)) for f, t in zip((0.0, *false), (0.0, *true), strict=True)
    )
    return tuple(seen)


# ---- the picture -----------------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _TOP, _PLOT = 860, 470, 70, 30, 380
_COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#566573", "#16a085", "#7b241c")


def picture(title: str, curves: Sequence[Curve]) -> str:
    """An SVG of the curves: false positives on a logarithmic axis from 0.1 %, since 1 % is what counts."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="14" font-weight="bold">{_escaped(title)}</text>',
        *_axes(),
    ]
    for number, each in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        y = _TOP + 14 + 34 * number
        parts += [
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{_path(each.points)}"/>',
            f'<line x1="{_LEFT + _PLOT + 20}" x2="{_LEFT + _PLOT + 44}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" '
            'stroke-width="3"/>',
            f'<text x="{_LEFT + _PLOT + 52}" y="{y}">{_escaped(each.name)}</text>',
            f'<text x="{_LEFT + _PLOT + 52}" y="{y + 14}" fill="#666">AUC {each.auc[0]:.3f}, '
            f"{each.tpr[0]:.0%} at 1 %</text>",
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes() -> list[str]:
    parts = [f'<rect x="{_LEFT}" y="{_TOP}" width="{_PLOT}" height="{_PLOT}" fill="none" stroke="#888"/>']
    for share, label in ((0.001, "0.1 %"), (0.01, "1 %"), (0.1, "10 %"), (1.0, "100 %")):
        x = _x(share)
        parts += [
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + _PLOT}" stroke="#ddd"/>',
            f'<text x="{x:.1f}" y="{_TOP + _PLOT + 18}" text-anchor="middle">{label}</text>',
        ]
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        y = _y(share)
        parts += [
            f'<line x1="{_LEFT}" x2="{_LEFT + _PLOT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>',
        ]
    middle = _LEFT + _PLOT / 2
    return [
        *parts,
        f'<text x="{middle}" y="{_TOP + _PLOT + 40}" text-anchor="middle">other spans above the score</text>',
        f'<text transform="translate(18 {_TOP + _PLOT / 2}) rotate(-90)" text-anchor="middle">'
        "private spans above the score</text>",
    ]


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Steps: between two thresholds nothing lies on a straight line."""
    steps, before = [], 0.0
    for false, true in points:
        steps += [(false, before), (false, true)]
        before = true
    steps.append((1.0, before))
    shown = dict.fromkeys(f"{_x(false):.0f},{_y(true):.0f}" for false, true in steps)
    return " ".join(shown)


def _x(share: float) -> float:
    return _LEFT + _PLOT * (1 - log10(max(share, _LOWEST)) / log10(_LOWEST))


def _y(share: float) -> float:
    return _TOP + _PLOT * (1 - share)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
