"""Values that contradict each other are refused, with a sentence that says which."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.chart import CHART, COMBINATIONS, helm, needs_helm, refusal

pytestmark = needs_helm

PEER = [{"podSelector": {}}]
NO_STATE: dict[str, Any] = {"settings": {"state": None}}
PLAIN = {"tuned": {"url": "http://vllm.models.svc:8000"}}
ELSEWHERE = {"tuned": {"url": "https://models.example:8000"}}
VAULT = {
    "url": "https://10.1.0.5:8200",
    "kubernetes": {"role": "tightlip", "token_file": "/var/run/secrets/tightlip/vault"},
}
ADMINISTRATION = {"administration": {"issuers": []}}
PROBE = {"enabled": True, "model": "assistant", "recordsSecret": "planted", "tokenSecret": "token"}
CHART_VLLM = {
    "enabled": True,
    "modelsClaim": "models",
    "servers": {"main": {"model": "/models/base", "servedName": "base"}},
}


def models(**of: Any) -> dict[str, Any]:
    return {"settings": {"models": {"assistant": of}}}


CASES: list[tuple[str, str, dict[str, Any], str]] = [
    # What there is to serve, and for whom.
    ("default", "no model", {"settings": {"models": None}}, "settings.models: name at least one model"),
    ("default", "no policy", {"policy": {"document": None}}, "policy.document: say who may do what"),
    ("default", "two policies", {"policy": {"existingConfigMap": "mine"}}, "either document or existingConfigMap"),
    ("default", "a policy that is no YAML", {"policy": {"document": "roles: ["}}, "policy.document: is no YAML"),
    ("default", "nobody may call", {"networkPolicy": {"publicFrom": []}}, "networkPolicy.publicFrom: say who may call"),
    # The state.
    ("sqlite", "SQLite and replicas", {"replicaCount": 2}, "sqlite.enabled: the file is one pod's"),
    ("sqlite", "SQLite and an autoscaler", {"autoscaling": {"enabled": True}}, "sqlite.enabled: the file is one pod's"),
    ("default", "replicas that share nothing", NO_STATE, "several replicas need a Redis"),
    ("sqlite", "two places", {"redis": {"enabled": True}}, "the state has one place"),
    ("vllm-redis", "two Redis", {"settings": {"state": {"url": "rediss://10.0.0.1"}}}, "the state has one place"),
    ("bare", "a file without a volume", {"settings": {"state": {"file": "s.db"}}}, "settings.state.file: say sqlite"),
    # How many, and how they end.
    (
        "default",
        "a budget for one",
        {"autoscaling": {"enabled": False}, "replicaCount": 1},
        "podDisruptionBudget.enabled: with one",
    ),
    (
        "default",
        "a budget for the least",
        {"autoscaling": {"minReplicas": 1}},
        "podDisruptionBudget.enabled: with one replica",
    ),
    ("default", "a budget of all", {"podDisruptionBudget": {"maxUnavailable": 2}}, "maxUnavailable: 2 of 2 replicas"),
    ("default", "a part that is all", {"podDisruptionBudget": {"maxUnavailable": "51%"}}, "51% of 2 replicas"),
    ("default", "a part that is none", {"podDisruptionBudget": {"maxUnavailable": "0%"}}, "does not match pattern"),
    ("default", "least above most", {"autoscaling": {"minReplicas": 11}}, "minReplicas is above maxReplicas"),
    ("default", "percent of nothing", {"resources": {"requests": {"cpu": None}}}, "Set resources.requests.cpu"),
    ("default", "KEDA without Prometheus", {"autoscaling": {"metric": "keda"}}, "keda needs autoscaling.prometheusUrl"),
    (
        "default",
        "a drain that is too slow",
        {"settings": {"drain_seconds": 1800}},
        "can't scale down as slowly as that",
    ),
    ("default", "killed while draining", {"terminationGracePeriodSeconds": 37}, "37 would kill pods"),
    (
        "default",
        "killed while draining after it said that it is not ready",
        {"terminationGracePeriodSeconds": 52, "settings": {"unready_seconds": 15}},
        "52 would kill pods",
    ),
    (
        "everything",
        "killed while delivering the last traces",
        {"terminationGracePeriodSeconds": 60, "settings": {"traces": {"last_seconds": 30}}},
        "the last words 30",
    ),
    # The network.
    ("default", "answers in the plain", models(**PLAIN), "http://vllm.models.svc:8000: answers hold private data"),
    ("default", "a host without networks", models(**ELSEWHERE), "models.example is outside the cluster"),
    (
        "default",
        "an issuer without networks",
        {"networkPolicy": {"hosts": {"idp.example": None}}},
        "idp.example is outside",
    ),
    (
        "default",
        "the API server",
        {"networkPolicy": {"alsoTo": ["https://kubernetes.default.svc"]}},
        "is the API server",
    ),
    (
        "default",
        "no port",
        {"networkPolicy": {"alsoTo": ["grpc://otel.traces.svc"]}},
        "the port of otel.traces.svc must be said",
    ),
    (
        "default",
        "a password that the config map would show",
        {"settings": {"state": {"url": "rediss://gateway:canary@redis.data.svc"}}},
        "an address at redis.data.svc holds a user name or a password",
    ),
    (
        "bare",
        "a password that the pod would show",
        {"probe": {"pushgateway": "http://probe:canary@pushgateway.monitoring.svc"}},
        "an address at pushgateway.monitoring.svc holds a user name or a password",
    ),
    (
        "bare",
        "a Pushgateway where there is none",
        {"probe": {"pushgateway": "http://localhost:9091"}},
        "probe.pushgateway: a CronJob's pod has no other container",
    ),
    ("default", "metrics for nobody", {"networkPolicy": {"prometheusFrom": []}}, "networkPolicy.prometheusFrom"),
    (
        "default",
        "administration in the plain",
        {"policy": {"document": ADMINISTRATION}, "settings": {"audit": {"stdout": True, "key_file": "env:K"}}},
        "'administration' needs tls.management",
    ),
    (
        "default",
        "administration without a record",
        {"policy": {"document": ADMINISTRATION}},
        "'administration' needs settings.audit",
    ),
    ("default", "an ingress for no host", {"ingress": {"enabled": True}}, "ingress.hosts: name at least one"),
    ("default", "a route of no gateway", {"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the gateway"),
    ("vllm-redis", "a plain route to TLS", {"tls": {"public": {"existingSecret": "s"}}}, "the route needs backendCA"),
    (
        "vllm-redis",
        "a TLS route to none",
        {"httpRoute": {"backendCA": "ca"}},
        "httpRoute.backendCA: goes with tls.public",
    ),
    # Files.
    (
        "default",
        "a secret that is not mounted",
        {"files": {"keys": None}},
        "/etc/tightlip/files/keys is named by the settings or",
    ),
    (
        "default",
        "a release that is not",
        {"artifacts": {"release": None}},
        "/srv/tightlip/release is named by the settings or",
    ),
    (
        "default",
        "records without a volume",
        {"settings": {"log": {"directory": "/var/log/tightlip/r"}}},
        "Set logs.volume",
    ),
    ("sqlite", "records elsewhere", {"settings": {"log": {"directory": "/records"}}}, "/records can't be written"),
    (
        "everything",
        "one audit log for all",
        {"settings": {"audit": {"stdout": None, "directory": "/var/log/tightlip/a"}}},
        "each replica needs one of its own",
    ),
    (
        "default",
        "a volume without a name",
        {"logs": {"volume": "claim"}},
        "logs.volume: claim needs logs.existingClaim",
    ),
    ("default", "a token that is not mounted", {"settings": {"vault": VAULT}}, "must be one of serviceAccount.tokens"),
    # Parts.
    (
        "vllm-redis",
        "Redis without a secret",
        {"redis": {"existingSecret": ""}},
        "redis.existingSecret: name the secret",
    ),
    (
        "vllm-redis",
        "Redis in the plain",
        {"redis": {"tls": {"existingSecret": ""}}},
        "redis.tls.existingSecret: name it",
    ),
    ("default", "no vLLM server", {"vllm": {"enabled": True}}, "vllm.servers: name at least one"),
    ("default", "vLLM without models", {"vllm": CHART_VLLM | {"modelsClaim": ""}}, "vllm.modelsClaim: name the volume"),
    ("default", "a probe for nothing", {"probe": PROBE | {"model": ""}}, "probe: needs a model and a recordsSecret"),
    (
        "default",
        "a probe with two tokens",
        {"probe": PROBE | {"tokenAudience": "a"}},
        "either a tokenSecret or a tokenAudience",
    ),
    (
        "everything",
        "a probe without a certificate",
        {"tls": {"public": {"clientCertificates": "required"}}},
        "probe: has no certificate to show",
    ),
    (
        "everything",
        "a push of what is scraped",
        {"probe": {"pushgateway": "http://pushgateway.monitoring.svc:9091"}},
        "probe.pushgateway: is for a CronJob",
    ),
    # Types, by the schema.
    ("default", "a mistyped value", {"replicas": 3}, "additional properties 'replicas' not allowed"),
    (
        "default",
        "a mistyped setting",
        {"settings": {"modles": {}}},
        "at '/settings': additional properties 'modles' not allowed",
    ),
    (
        "default",
        "what the chart says itself",
        {"settings": {"public": {"port": 1}}},
        "at '/settings': additional properties 'public'",
    ),
    (
        "default",
        "a mistyped part of a policy",
        {"policy": {"document": {"role": {}}}},
        "additional properties 'role' not allowed",
    ),
    (
        "default",
        "off, which YAML reads as no",
        {"policy": {"document": {"roles": {"a": {"profile": False}}}}},
        "got boolean, want string",
    ),
    (
        "default",
        "a setting as a variable",
        {"extraEnv": [{"name": "TIGHTLIP_LIMITS__BODY_BYTES", "value": "1"}]},
        "'not' failed",
    ),
    (
        "default",
        "a setting as a variable in small letters",
        {"extraEnv": [{"name": "tightlip_state__file", "value": "/tmp/state.db"}]},
        "'not' failed",
    ),
    (
        "default",
        "labels of another's pods",
        {"podLabels": {"app.kubernetes.io/component": "redis"}},
        "invalid propertyName",
    ),
    (
        "default",
        "pods that settings don't restart",
        {"podAnnotations": {"checksum/settings": "0"}},
        "invalid propertyName",
    ),
    *(
        (
            "vllm-redis",
            f"vLLM with {argument}",
            {"vllm": {"servers": {"main": {"extraArgs": [argument]}}}},
            "extraArgs/0",
        )
        for argument in ("--enable-log-requests", "--enable_log_outputs", "--api-key=canary")
    ),
    ("default", "two sources of a file", {"files": {"keys": {"configMap": "a"}}}, "at '/files/keys': 'oneOf' failed"),
    (
        "default",
        "an adapter of unknown layers",
        {"vllm": {"servers": {"main": {"model": "/m", "servedName": "b", "adapters": {"t": "/a"}}}}},
        "targetModules",
    ),
    ("default", "a tag for a digest", {"image": {"digest": "latest"}}, "at '/image/digest'"),
]


@pytest.mark.parametrize(
    ("combination", "values", "why"),
    [pytest.param(combination, values, why, id=name.replace(" ", "-")) for combination, name, values, why in CASES],
)
def test_it_is_refused_with_the_reason(combination: str, values: dict[str, Any], why: str) -> None:
    assert why in refusal(combination, values)


@pytest.mark.parametrize("release", ["1shop", "shop.eu"])
def test_a_release_after_which_no_service_can_be_called_is_refused(release: str) -> None:
    done = helm("template", release, CHART, f"--values={COMBINATIONS['default']}")
    assert f'fullnameOverride: "{release}-tightlip"' in done.stderr


def test_a_refusal_shows_no_password() -> None:
    assert "canary" not in refusal(
        "default", {"settings": {"state": {"url": "rediss://gateway:canary@redis.data.svc"}}}
    )
