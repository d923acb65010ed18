"""From the settings to the parts of a served model: its servers, its tokenizer, what its release says of both."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from filters.specificity.style import NO_SHIFT
from gateway.authorities import linked
from gateway.config_file import ConfigError, Problem
from gateway.fallback import Speaker, Texts
from gateway.knowledge import Loaded
from gateway.observe.metrics import Metrics
from gateway.relay import Pair
from gateway.release.check import Fault
from gateway.release.guard import Guard, HearReplica, PairCheck, checking, no_replica_heard
from gateway.secrets.references import read_secret
from gateway.settings import ReleaseSettings, ServerSettings, UpstreamSettings
from gateway.types import Release
from gateway.upstream.client import Heard, Server, Timeouts, UpstreamClient, nobody_hears
from gateway.upstream.places import Places, Shares
from gateway.upstream.replicas import Replica, ignored
from gateway.upstream.scoring import Bounds, Scorer
from gateway.upstream.vocabulary import TokenizerVocabulary


def pair(
    release: Release,
    model: ReleaseSettings,
    upstream: UpstreamClient,
    places: Mapping[str, Places],
    known: Loaded,
    metrics: Metrics,
    hear: Callable[[Sequence[Fault]], None],
    hear_replica: HearReplica,
) -> Pair:
    """`hear` is told, whenever it changes, what is wrong with it, `hear_replica` of single replicas that are refused.
    Raises ConfigError."""
    tokens = vocabulary(model.tokenizer)
    check = pair_check(model, upstream, tokens, known, hear_replica)
    tuned, base = (check.tuned, check.base) if check else (server(model.tuned), server(model.base))
    bounds = Bounds(
        context_tokens=model.context_tokens_per_question,
        deadline=model.question_deadline_seconds,
        priority=model.question_priority,
    )

    if check is not None:
        metrics.refused_replicas(release, lambda: check.refused)
    if check is not None and check.manifest.benign_bits is not None:
        metrics.benign_bits(release, check.manifest.benign_bits.median, check.manifest.benign_bits.p95)

    def scorer(asked: Server, *, of_tuned: bool = False) -> Scorer:
        shared = places[asked.url]
        return Scorer(upstream, asked, bounds, shared, metrics, release, tokens.specials, of_tuned=of_tuned)

    return Pair(
        release=release,
        tuned=tuned,
        base=base,
        vocabulary=tokens,
        scorer=scorer(base),
        tuned_scorer=scorer(tuned, of_tuned=True) if model.is_scored else None,
        substitute=substitute(model, base, tokens),
        style_shift=check.manifest.style_shift if check else NO_SHIFT,
        guard=Guard(check, hear, due=check.due) if check else None,
        released_as=known.released.name if known.released else None,
        knowledge=known.knowledge,
    )


def places_of(releases: Iterable[ReleaseSettings]) -> dict[str, Places]:
    """One set of places for each server that is asked, whoever's it is; where releases differ, the smallest bounds
    hold."""
    shares: dict[str, Shares] = {}
    for release in releases:
        ours = release.question_shares
        for address in release.asked:
            other = shares.get(address, ours)
            shares[address] = Shares(
                min(ours.server, other.server), min(ours.tenant, other.tenant), min(ours.answer, other.answer)
            )
    return {address: Places(share) for address, share in shares.items()}


def client(
    settings: UpstreamSettings, heard: Heard = nobody_hears, tell: Callable[[Replica], None] = ignored
) -> UpstreamClient:
    """To be made and closed inside the event loop."""
    timeouts = Timeouts(
        connect=settings.connect_seconds, first_byte=settings.first_byte_seconds, stall=settings.stall_seconds
    )
    return UpstreamClient(timeouts, heard, tell)


def server(settings: ServerSettings) -> Server:
    """Raises ConfigError."""
    api_key = read_secret(settings.api_key_file) if settings.api_key_file else None
    url, *others = settings.urls
    scheduling = settings.priority_scheduling
    return Server(url, settings.model, api_key, scheduling, _tls(settings), tuple(others), settings.resolve)


def _tls(settings: ServerSettings) -> ssl.SSLContext | None:
    """None: the system's authorities are trusted, and nothing is shown. Raises ConfigError."""
    if settings.ca_file is None and settings.client_certificate is None:
        return None
    return linked(settings.ca_file, settings.client_certificate, settings.client_key_file)


def with_keys(releases: Iterable[ReleaseSettings]) -> list[Server]:
    """The servers that a key should keep others from, each once: but for those of this machine without one, which
    nobody else reaches. Raises ConfigError."""
    every = (each for release in releases for each in release.servers)
    found = {each.urls: each for each in every if each.api_key_file or not each.is_near}
    return [server(each) for each in found.values()]


def vocabulary(given: Path) -> TokenizerVocabulary:
    """Raises ConfigError."""
    path = given / "tokenizer.json" if given.is_dir() else given
    try:
        return TokenizerVocabulary(path)
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be read ({error.strerror})")) from None
    except ValueError:
        raise ConfigError(Problem(str(path), None, "", "is not a tokenizer.json")) from None


def substitute(model: ReleaseSettings, base: Server, tokens: TokenizerVocabulary) -> Speaker | Texts:
    """Who answers where a choice falls back; `base` and `tokens` are the pair's. Raises ConfigError."""
    given = model.fallback
    if given.text is not None:
        return Texts(given.text.en, given.text.zh)
    if given.model is not None and given.tokenizer is not None:
        return Speaker(server(given.model), vocabulary(given.tokenizer), is_base=False)
    return Speaker(base, tokens, is_base=True)


def pair_check(
    model: ReleaseSettings,
    upstream: UpstreamClient,
    tokens: TokenizerVocabulary,
    known: Loaded,
    hear: HearReplica = no_replica_heard,
) -> PairCheck | None:
    """None for a model that is served without a release; `hear` is told of single replicas. Raises ConfigError."""
    if known.released is None:
        return None
    servers = checking(server(model.tuned)), checking(server(model.base))
    return PairCheck(upstream, tokens, *servers, known.released, known.faults, scored=model.is_scored, hear=hear)
