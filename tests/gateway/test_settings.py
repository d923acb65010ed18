"""The configuration file, the environment over it, and contradictions that stop the start."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.addresses import Proxies
from gateway.config_file import ConfigError
from gateway.secrets.references import read_secret
from gateway.settings import load
from gateway.types import ONLY, Release
from gateway.upstream.places import Shares

SECRET = "hunter2secret"
GOOD = """\
policy: policy.yaml
models:
  assistant:
    tuned: {url: "http://127.0.0.1:8001", model: tuned}
    base: {url: "http://127.0.0.1:8001/", model: base}
    tokenizer: models/base
    unreleased: true
public: {port: 8080}
management: {port: 9090}
"""


def written(folder: Path, text: str = GOOD) -> Path:
    path = folder / "tightlip.yaml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(written(folder, text))
    assert SECRET not in str(refused.value)
    return str(refused.value)


def test_defaults_and_paths(tmp_path: Path) -> None:
    settings = load(written(tmp_path))
    assert (settings.public.host, settings.public.port, settings.management.port) == ("127.0.0.1", 8080, 9090)
    assert settings.policy == tmp_path / "policy.yaml"
    model = settings.models["assistant"].first
    assert (model.tokenizer, model.base.url) == (tmp_path / "models/base", "http://127.0.0.1:8001")
    assert (model.release, model.context_tokens_per_question) == (None, 2048)
    assert (settings.limits.body_bytes, settings.keep_alive_seconds) == (1 << 20, 15)
    assert (settings.log.subject, settings.log.address, settings.log.destination) == ("hashed", "truncated", None)


def test_who_answers_where_an_answer_falls_back(tmp_path: Path) -> None:
    assert load(written(tmp_path)).models["assistant"].first.fallback.by == "base"
    third = '{by: model, model: {url: "http://127.0.0.1:8002", model: third}, tokenizer: third}'
    fallback = load(with_fallback(tmp_path, third)).models["assistant"].first.fallback
    assert (fallback.model is not None and fallback.model.model, fallback.tokenizer) == ("third", tmp_path / "third")
    texts = (
        load(with_fallback(tmp_path, "{by: text, text: {en: Sorry., zh: 抱歉。}}"))
        .models["assistant"]
        .first.fallback.text
    )
    assert texts is not None
    assert (texts.en, texts.zh) == ("Sorry.", "抱歉。")


@pytest.mark.parametrize(
    ("fallback", "words"),
    [
        ("{by: text}", "'text' goes with 'by: text'"),
        ("{by: text, text: {en: Sorry.}}", "zh"),
        ("{text: {en: Sorry., zh: 抱歉。}}", "'text' goes with 'by: text'"),
        ("{by: model, tokenizer: third}", "'model' and its 'tokenizer'"),
        ('{by: model, model: {url: "http://127.0.0.1:8002", model: third}}', "'model' and its 'tokenizer'"),
        ('{by: model, model: {url: "http://127.0.0.1:8001", model: tuned}, tokenizer: third}', "is the tuned model"),
        ('{by: model, model: {url: "http://models.test", model: third}, tokenizer: third}', "plain http"),
        ("{by: nobody}", "by"),
    ],
)
def test_a_fallback_that_contradicts_itself_stops_the_start(tmp_path: Path, fallback: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(with_fallback(tmp_path, fallback))
    assert words in str(refused.value)


def with_fallback(folder: Path, fallback: str) -> Path:
    return written(folder, GOOD.replace("    unreleased:", f"    fallback: {fallback}\n    unreleased:"))


def test_a_model_is_served_under_a_release_or_said_to_have_none(tmp_path: Path) -> None:
    released = GOOD.replace("unreleased: true", "release: release.json\n    release_key: release.pub.pem")
    model = load(written(tmp_path, released)).models["assistant"].first
    assert (model.release, model.release_key) == (tmp_path / "release.json", tmp_path / "release.pub.pem")
    for wrong in ("", "unreleased: false", "release: r.json", "release_key: k.pem"):
        assert "release" in refusal(tmp_path, GOOD.replace("unreleased: true", wrong))
    assert "needs a 'release'" in refusal(
        tmp_path, released.replace("    release:", "    unreleased: true\n    release:")
    )


BOTH = """\
policy: policy.yaml
models:
  assistant:
    serving: blue
    releases:
      blue: &one
        tuned: {url: "http://127.0.0.1:8001", model: tuned}
        base: {url: "http://127.0.0.1:8001", model: base}
        tokenizer: models/base
        unreleased: true
      green: {<<: *one, tuned: {url: "http://127.0.0.1:8002", model: tuned}, index: green.tli, index_key: green.key}
