"""The console script in the tests' own process: starting one takes longer than most commands. What only a process of
its own shows (signals, pipes, a listening server) is tested with one."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass

import pytest

from gateway.cli import main


@dataclass(frozen=True)
class Done:
    """What a script gets."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def tightlip(*arguments: object, data: bytes = b"") -> Done:
    """One command, with `data` on its standard input."""
    out, err = io.BytesIO(), io.BytesIO()
    streams = {"stdin": io.BufferedReader(io.BytesIO(data)), "stdout": out, "stderr": err}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tightlip", *map(str, arguments)])
        for name, buffer in streams.items():
            patch.setattr(sys, name, io.TextIOWrapper(buffer, encoding="utf-8", newline="", write_through=True))
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), out.getvalue().decode(), err.getvalue().decode())
