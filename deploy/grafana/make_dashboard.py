"""Makes deploy/grafana/tightlip.json: the dashboard, as Grafana 10 and later import it. Run it after a change.

python deploy/grafana/make_dashboard.py

A panel is a title, what it is good for, and its expressions; where it stands on the page follows from its width and
from the order here. Ratios that alerts use too are the recorded ones of deploy/prometheus/recording.yaml.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 38  # Grafana 10; later ones bring it up to their own
COLUMNS = 24  # Grafana's grid
GRAPH_HEIGHT, STAT_HEIGHT = 8, 4  # in its units of 30 pixels and a gap
PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}

JOB = 'job=~"$job"'
OF_RELEASE = f'{JOB},model=~"$model",release=~"$release"'
OF_ROLE = f'{JOB},role=~"$role"'
OF_REQUEST = f'{OF_RELEASE},role=~"$role"'
RELEASE = "model", "release"
_TO_GO = " - time()"


@dataclass(frozen=True)
class Query:
    """What is asked of Prometheus, and what its series are called: Grafana puts labels in for {{label}}."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One picture. `unit` is Grafana's name; `steps` are (from this value on, colour), for a stat's background."""

    title: str
    says: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"  # or "stat"
    width: int = 8
    stacked: bool = False
    most: float | None = None
    steps: tuple[tuple[float, str], ...] = ()

    @property
    def height(self) -> int:
        return STAT_HEIGHT if self.kind == "stat" else GRAPH_HEIGHT


