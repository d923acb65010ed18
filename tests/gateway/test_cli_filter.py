"""`tightlip filter` as scripts use it: bytes in, bytes out, and what signals and pipes do to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.support import CANARY
from tests.support import commands
from tests.support.commands import Done
from tests.support.name_models import configure

COMMAND = (sys.executable, "-m", "gateway.cli", "filter")
TEXT = "Her e-mail is vexlo@example.net. Ask for the lamp.\n她的邮箱是 vexlo@example.net，电话13812345678。\n"
FILTERED = "Her e-mail is [EMAIL_1]. Ask for the lamp.\n她的邮箱是 [EMAIL_1]，电话[PHONE_1]。\n"
POLICY = """\
version: 1
issuers:
  - issuer: tightlip-dev
    audience: [tightlip]
    algorithms: [EdDSA]
    keys: [{file: dev.pub.pem}]
    roles: [customer]
    tenant: {fixed: dev}
roles:
  customer: {}
profiles:
  general: {actions: {EMAIL: generalise, PHONE: remove}}
  named: {actions: {EMAIL: pseudonym}}
  cleared: {allowed_types: [EMAIL, PHONE], reason: for the tests alone, expires: 2099-01-01}
  lapsed: {allowed_types: [EMAIL, PHONE], reason: for the tests alone, expires: 2001-01-01}
  house: {names: true, actions: {EMAIL: surrogate}, min_scores: {PERSON: 1.0}}
  people: {names: true}
