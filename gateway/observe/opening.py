"""From the settings to records and metrics."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from prometheus_client import CollectorRegistry, disable_created_metrics

from filters.budget import LEAK_BUDGET
from filters.documents import UNKNOWN_TOOL
from filters.evidence import UNDECIDED
from filters.json_text import BROKEN_JSON, UNFIT
from filters.opening import REFUSAL
from filters.pii.types import SPECIAL, TYPES
from filters.verdicts import SUSPICIONS
from gateway.authorities import end_of, linked
from gateway.config_file import ConfigError, Problem
from gateway.day_files import NOT_PRIVATE, make_folder
from gateway.key_files import read_public_x25519
from gateway.observe.files import DayFiles, Kind
from gateway.observe.logs import Logs
from gateway.observe.metrics import Metrics
from gateway.observe.printed import Printed, printed
from gateway.observe.pseudonyms import Pseudonyms
from gateway.secrets.references import SecretRef, secret_text
from gateway.secrets.roots import master_key
from gateway.settings import LogSettings, Settings, TraceSettings
from gateway.types import Endpoint
from gateway.version import own_version

if TYPE_CHECKING:
    from gateway.observe.traces import Traces

KINDS: Final = frozenset(TYPES) | SUSPICIONS | {LEAK_BUDGET, REFUSAL, UNDECIDED, UNKNOWN_TOOL, BROKEN_JSON, UNFIT}


def open_metrics(settings: Settings, registry: CollectorRegistry) -> Metrics:
    """Raises ConfigError."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nothing reads
    with_vault = settings.vault is not None
    releases = {name: model.releases.keys() for name, model in settings.models.items()}
    metrics = Metrics(registry, models=releases, routes=tuple(Endpoint), kinds=KINDS, shy=SPECIAL, vault=with_vault)
    metrics.plaintext_upstreams(len(list(settings.plaintext_models())))
    for server, certificate in settings.shown_certificates().items():
        metrics.shown_certificate(server, end_of(certificate))
    for to, link in settings.links().items():
        metrics.plaintext_link(to, plain=link.plaintext)
    return metrics


def open_logs(settings: LogSettings, failed: Callable[[], None] = lambda: None) -> Logs:
    """`failed` hears of each record that can't be written. Raises ConfigError."""
    pseudonyms = Pseudonyms(
        master_key(settings.key_file),
        subject=settings.subject,
        address=settings.address,
        period_days=settings.keep_days,
        kept_days=max(settings.keep_days, settings.security.keep_days),
    )
    public = read_public_x25519(settings.encrypt_to) if settings.encrypt_to is not None else None
    records = _sink(settings.destination, settings.directory, "records", settings.keep_days, public)
    own, security, folder = settings.security, None, settings.security_directory
    if own.destination or folder:
        security = _sink(own.destination, folder, "security", own.keep_days, public)
    kept = [*(sink for sink in (records, security) if sink is not None), *_left_behind(settings)]
    return Logs(records, pseudonyms, security=security, kept=kept, failed=failed)


def _left_behind(settings: LogSettings) -> Iterator[DayFiles]:
    """What folders still have of a kind that once went there and goes elsewhere now: it is deleted in time as well."""
    own = settings.security
    if settings.directory not in (None, settings.security_directory):
        yield DayFiles(settings.directory, "security", own.keep_days)
    if own.directory not in (None, settings.directory):
        yield DayFiles(own.directory, "records", settings.keep_days)


def open_traces(settings: TraceSettings, metrics: Metrics) -> Traces:
    """To be made inside the event loop. Connects to nothing yet. Raises ConfigError."""
    from gateway.observe.traces import Collector, Traces  # and what it needs, where there are traces

    headers = {name: _header_value(ref) for name, ref in settings.headers.items()}
    collector = Collector(settings.endpoint, headers, _link(settings), settings.timeout_seconds)
    return Traces(
        collector,
        settings.service_name,
        own_version(),
        metrics,
        sample=settings.sample,
        trust_callers=settings.trust_callers,
        tells=settings.tell_model_servers,
        every_seconds=settings.every_seconds,
        last_seconds=settings.last_seconds,
    )


def _link(settings: TraceSettings) -> ssl.SSLContext | None:
    if urlsplit(settings.endpoint).scheme != "https":
        return None
    return linked(settings.ca_file, settings.client_certificate, settings.client_key_file)


def _header_value(ref: SecretRef) -> str:
    """More than one word, as in `Bearer …`, but one line."""
    try:
        value = secret_text(ref)
    except UnicodeDecodeError:
        value = ""
    if not re.fullmatch(r"[\x20-\x7e]+", value):
        raise ConfigError(Problem(str(ref), None, "", "must hold one line of ASCII"))
    return value


def _sink(
    destination: Literal["stdout", "stderr"] | None,
    directory: Path | None,
    kind: Kind,
    keep_days: int,
    encrypt_to: X25519PublicKey | None,
) -> DayFiles | Printed:
    """Standard output where nothing is said. Raises ConfigError."""
    if destination is None and directory is not None:
        _prepare(directory)
        return DayFiles(directory, kind, keep_days, encrypt_to)
    return printed(destination or "stdout")


def _prepare(directory: Path) -> None:
    try:
        fit = make_folder(directory) and os.access(directory, os.W_OK | os.X_OK)
    except OSError as error:
        raise ConfigError(Problem(str(directory), None, "", f"can't be written ({error.strerror})")) from None
    if not fit:
        raise ConfigError(Problem(str(directory), None, "", NOT_PRIVATE))
