"""What the chart makes of its values, as sentences over what Helm renders."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart import (
    CHART,
    COMBINATIONS,
    NAMESPACE,
    RELEASE,
    Object,
    containers,
    gateway,
    helm,
    needs_helm,
    objects,
    of_kind,
    one,
    pods,
    rendered,
    rendered_with,
    settings_text,
    template,
)
from tests.support.prometheus import RULES

pytestmark = needs_helm

CHECKSUM = "checksum/settings"


def pod(combination: str, name: str = "tightlip") -> Object:
    return pods(rendered(combination))[name]


def volumes(found: Object) -> dict[str, Object]:
    return {volume["name"]: volume for volume in found["spec"]["volumes"]}


# ---- what restarts ---------------------------------------------------------------------------------------------------


def changed(**values: Any) -> Object:
    return pods(rendered_with("default", **values))["tightlip"]


def test_another_policy_restarts_nothing() -> None:
    document = {"version": 1, "roles": {"customer": {"max_output_tokens": 64}}, "profiles": {"strict": {"k": 10}}}
    assert changed(policy={"document": document}) == pod("default")


def test_nor_does_what_is_not_the_pods() -> None:
    others = {
        "autoscaling": {"maxReplicas": 4},
        "service": {"public": {"port": 80}},
        "podDisruptionBudget": {"maxUnavailable": "25%"},
    }
    assert changed(**others) == pod("default")


@pytest.mark.parametrize(
    "text",
    [
        "version: 1",
        "version: 1\n\n\n",
        "version: 1\r\nroles: {}\r\n",
        "  # a head that is indented\nversion: 1\n",
        "# 策略 {{ .Values }}\nversion: 1 \t\n",
    ],
    ids=["no-end", "many-ends", "of-windows", "indented", "strange"],
)
def test_the_file_of_a_policy_arrives_byte_by_byte(text: str) -> None:
    found = one(rendered_with("default", policy={"document": text}), "ConfigMap", "tightlip-policy")
    assert found["data"] == {"policy.yaml": text}


def test_other_settings_and_another_image_do() -> None:
    before = pod("default")["metadata"]["annotations"][CHECKSUM]
    assert changed(settings={"limits": {"answer_seconds": 60}})["metadata"]["annotations"][CHECKSUM] != before
    assert changed(settings={"drain_seconds": 30})["metadata"]["annotations"][CHECKSUM] != before
    assert changed(image={"tag": "0.2.0"})["spec"]["containers"][0]["image"] == "tightlip:0.2.0"


def test_the_checksum_is_of_the_settings_alone() -> None:
    text = settings_text(rendered("default")).removesuffix("\n")
    assert pod("default")["metadata"]["annotations"] == {CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


# ---- how it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("combination", "name"), [("default", "tightlip"), ("sqlite", "tightlip"), ("everything", "gateway")]
)
def test_a_pod_is_given_longer_than_its_answers(combination: str, name: str) -> None:
    found = pods(rendered(combination))[name]
    waits = found["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drains = yaml.safe_load(settings_text(rendered(combination), name)).get("drain_seconds", 30)
    assert found["spec"]["terminationGracePeriodSeconds"] > waits + drains + 2


def test_and_than_the_delivery_of_its_last_traces() -> None:
    traces = {"endpoint": "https://otel.observability.svc:4318", "last_seconds": 60.5}
    found = pods(rendered_with("default", settings={"traces": traces}))["tightlip"]
    assert found["spec"]["terminationGracePeriodSeconds"] > 5 + 30 + 61


@pytest.mark.parametrize("drain", [1, 30, 600])
def test_scaling_down_waits_for_the_drain(drain: int) -> None:
    found = rendered_with("default", settings={"drain_seconds": drain})
    down = one(found, "HorizontalPodAutoscaler", "tightlip")["spec"]["behavior"]["scaleDown"]
    assert [policy["value"] for policy in down["policies"]] == [1]
    assert down["policies"][0]["periodSeconds"] >= drain + 5
    assert down["stabilizationWindowSeconds"] >= drain + 5


# ---- how many --------------------------------------------------------------------------------------------------------


def test_the_autoscaler_alone_says_how_many() -> None:
    assert "replicas" not in one(rendered("default"), "Deployment", "tightlip")["spec"]
    scaler = one(rendered("default"), "HorizontalPodAutoscaler", "tightlip")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 10)
    assert [metric["resource"]["name"] for metric in scaler["metrics"]] == ["cpu"]


def test_running_answers_count_where_they_are_asked_for() -> None:
    metrics = one(rendered("vllm-redis"), "HorizontalPodAutoscaler", "tightlip")["spec"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["Resource", "Pods"]
    assert metrics[1]["pods"]["metric"]["name"] == "tightlip_active_streams"
    assert metrics[1]["pods"]["target"] == {"type": "AverageValue", "averageValue": "150"}


def test_keda_scales_in_its_place() -> None:
    keda = {"metric": "keda", "prometheusUrl": "http://prometheus.monitoring.svc:9090"}
    found = rendered_with("default", autoscaling=keda)
    assert not of_kind(found, "HorizontalPodAutoscaler")
    scaled = one(found, "ScaledObject", "tightlip")["spec"]
    cpu, streams = scaled["triggers"]
    assert (cpu["type"], cpu["metadata"]) == ("cpu", {"value": "70"})
    assert (
        streams["metadata"]["query"] == 'sum(tightlip_active_streams{namespace="shop", service="tightlip-management"})'
    )
    plain = one(rendered("default"), "HorizontalPodAutoscaler", "tightlip")["spec"]["behavior"]
    assert scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == plain


def test_one_pod_may_be_away() -> None:
    budget = one(rendered("default"), "PodDisruptionBudget", "tightlip")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    rolling = one(rendered("default"), "Deployment", "tightlip")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


def test_pods_are_spread_over_nodes_and_zones() -> None:
    found = pod("default")
    keys = [spread["topologyKey"] for spread in found["spec"]["topologySpreadConstraints"]]
    assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    for spread in found["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= found["metadata"]["labels"].items()
    assert "topologySpreadConstraints" not in pod("bare")["spec"]


# ---- the state -------------------------------------------------------------------------------------------------------


def test_the_file_of_sqlite_outlives_the_release_and_belongs_to_one_pod() -> None:
    found = rendered("sqlite")
    claim = one(found, "PersistentVolumeClaim", "tightlip-state")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    assert (claim["spec"]["accessModes"], claim["spec"]["storageClassName"]) == (["ReadWriteOnce"], "local")
    deployment = one(found, "Deployment", "tightlip")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    state = yaml.safe_load(settings_text(found))["state"]
    assert state == {"file": "/var/lib/tightlip/tightlip.db", "grace_seconds": 60}
    # Kubernetes would otherwise let the group read the file at each start, and the gateway refuses such a one.
    assert deployment["template"]["spec"]["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_a_claim_of_ones_own_is_used_as_it_is() -> None:
    found = rendered_with("sqlite", sqlite={"existingClaim": "mine"})
    assert not of_kind(found, "PersistentVolumeClaim")
    assert volumes(pods(found)["tightlip"])["state"]["persistentVolumeClaim"] == {"claimName": "mine"}


def test_the_charts_redis_keeps_what_it_acknowledged() -> None:
    found = rendered("vllm-redis")
    lines = one(found, "ConfigMap", "tightlip-redis")["data"]["redis.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "port 0"} <= set(lines)
    redis = one(found, "StatefulSet", "tightlip-redis")["spec"]
    assert redis["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    state = yaml.safe_load(settings_text(found))["state"]
    assert state == {
        "url": "rediss://tightlip-redis:6379/0",
        "user": "gateway",
        "password_file": "/etc/tightlip/redis/password",
        "ca_file": "/etc/tightlip/redis-ca/ca.crt",
    }
    # Of its secret the gateway sees the password alone.
    assert volumes(pods(found)["tightlip"])["redis"]["secret"]["items"] == [{"key": "password", "path": "password"}]


def test_without_tls_the_gateway_is_told_so() -> None:
    found = rendered_with("vllm-redis", redis={"tls": {"existingSecret": ""}, "allowPlaintext": True})
    state = yaml.safe_load(settings_text(found))["state"]
    assert (state["url"], state["allow_plaintext"]) == ("redis://tightlip-redis:6379/0", True)
    assert "port 0" not in one(found, "ConfigMap", "tightlip-redis")["data"]["redis.conf"]


# ---- images ----------------------------------------------------------------------------------------------------------


def test_a_digest_counts_before_a_tag_and_a_mirror_before_a_registry() -> None:
    digest = f"sha256:{'0' * 64}"
    image = {"registry": "registry.example", "repository": "team/tightlip", "tag": "1", "digest": digest}

    def used(**values: Any) -> str:
        return str(gateway(rendered_with("default", **values))["image"])

    assert used() == "tightlip:0.1.0"
    assert used(image=image) == f"registry.example/team/tightlip@{digest}"
    assert used(image=image | {"digest": ""}) == "registry.example/team/tightlip:1"
    assert used(image=image, **{"global": {"imageRegistry": "m.internal"}}) == f"m.internal/team/tightlip@{digest}"


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_release_comes_from_a_volume_an_image_or_a_container_of_ones_own() -> None:
    assert volumes(pod("default"))["artifact-release"]["persistentVolumeClaim"] == {
        "claimName": "tightlip-release",
        "readOnly": True,
    }
    assert volumes(pod("vllm-redis"))["artifact-release"]["image"] == {
        "reference": "registry.example/team/release:blue",
        "pullPolicy": "IfNotPresent",
    }
    assert volumes(pod("sqlite"))["artifact-release"] == {"name": "artifact-release", "emptyDir": {}}
    brings = containers(pod("sqlite"))[0]
    assert (brings["name"], brings["command"]) == (
        "bring-release",
        ["/bin/cp", "-r", "/release/.", "/srv/tightlip/release"],
    )
    assert {"name": "artifact-release", "mountPath": "/srv/tightlip/release"} in brings["volumeMounts"]


def test_what_was_brought_is_verified_before_the_gateway_starts() -> None:
    for combination, name in (("sqlite", "tightlip"), ("default", "tightlip"), ("everything", "gateway")):
        *_, verifies, serves = containers(pods(rendered(combination))[name])
        assert verifies["name"] == "verify"
        assert verifies["command"] == ["tightlip", "release", "verify", "--config", serves["command"][-1]]
        assert verifies["image"] == serves["image"]
        assert verifies["volumeMounts"] == serves["volumeMounts"]
    assert [each["name"] for each in containers(pod("bare"))] == ["gateway"]


def test_a_folder_of_digits_is_a_name() -> None:
    claim = {"persistentVolumeClaim": {"claimName": "releases", "subPath": "20261101"}}
    mounts = gateway(rendered_with("default", artifacts={"release": claim}))["volumeMounts"]
    assert [each["subPath"] for each in mounts if each["name"] == "artifact-release"] == ["20261101"]


def test_the_gateway_can_write_nothing_of_a_release() -> None:
    for combination, name in (("sqlite", "tightlip"), ("everything", "gateway")):
        for mount in gateway(rendered(combination), name)["volumeMounts"]:
            is_own = mount["mountPath"] in ("/tmp", "/var/lib/tightlip", "/var/log/tightlip")
            assert mount.get("readOnly", False) is not is_own


def test_tokens_are_projected_and_nothing_else_of_the_account_is() -> None:
    sources = volumes(pods(rendered("everything"))["gateway"])["tokens"]["projected"]["sources"]
    tokens = [source["serviceAccountToken"] for source in sources if "serviceAccountToken" in source]
    assert [(token["path"], token.get("audience")) for token in tokens] == [("vault", "vault"), ("jwks", None)]
    assert {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]} in [
        source.get("configMap") for source in sources
    ]
    assert "tokens" not in volumes(pod("default"))


def test_a_listener_with_tls_is_as_its_values_say() -> None:
    tls = {"public": {"minVersion": "1.3"}, "management": {"clientCertificates": "optional"}}
    found = yaml.safe_load(settings_text(rendered_with("everything", tls=tls), "gateway"))
    assert found["public"]["tls"] == {
        "certificate": "/etc/tightlip/tls/public/tls.crt",
        "key": "/etc/tightlip/tls/public/tls.key",
        "client_ca": "/etc/tightlip/tls/public/ca.crt",
        "client_certificates": "optional",
        "min_version": "1.3",
    }
    assert found["management"]["tls"]["client_certificates"] == "optional"
    assert found["management"]["tls"]["min_version"] == "1.2"
    assert "tls" not in yaml.safe_load(settings_text(rendered("default")))["public"]


# ---- the network -----------------------------------------------------------------------------------------------------


def policy(combination: str, name: str = "tightlip") -> Object:
    spec: Object = one(rendered(combination), "NetworkPolicy", name)["spec"]
    return spec


def component(name: str) -> Object:
    labels = {"app.kubernetes.io/name": "tightlip", "app.kubernetes.io/instance": "tightlip"}
    return {"podSelector": {"matchLabels": labels | {"app.kubernetes.io/component": name}}}


def namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def block(cidr: str) -> Object:
    return {"ipBlock": {"cidr": cidr}}


def ways_out(combination: str, name: str = "tightlip") -> list[tuple[list[Object], list[int]]]:
    """To whom, at which TCP ports; without DNS, which comes first."""
    dns, *others = policy(combination, name)["egress"]
    assert dns["ports"] == [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    assert dns["to"][0]["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
    assert all(port["protocol"] == "TCP" for rule in others for port in rule["ports"])
    return [(rule["to"], [port["port"] for port in rule["ports"]]) for rule in others]


def test_every_pod_is_denied_everything_first() -> None:
    for combination, name in (("vllm-redis", "tightlip"), ("everything", "gateway")):
        denied = policy(combination, f"{name}-deny")
        assert denied["policyTypes"] == ["Ingress", "Egress"]
        assert not denied.keys() & {"ingress", "egress"}
        for each in pods(rendered(combination)).values():
            assert denied["podSelector"]["matchLabels"].items() <= each["metadata"]["labels"].items()


def test_no_rule_is_for_everybody() -> None:
    for combination in COMBINATIONS:
        for found in of_kind(rendered(combination), "NetworkPolicy"):
            rules = [*found["spec"].get("ingress", []), *found["spec"].get("egress", [])]
            for rule in rules:
                assert rule["ports"]
                assert rule.get("from", rule.get("to"))


def test_callers_come_from_the_ingress_metrics_go_to_prometheus_and_administrators_are_named() -> None:
    public, management = policy("default")["ingress"]
    assert (public["from"], public["ports"]) == ([namespace("ingress-nginx")], [{"protocol": "TCP", "port": "public"}])
    prometheus = namespace("monitoring") | {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
    assert (management["from"], management["ports"]) == ([prometheus], [{"protocol": "TCP", "port": "management"}])
    security = {"podSelector": {"matchLabels": {"team": "security"}}}
    assert policy("sqlite")["ingress"][1]["from"] == [prometheus, security]


def test_the_gateway_calls_whom_its_settings_and_its_policy_name_and_nobody_else() -> None:
    assert ways_out("default") == [
        ([namespace("models")], [8000]),
        ([namespace("data")], [6379]),
        ([block("192.0.2.10/32")], [443]),
    ]
    assert ways_out("sqlite") == [([block("2001:db8::7/128")], [8443]), ([block("10.20.0.5/32")], [8000])]
    assert ways_out("vllm-redis") == [
        ([component("vllm")], [8000]),
        ([component("redis")], [6379]),
        ([block("192.0.2.10/32"), block("2001:db8::10/128")], [443]),
    ]


def test_so_it_does_vault_the_api_server_sentinels_a_collector_and_a_second_release() -> None:
    green = namespace("models") | {"podSelector": {"matchLabels": {"app": "vllm-green"}}}
    found = ways_out("everything", "gateway")
    assert sorted(found, key=str) == sorted(
        [
            ([component("vllm")], [8000]),
            ([green], [8000]),
            ([namespace("data")], [26379]),
            ([namespace("data")], [6379]),
            ([block("10.1.0.0/24")], [8200]),
            ([namespace("observability")], [4318]),
            ([block("10.2.0.1/32")], [6443]),
            ([block("192.0.2.10/32")], [443]),
        ],
        key=str,
    )


def test_an_address_is_let_out_to_where_it_is() -> None:
    where: dict[str, tuple[Object, int] | None] = {
        "https://vllm": (namespace("shop"), 443),
        "http://vllm.models.svc": (namespace("models"), 80),
        "http://redis-0.redis.data.svc.cluster.local:81": (namespace("data"), 81),
        "rediss://192.0.2.7/0": (block("192.0.2.7/32"), 6379),
        "https://[2001:db8::9]:8443/v1": (block("2001:db8::9/128"), 8443),
        "https://[2001:db8::a]": (block("2001:db8::a/128"), 443),
        "http://localhost:9": None,
        "http://127.0.0.1:9": None,
        "http://[::1]:9": None,
    }
    found = one(rendered_with("sqlite", networkPolicy={"alsoTo": list(where)}), "NetworkPolicy", "tightlip")
    rules = [(rule["to"], rule["ports"][0]["port"]) for rule in found["spec"]["egress"][3:]]
    assert rules == [([each[0]], each[1]) for each in where.values() if each is not None]


def test_vllm_is_called_by_the_gateway_and_prometheus_and_calls_nobody() -> None:
    prometheus = namespace("monitoring") | {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
    found = policy("vllm-redis", "tightlip-vllm")
    assert found["podSelector"] == component("vllm")["podSelector"]
    assert found["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["from"] for rule in found["ingress"]] == [[component("gateway"), prometheus]]
    assert "egress" not in found


def test_redis_is_called_by_the_gateway_alone() -> None:
    found = policy("vllm-redis", "tightlip-redis")
    assert [rule["from"] for rule in found["ingress"]] == [[component("gateway")]]
    assert "egress" not in found


def test_the_probe_calls_the_gateway_and_where_its_numbers_go() -> None:
    assert ways_out("everything", "gateway-probe") == [([component("gateway")], ["public"])]
    pushing = rendered_with("bare", networkPolicy={"enabled": True, "publicFrom": [namespace("shop")]})
    *_, pushed = one(pushing, "NetworkPolicy", "tightlip-probe")["spec"]["egress"]
    assert pushed == {"to": [namespace("monitoring")], "ports": [{"port": 9091, "protocol": "TCP"}]}
    assert component("probe") in policy("everything", "gateway")["ingress"][0]["from"]


def test_there_are_none_where_they_are_switched_off() -> None:
    assert not of_kind(rendered("bare"), "NetworkPolicy")


# ---- ways in ---------------------------------------------------------------------------------------------------------


def test_administration_and_metrics_have_a_service_that_no_route_leads_to() -> None:
    found = rendered("everything")
    ingress = one(found, "Ingress", "gateway")["spec"]
    paths = [path for rule in ingress["rules"] for path in rule["http"]["paths"]]
    assert [path["path"] for path in paths] == ["/v1"]
    backends = [path["backend"]["service"] for path in paths]
    assert backends == [{"name": "gateway", "port": {"number": 443}}]
    assert [port["targetPort"] for port in one(found, "Service", "gateway")["spec"]["ports"]] == ["public"]
    management = one(found, "Service", "gateway-management")["spec"]
    assert (management["type"], management["clusterIP"]) == ("ClusterIP", "None")
    assert one(rendered("bare"), "Service", "tightlip-management")["spec"]["type"] == "ClusterIP"


def test_a_route_cuts_no_answer_off() -> None:
    rule = one(rendered("vllm-redis"), "HTTPRoute", "tightlip")["spec"]["rules"][0]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert rule["backendRefs"] == [{"name": "tightlip", "port": 8080}]
    assert "filters" not in rule


def test_an_ingress_collects_nothing_and_cuts_no_answer_off() -> None:
    annotations = one(rendered("everything"), "Ingress", "gateway")["metadata"]["annotations"]
    said = {name.rpartition("/")[2]: value for name, value in annotations.items()}
    assert (said["proxy-buffering"], said["proxy-request-buffering"]) == ("off", "off")
    assert int(said["proxy-read-timeout"]) >= 600
    assert said["backend-protocol"] == "HTTPS"


def test_a_route_to_a_listener_with_tls_checks_its_certificate() -> None:
    tls = {"public": {"existingSecret": "tightlip-tls"}}
    found = rendered_with(
        "vllm-redis", tls=tls, httpRoute={"backendCA": "own-ca", "backendHostname": "tightlip.shop.svc"}
    )
    spec = one(found, "BackendTLSPolicy", "tightlip")["spec"]
    assert spec["targetRefs"] == [{"group": "", "kind": "Service", "name": "tightlip"}]
    assert spec["validation"]["hostname"] == "tightlip.shop.svc"


def test_probes_speak_tls_where_the_listener_does() -> None:
    for combination, name, scheme in (("default", "tightlip", "HTTP"), ("everything", "gateway", "HTTPS")):
        container = gateway(rendered(combination), name)
        for kind, path in {
            "startupProbe": "/healthz",
            "livenessProbe": "/healthz",
            "readinessProbe": "/readyz",
        }.items():
            assert container[kind]["httpGet"] == {"path": path, "port": "management", "scheme": scheme}


# ---- Prometheus ------------------------------------------------------------------------------------------------------


def test_the_rules_are_those_of_deploy_prometheus() -> None:
    groups = [
        group
        for name in ("recording", "alerts")
        for group in yaml.safe_load((RULES / f"{name}.yaml").read_text("utf-8"))["groups"]
    ]
    assert one(rendered("default"), "PrometheusRule", "tightlip")["spec"]["groups"] == groups
    base = "https://git.example/tightlip/blob/main/"
    found = rendered_with("default", prometheusRule={"runbookBase": base})
    for group in one(found, "PrometheusRule", "tightlip")["spec"]["groups"]:
        for rule in group["rules"]:
            assert "alert" not in rule or rule["annotations"]["runbook_url"].startswith(f"{base}docs/runbooks/Tightlip")


def test_each_pod_is_scraped_also_while_it_is_not_ready() -> None:
    found = rendered("everything")
    assert one(found, "Service", "gateway-management")["spec"]["publishNotReadyAddresses"] is True
    endpoint = one(found, "ServiceMonitor", "gateway")["spec"]["endpoints"][0]
    assert endpoint["scheme"] == "https"
    assert endpoint["tlsConfig"]["serverName"] == "gateway-management.shop.svc"
    assert "insecureSkipVerify" not in endpoint["tlsConfig"]


def test_a_cluster_that_knows_no_monitors_gets_none_unless_it_is_told_to() -> None:
    for wish, expected in (("auto", 0), (True, 1)):
        monitored = {"serviceMonitor": {"enabled": wish}, "prometheusRule": {"enabled": wish}}
        found = objects(template("default", monitored, monitored=()))
        assert len(of_kind(found, "ServiceMonitor")) == len(of_kind(found, "PrometheusRule")) == expected
    bare = rendered("bare")
    assert not of_kind(bare, "ServiceMonitor") + of_kind(bare, "PrometheusRule") + of_kind(bare, "PodMonitor")


def test_the_leak_probe_asks_again_and_again() -> None:
    job = one(rendered("bare"), "CronJob", "tightlip-probe")["spec"]
    assert (job["concurrencyPolicy"], job["jobTemplate"]["spec"]["backoffLimit"]) == ("Forbid", 0)
    command = pods(rendered("bare"))["tightlip-probe"]["spec"]["containers"][0]["command"]
    assert command[:2] == ["tightlip", "probe"]
    assert "--url=http://tightlip.shop.svc:8080" in command
    assert "--push=http://pushgateway.monitoring.svc:9091" in command
    watching = pods(rendered("everything"))["gateway-probe"]["spec"]["containers"][0]
    assert {"--url=https://gateway.shop.svc:443", "--watch=300", "--port=9091"} <= set(watching["command"])
    assert (
        one(rendered("everything"), "PodMonitor", "gateway-probe")["spec"]["podMetricsEndpoints"][0]["port"]
        == "metrics"
    )


# ---- vLLM ------------------------------------------------------------------------------------------------------------


def vllm(combination: str, name: str) -> Object:
    container: Object = pods(rendered(combination))[name]["spec"]["containers"][0]
    return container


def test_vllm_serves_the_base_and_its_adapter() -> None:
    command = vllm("vllm-redis", "tightlip-vllm-main")["command"]
    assert command[:4] == ["vllm", "serve", "/models/base", "--served-model-name=base"]
    lora = command.index("--lora-modules")
    assert command[lora + 1] == "tuned=/models/adapter"
    assert command[lora + 2] == "--lora-target-modules"
    assert command[lora + 3 :][:7] == ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert {"--enable-lora", "--max-lora-rank=32", "--max-model-len=8192"} <= set(command)


def test_or_a_base_has_a_server_of_its_own() -> None:
    for name in ("tuned", "base"):
        command = vllm("everything", f"gateway-vllm-{name}")["command"]
        assert command[:4] == ["vllm", "serve", f"/models/{name}", f"--served-model-name={name}"]
        assert "--enable-lora" not in command
    assert vllm("everything", "gateway-vllm-base")["resources"] == {"limits": {"nvidia.com/gpu": 2}}
    assert vllm("everything", "gateway-vllm-tuned")["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_vllm_prints_nothing_of_a_request_and_tells_nobody_of_its_use() -> None:
    for combination, name in (("vllm-redis", "tightlip-vllm-main"), ("everything", "gateway-vllm-base")):
        found = vllm(combination, name)
        assert {"--no-enable-log-requests", "--disable-uvicorn-access-log"} <= set(found["command"])
        said = {variable["name"]: variable.get("value") for variable in found["env"]}
        assert (said["VLLM_NO_USAGE_STATS"], said["DO_NOT_TRACK"], said["HF_HUB_OFFLINE"]) == ("1", "1", "1")


def test_vllm_asks_for_a_key_and_speaks_tls_where_it_has_them() -> None:
    found = vllm("vllm-redis", "tightlip-vllm-main")
    (key,) = [variable for variable in found["env"] if variable["name"] == "VLLM_API_KEY"]
    assert key["valueFrom"] == {"secretKeyRef": {"name": "vllm", "key": "api-key"}}
    assert {"--ssl-certfile=/etc/vllm/tls/tls.crt", "--ssl-keyfile=/etc/vllm/tls/tls.key"} <= set(found["command"])
    assert found["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    plain = vllm("everything", "gateway-vllm-base")
    assert not {variable["name"] for variable in plain["env"]} & {"VLLM_API_KEY"}
    assert not [word for word in plain["command"] if word.startswith("--ssl")]


def test_vllm_needs_no_more_gpus_while_it_changes() -> None:
    rolling = one(rendered("vllm-redis"), "Deployment", "tightlip-vllm-main")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 0, "maxUnavailable": 1}


def test_vllm_may_load_for_half_an_hour_and_each_replica_has_its_own_address() -> None:
    startup = vllm("vllm-redis", "tightlip-vllm-main")["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1800
    assert one(rendered("vllm-redis"), "Service", "tightlip-vllm-main")["spec"]["clusterIP"] == "None"
    assert (
        yaml.safe_load(settings_text(rendered("vllm-redis")))["models"]["assistant"]["base"]["url"]
        == "https://tightlip-vllm-main:8000"
    )


# ---- names -----------------------------------------------------------------------------------------------------------


def test_two_installations_in_one_namespace_have_nothing_in_common() -> None:
    one_of_them = {(each["kind"], each["metadata"]["name"]) for each in rendered("vllm-redis")}
    done = helm("template", "second", CHART, f"--namespace={NAMESPACE}", f"--values={COMBINATIONS['vllm-redis']}")
    other = objects(done)
    assert not one_of_them & {(each["kind"], each["metadata"]["name"]) for each in other}
    assert all(each["metadata"]["name"].startswith("second-tightlip") for each in other)
    assert "second-tightlip-vllm-main:8000" in settings_text(other, "second-tightlip")
    first = pods(rendered("vllm-redis"))["tightlip"]["metadata"]["labels"].items()
    selector = one(other, "Service", "second-tightlip")["spec"]["selector"].items()
    assert not selector <= first


def test_nor_have_two_in_one_chart_under_aliases(tmp_path: Path) -> None:
    of_two = [{"name": "tightlip", "version": "0.1.0", "alias": name} for name in ("blue", "green")]
    chart = {"apiVersion": "v2", "name": "shop", "version": "1.0.0", "dependencies": of_two}
    values = yaml.safe_load(COMBINATIONS["vllm-redis"].read_text("utf-8"))
    shutil.copytree(CHART, tmp_path / "charts" / "tightlip")
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(chart))
    # What all charts of an installation share has keys for others too.
    shared = {"blue": values, "green": values, "global": {"team": "shop"}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(shared))
    found = objects(helm("template", "shop", tmp_path))
    theirs = {name: template["metadata"]["labels"].items() for name, template in pods(found).items()}
    for name in ("shop-blue", "shop-green"):
        selected = one(found, "Service", name)["spec"]["selector"].items()
        assert [other for other, labels in theirs.items() if selected <= labels] == [name]
        denied = one(found, "NetworkPolicy", f"{name}-deny")["spec"]["podSelector"]["matchLabels"].items()
        assert {other for other, labels in theirs.items() if denied <= labels} == {
            other for other in theirs if other.startswith(name)
        }


def test_a_long_name_is_cut_to_what_services_may_be_called() -> None:
    done = helm("template", "x" * 53, CHART, f"--values={COMBINATIONS['vllm-redis']}")
    assert max(len(each["metadata"]["name"]) for each in objects(done)) <= 63


def test_what_is_packed_is_the_same_chart(tmp_path: Path) -> None:
    assert helm("package", CHART, f"--destination={tmp_path}").returncode == 0
    (packed,) = tmp_path.glob("tightlip-*.tgz")
    done = helm("template", RELEASE, packed, f"--namespace={NAMESPACE}", f"--values={COMBINATIONS['vllm-redis']}")
    unpacked = objects(template("vllm-redis", {}, monitored=()))
    assert sorted(objects(done), key=str) == sorted(unpacked, key=str)
    with tarfile.open(packed) as archive:
        names = {name.removeprefix("tightlip/") for name in archive.getnames()}
    assert {"Chart.yaml", "README.md", "values.schema.json", "files/alerts.yaml"} <= names
    assert not {name for name in names if name.startswith("ci/") or name.endswith(".in")}


# ---- what is said after an installation ------------------------------------------------------------------------------


PROBE = [f"--set=probe.{name}=given" for name in ("model", "recordsSecret", "tokenSecret")]


def notes(combination: str, *more: str) -> str:
    said = helm("install", RELEASE, CHART, "--dry-run=client", f"--values={COMBINATIONS[combination]}", *more)
    assert said.returncode == 0, said.stderr
    return " ".join(said.stdout.rpartition("NOTES:")[2].split())


def test_the_notes_say_that_the_state_stays() -> None:
    sqlite, redis, default = notes("sqlite"), notes("vllm-redis"), notes("default")
    assert "in the volume claim tightlip-state, which STAYS when the release is uninstalled" in sqlite
    assert "in the volume claim data-tightlip-redis-0, which STAYS when the release is uninstalled" in redis
    assert "STAYS" not in default


def test_the_notes_say_what_is_missing() -> None:
    assert "TightlipLeakProbe can't speak" in notes("default", "--set=probe.enabled=true", *PROBE)
    assert "TightlipLeakProbe" not in notes("bare")
    assert "There is no leak probe" in notes("default")
    assert "WARNING: no network policy" in notes("bare")
    assert "Prometheus is told nothing" in notes("bare")