internal_hosts: [plimsol.example]
record_fields: [risk_score]
"""


def run(data: str | bytes, *arguments: str) -> Done:
    return commands.tightlip("filter", *arguments, data=data.encode() if isinstance(data, str) else data)


def written(data: str | bytes, *arguments: str) -> str:
    done = run(data, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("chunks", [(), ("--chunks", "7"), ("--chunks", "1000")])
def test_text_in_text_out(chunks: tuple[str, ...]) -> None:
    assert written(TEXT, *chunks) == FILTERED


def test_a_process_of_its_own_does_the_same() -> None:
    data = TEXT.encode() + b"Ask.\n" * 3 + b"\xff" + CANARY.encode()
    here, own = run(data), subprocess.run(COMMAND, input=data, capture_output=True, timeout=120, check=False)
    assert (own.returncode, own.stdout.decode(), own.stderr.decode()) == (2, here.stdout, here.stderr)
    assert here.stdout.startswith(FILTERED)


def test_text_with_findings_is_one_object_whose_offsets_are_the_inputs() -> None:
    whole = json.loads(written(TEXT, "--json"))
    assert whole["text"] == FILTERED
    assert [(TEXT[f["start"] : f["end"]], f["type"], f["verdict"]) for f in whole["findings"]] == [
        ("vexlo@example.net", "EMAIL", "mask"),
        ("vexlo@example.net", "EMAIL", "mask"),
        ("13812345678", "PHONE", "mask"),
    ]
    assert all(0 < f["score"] <= 1 for f in whole["findings"])
    assert json.loads(written(TEXT, "--json", "--chunks", "50")) == whole


def test_each_line_of_jsonl_is_a_text_of_its_own() -> None:
    lines = [
        {"text": "Mail vexlo@example.net.", "own": ["I am vexlo@example.net."], "id": "ruva@example.net"},
        {"text": "Mail vexlo@example.net."},
        {"text": ""},
    ]
    data = "\ufeff" + "\n\n".join(json.dumps(line) for line in lines)
    plain = [json.loads(line) for line in written(data).splitlines()]
    assert plain == [{"text": "Mail vexlo@example.net."}, {"text": "Mail [EMAIL_1]."}, {"text": ""}]
    told = [json.loads(line) for line in written(data, "--json").splitlines()]
    assert [[f["verdict"] for f in line["findings"]] for line in told] == [["release"], ["mask"], []]


@pytest.mark.parametrize(
    "broken",
    [
        f'{{"text": "{CANARY}"',
        f'"{CANARY}"',
        f'{{"text": ["{CANARY}"]}}',
        f'{{"body": "{CANARY}"}}',
        f'{{"text": "x", "own": "{CANARY}"}}',
        "[" * 100_000,
        f'{{"text": "{CANARY}\udce9"}}',
    ],
)
def test_a_broken_line_is_named_and_not_quoted_and_what_was_before_is_written(broken: str) -> None:
    data = '{"text": "Mail vexlo@example.net."}\n\n' + broken + '\n{"text": "never read"}\n'
    done = run(data.encode("utf-8", "surrogateescape"))
    assert done.returncode == 2
    assert done.stdout == '{"text": "Mail [EMAIL_1]."}\n'
    assert done.stderr.startswith("tightlip: line 3: is not a JSON object")
    assert CANARY not in done.stderr
    assert "Traceback" not in done.stderr


def test_bytes_that_are_no_text_are_named() -> None:
    raw = b"one\nMail vexlo@example.net.\nthr\xe9e, " + CANARY.encode()
    done = run(raw)
    assert (done.returncode, done.stdout) == (2, "one\nMail [EMAIL_1].\n")
    assert done.stderr == "tightlip: line 3: is not UTF-8\n"
    told = json.loads(run(raw, "--json").stdout)
    assert (told["text"], told["stopped"], len(told["findings"])) == ("one\nMail [EMAIL_1].\n", True, 1)


def test_text_may_begin_with_a_brace() -> None:
    assert written("{a: vexlo@example.net}\n", "--input", "text") == "{a: [EMAIL_1]}\n"
    assert "--input text" in run("{a: vexlo@example.net}\n").stderr


def test_a_policys_profile_decides(policy: str) -> None:
    general = written(TEXT, "--policy", policy, "--profile", "general")
    host = (
        "an e-mail address at a company or organisation"  # one value has one replacement, in the first one's language
    )
    assert general == f"Her e-mail is {host}. Ask for the lamp.\n她的邮箱是 {host}，电话。\n"
    assert written(TEXT, "--policy", policy, "--profile", "cleared") == TEXT
    assert written(TEXT, "--policy", policy, "--profile", "lapsed") == written(TEXT, "--policy", policy)
    assert written(TEXT, "--policy", policy) == FILTERED


def test_pseudonyms_are_the_same_within_a_run(policy: str) -> None:
    line = json.dumps({"text": "Mail vexlo@example.net."}) + "\n"
    first, second = written(line * 2, "--policy", policy, "--profile", "named").splitlines()
    assert first == second
    assert "[EMAIL_" in first
    assert "EMAIL_1" not in first


def test_the_policys_own_lists_names_and_scores_count(policy: str) -> None:
    text = 'At vault.plimsol.example: {"risk_score": 7}. Please ask Margaret Holloway about the delivery.\n'
    hidden = "At [INTERNAL_HOST_1]: [INTERNAL_RECORD_1]. Please ask "
    assert written(text, "--policy", policy) == f"{hidden}Margaret Holloway about the delivery.\n"
    people = written(text, "--policy", policy, "--profile", "people")
    assert people == f"{hidden}[PERSON_1] about the delivery.\n"
    house = written(text + "Mail vexlo@example.net.", "--policy", policy, "--profile", "house")
    assert house.startswith(people)
    assert "vexlo" not in house
    assert "@" in house


def test_the_servers_configuration_brings_its_policy_and_name_model(tmp_path: Path, policy: str) -> None:
    configure(tmp_path)
    server = "{url: 'http://127.0.0.1:1', model: %s}"
    config = tmp_path / "tightlip.yaml"
    config.write_text(
        "policy: policy.yaml\nnames_engine: {configuration: names.yaml}\nmodels:\n  assistant: "
        f"{{tuned: {server % 'a'}, base: {server % 'b'}, tokenizer: x, unreleased: true}}\n"
    )
    text = "You may ask Zorvek.\n"
    assert written(text, "--config", str(config), "--profile", "people") == "You may ask [PERSON_1].\n"
    assert written(text, "--config", str(config), "--profile", "house") == text  # the engine's score is 0.85
    (tmp_path / "names.yaml").unlink()
    done = run(text, "--config", str(config))
    assert (done.returncode, done.stdout) == (2, "")
    assert "names.yaml: can't be read" in done.stderr


@pytest.mark.parametrize("data", ["", "\ufeff"])
@pytest.mark.parametrize("form", ["text", "jsonl", "auto"])
def test_nothing_in_nothing_out(data: str, form: str) -> None:
    assert written(data, "--input", form).removeprefix("\ufeff") == ""


def test_a_line_of_a_megabyte_is_filtered_in_bounded_time() -> None:
    line = "lamps are sold here, and " * 40_000 + "mail vexlo@example.net."
    assert written(line) == line.replace("vexlo@example.net", "[EMAIL_1]")


def test_ctrl_c_ends_it_with_what_has_been_decided() -> None:
    child = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"Mail vexlo@example.net.\nHer number is 1381234")
    child.stdin.flush()
    assert child.stdout.readline() == b"Mail [EMAIL_1].\n"
    child.send_signal(signal.SIGINT)
    rest, errors = child.communicate()
    assert (rest, child.returncode) == (b"", 130)
    assert b"Traceback" not in errors


@pytest.mark.parametrize(
    "arguments",
    [
        ("--profile", "nobody"),
        ("--policy", "/nowhere/policy.yaml"),
        ("--chunks", "0"),
        ("--input", "xml"),
    ],
)
def test_wrong_arguments_end_with_2_before_anything_is_read(arguments: tuple[str, ...]) -> None:
    done = run(CANARY, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert CANARY not in done.stderr


def test_what_is_decided_is_written_before_the_input_ends() -> None:
    child = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"Mail vexlo@example.net.\nAnd then")
    child.stdin.flush()
    assert child.stdout.readline() == b"Mail [EMAIL_1].\n"
    rest, errors = child.communicate(b" nothing.")
    assert (rest, errors, child.returncode) == (b"And then nothing.", b"", 0)


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    child = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    child.stdin.write(b"Ask for the lamp.\n" * 50)
    child.stdin.close()
    assert child.stderr.read() == b""
    assert child.wait() == 1
    child.stderr.close()
