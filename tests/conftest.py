"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# The machine may be loaded, so that no example is too slow by the clock; what costs how much, tests/bench says.
settings.register_profile("tightlip", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tightlip")
