"""Sockets: the real port is told, and an address in use is one clear line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.config_file import ConfigError
from gateway.listening import bind, url
from gateway.settings import Listener

PR_GET_DUMPABLE = 3  # linux/prctl.h


def test_port_0_takes_a_free_one_and_tells_it() -> None:
    with bind(Listener(port=0)) as bound:
        assert url(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"
        assert bound.getsockname()[1] != 0


def test_an_address_in_use_is_named() -> None:
    with bind(Listener(port=0)) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"^127\.0\.0\.1:{port}: can't listen there \(.*[Ii]n use\)"):
            bind(Listener(port=port))


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(ConfigError, match="192\\.0\\.2\\.1:0: can't listen there"):
        bind(Listener(host="192.0.2.1", port=0))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such flag")
def test_a_process_that_forbids_core_dumps_has_no_dumpable_memory() -> None:
    code = (
        "import ctypes, resource; from gateway.listening import forbid_core_dumps; forbid_core_dumps();"
        f"print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "0 (0, 0)\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
def test_names_that_nobody_answers_for_leave_threads_to_look_others_up() -> None:
    """libuv's own four are two look-ups at once."""
    code = (
        "import asyncio, os; from gateway.process import LOOKUP_THREADS, loop_factory\n"
        "async def look(): await asyncio.get_running_loop().getaddrinfo('localhost', 80)\n"
        "asyncio.Runner(loop_factory=loop_factory()).run(look())\n"
        "print(len(os.listdir('/proc/self/task')) > LOOKUP_THREADS)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