@dataclass(frozen=True)
class Section:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of the page, read from a series that is there from the start of a process."""

    name: str
    label: str
    series: str


# ---- what is asked ---------------------------------------------------------------------------------------------------


def rate(series: str, scope: str, *by: str, legend: str | None = None) -> Query:
    """Of a counter, per second, by these labels."""
    return Query(_sum(f"rate({series}{{{scope}}}[$__rate_interval])", by), legend or _legend(by))


def within_an_hour(series: str, scope: str, *by: str, legend: str | None = None) -> Query:
    """Of a counter that seldom moves: by how much in the last hour."""
    return Query(_sum(f"increase({series}{{{scope}}}[1h])", by), legend or _legend(by))


def quantiles(histogram: str, scope: str, *at: float) -> tuple[Query, ...]:
    """Of all observations together."""
    summed = f"sum by (le) (rate({histogram}_bucket{{{scope}}}[$__rate_interval]))"
    return tuple(Query(f"histogram_quantile({q:g}, {summed})", f"p{q * 100:g}") for q in at or (0.5, 0.95, 0.99))


def ratio(over: str, under: str, scope: str, *by: str, legend: str | None = None) -> Query:
    """How much of the one counter there is for one of the other; nothing where there is none of that."""
    shares = [_sum(f"rate({series}{{{scope}}}[$__rate_interval])", by) for series in (over, under)]
    return Query(f"{shares[0]} / ({shares[1]} > 0)", legend or _legend(by))


def state(function: str, series: str, scope: str, *by: str, legend: str | None = None) -> Query:
    """A gauge over the processes, by `function`: max, min, sum."""
    return Query(_over(function, f"{series}{{{scope}}}", by), legend or _legend(by))


def age(series: str, by: str) -> Query:
    """Seconds since the moment that a gauge holds; the oldest of each."""
    return Query(f"time() - min by ({by}) ({series}{{{JOB}}})", _legend([by]))


def time_left(series: str, by: str) -> Query:
    """Seconds until the moment that a gauge holds; the first of each. Negative when it is past."""
    return Query(f"min by ({by}) ({series}{{{JOB}}}){_TO_GO}", _legend([by]))


def recorded(rule: str, legend: str = "{{job}}") -> Query:
    return Query(f"{rule}{{{JOB}}}", legend)


def _sum(expression: str, by: Sequence[str]) -> str:
    return _over("sum", expression, by)


def _over(function: str, expression: str, by: Sequence[str]) -> str:
    return f"{function} by ({', '.join(by)}) ({expression})" if by else f"{function}({expression})"


def _legend(by: Sequence[str]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by) or "all"


# ---- what is shown ---------------------------------------------------------------------------------------------------

RED, YELLOW, GREEN = "red", "orange", "green"
WELL_AT_0 = ((0, GREEN), (1, RED))

GLANCE = Section(
    "At a glance",
    (
        Panel(
            "Ready",
            "Processes that take requests, of those that are scraped.",
            (Query(f"sum(tightlip_ready{{{JOB}}}) / count(tightlip_ready{{{JOB}}})", "ready"),),
            "percentunit",
            "stat",
            4,
            steps=((0, RED), (0.5, YELLOW), (1, GREEN)),
        ),
        Panel(
            "Requests",
            "Answered, whatever the status.",
            (rate("tightlip_requests_total", OF_REQUEST),),
            "reqps",
            "stat",
            4,
        ),
        Panel(
            "Errors of ours",
            "Of all requests, those that failed by the gateway's or a model server's fault. The objective is 0.5 %.",
            (Query(f"max(tightlip:error_ratio:rate5m{{{JOB}}})", "5 minutes"),),
            "percentunit",
            "stat",
            4,
            steps=((0, GREEN), (0.005, YELLOW), (0.072, RED)),
        ),
        Panel(
            "Failed closed",
            "Answers in which something could not be judged, and was hidden for that.",
            (Query(f"max(tightlip:failed_closed_ratio:rate10m{{{JOB}}})", "10 minutes"),),
            "percentunit",
            "stat",
            4,
            steps=((0, GREEN), (0.01, YELLOW), (0.05, RED)),
        ),
        Panel(
            "Findings per 1,000 answers",
            "A filter that has gone quiet finds nothing.",
            (Query(f"max(tightlip:findings_per_1000_answers:rate1h{{{JOB}}})", "1 hour"),),
            "short",
            "stat",
            4,
        ),
        Panel(
            "Leak probe",
            "Planted records of which something came back in the last round. No value: no probe runs.",
            (Query("max(tightlip_probe_leaked)", "leaked"),),
            "short",
            "stat",
            4,
            steps=WELL_AT_0,
        ),
    ),
)

TRAFFIC = Section(
    "Traffic",
    (
        Panel(
            "Requests by status",
            "The status that the caller saw first; an error in a stream that had begun keeps its 200.",
            (rate("tightlip_requests_total", OF_REQUEST, "status"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Requests by role",
            "none: the token was not good, or there was none.",
            (rate("tightlip_requests_total", OF_REQUEST, "role"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Requests by route",
            "",
            (rate("tightlip_requests_total", OF_REQUEST, "route"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Requests under way",
            "By process.",
            (state("sum", "tightlip_active_streams", JOB, "instance"),),
            stacked=True,
        ),
        Panel(
            "Tokens",
            "prompt: read; generated: written by the model; released: what callers got of that.",
            (rate("tightlip_tokens_total", OF_RELEASE, "direction"),),
        ),
        Panel(
            "Duration of requests",
            "From the request's first byte to the answer's last.",
            quantiles("tightlip_request_duration_seconds", JOB),
            "s",
        ),
    ),
)

ERRORS = Section(
    "Errors by fault",
    (
        Panel(
            "Errors by fault",
            "Whose fault it was; planned ones are of a shutdown or an urgent policy.",
            (rate("tightlip_errors_total", JOB, "fault"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Errors by code",
            "The ten most frequent.",
            (Query(f"topk(10, {rate('tightlip_errors_total', JOB, 'code').expression})", "{{code}}"),),
            "reqps",
        ),
        Panel(
            "Error ratio",
            "The objective is 0.5 %. A page goes out at 7.2 % over an hour and 3 % over six.",
            tuple(
                recorded(f"tightlip:error_ratio:rate{window}", f"{{{{job}}}} {window}")
                for window in ("5m", "30m", "1h", "6h")
            ),
            "percentunit",
        ),
        Panel(
            "Model servers that answer",
            "1 while the last call of that server was answered.",
            (state("min", "tightlip_upstream_up", JOB, "server"),),
            most=1,
        ),
        Panel(
            "Replicas of model servers",
            "Calls under way at each; and how many get nothing: ejected, or something else than their release says.",
            (
                state("sum", "tightlip_replica_outstanding", JOB, "server", "replica"),
                Query(f"count(tightlip_replica_well{{{JOB}}} == 0)", "ejected"),
                state("max", "tightlip_replicas_refused", OF_RELEASE, *RELEASE, legend="refused {{model}}"),
            ),
        ),
        Panel(
            "Failures of model servers",
            "",
            (rate("tightlip_upstream_errors_total", OF_RELEASE, *RELEASE, "kind"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Connections refused",
            "Ended before there was HTTP on them: too many, no handshake, no header of the proxy, too late.",
            (rate("tightlip_connections_refused_total", JOB, "listener", "reason"),),
            "cps",
            stacked=True,
        ),
    ),
)

LATENCY = Section(
    "How soon",
    (
        Panel(
            "Time to first text",
            "From the request's arrival to the first released text.",
            quantiles("tightlip_time_to_first_token_seconds", OF_RELEASE),
            "s",
        ),
        Panel(
            "Gaps",
            "Between two pieces of released text of one answer.",
            quantiles("tightlip_inter_token_gap_seconds", OF_RELEASE),
            "s",
        ),
        Panel(
            "Hold-back",
            "How long text waited until it was decided.",
            quantiles("tightlip_hold_back_seconds", JOB),
            "s",
        ),
        Panel(
            "Overhead",
            "What the gateway adds to an answer: until a model server is asked, and the filters' work.",
            quantiles("tightlip_gateway_overhead_seconds", OF_RELEASE),
            "s",
            width=12,
        ),
        Panel(
            "Filters' CPU time per answer",
            "",
            (
                ratio(
                    "tightlip_filter_cpu_seconds_total",
                    "tightlip_filtered_answers_total",
                    OF_RELEASE,
                    "model",
                    "release",
                ),
            ),
            "s",
            width=12,
        ),
    ),
)

FINDINGS = Section(
    "Findings",
    (
        Panel(
            "Findings by type",
            "Of special categories answers, in steps of five.",
            (rate("tightlip_verdicts_total", OF_RELEASE, "type"),),
            "cps",
            stacked=True,
        ),
        Panel(
            "Findings by verdict",
            "",
            (rate("tightlip_verdicts_total", OF_RELEASE, "verdict"),),
            "cps",
            stacked=True,
        ),
        Panel(
            "Findings per 1,000 answers",
            "Over an hour. Far below its week's median: a filter has gone quiet.",
            (recorded("tightlip:findings_per_1000_answers:rate1h"),),
        ),
        Panel(
            "Answers that could not be judged",
            "Above 5 %: page. Detectors or the base model fail.",
            (recorded("tightlip:failed_closed_ratio:rate10m"),),
            "percentunit",
        ),
        Panel(
            "Excess bits",
            "By how many bits the tuned model was surer than its base, of what the base was asked about.",
            quantiles("tightlip_excess_bits", OF_RELEASE, 0.5, 0.9),
        ),
        Panel(
            "Specificity of harmless text",
            "Bits per token of sampled text with nothing suspect in it, and what the release was calibrated with.",
            (
                *quantiles("tightlip_specificity_bits_per_token", OF_RELEASE, 0.5, 0.95),
                state(
                    "max",
                    "tightlip_specificity_benign_bits_per_token",
                    OF_RELEASE,
                    "model",
                    "release",
                    "quantile",
                    legend="calibrated {{model}} {{release}} {{quantile}}",
                ),
            ),
        ),
    ),
)

BASE = Section(
    "Questions to the base model",
    (
        Panel(
            "Questions by outcome",
            "late, failed and over_limit are answered with what the policy says, and never with release.",
            (rate("tightlip_base_questions_total", OF_RELEASE, "outcome"),),
            "cps",
            stacked=True,
        ),
        Panel(
            "How long the base takes",
            "",
            quantiles("tightlip_base_question_seconds", OF_RELEASE),
            "s",
        ),
        Panel(
            "Questions per answer",
            "",
            (ratio("tightlip_base_questions_total", "tightlip_filtered_answers_total", OF_RELEASE, *RELEASE),),
        ),
        Panel(
            "Tokens that the base reads",
            "By what for.",
            (rate("tightlip_base_prefilled_tokens_total", OF_RELEASE, "purpose"),),
            stacked=True,
        ),
        Panel(
            "Questions to tuned models",
            "Of models that send no log-probabilities with their text.",
            (rate("tightlip_tuned_questions_total", OF_RELEASE, "outcome"),),
            "cps",
            stacked=True,
        ),
        Panel(
            "Bounded mode",
            "Tokens by where they came from.",
            (rate("tightlip_bounded_tokens_total", OF_RELEASE, "source"),),
            stacked=True,
        ),
    ),
)

BUDGETS = Section(
    "Fallbacks and leak budgets",
    (
        Panel(
            "Fallbacks",
            "Of the filtered answers, those that were handed to the base model.",
            (ratio("tightlip_fallbacks_total", "tightlip_filtered_answers_total", OF_RELEASE, *RELEASE),),
            "percentunit",
            width=6,
        ),
        Panel(
            "Leak budget: bits",
            "Excess bits of what was hidden as memorised.",
            (rate("tightlip_leak_budget_bits_total", OF_ROLE, "role"),),
            width=6,
        ),
        Panel(
            "Leak budget: findings",
            "How often somebody pulls.",
            (rate("tightlip_leak_budget_findings_total", OF_ROLE, "role"),),
            "cps",
            width=6,
        ),
        Panel(
            "Leak budgets spent",
            "In the last hour: answers from the base, under the strict profile, or refused.",
            (within_an_hour("tightlip_leak_budget_spent_total", OF_ROLE, "role", "step"),),
            width=6,
        ),
    ),
)

REFUSED = Section(
    "Who is refused",
    (
        Panel(
            "Refused tokens",
            "By reason. The caller hears none of them.",
            (rate("tightlip_auth_failures_total", JOB, "reason"),),
            "reqps",
            width=6,
            stacked=True,
        ),
        Panel(
            "Revocations",
            "Requests refused and streams ended.",
            (rate("tightlip_revocation_refusals_total", JOB, "reason", "what"),),
            "reqps",
            width=6,
            stacked=True,
        ),
        Panel(
            "Limits",
            "By role, limit and of whom; and requests that came while the limits' store did not answer.",
            (
                rate("tightlip_limit_refusals_total", OF_ROLE, "role", "limit", "scope"),
                rate("tightlip_limits_unavailable_total", JOB, legend="store away"),
            ),
            "reqps",
            width=6,
            stacked=True,
        ),
        Panel(
            "Not decrypted",
            "Encrypted requests that were refused, by reason.",
            (rate("tightlip_requests_not_decrypted_total", JOB, "reason"),),
            "reqps",
            width=6,
            stacked=True,
        ),
    ),
)

RELEASES = Section(
    "Releases",
    (
        Panel(
            "Share",
            "The part of a model's callers that a release serves, by each process.",
            (state("max", "tightlip_release_share", OF_RELEASE, *RELEASE),),
            "percentunit",
            width=6,
            most=1,
        ),
        Panel(
            "Requests by release",
            "",
            (rate("tightlip_requests_total", OF_REQUEST, *RELEASE),),
            "reqps",
            width=6,
            stacked=True,
        ),
        Panel(
            "What its release says",
            "1 while the servers are what the release says; the worst process counts.",
            (state("min", "tightlip_release_ok", OF_RELEASE, *RELEASE),),
            width=6,
            most=1,
        ),
        Panel(
            "Withdrawn",
            "1 while a release is withdrawn; and choices that name a release which a gateway does not have.",
            (
                state("max", "tightlip_release_withdrawn", OF_RELEASE, *RELEASE),
                state("max", "tightlip_release_choices_unknown", JOB, legend="unknown choices"),
            ),
            width=6,
        ),
    ),
)

IN_FORCE = Section(
    "Policy, keys and files",
    (
        Panel(
            "Policies in force",
            "Processes by policy. Two versions for longer than a rollout: a gateway does not take the new one.",
            (Query(f"count by (policy) (tightlip_info{{{JOB}}})", "{{policy}}"),),
            stacked=True,
        ),
        Panel(
            "Refused on disk",
            "1 while a file can't be used and the one before it is in force.",
            (
                state("max", "tightlip_policy_refused", JOB, legend="policy"),
                state("max", "tightlip_deny_list_refused", OF_RELEASE, *RELEASE, legend="deny list {{model}}"),
                state("max", "tightlip_certificate_refused", JOB, "listener", legend="certificate {{listener}}"),
                state("max", "tightlip_encryption_keys_refused", JOB, legend="keys for encryption"),
            ),
            most=1,
        ),
        Panel(
            "Age of the policy",
            "Since it was read.",
            (age("tightlip_policy_loaded_timestamp_seconds", "instance"),),
            "s",
        ),
        Panel(
            "Certificates end in",
            "Under 14 days: ticket.",
            (
                Query(
                    f"min by (listener) (tightlip_certificate_expiry_timestamp_seconds{{{JOB}}}) - time()",
                    "{{listener}}",
                ),
                Query(
                    f"min by (server) (tightlip_client_certificate_expiry_timestamp_seconds{{{JOB}}}) - time()",
                    "shown to {{server}}",
                ),
            ),
            "s",
            width=6,
        ),
        Panel(
            "Age of issuers' keys",
            "Over half an hour: ticket.",
            (age("tightlip_issuer_keys_timestamp_seconds", "issuer"),),
            "s",
            width=6,
        ),
        Panel(
            "Age of revocations",
            "From the grace on nobody is served.",
            (
                state("max", "tightlip_revocations_age_seconds", JOB, "instance"),
                state("min", "tightlip_revocations_grace_seconds", JOB, legend="grace"),
            ),
            "s",
            width=6,
        ),
        Panel(
            "Weaker profiles end in",
            "A profile that is weaker than strict has an end.",
            (
                Query(
                    f"min by (profile) (tightlip_weaker_profile_expiry_timestamp_seconds{{{JOB}}}) - time()",
                    "{{profile}}",
                ),
            ),
            "s",
            width=6,
        ),
        Panel(
            "Revocations and denied values",
            "How many are in force.",
            (
                state("max", "tightlip_revocations", JOB, legend="revocations"),
                state("max", "tightlip_deny_list_entries", OF_RELEASE, *RELEASE, legend="denied {{model}}"),
            ),
        ),
        Panel(
            "Files, pages and secrets that failed",
            "In the last hour.",
            (
                within_an_hour("tightlip_issuer_key_failures_total", JOB, "issuer"),
                within_an_hour("tightlip_vault_failures_total", JOB, "reason"),
                within_an_hour("tightlip_policy_reload_failures_total", JOB, legend="policy"),
                within_an_hour("tightlip_deny_list_reload_failures_total", JOB, legend="deny list"),
                within_an_hour("tightlip_certificate_reload_failures_total", JOB, legend="certificate"),
                within_an_hour("tightlip_encryption_key_reload_failures_total", JOB, legend="encryption"),
            ),
        ),
        Panel(
            "Vault, and open links",
            "vault: 1 while it answers. Off loopback without TLS: model servers, others; answering without a key.",
            (
                state("min", "tightlip_vault_ok", JOB, legend="vault"),
                state("max", "tightlip_plaintext_upstreams", JOB, legend="plain"),
                state("max", "tightlip_plaintext_links", JOB, "to", legend="plain {{to}}"),
                state("max", "tightlip_keyless_upstreams", JOB, legend="without key"),
            ),
        ),
    ),
)

AUDIT = Section(
    "Administration, logs and the leak probe",
    (
        Panel(
            "Administration",
            "Calls in the last hour, by action and what became of them; each is in the audit log too.",
            (within_an_hour("tightlip_administration_calls_total", JOB, "action", "result"),),
        ),
        Panel(
            "Records that were not written, and traces",
            "In the last hour: of requests; last uses that the store did not take; spans, deliveries that failed.",
            (
                within_an_hour("tightlip_log_failures_total", JOB, legend="records"),
                within_an_hour("tightlip_last_use_failures_total", JOB, legend="last uses"),
                within_an_hour("tightlip_trace_spans_total", JOB, "outcome", legend="spans {{outcome}}"),
                within_an_hour("tightlip_trace_delivery_failures_total", JOB, legend="deliveries of traces"),
            ),
        ),
        Panel(
            "Leak probe",
            "Of the last round: what leaked, what was not compared with the base, what brought no answer.",
            (
                Query("max by (language) (tightlip_probe_leaked)", "leaked {{language}}"),
                Query("max by (language) (tightlip_probe_uncompared)", "not compared {{language}}"),
                Query("max by (language) (tightlip_probe_unanswered)", "no answer {{language}}"),
            ),
        ),
    ),
)

SECTIONS = (GLANCE, TRAFFIC, ERRORS, LATENCY, FINDINGS, BASE, BUDGETS, REFUSED, RELEASES, IN_FORCE, AUDIT)

VARIABLES = (
    Variable("job", "Job", "label_values(tightlip_ready, job)"),
    Variable("model", "Model", f"label_values(tightlip_release_share{{{JOB}}}, model)"),
    Variable("release", "Release", f'label_values(tightlip_release_share{{{JOB},model=~"$model"}}, release)'),
    Variable("role", "Role", f"label_values(tightlip_requests_total{{{JOB}}}, role)"),
)
FIRING = 'ALERTS{alertname=~"Tightlip.*",alertstate="firing"}'


# ---- as Grafana writes it --------------------------------------------------------------------------------------------


def main() -> None:
    """Write the dashboard beside this script."""
    path = Path(__file__).with_name("tightlip.json")
    path.write_text(text(), encoding="utf-8")
    print(f"wrote {path.name}")


def text() -> str:
    """The file, whole."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


