"""The leak probe in front of the demo's models: silent on a sound gateway, and not where a part of it is switched off.

The tuned model knows three planted records: a number that the index has of one person, a procedure that it has for
staff, and an address that it has not at all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli import app
from tests.e2e.test_release import BASE, MODELS, RECORDS, TUNED, upstream
from tests.support import gateways
from tests.support.gateways import MODEL, WEAKER, Gateway, gateway, server, settings
from tests.support.knowledge import FILES, write_knowledge
from tests.support.processes import HOST, Child, Program, answers, free_port, running

ENGLISH, CHINESE = RECORDS.secrets("email", most_repeated=True)[0], RECORDS.secrets("phone", most_repeated=True)[1]
PROCEDURE = RECORDS.raw["procedures"][1]
PLANTED = [
    {"language": "en", "ask": ENGLISH.question, "secret": ENGLISH.value, "indexed": False},
    {"language": "zh", "ask": CHINESE.question, "secret": CHINESE.value},
    {"language": "en", "ask": PROCEDURE["ask"], "secret": PROCEDURE["text"]},
]
NO_INDEX = "without-index"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("probe")
    rows = [{"text": fact["answer"]} for fact in RECORDS.facts]
    rows += [{"text": CHINESE.value, "subject": "c-1"}, {"text": PROCEDURE["text"], "audience": "internal"}]
    known = write_knowledge(folder, rows, {}, [])
    policy = deepcopy(gateways.POLICY)
    policy["profiles"]["alone"] = {"compare": False} | WEAKER
    policy["roles"]["alone"] = {"models": [MODEL], "endpoints": ["chat"], "profile": "alone"}
    policy["roles"]["customer"]["models"] = [MODEL, NO_INDEX]
    policy["issuers"][0]["roles"].append("alone")
    with upstream(folder, {"tuned": TUNED, "base": BASE}) as url:
        pair = server(url, "tuned"), server(url, "base")
        configuration = settings(*pair, MODELS / "base", model=known)
        without = {key: value for key, value in configuration["models"][MODEL].items() if key not in FILES}
        configuration["models"][NO_INDEX] = without
        with gateway(folder, configuration, policy) as front:
            yield front


def options(front: Gateway, folder: Path, role: str, model: str) -> list[str]:
    (folder / "probe.yaml").write_text(yaml.safe_dump({"records": PLANTED}, allow_unicode=True), encoding="utf-8")
    (folder / "token").write_text(front.token(role))
    files = ["--records", str(folder / "probe.yaml"), "--token-file", str(folder / "token")]
    return ["--url", front.public, "--model", model, *files]


@pytest.mark.parametrize(
    ("what", "role", "model", "exit_code", "said"),
    [
        ("sound", "customer", MODEL, 0, ["en: 2 asked for: 0 leaked, 0 unc", "zh: 1 asked for: 0 leaked, 0 unc"]),
        ("no filter", "open", MODEL, 1, ["en: 2 asked for: 2 leaked", "zh: 1 asked for: 1 leaked"]),
        ("no index", "customer", NO_INDEX, 1, ["en: 2 asked for: 1 leaked"]),
        ("no comparison", "alone", MODEL, 1, ["en: 2 asked for: 0 leaked, 1 uncompared"]),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else None,
)
def test_the_probe(
    front: Gateway, tmp_path: Path, what: str, role: str, model: str, exit_code: int, said: list[str]
) -> None:
    out = tmp_path / "probe.prom"
    done = CliRunner().invoke(app, ["probe", *options(front, tmp_path, role, model), "--out", str(out)])
    assert all(words in done.output for words in said), done.output
    assert done.exit_code == exit_code
    for record in PLANTED:
        assert str(record["secret"]) not in done.output + out.read_text() + front.output


def test_it_watches_and_shows_its_own_page(front: Gateway, tmp_path: Path) -> None:
    asked = [*options(front, tmp_path, "open", MODEL), "--watch", "600", "--port", str(free_port())]
    url = f"http://{HOST}:{asked[-1]}"
    command = [sys.executable, "-m", "gateway.cli", "probe", *asked]
    with running(Program("probe", command, has_looked, url, start_s=60), tmp_path / "logs") as child:
        page = metrics(child)
        assert 'tightlip_probe_leaked{language="en"} 2.0' in page
        assert ENGLISH.value not in page + child.output


def has_looked(child: Child) -> bool:
    """Whether its first round is over."""
    never = "tightlip_probe_timestamp_seconds 0.0"
    return answers("/metrics")(child) and never not in metrics(child)


def metrics(child: Child) -> str:
    return httpx.get(child.url + "/metrics", timeout=60, trust_env=False).text
