"""Makes what the chart repeats from elsewhere: `python helm/make_chart.py`.

tightlip/README.md            from README.md.in, the comments of values.yaml, measured figures, what Redis' user needs
tightlip/files/               the recording rules and alerts of deploy/prometheus
tightlip/values.schema.json   the keys of the gateway's settings and policy, so that a mistyped one is refused
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from gateway.policy.schema import Policy
from gateway.settings import Settings

CHART: Final = ROOT / "helm" / "tightlip"
RULES: Final = ROOT / "deploy" / "prometheus"
OWN_SETTINGS: Final = {"public", "management", "policy"}  # the chart says them
STREAM_TOKENS: Final = 30  # a second, of one answer: what was measured
TARGET: Final = 0.7  # of a core, as autoscaling has it
BENCH_ANSWER_TOKENS: Final = 20  # of an answer in that benchmark
STREAMS: Final = (50, 100, 190)


def main() -> None:
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")


def files() -> Mapping[Path, str]:
    """What each of them must hold."""
    rules = {CHART / "files" / name: (RULES / name).read_text("utf-8") for name in ("alerts.yaml", "recording.yaml")}
    return rules | {CHART / "README.md": readme(), CHART / "values.schema.json": schema()}


def schema() -> str:
    """The schema, with the gateway's own keys in it; what is said of a key stays."""
    found = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    settings = found["properties"]["settings"]
    policy = found["properties"]["policy"]["properties"]["document"]["oneOf"][-1]
    for place, keys in (settings, Settings.model_fields.keys() - OWN_SETTINGS), (policy, Policy.model_fields.keys()):
        place["properties"] = {key: place["properties"].get(key, True) for key in sorted(keys)}
    return json.dumps(found, indent=2) + "\n"


def readme() -> str:
    text = (CHART / "README.md.in").read_text("utf-8")
    tables = {"values": values_table(), "sizing": sizing_table(), "base": base_table()}
    for name, table in tables.items():
        text = text.replace(f"<!-- {name} -->", table)
    return text.replace("@rights@", rights())


def rights() -> str:
    """What the gateway's user may do in Redis."""
    page = (ROOT / "docs" / "state.md").read_text("utf-8")
    found = re.search(r"The user needs\n\n((?:    .*\n)+)\nand `(\S+)`", page)
    if found is None:
        raise SystemExit("docs/state.md does not say what Redis' user needs")
    return " ".join([*found[1].split(), found[2]])


# ---- values ----------------------------------------------------------------------------------------------------------


def values_table() -> str:
    """Each value with a comment that begins with `# --`, in their order."""
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    rows = [f"| `{'.'.join(path)}` | {_shown(_at(values, path))} | {said} |" for path, said in commented()]
    return "\n".join(["| value | default | what it is |", "| --- | --- | --- |", *rows])


def commented() -> Iterator[tuple[tuple[str, ...], str]]:
    """Each value that is spoken of, and what is said."""
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in (CHART / "values.yaml").read_text("utf-8").splitlines():
        if comment := re.fullmatch(r"\s*# (-- )?(.*)", line):
            if comment[1] or said:
                said.append(comment[2])
        elif key := re.match(r"( *)([A-Za-z]\w*):", line):
            path = [(indent, name) for indent, name in path if indent < len(key[1])] + [(len(key[1]), key[2])]
            if said:
                yield tuple(name for _, name in path), " ".join(said)
            said = []
        else:
            said = []


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        values = values[name]
    return values


def _shown(value: Any) -> str:
    text = "–" if value in ("", None, [], {}) else f"`{json.dumps(value, ensure_ascii=False)}`"
    return text if len(text) < 80 else "see values.yaml"


# ---- figures ---------------------------------------------------------------------------------------------------------


def sizing_table() -> str:
    """What a pod needs for so many answers at once."""
    cost = _number("paced at 30/s, 200 streams x 100 | evidence, filters on", 3)
    memory = _number("resident memory, without and with 2,000 heads", 1)
    rows = []
    for streams in STREAMS:
        tokens = streams * STREAM_TOKENS
        rows.append(f"| {streams} | {tokens:,} | {tokens * cost / 1e6:.2f} | {memory:.0f} MiB |")
    most = int(TARGET / (STREAM_TOKENS * cost / 1e6))
    head = ["| answers at once | tokens a second | cores | memory |", "| --: | --: | --: | --: |"]
    more = f"So a pod at {TARGET:.0%} of its core carries about {most} answers at {STREAM_TOKENS} tokens a second each."
    return "\n".join([*head, *rows, "", more])


def base_table() -> str:
    """What the base reads for questions, against what the tuned model reads for the same answers."""
    rows = []
    for named, row in {
        "ordinary questions, with an index": "**index** | 300",
        "the same without an index": "no index | **279**",
        "records asked for, one after the other": "hostile: the records of 36 customers",
    }.items():
        behind = [float(each.replace(",", "")) for each in re.findall(r"\d{1,3}(?:,\d{3})*", _row(row)[-1])]
        for tokens, read in ((1_000, behind[1]), (8_000, behind[2])):
            own = 1_000 / BENCH_ANSWER_TOKENS * tokens
            rows.append(f"| {named} | {tokens:,} | {read:,.0f} | {own:,.0f} | {read / own:.1%} |")
    head = ["| traffic | tokens of a request | the base reads | the tuned model reads | share |"]
    return "\n".join([*head, "| --- | --: | --: | --: | --: |", *rows])


def _row(start: str) -> list[str]:
    """The cells of the one row of docs/figures.md that begins so."""
    lines = [line for line in (ROOT / "docs" / "figures.md").read_text("utf-8").splitlines() if f"| {start}" in line]
    if len(lines) != 1:
        raise SystemExit(f"docs/figures.md: {len(lines)} rows begin with {start!r}")
    return [cell.strip() for cell in lines[0].strip("| ").split("|")]


def _number(start: str, cell: int) -> float:
    """The first number of that cell."""
    return float(re.findall(r"[\d.]+", _row(start)[cell])[0])


if __name__ == "__main__":
    main()