def dashboard() -> dict[str, Any]:
    """The dashboard's JSON model."""
    return {
        "uid": "tightlip",
        "title": "Tightlip",
        "description": "Traffic, findings and what is in force, over all gateway processes of a job.",
        "tags": ["tightlip"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one crosshair for all panels
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_alerts()]},
        "templating": {"list": [_datasource(), *map(_variable, VARIABLES)]},
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    """Sections from top to bottom; in each, panels from left to right, and on when a line is full."""
    number, top = 1, 0
    for section in SECTIONS:
        yield {
            "id": number,
            "type": "row",
            "title": section.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        number, top, left, height = number + 1, top + 1, 0, 0
        for panel in section.panels:
            if left + panel.width > COLUMNS:
                top, left, height = top + height, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            number, left, height = number + 1, left + panel.width, max(height, panel.height)
        top += height


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": PROMETHEUS,
        "targets": [_target(chr(ord("A") + at), query) for at, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _stat_options() if panel.kind == "stat" else _graph_options(),
    }


def _target(letter: str, query: Query) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "expr": query.expression,
        "legendFormat": query.legend,
        "range": True,
    }


def _field(panel: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {"unit": panel.unit, "color": {"mode": "palette-classic"}}
    if panel.kind == "stat":
        steps = panel.steps or ((0, "blue"),)
        colours = [{"color": colour, "value": None if at == 0 else at} for at, colour in steps]
        return field | {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": colours}}
    drawn = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if panel.stacked else 5, "showPoints": "never"}
    stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
    bounds = {} if panel.most is None else {"max": panel.most}
    signed = {} if _can_be_negative(panel) else {"min": 0}
    return field | signed | bounds | {"custom": drawn | {"stacking": stacking}}


def _can_be_negative(panel: Panel) -> bool:
    """What has ended did so some seconds ago."""
    return any(query.expression.endswith(_TO_GO) for query in panel.queries)


def _graph_options() -> dict[str, Any]:
    return {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _stat_options() -> dict[str, Any]:
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
        "orientation": "auto",
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": PROMETHEUS,
        "definition": variable.series,
        "query": {"query": variable.series, "refId": variable.name},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",  # with those of whom neither model nor role was known yet
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "enable": True,
        "iconColor": "red",
        "datasource": PROMETHEUS,
        "expr": FIRING,
        "titleFormat": "{{alertname}}",
        "tagKeys": "severity",
    }


if __name__ == "__main__":
    main()
