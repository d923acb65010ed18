"""What the documentation shows is what the code does."""

from __future__ import annotations

import ast
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from docs import draw_data_flow, draw_data_path
from docs.policy_actions import EXAMPLES, PAGE, page
from filters.pii.types import TYPES
from gateway.policy.schema import IssuerPolicy
from gateway.receipts import PLACES
from gateway.state.sqlite import SqliteStore
from gateway.tenant_keys import Purpose

ISSUERS = re.findall(r"```yaml\n(.*?)```", Path("docs/tokens.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_table_of_actions_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m docs.policy_actions"


def test_every_type_has_an_example() -> None:
    assert TYPES.keys() <= EXAMPLES.keys()


def test_the_readmes_example_says_what_it_prints() -> None:
    readme = Path("README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(from filters import .*?)```", readme, re.DOTALL)
    assert example
    promised = example[1].rpartition("# ")[2].rstrip("\n")
    printed: list[str] = []
    exec(example[1], {"print": printed.append})
    assert printed == [promised]


@pytest.mark.parametrize("text", ISSUERS)
def test_the_issuers_of_the_page_on_tokens_check_out(text: str) -> None:
    entries = yaml.safe_load(text.removeprefix("issuers:\n"))
    assert [IssuerPolicy.model_validate(entry) for entry in entries]


# ---- where data is ---------------------------------------------------------------------------------------------------

DATA = Path("docs/data-flow.md").read_text(encoding="utf-8")
IN_TABLES = {  # of SQLite's file: what the page says of each
    "revocations": "revocations: issuer, tenant, token id",
    "totals": "leak budget: bits and findings",
    "holds": "what is held",
    "windows": "limits and places of answers",
    "leases": "limits and places of answers",
    "uses": "last uses",
    "anchors": "heads of audit logs",
    "meta": "",  # numbers of its own
}
IN_RECEIPTS = {  # what the page says of each place that a receipt names
    "limits": "limits and places of answers",
    "leak_budget": "leak budget",
    "last_uses": "last uses",
    "revocations": "revocations",
    "records": "records of requests",
    "security_events": "security events: metadata",
    "own_counts": "while it is away the gateway's memory",
    "audit_log": "[audit log]",
    "encrypted_requests": "encrypted requests that came",
    "metrics": "metrics, alerts",
    "tuning_index": "[tuning index]",
    "deny_list": "deny list, public values",
    "answers_under_way": "raw answer",
    "model_servers": "prefix cache",
}
OF_PURPOSES = {
    Purpose.REPLACEMENTS: "pseudonyms",
    Purpose.SAMPLES: "the [sample]",
    Purpose.SUBJECTS: "marks: HMAC-SHA-256 under `log.key_file`",
    Purpose.ADDRESSES: "truncated addresses",
    Purpose.CACHES: "`cache_salt`",
    Purpose.AUDIT: "sealed under `audit.key_file`",
}
# Of each file that the name model is trained on: its name in NOTICE, and its licence.
CORPORA = {
    "en_btc": ("Broad Twitter Corpus", "CC BY 4.0"),
    "en_wnut17_train": ("WNUT 2017", "CC BY 4.0"),
    "en_wikigold": ("WikiGold", "CC BY 4.0"),
    "zh_gsdsimp_train": ("Universal NER, Chinese GSDSIMP train", "CC BY-SA 4.0"),
    "zh_weibo_train": ("Weibo NER", "CC BY-SA 3.0"),
}


@pytest.mark.parametrize("script", [draw_data_flow, draw_data_path], ids=lambda script: script.PATH.name)
def test_a_picture_is_what_its_script_draws(script: ModuleType) -> None:
    assert script.PATH.read_text(encoding="utf-8") == script.picture()


async def test_the_page_on_data_has_every_table_of_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    await store.prepare()
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == IN_TABLES.keys()
    assert not [said for said in IN_TABLES.values() if said not in DATA]


def test_the_page_on_data_has_every_place_of_a_receipt_and_every_purpose_of_a_key() -> None:
    assert IN_RECEIPTS.keys() == set(PLACES)
    assert OF_PURPOSES.keys() == set(Purpose)
    assert not [said for said in (*IN_RECEIPTS.values(), *OF_PURPOSES.values()) if said not in DATA]


def test_the_notice_names_what_shipped_models_were_trained_on() -> None:
    notice = Path("NOTICE").read_text(encoding="utf-8")
    tree = ast.parse(Path("deploy/names/train.py").read_text(encoding="utf-8"))
    [files] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TRAIN_FILES"
    ]
    assert {name for names in files.values() for name in names} == CORPORA.keys()
    for title, licence in CORPORA.values():
        assert re.search(rf"^  {re.escape(title)}.*, {re.escape(licence)}$", notice, re.MULTILINE), title


def test_the_notice_has_every_model_that_ships() -> None:
    files = [file for folder in ("filters", "gateway", "deploy") for file in Path(folder).rglob("*")]
    models = [file for file in files if file.suffix in {".npz", ".safetensors", ".onnx", ".gguf", ".pt", ".joblib"}]
    notice = Path("NOTICE").read_text(encoding="utf-8")
    assert models
    assert not [file for file in models if str(file) not in notice and str(file.parent.parent) not in notice]
