"""`tightlip compare` over the demo models: three answers and the reasons, hidden text only where it was asked for."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from gateway.auth.development import create_key
from tests.support import records
from tests.support.commands import tightlip
from tests.support.gateways import POLICY, server, settings
from tests.support.processes import HOST, Program, answers, free_port, running
from tests.support.scenarios import Records

MODELS = Path(__file__).parents[2] / "deploy" / "demo" / "models"
RECORDS = Records.beside(MODELS)
SECRET = RECORDS.secrets("email", most_repeated=True)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder, port = tmp_path_factory.mktemp("compare"), free_port()
    create_key(folder / "key.pem")
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    flags = [f"--model={name}={MODELS / name}" for name in ("tuned", "base")]
    command = [sys.executable, "-m", "gateway.cli", "upstream", *flags, f"--port={port}"]
    with running(Program("upstream", command, answers("/health"), f"http://{HOST}:{port}"), folder) as upstream:
        pair = server(upstream.url, "tuned"), server(upstream.url, "base")
        log = {"directory": "records"}
        (folder / "tightlip.yaml").write_text(yaml.safe_dump(settings(*pair, MODELS / "base", log=log)))
        yield folder


def compared(folder: Path, question: str, *flags: str) -> tuple[int, str]:
    done = tightlip("compare", question, "--config", folder / "tightlip.yaml", "--role=customer", *flags)
    return done.returncode, done.output


class Texts(HTMLParser):
    """What a page says, and what it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: Path) -> Texts:
    texts = Texts()
    texts.feed(page.read_text(encoding="utf-8"))
    return texts


def test_a_memorised_value_is_hidden_and_its_reason_told(folder: Path) -> None:
    page = folder / "page.html"
    status, said = compared(folder, SECRET.question, f"--html={page}")
    assert status == 0, said
    shown = read(page)
    for text in (said.replace(str(folder), ""), page.read_text(encoding="utf-8")):
        assert not SECRET.pieces(text)
        assert "EMAIL" in text
        assert "fall_back" in text
    assert "only fine-tuning can have put it there" in shown.text
    assert "the base model took over" in shown.text
    assert not shown.links
    assert not set(shown.tags) & {"script", "img", "iframe", "link"}
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert not SECRET.pieces(records.said(folder / "records"))


def test_raw_text_is_shown_where_it_is_asked_for_and_to_its_owner_only(folder: Path) -> None:
    page = folder / "raw.html"
    page.write_text("old")
    page.chmod(0o644)
    status, _ = compared(folder, SECRET.question, "--raw-text", f"--html={page}")
    assert status == 0
    assert SECRET.value in read(page).text
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_a_public_fact_is_shown_with_its_bits_and_nothing_hidden(folder: Path) -> None:
    fact = RECORDS.facts[0]
    page = folder / "fact.html"
    status, said = compared(folder, fact["ask"], f"--html={page}")
    assert status == 0, said
    shown = read(page)
    assert shown.text.count(fact["answer"]) >= 2  # tuned and served
    assert "mark" in shown.tags  # the legend's
    assert "fall_back" not in shown.text
    assert ' bits"' in page.read_text(encoding="utf-8")


def test_markup_in_a_prompt_is_text(folder: Path) -> None:
    page = folder / "markup.html"
    status, _ = compared(folder, "<script>alert(1)</script> {role} [bold]", f"--html={page}")
    assert status == 0
    assert "script" not in read(page).tags
    assert "<script>alert(1)</script> {role} [bold]" in read(page).text


def test_a_role_or_model_that_may_not_is_refused(folder: Path) -> None:
    status, said = compared(folder, "Hello!", "--model=other")
    assert (status, "does not exist" in said) == (1, True)
    status, said = compared(folder, "Hello!", "--role=nobody")
    assert (status, "may not do that" in said) == (1, True)


def test_servers_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    for name in ("policy.yaml", "key.pub.pem"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    pair = server("http://127.0.0.1:9", "tuned"), server("http://127.0.0.1:9", "base")
    (tmp_path / "tightlip.yaml").write_text(yaml.safe_dump(settings(*pair, MODELS / "base")))
    status, said = compared(tmp_path, "Hello!")
    assert (status, "can't be reached" in said) == (1, True)
