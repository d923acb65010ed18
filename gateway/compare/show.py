"""A comparison for people: in the terminal, and as an HTML page that needs nothing else. Hidden text is shown as its
type unless raw text was asked for."""

from __future__ import annotations

from html import escape
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from filters.events import Ending
from gateway.compare.ask import Comparison
from gateway.compare.marked import Finding, Piece

# Excess bits from which a piece gets each shade, in the terminal and on the page. Four bits: sixteen times likelier.
_SHADES: Final = ((8.0, "bold red", "b8"), (4.0, "dark_orange", "b4"), (1.0, "yellow", "b1"))


def terminal(comparison: Comparison, *, raw_text: bool) -> RenderableType:
    """The three answers side by side and the findings below them."""
    answers = Table(title=Text(comparison.prompt, style="bold"), title_justify="left", expand=True)
    for heading in ("tuned", "base", f"served to {comparison.role}"):
        answers.add_column(heading, ratio=1, overflow="fold")
    tuned = Text.assemble(*(_in_terminal(piece, comparison, raw_text) for piece in comparison.tuned.pieces))
    answers.add_row(tuned, Text(comparison.base), Text(_served(comparison)))
    legend = Text.assemble("excess bits of a piece: ", *((f" {low:g}+ ", style) for low, style, _ in reversed(_SHADES)))
    return Group(answers, legend, _findings(comparison)) if comparison.tuned.findings else Group(answers, legend)


def _in_terminal(piece: Piece, comparison: Comparison, raw_text: bool) -> tuple[str, str]:
    text = _text(piece, comparison, raw_text)
    if piece.finding is not None:
        return text, "bold white on red"
    return text, next((style for low, style, _ in _SHADES if (piece.bits or 0) >= low), "")


def _findings(comparison: Comparison) -> Table:
    table = Table(title="hidden", title_justify="left")
    for heading in ("", "type", "bits", "verdict", "why"):
        table.add_column(heading)
    for number, finding in enumerate(comparison.tuned.findings, start=1):
        table.add_row(str(number), finding.type, _bits(finding.bits), finding.verdict, finding.reason)
    return table


def page(comparison: Comparison, *, raw_text: bool) -> str:
    """A whole HTML document; every text in it is escaped."""
    pieces = "".join(_in_page(piece, comparison, raw_text) for piece in comparison.tuned.pieces)
    rows = "".join(_row(number, finding) for number, finding in enumerate(comparison.tuned.findings, start=1))
    return _PAGE.format(
        prompt=escape(comparison.prompt),
        role=escape(comparison.role),
        model=escape(comparison.model),
        tuned=pieces,
        base=escape(comparison.base),
        served=escape(_served(comparison)),
        rows=rows or '<tr><td colspan="5">nothing</td></tr>',
    )


def _in_page(piece: Piece, comparison: Comparison, raw_text: bool) -> str:
    text = escape(_text(piece, comparison, raw_text))
    told = f' title="{_bits(piece.bits)} bits"' if piece.bits is not None else ""
    if piece.finding is not None:
        return f"<mark{told}>{text}<sup>{piece.finding}</sup></mark>"
    shade = next((name for low, _, name in _SHADES if (piece.bits or 0) >= low), "")
    return f'<span class="{shade}"{told}>{text}</span>' if shade else f"<span{told}>{text}</span>"


def _row(number: int, finding: Finding) -> str:
    cells = (str(number), finding.type, _bits(finding.bits), finding.verdict.value, finding.reason)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _text(piece: Piece, comparison: Comparison, raw_text: bool) -> str:
    if piece.finding is None or raw_text:
        return piece.raw_text
    return f"[{comparison.tuned.findings[piece.finding - 1].type}]"


def _served(comparison: Comparison) -> str:
    notes = ["the base model took over"] if comparison.fallback else []
    notes += ["stopped"] if comparison.ending is Ending.CONTENT_FILTER else []
    return comparison.served + (f"\n\n({', '.join(notes)})" if notes else "")


def _bits(bits: float | None) -> str:
    return "–" if bits is None else f"{bits:.1f}"


_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Tightlip: a comparison</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1b1b1b }}
h1 {{ font-size: 1.2rem }} h2 {{ font-size: 1rem; margin: 0 0 .5rem }}
.answers {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem }}
section {{ border: 1px solid #c8c8c8; border-radius: 6px; padding: 1rem }}
section {{ white-space: pre-wrap; overflow-wrap: anywhere }}
.b1 {{ background: #fff3c4 }} .b4 {{ background: #ffd08a }} .b8 {{ background: #ff9f80 }}
mark {{ background: #a40000; color: #fff; padding: 0 .2em; border-radius: 3px }}
table {{ border-collapse: collapse; margin-top: 1rem }}
td, th {{ border: 1px solid #c8c8c8; padding: .3rem .6rem; text-align: left }}
</style>
<h1>{prompt}</h1>
<p>Model {model}, role {role}. Shades of the tuned model's answer: <span class="b1">1</span> <span class="b4">4</span>
<span class="b8">8</span> excess bits a token and more; <mark>hidden</mark>.</p>
<div class="answers">
<section><h2>tuned</h2>{tuned}</section>
<section><h2>base</h2>{base}</section>
<section><h2>served</h2>{served}</section>
</div>
<table><tr><th></th><th>hidden</th><th>bits</th><th>verdict</th><th>why</th></tr>{rows}</table>
</html>
"""
