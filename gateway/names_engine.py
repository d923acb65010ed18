"""The detectors of a configuration, with the operator's name model where it names one."""

from __future__ import annotations

from filters.detectors import ProfileDetectors
from filters.pii.nlp_engine import EngineError, load_engine
from gateway.config_file import ConfigError, Problem, read
from gateway.settings import NamesEngineSettings


def build_detectors(settings: NamesEngineSettings | None) -> ProfileDetectors:
    """Raises ConfigError where the engine does not load."""
    if settings is None:
        return ProfileDetectors()
    file = settings.configuration
    try:
        engine = load_engine(read(file).data, file.parent, beside_embedded=settings.beside_embedded)
    except EngineError as error:
        raise ConfigError(Problem(str(file), None, "", str(error))) from None
    return ProfileDetectors(engine)
