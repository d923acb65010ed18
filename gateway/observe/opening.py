"""From the settings to records and metrics."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from prometheus_client import CollectorRegistry, disable_created_metrics

from filters.budget import LEAK_BUDGET
from filters.documents import UNKNOWN_TOOL
from filters.evidence import UNDECIDED
from filters.json_text import BROKEN_JSON, UNFIT
from filters.opening import REFUSAL
from filters.pii.types import SPECIAL, TYPES
from filters.verdicts import SUSPICIONS
from gateway.config_file import ConfigError, Problem
from gateway.observe.logs import Logs, Pseudonyms
from gateway.observe.metrics import Metrics
from gateway.secrets.roots import master_key
from gateway.settings import LogSettings, Settings
from gateway.types import Endpoint

KINDS: Final = frozenset(TYPES) | SUSPICIONS | {LEAK_BUDGET, REFUSAL, UNDECIDED, UNKNOWN_TOOL, BROKEN_JSON, UNFIT}


def open_metrics(settings: Settings, registry: CollectorRegistry) -> Metrics:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nothing reads
    with_vault = settings.vault is not None
    releases = {name: model.releases.keys() for name, model in settings.models.items()}
    metrics = Metrics(registry, models=releases, routes=tuple(Endpoint), kinds=KINDS, shy=SPECIAL, vault=with_vault)
    metrics.plaintext_upstreams(len(list(settings.plaintext_models())))
    return metrics


def open_logs(settings: LogSettings, failed: Callable[[], None] = lambda: None) -> Logs:
    """`failed` hears of each record that can't be written. Raises ConfigError."""
    pseudonyms = Pseudonyms(master_key(settings.key_file), subject=settings.subject, address=settings.address)
    own = settings.security.destination
    security = _sink(own) if own is not None else None
    return Logs(_sink(settings.destination), pseudonyms, security=security, failed=failed)


def _sink(destination: str | Path) -> BinaryIO:
    if not isinstance(destination, Path):
        return sys.stdout.buffer if destination == "stdout" else sys.stderr.buffer
    try:
        descriptor = os.open(destination, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(Problem(str(destination), None, "", f"can't be written ({error.strerror})")) from None
    return os.fdopen(descriptor, "ab")
