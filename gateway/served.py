"""From the settings to the parts of a served model: its servers, its tokenizer, what its release says of both."""

from __future__ import annotations

from pathlib import Path

from gateway.config_file import ConfigError, Problem
from gateway.fallback import Speaker, Texts
from gateway.knowledge import Loaded
from gateway.release.guard import PairCheck
from gateway.secrets.references import read_secret
from gateway.settings import ReleaseSettings, ServerSettings, UpstreamSettings
from gateway.upstream.client import Heard, Server, Timeouts, UpstreamClient, nobody_hears
from gateway.upstream.vocabulary import TokenizerVocabulary


def client(settings: UpstreamSettings, heard: Heard = nobody_hears) -> UpstreamClient:
    """To be made and closed inside the event loop."""
    timeouts = Timeouts(
        connect=settings.connect_seconds, first_byte=settings.first_byte_seconds, stall=settings.stall_seconds
    )
    return UpstreamClient(timeouts, heard)


def server(settings: ServerSettings) -> Server:
    """Raises ConfigError."""
    api_key = read_secret(settings.api_key_file) if settings.api_key_file else None
    return Server(settings.url, settings.model, api_key, settings.priority_scheduling)


def vocabulary(given: Path) -> TokenizerVocabulary:
    """Raises ConfigError."""
    path = given / "tokenizer.json" if given.is_dir() else given
    try:
        return TokenizerVocabulary(path)
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be read ({error.strerror})")) from None
    except ValueError:
        raise ConfigError(Problem(str(path), None, "", "is not a tokenizer.json")) from None


def substitute(model: ReleaseSettings, tokens: TokenizerVocabulary) -> Speaker | Texts:
    """Who answers where a choice falls back; `tokens` are the pair's. Raises ConfigError."""
    given = model.fallback
    if given.text is not None:
        return Texts(given.text.en, given.text.zh)
    if given.model is not None and given.tokenizer is not None:
        return Speaker(server(given.model), vocabulary(given.tokenizer), is_base=False)
    return Speaker(server(model.base), tokens, is_base=True)


def pair_check(
    model: ReleaseSettings, upstream: UpstreamClient, tokens: TokenizerVocabulary, known: Loaded
) -> PairCheck | None:
    """None for a model that is served without a release. Raises ConfigError."""
    if known.released is None:
        return None
    servers = server(model.tuned), server(model.base)
    return PairCheck(upstream, tokens, *servers, known.released, known.faults, scored=model.is_scored)