"""


def test_a_model_may_have_several_releases(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, BOTH))
    model = loaded.models["assistant"]
    assert (model.serving, list(model.releases), model.first) == ("blue", ["blue", "green"], model.releases["blue"])
    assert (model.releases["green"].index, model.first.index) == (tmp_path / "green.tli", None)
    assert model.releases["green"].tokenizer == tmp_path / "models/base"
    assert list(loaded.releases()) == [Release("assistant", "blue"), Release("assistant", "green")]


def test_one_release_needs_no_name(tmp_path: Path) -> None:
    model = load(written(tmp_path)).models["assistant"]
    assert (model.serving, list(model.releases)) == (ONLY, [ONLY])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    serving: blue\n", "", "models.assistant.serving"),
        ("serving: blue", "serving: red", "models.assistant: 'serving' is none of its 'releases'"),
        ("serving: blue", "serving: blue\n    tokenizer: models", "models.assistant.tokenizer: "),
        ("unreleased: true", "unreleased: true\n        typo: 1", "models.assistant.releases.blue.typo"),
        ("http://127.0.0.1:8002", "http://models.test", "model 'assistant' is reached by plain http"),
        ("green:", "Not A Name!:", "models.assistant.releases"),
        ("    serving: blue\n", "    serving: blue\n    releases: {}\n", "releases"),
    ],
)
def test_releases_that_make_no_sense_stop_the_start(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in BOTH
    assert says in refusal(tmp_path, BOTH.replace(old, new))


def test_a_variable_may_be_about_one_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIGHTLIP_MODELS__ASSISTANT__RELEASES__GREEN__TUNED__MODEL", "tuned-v2")
    monkeypatch.setenv("TIGHTLIP_MODELS__ASSISTANT__SERVING", "green")
    assert load(written(tmp_path, BOTH)).models["assistant"].first.tuned.model == "tuned-v2"


def test_what_is_known_of_the_set_needs_a_key(tmp_path: Path) -> None:
    more = "    index: set.tli\n    public_values: /srv/public.jsonl\n    deny_list: deny.jsonl\n"
    text = GOOD.replace("public: {port: 8080}", f"{more}    index_key: index.key\npublic: {{port: 8080}}")
    model = load(written(tmp_path, text)).models["assistant"].first
    assert (model.index, model.deny_list) == (tmp_path / "set.tli", tmp_path / "deny.jsonl")
    assert (model.public_values, model.index_key) == (Path("/srv/public.jsonl"), tmp_path / "index.key")
    for line in more.splitlines():
        assert "need an 'index_key'" in refusal(tmp_path, GOOD.replace("public: {port", f"{line}\npublic: {{port"))
    assert "needs one of them" in refusal(tmp_path, GOOD.replace("public: {port", "    index_key: k\npublic: {port"))


def test_tls_of_the_listeners(tmp_path: Path) -> None:
    plain = load(written(tmp_path))
    assert (plain.public.tls, plain.knows_certificates, plain.knows_addresses) == (None, False, False)
    tls = (
        "{certificate: keys/a.pem, key: /run/b.pem, client_ca: ca.pem, client_certificates: optional, min_version: 1.3}"
    )
    settings = load(written(tmp_path, GOOD.replace("{port: 8080}", f"{{port: 8080, tls: {tls}}}")))
    assert settings.public.tls is not None
    files = settings.public.tls.certificate, settings.public.tls.key, settings.public.tls.client_ca
    assert files == (tmp_path / "keys/a.pem", Path("/run/b.pem"), tmp_path / "ca.pem")
    assert settings.public.tls.min_version == "1.3"
    assert settings.knows_certificates
    proxies = "trusted_proxies: {networks: [10.0.0.0/8], client_cert_header: true, proxy_protocol: true, hops: 2}\n"
    behind = load(written(tmp_path, GOOD + proxies))
    assert behind.knows_certificates
    assert behind.knows_addresses
    assert behind.trusted_proxies is not None
    assert behind.trusted_proxies.proxies() == Proxies((ip_network("10.0.0.0/8"),), 2, "x-forwarded-for", True, True)


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(written(tmp_path))
    with pytest.raises(ValidationError):
        settings.drain_seconds = 1
    with pytest.raises(ValidationError):
        settings.models["assistant"].first.tuned.url = "x"


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIGHTLIP_PUBLIC__PORT", "7000")
    monkeypatch.setenv("TIGHTLIP_MODELS__ASSISTANT__TUNED__MODEL", "tuned-v2")
    monkeypatch.setenv("TIGHTLIP_LOG__SUBJECT", "off")
    monkeypatch.setenv("TIGHTLIP_DRAIN_SECONDS", "5")
    settings = load(written(tmp_path))
    assert (settings.public.port, settings.public.host, settings.drain_seconds) == (7000, "127.0.0.1", 5)
    tuned = settings.models["assistant"].first.tuned
    assert (tuned.model, tuned.url, settings.log.subject) == ("tuned-v2", "http://127.0.0.1:8001", "off")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIGHTLIP_PUBLIC__PORT", SECRET),
        ("TIGHTLIP_PUBLIC__PROT", "1"),
        ("TIGHTLIP_DRAIN_SECOND", "1"),
        ("TIGHTLIP_PUBILC__PORT", "1"),
        ("TIGHTLIP_LOG__SUBJECT", SECRET),
    ],
)
def test_a_wrong_variable_is_named_and_not_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path))
    assert str(refused.value).startswith("environment: TIGHTLIP_")
    assert name in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_variable_that_should_be_json_is_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIGHTLIP_MODELS", "{" + SECRET)
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path))
    assert SECRET not in str(refused.value)


def test_what_kubernetes_puts_into_the_environment_is_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"):
        monkeypatch.setenv(f"TIGHTLIP_{name}", "tcp://10.0.0.1:8080")
    monkeypatch.setenv("TIGHTLIP_GATEWAY_SERVICE_HOST", "10.0.0.1")
    assert load(written(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("policy: policy.yaml\n", "", "tightlip.yaml: policy: is missing"),
        ("policy: policy.yaml", f"policy: policy.yaml\nother: {SECRET}", "tightlip.yaml:2: other: is not a known key"),
        ("port: 8080", f"port: {SECRET}", "tightlip.yaml:8: public.port:"),
        ("port: 8080", "port: 70000", "tightlip.yaml:8: public.port:"),
        ("port: 9090", "port: 8080", "must not be the same address"),
        ("{port: 9090}", "{host: 0.0.0.0, port: 8080}", "must not be the same address"),
        ("model: base", "model: tuned", "tightlip.yaml:3: models.assistant: 'tuned' and 'base' are the same model"),
        ("    tokenizer: models/base\n", "", "tightlip.yaml:3: models.assistant.tokenizer: is missing"),
        ("  assistant:", "  my assistant:", "models.my assistant"),
        ("http://127.0.0.1:8001/", "http://10.0.0.1:8001", "plain http off loopback"),
        ("http://127.0.0.1:8001/", "http://vllm:8001", "plain http off loopback"),
        (
            "http://127.0.0.1:8001/",
            "http://127.0.0.1:8001/v1",
            "tightlip.yaml:5: models.assistant.base.url: must be the server's root",
        ),
        ("http://127.0.0.1:8001/", f"http://user:{SECRET}@127.0.0.1", "must not hold a user name"),
        ("http://127.0.0.1:8001/", f"ftp://{SECRET}", "must be http"),
        ("http://127.0.0.1:8001/", f"http://{SECRET}:x", "is not a URL"),
        ("http://127.0.0.1:8001/", f"http://127.0.0.1/?key={SECRET}", "must be the server's root"),
        ("model: base}", f"model: base, api_key: {SECRET}}}", "models.assistant.base.api_key: is not a known key"),
        ("public: {port: 8080}", f"log: {{subject: {SECRET}}}", "tightlip.yaml:8: log.subject"),
        ("public: {port: 8080}", "limits: {body_bytes: 0}", "tightlip.yaml:8: limits.body_bytes"),
        ("{port: 8080}", "{tls: {certificate: a.pem}}", "tightlip.yaml:8: public.tls.key: is missing"),
        (
            "{port: 8080}",
            "{tls: {certificate: a, key: b, min_version: 1.1}}",
            "tightlip.yaml:8: public.tls.min_version",
        ),
        ("{port: 8080}", "{tls: {certificate: a, key: b, client_ca: c}}", "public.tls: 'client_ca' goes with"),
        (
            "{port: 9090}",
            "{tls: {certificate: a, key: b, client_certificates: required}}",
            "management.tls: 'client_ca' goes with",
        ),
        ("public:", "trusted_proxies: {proxy_protocol: true}\npublic:", "trusted_proxies: 'proxy_protocol' and"),
        ("http://127.0.0.1:8001/", "ftp://h", "must be http"),
        ('"http://127.0.0.1:8001"', "[]", "must be up to 64 different addresses"),
        ('"http://127.0.0.1:8001"', '["http://127.0.0.1:1", "http://127.0.0.1:1/"]', "different addresses"),
        ('"http://127.0.0.1:8001"', '["http://127.0.0.1:1", "https://127.0.0.1:2"]', "must all be https, or all http"),
        ('"http://127.0.0.1:8001"', '["http://127.0.0.1:1", "http://10.0.0.1"]', "reached by plain http off loopback"),
        (
            'url: "http://127.0.0.1:8001/", model: base',
            'url: ["http://127.0.0.1:1", "http://127.0.0.1:8001"], model: tuned',
            "are the same model",
        ),
        ("model: tuned", "model: tuned, ca_file: ca.pem", "models.assistant.tuned: 'ca_file' and"),
        ("model: tuned", "model: tuned, client_certificate: g.crt", "'client_key_file' go together"),
        (
            "public:",
            "trusted_proxies: {networks: [10.0.0.0/8], client_cert_header: true, proxy_protocol: true}\npublic:",
            "needs 'hops' of 2 or more",
        ),
    ],
)
def test_contradictions_stop_the_start(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    assert says in refusal(tmp_path, GOOD.replace(old, new))


@pytest.mark.parametrize("url", ["http://10.0.0.1:8001", "http://vllm.ns.svc:8001"])
def test_plain_http_off_loopback_can_be_allowed(tmp_path: Path, url: str) -> None:
    text = GOOD.replace("http://127.0.0.1:8001/", url) + "allow_plaintext_upstream: true\n"
    assert list(load(written(tmp_path, text)).plaintext_models()) == ["assistant"]


@pytest.mark.parametrize("url", ["https://10.0.0.1", "http://localhost:1", "http://[::1]:1", "http://127.9.9.9"])
def test_what_is_encrypted_or_stays_here_needs_no_leave(tmp_path: Path, url: str) -> None:
    assert not list(load(written(tmp_path, GOOD.replace("http://127.0.0.1:8001/", url))).plaintext_models())


def test_two_listeners_may_both_take_a_free_port(tmp_path: Path) -> None:
    assert load(written(tmp_path, GOOD.replace("8080", "0").replace("9090", "0"))).public.port == 0


@pytest.mark.parametrize("content", ["", "two words", "two\nlines", "\u00e9"])
def test_a_secret_is_one_word(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(ConfigError) as refused:
        read_secret(path)
    assert str(path) in str(refused.value)
    path.write_text(f"{SECRET}\n")
    assert read_secret(path) == SECRET


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing: can't be read"):
        read_secret(tmp_path / "nothing")


def test_the_demos_configuration_is_good() -> None:
    settings = load(Path("deploy/demo/tightlip.yaml"))
    assert settings.models.keys() == {"assistant"}
    assert settings.policy.exists()
    assert settings.models["assistant"].first.tokenizer == Path.cwd() / "deploy/demo/models/base"


def test_one_tenant_and_one_answer_get_a_part_of_the_places_at_the_base(tmp_path: Path) -> None:
    def shares(more: str) -> Shares:
        return (
            load(written(tmp_path, GOOD.replace("unreleased: true", f"unreleased: true{more}")))
            .models["assistant"]
            .first.question_shares
        )

    assert shares("") == Shares(server=8, tenant=6, answer=4)
    assert shares("\n    questions_in_flight: 1") == Shares(server=1, tenant=1, answer=4)
    own = "\n    questions_in_flight: 40\n    questions_in_flight_per_tenant: 5\n    questions_in_flight_per_answer: 2"
    assert shares(own) == Shares(server=40, tenant=5, answer=2)
    assert "question_priority" in refusal(
        tmp_path, GOOD.replace("unreleased: true", "unreleased: true\n    question_priority: 1")
    )


def test_where_state_is_kept(tmp_path: Path) -> None:
    assert load(written(tmp_path)).state is None
    state = load(written(tmp_path, GOOD + "state: {file: state/tightlip.db}\n")).state
    assert state is not None
    assert (state.file, state.grace_seconds) == (tmp_path / "state/tightlip.db", 30.0)
    shown = "client_certificate: own.crt, client_key_file: 'env:REDIS_KEY'"
    redis = f"{{url: rediss://redis.internal:6380/2, user: gateway, password_file: p, ca_file: ca.pem, {shown}}}"
    state = load(written(tmp_path, GOOD + f"state: {redis}\n")).state
    assert state is not None
    assert (state.password_file, state.ca_file) == (tmp_path / "p", tmp_path / "ca.pem")
    assert (state.client_certificate, state.plaintext) == (tmp_path / "own.crt", False)
    sentinel = "{sentinel: {master: main, urls: ['rediss://a', 'rediss://b:1'], password_file: own}, ca_file: ca.pem}"
    state = load(written(tmp_path, GOOD + f"state: {sentinel}\n")).state
    assert state is not None
    assert state.sentinel is not None
    assert (state.urls, state.sentinel.password_file) == (("rediss://a", "rediss://b:1"), tmp_path / "own")


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("{}", "needs one of"),
        ("{file: a, url: 'rediss://redis'}", "needs one of"),
        ("{file: a, user: b, password_file: c}", "'file' goes with no keys but"),
        ("{url: 'redis://redis.internal'}", "not encrypted"),
        ("{sentinel: {master: main, urls: ['redis://sentinel.internal']}}", "not encrypted"),
        ("{url: 'https://redis'}", "must be rediss://"),
        (f"{{url: 'rediss://user:{SECRET}@redis'}}", "must not hold a user name or password"),
        ("{url: 'rediss://redis/one'}", "[/DATABASE]"),
        ("{url: 'rediss://redis?ssl_cert_reqs=none'}", "must not have a query"),
        ("{url: 'rediss://redis:x'}", "is not a URL"),
        ("{url: 'rediss://redis', user: gateway}", "needs a 'password_file'"),
        ("{url: 'redis://127.0.0.1', ca_file: ca.pem}", "need rediss"),
        ("{url: 'redis://127.0.0.1', client_certificate: a, client_key_file: b}", "need rediss"),
        ("{url: 'rediss://redis', client_certificate: a}", "go together"),
        ("{sentinel: {master: main, urls: ['rediss://a/0']}}", "must be rediss://HOST"),
        ("{sentinel: {master: main, urls: ['rediss://a', 'redis://127.0.0.1']}}", "must all be"),
        ("{url: 'rediss://redis', grace_seconds: 0}", "greater than or equal to 1"),
        ("{url: 'rediss://redis', grace_seconds: 3600}", "less than or equal to 300"),
    ],
)
def test_a_store_that_would_not_do_is_refused(tmp_path: Path, state: str, why: str) -> None:
    assert why in refusal(tmp_path, GOOD + f"state: {state}\n")


def test_plain_redis_is_for_loopback_or_has_to_be_asked_for(tmp_path: Path) -> None:
    allowed = {"{url: 'redis://127.0.0.1:6379'}": False, "{url: 'redis://redis.internal', allow_plaintext: true}": True}
    for state, plain in allowed.items():
        loaded = load(written(tmp_path, GOOD + f"state: {state}\n")).state
        assert loaded is not None
        assert loaded.plaintext is plain


@pytest.mark.parametrize("log", ["{destination: %s}", "{security: {destination: %s}}"])
def test_records_go_to_no_file_that_nothing_would_delete(tmp_path: Path, log: str) -> None:
    told = refusal(tmp_path, GOOD + "log: " + log % SECRET + "\n")
    assert "must be stdout or stderr; 'directory' has files" in told
    assert SECRET not in told


def test_an_audit_log_is_beside_the_file(tmp_path: Path) -> None:
    audit = load(written(tmp_path, GOOD + "audit: {directory: audit, key_file: keys/audit.key}\n")).audit
    assert audit is not None
    assert (audit.directory, audit.key_file) == (tmp_path / "audit", tmp_path / "keys/audit.key")
    assert (audit.subject, audit.keep_days) == ("plain", 180)


@pytest.mark.parametrize(
    ("audit", "text"),
    [
        ("{directory: audit}", "audit.key_file: is missing"),
        ("{key_file: a}", "needs either 'directory' or 'stdout: true'"),
        ("{key_file: a, directory: b, stdout: true}", "needs either 'directory' or 'stdout: true'"),
        ("{key_file: a, stdout: true, keep_days: 3}", "'keep_days' goes with 'directory'"),
        ("{key_file: a, directory: b, subject: off}", "audit.subject"),
        ("{key_file: a, directory: b, keep_days: 0}", "audit.keep_days"),
    ],
)
def test_an_audit_log_that_can_t_be_is_refused(tmp_path: Path, audit: str, text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        load(written(tmp_path, GOOD + f"audit: {audit}\n"))


def test_the_commands_token_is_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIGHTLIP_ADMIN_TOKEN", SECRET)
    load(written(tmp_path))
    monkeypatch.setenv("TIGHTLIP_ADMIN_TOKENS", SECRET)
    assert "is not a known setting" in refusal(tmp_path, GOOD)


TRACES = "https://collector.test:4318"


def test_traces_go_to_the_usual_path_where_no_other_is_said(tmp_path: Path) -> None:
    for written_as, meant in {"": "/v1/traces", "/": "/v1/traces", "/otlp/v1/traces": "/otlp/v1/traces"}.items():
        traces = load(written(tmp_path, f"{GOOD}traces: {{endpoint: '{TRACES}{written_as}'}}\n")).traces
        assert traces is not None
        assert traces.endpoint == TRACES + meant


def test_traces_are_of_all_requests_and_trust_nobody_unless_it_is_said(tmp_path: Path) -> None:
    assert load(written(tmp_path)).traces is None
    traces = load(written(tmp_path, f"{GOOD}traces: {{endpoint: '{TRACES}', ca_file: ca.pem}}\n")).traces
    assert traces is not None
    assert (traces.sample, traces.trust_callers, traces.tell_model_servers) == (1.0, False, False)
    assert traces.ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("traces", "says"),
    [
        ("{}", "traces.endpoint: is missing"),
        (f"{{endpoint: '{SECRET}'}}", "traces.endpoint: must be https://"),
        ("{endpoint: 'http://collector.test:4318'}", "traces: http:// off loopback is not encrypted"),
        (f"{{endpoint: 'https://user:{SECRET}@collector.test'}}", "traces.endpoint: must not hold a user name"),
        (f"{{endpoint: 'https://collector.test/?key={SECRET}'}}", "traces.endpoint: must not hold a user name"),
        (f"{{endpoint: '{TRACES}', headers: {{Content-Type: env:A}}}}", "traces.headers: must be different names"),
        (f"{{endpoint: '{TRACES}', headers: {{a: env:A, A: env:B}}}}", "traces.headers: must be different names"),
        (f"{{endpoint: '{TRACES}', headers: {{'a b': env:A}}}}", "traces.headers"),
        (f"{{endpoint: '{TRACES}', client_certificate: a.pem}}", "'client_key_file' go together"),
        (
            "{endpoint: 'http://127.0.0.1:4318', ca_file: a.pem}",
            "traces: 'ca_file' and 'client_certificate' need https",
        ),
        (f"{{endpoint: '{TRACES}', sample: 1.5}}", "traces.sample"),
        (f"{{endpoint: '{TRACES}', service_name: '{SECRET} x'}}", "traces.service_name"),
        (f"{{endpoint: '{TRACES}', content: true}}", "traces.content: is not a known key"),
    ],
)
def test_traces_that_make_no_sense_stop_the_start(tmp_path: Path, traces: str, says: str) -> None:
    assert says in refusal(tmp_path, f"{GOOD}traces: {traces}\n")


def test_plain_http_to_a_collector_can_be_allowed(tmp_path: Path) -> None:
    text = GOOD + "traces: {endpoint: 'http://collector.test:4318', allow_plaintext: true}\n"
    assert load(written(tmp_path, text)).traces is not None
