"""What holds for all tests."""

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

# The machine may be loaded, so that no example is too slow by the clock; what costs how much, tests/bench says.
settings.register_profile("tightlip", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tightlip")

if sys.dont_write_bytecode:
    # Of the programs that tests start each would compile all modules anew, which takes longer than the rest of a start.
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).parents[1] / "build" / "pycache"))
