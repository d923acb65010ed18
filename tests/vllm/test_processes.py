"""The helper that starts and ends servers, on programs that need no model."""

import os
import signal
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.processes import (
    HOST,
    Child,
    NotStarted,
    Program,
    answers,
    free_port,
    free_ports,
    is_answering,
    running,
    running_together,
    says,
)
from tests.support.waiting import PATIENCE_S, until

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"


def web_server(name: str, port: int) -> Program:
    command = [sys.executable, "-m", "http.server", str(port), "--bind", HOST]
    return Program(name, command, answers("/"), url=f"http://{HOST}:{port}")


def answer_of(child: Child) -> int:
    return httpx.get(child.url + "/", timeout=PATIENCE_S, trust_env=False).status_code


def script(text: str, start_s: float = 30.0, grace_s: float = 10.0) -> Program:
    return Program("script", [sys.executable, "-c", text], says(r"\w"), start_s=start_s, grace_s=grace_s)


def test_a_child_answers_inside_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    with running(web_server("web", free_port()), tmp_path) as child:
        assert answer_of(child) == httpx.codes.OK
    assert not is_answering(child.url + "/")
    assert child.process.returncode == -signal.SIGTERM
    assert "GET / HTTP/1.1" in child.output


def test_children_run_together_on_ports_of_their_own(tmp_path: Path) -> None:
    one, two = free_ports(2)
    with running_together([web_server("one", one), web_server("two", two)], tmp_path) as children:
        assert [answer_of(child) for child in children] == [httpx.codes.OK] * 2


def test_what_it_printed_can_be_read(tmp_path: Path) -> None:
    with running(script("print('listening on port 4711', flush=True); import time; time.sleep(60)"), tmp_path) as child:
        assert child.printed(r"port (\d+)").group(1) == "4711"
        with pytest.raises(LookupError):
            child.printed("never said")


def test_a_child_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with (
        pytest.raises(NotStarted, match=r"(?s)ended with 1.*no such model"),
        running(script("raise SystemExit('no such model')"), tmp_path),
    ):
        pytest.fail("it never was ready")


def test_a_child_that_is_never_ready_is_given_up_and_ended(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo $$ >&2; exec sleep 60"]

    def never(child: Child) -> bool:
        until(lambda: "\n" in child.stderr)  # the number is there, however long its start took
        return False

    silent = Program("script", command, never, start_s=0.5)
    with pytest.raises(NotStarted, match=r"not ready in 0\.5 s"), running(silent, tmp_path):
        pytest.fail("it never was ready")
    assert has_ended(int((tmp_path / "script.err").read_text()))


def test_a_child_deaf_to_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    with running(script(DEAF, grace_s=0.3), tmp_path) as child:
        pass
    assert child.process.returncode == -signal.SIGKILL


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    with running(script(PARENT), tmp_path) as child:
        grandchild = int(child.stdout)
    assert has_ended(grandchild)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_a_child_ends_when_the_tests_are_killed(tmp_path: Path) -> None:
    nested = f"""
from pathlib import Path
from tests.vllm.test_processes import running, script
waiting = script("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
with running(waiting, Path({str(tmp_path)!r})) as child:
    print(child.stdout, flush=True)
    child.process.wait()
"""
    with running(script(nested), tmp_path / "outer") as tests:
        grandchild = int(tests.stdout)
        tests.process.kill()
        assert has_ended(grandchild)


def has_ended(pid: int) -> bool:
    """Nobody reaps an orphan at once everywhere, so a zombie counts as ended."""
    for _ in range(300):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    return False
