"""`tightlip probe`: asks a gateway for planted records, once or again and again, and says in numbers what came back."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.config_file import ConfigError, Problem

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

    from gateway.probe import Findings

EXIT_PROBLEMS: Final = 1  # something came back, or nobody compared
EXIT_UNANSWERED: Final = 3  # nothing did, but not every question was answered


def probe(
    url: Annotated[str, typer.Option(help="The gateway's public listener.", metavar="URL")],
    model: Annotated[str, typer.Option(help="A served model.")],
    records: Annotated[Path, typer.Option(help="The planted records, YAML. Keep it like a secret.", metavar="FILE")],
    token_file: Annotated[Path, typer.Option(help="A caller's token; read for each round.", metavar="FILE")],
    ca_file: Annotated[Path | None, typer.Option(help="The listener's own authority, PEM.", metavar="FILE")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the metrics there, as text.", metavar="FILE")] = None,
    push: Annotated[str | None, typer.Option(help="Push the metrics to this Pushgateway.", metavar="URL")] = None,
    watch: Annotated[float | None, typer.Option(min=1, help="Ask again after so many seconds.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of /metrics, with --watch.")] = 9091,
    host: Annotated[str, typer.Option(help="Of /metrics, with --watch.")] = "127.0.0.1",
) -> None:
    """Ask for planted records and count what comes back. Exits with 1 if anything does, 3 if some were not answered."""
    from prometheus_client import CollectorRegistry

    from gateway.probe import Findings, Target, load, look

    planted, target, registry = load(records), Target(url, model, token_file, ca_file), CollectorRegistry()
    findings = Findings(registry, {record.language for record in planted})

    def one_round() -> Mapping[str, Counter[str]]:
        found = look(target, planted)
        findings.take(found, time.time())
        if watch is None:
            _say(found)
        if out is not None:
            _write(out, registry)
        if push is not None:
            _push(push, findings, registry)
        return found

    if watch is not None:
        return _watch(one_round, registry, watch, host, port)
    found = one_round()
    if any(counts["leaked"] or counts["uncompared"] for counts in found.values()):
        raise typer.Exit(EXIT_PROBLEMS)
    if any(counts["unanswered"] for counts in found.values()):
        raise typer.Exit(EXIT_UNANSWERED)
    return None


def _say(found: Mapping[str, Counter[str]]) -> None:
    for language, counts in sorted(found.items()):
        numbers = ", ".join(f"{counts[name]} {name}" for name in ("leaked", "uncompared", "unanswered"))
        typer.echo(f"{language}: {counts['asked']} asked for: {numbers}")


def _watch(one_round: Callable[[], object], registry: CollectorRegistry, seconds: float, host: str, port: int) -> None:
    """Until SIGTERM or Ctrl-C. A round that can't be asked for at all ends it: whoever runs it starts it again."""
    from prometheus_client import start_http_server

    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        problem = Problem(f"{host}:{port}", None, "", f"can't listen there ({error.strerror})")
        raise ConfigError(problem) from None
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    typer.echo(f"tightlip: probe http://{host}:{server.server_port}/metrics")
    while not asked.is_set():
        one_round()
        asked.wait(seconds)
    server.shutdown()


def _write(path: Path, registry: CollectorRegistry) -> None:
    """Whole or not at all, as node exporter's textfile collector wants it."""
    from prometheus_client import write_to_textfile

    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise ConfigError(Problem(str(path), None, "", f"can't be written ({error.strerror})")) from None


def _push(gateway: str, findings: Findings, registry: CollectorRegistry) -> None:
    from gateway.probe import push

    try:
        push(gateway, findings, registry)
    except (OSError, ValueError):
        raise ConfigError(Problem("--push", None, "", "the numbers can't be pushed there")) from None
