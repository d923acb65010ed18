"""Two minutes of it; `python -m tests.soak --seconds 7200` for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.faults import CARDS
from tests.soak.soaking import Options, soak
from tests.soak.town import HAPROXY
from tests.support.redis import needs_redis

OPTIONS = Options(seconds=95.0, streams=500, seed=1)  # and half a minute of streams before and after the faults


@pytest.mark.soak
@needs_redis
@pytest.mark.skipif(HAPROXY is None, reason="needs haproxy on PATH (apt-get install haproxy)")
def test_whatever_breaks_what_is_promised_is_kept(tmp_path: Path) -> None:
    report = soak(OPTIONS, keep=tmp_path / "town")
    report.show()
    assert report.broken == []
    wanted = {kind for kind in CARDS if not any(kind in reason for reason in report.left_out)}
    assert wanted <= set(report.struck)
