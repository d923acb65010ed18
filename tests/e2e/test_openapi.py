"""The gateway against its own description: what the document does not say is not answered, and what it forbids is
refused. Schemathesis makes the requests, good ones and bad ones, and reads the answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.gateways import MODEL, Gateway

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "openapi.json"
EXAMPLES = 400 if os.environ.get("TIGHTLIP_DEEP") else 15  # of each endpoint, besides those at every bound
# What fits the schema may be refused all the same: by the role, or because two fields don't agree.
NOT_ASKED = "positive_data_acceptance"
# QUERY, which OpenAPI 3.2 has, is none of the methods that the listener reads at all: it is refused with 400, not 405.
SETTINGS = """
[phases.coverage]
unexpected-methods = ["get", "put", "post", "delete", "options", "patch", "trace"]
"""


def attack(front: Gateway, folder: Path, *more: str) -> None:
    document = json.loads(DOCUMENT.read_text(encoding="utf-8").replace("the-model", MODEL))
    for name in ("ChatCompletionRequest", "CompletionRequest"):  # of any other one the gateway says that there is none
        document["components"]["schemas"][name]["properties"]["model"] = {"enum": [MODEL]}
    (folder / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "schemathesis.toml").write_text(SETTINGS)
    command = [sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", front.public]
    command += ["--checks", "all", "--exclude-checks", NOT_ASKED, "--max-examples", str(EXAMPLES), "--no-color"]
    command += ["--generation-deterministic", "--request-timeout", "30", *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_the_gateway_does_what_its_description_says(ordinary: Gateway, tmp_path: Path) -> None:
    attack(ordinary, tmp_path, "--header", f"Authorization: Bearer {ordinary.token('legacy')}")


def test_without_a_token_nothing_is_answered(ordinary: Gateway, tmp_path: Path) -> None:
    attack(ordinary, tmp_path, "--phases", "examples,fuzzing")
