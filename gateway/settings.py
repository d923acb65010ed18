"""The configuration: one YAML file, `TIGHTLIP_…` environment variables over it, read once into one frozen object.

A nested key is joined with two underscores: `TIGHTLIP_PUBLIC__PORT=9000`. Paths are relative to the file. Secrets are
never in it, only their names (gateway/secrets/references.py). What contradicts itself stops the start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from gateway.addresses import HeaderName, Network, Proxies, is_loopback
from gateway.config_file import ConfigError, Document, Problem, complaint, read
from gateway.limits import OnFailure
from gateway.observe.pseudonyms import RECORD_DAYS, SECURITY_DAYS, AddressForm, SubjectForm
from gateway.policy.schema import Name
from gateway.secrets.references import VAULT_PATH, SecretRef, VaultRef
from gateway.types import ONLY, Release
from gateway.upstream.places import Shares

PREFIX: Final = "TIGHTLIP_"
NESTED: Final = "__"
ADMIN_TOKEN: Final = "TIGHTLIP_ADMIN_TOKEN"  # noqa: S105 - its name; the commands', and no setting

Port = Annotated[int, Field(ge=0, le=65535)]  # 0: the system chooses, and `serve` prints what it chose
Seconds = Annotated[float, Field(gt=0, le=3600)]
GRACE_SECONDS: Final = 30.0  # a failover of Redis takes less
# YAML reads it as a number.
TlsVersion = Annotated[
    Literal["1.2", "1.3"], BeforeValidator(lambda value: str(value) if type(value) is float else value)
]
VaultPath = Annotated[str, Field(pattern=f"^{VAULT_PATH}$", max_length=256)]
MAX_REPLICAS: Final = 64  # of one model server, by address; a look-up of a name may find as many
MAX_TEXT_CHARS: Final = 2000  # of a configured answer


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TlsSettings(_Strict):
    """TLS served directly (gateway/http/tls.py). The files are PEM, and read again when they change."""

    certificate: Path  # the listener's own first, then what its callers need to get to an authority they know
    key: Path
    client_ca: Path | None = None  # the authorities of callers' certificates
    client_certificates: Literal["none", "optional", "required"] = "none"
    min_version: TlsVersion = "1.2"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.client_ca is not None) != (self.client_certificates != "none"):
            raise ValueError("'client_ca' goes with 'client_certificates: optional' or 'required'")
        return self


class Listener(_Strict):
    host: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    port: Port
    tls: TlsSettings | None = None  # without it plain HTTP, for a proxy in front on a network that is yours alone

    @property
    def verifies_callers(self) -> bool:
        """Whether callers show certificates to this listener itself."""
        return self.tls is not None and self.tls.client_certificates != "none"


class ServerSettings(_Strict):
    """One model on one server that speaks OpenAI's protocol. `url` is its root, without /v1; a server of several
    replicas has a list of them, or with `resolve` a name that stands for all of them."""

    url: str | tuple[str, ...]
    resolve: bool = False  # the hosts are names of headless services: each address that they stand for is a replica
    model: str = Field(min_length=1, max_length=256)
    api_key_file: SecretRef | None = None
    ca_file: Path | None = None  # the authorities of its certificate; the system's where it does not say
    client_certificate: Path | None = None  # shown to it, with those up to an authority that it knows
    client_key_file: SecretRef | None = None
    priority_scheduling: bool = False  # vLLM runs with --scheduling-policy priority: others look at no priority

    @field_validator("url")
    @classmethod
    def _are_roots(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(given, str):
            return cls._root(given)
        roots = tuple(map(cls._root, given))
        if not 0 < len(roots) <= MAX_REPLICAS or len(set(roots)) < len(roots):
            raise ValueError(f"must be up to {MAX_REPLICAS} different addresses")
        return roots

    @staticmethod
    def _root(url: str) -> str:
        parts = _split(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://HOST[:PORT] or https://HOST[:PORT]")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold a user name or password; use api_key_file")
        if parts.query or parts.fragment or parts.path.rstrip("/").endswith("/v1"):
            raise ValueError("must be the server's root, without /v1, query or fragment")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _has_link(self) -> Self:
        schemes = {urlsplit(url).scheme for url in self.urls}
        if len(schemes) > 1:
            raise ValueError("replicas must all be https, or all http")
        _check_link(self, "https", *self.urls)
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """Its addresses, or those of its replicas."""
        return (self.url,) if isinstance(self.url, str) else self.url

    @property
    def plaintext(self) -> bool:
        """Whether answers would cross a network unencrypted."""
        return any(map(_is_plain_http, self.urls))

    @property
    def is_near(self) -> bool:
        """Whether all of it runs on this machine."""
        return all(is_loopback(urlsplit(url).hostname or "") for url in self.urls)


class FallbackTexts(_Strict):
    """What is said instead, by the language of the user's last message."""

    en: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    zh: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)


class FallbackSettings(_Strict):
    """Who answers where an answer falls back; a base model without instruction tuning can't."""

    by: Literal["base", "text", "model"] = "base"
    text: FallbackTexts | None = None
    model: ServerSettings | None = None
    tokenizer: Path | None = None  # of that model: tokenizer.json, or the folder that holds it

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.text is not None) != (self.by == "text"):
            raise ValueError("'text' goes with 'by: text'")
        if len({self.model is not None, self.tokenizer is not None, self.by == "model"}) != 1:
            raise ValueError("'model' and its 'tokenizer' go with 'by: model'")
        return self


class ReleaseSettings(_Strict):
    """What is deployed as one: the tuned model, the base it was tuned from, the tokenizer that both use, and what is
    known of the set."""

    tuned: ServerSettings
    base: ServerSettings
    tokenizer: Path  # tokenizer.json, or the model folder that holds it
    release: Path | None = None  # what these models must turn out to be; made by `tightlip release make`
    release_key: Path | None = None  # the public key that it is signed with
    unreleased: bool = False  # serve them without one: nothing checks that they are a pair at all
    index: Path | None = None  # of the tuning set; made by `tightlip index build`
    index_key: SecretRef | None = None  # the key of the index and of both lists
    public_values: Path | None = None  # that pass whoever asks; made by `tightlip index approve`
    deny_list: Path | None = None  # what never leaves; made by `tightlip index deny`, read again when it changes
    # A question asks about some hundred tokens; the rest is what the base is given to go by.
    context_tokens_per_question: int = Field(default=2048, ge=256, le=65536)
    question_deadline_seconds: Seconds = 5.0
    questions_in_flight: int = Field(default=8, ge=1, le=1024)  # per base server
    questions_in_flight_per_tenant: int | None = Field(default=None, ge=1, le=1024)  # None: three quarters of them
    questions_in_flight_per_answer: int = Field(default=4, ge=1, le=1024)
    # vLLM's: by how much questions come later than the answers that they belong to; for `priority_scheduling`
    question_priority: int = Field(default=0, ge=0, le=1000)
    # where the tuned model's log-probabilities come from: with its text, or from scoring its text as the base does
    tuned_evidence: Literal["streamed", "scored"] = "streamed"
    fallback: FallbackSettings = FallbackSettings()

    @property
    def servers(self) -> list[ServerSettings]:
        """All that answers and questions go to."""
        return [server for server in (self.tuned, self.base, self.fallback.model) if server is not None]

    @property
    def asked(self) -> frozenset[str]:
        """The addresses of the servers that questions go to, of each server the first."""
        return frozenset({self.base.urls[0]} | ({self.tuned.urls[0]} if self.is_scored else set()))

    @property
    def is_scored(self) -> bool:
        """Whether the servers send no log-probabilities with what they write."""
        return self.tuned_evidence == "scored"

    @property
    def question_shares(self) -> Shares:
        """How many questions of all, of a tenant and of an answer may be in flight at the base server."""
        most = self.questions_in_flight
        return Shares(
            most, self.questions_in_flight_per_tenant or max(1, most * 3 // 4), self.questions_in_flight_per_answer
        )

    @model_validator(mode="after")
    def _two_models(self) -> Self:
        if self.tuned.model == self.base.model and _share(self.tuned, self.base):
            raise ValueError("'tuned' and 'base' are the same model: nothing could ever be found more specific")
        third = self.fallback.model
        if third and self.tuned.model == third.model and _share(self.tuned, third):
            raise ValueError("'fallback' is the tuned model: it would say what is to be hidden")
        return self

    @model_validator(mode="after")
    def _released(self) -> Self:
        if (self.release is None) != (self.release_key is None):
            raise ValueError("'release' and 'release_key' go together")
        if (self.release is None) != self.unreleased:
            raise ValueError("needs a 'release', or 'unreleased: true' where nothing has to be checked")
        return self

    @property
    def schedules(self) -> bool:
        """Whether all servers that answers come from take requests by their priority."""
        return all(server.priority_scheduling for server in self.servers)

    @model_validator(mode="after")
    def _ranked(self) -> Self:
        if self.question_priority and not self.base.priority_scheduling:
            raise ValueError("'question_priority' needs 'priority_scheduling' of 'base'")
        return self

    @model_validator(mode="after")
    def _readable(self) -> Self:
        keyed = (self.index, self.public_values, self.deny_list)
        if any(path is not None for path in keyed) != (self.index_key is not None):
            raise ValueError("'index', 'public_values' and 'deny_list' need an 'index_key', and it needs one of them")
        return self


class ModelSettings(_Strict):
    """A served model: its releases side by side, of which `serving` answers until somebody switches
    (gateway/release/standing.py). One release may be written without its name; it is called ONLY then."""

    releases: Mapping[Name, ReleaseSettings] = Field(min_length=1)
    serving: Name

    @model_validator(mode="before")
    @classmethod
    def _named(cls, written: object) -> object:
        if isinstance(written, Mapping) and not written.keys() & {"releases", "serving"}:
            return {"releases": {ONLY: written}, "serving": ONLY}
        return written

    @model_validator(mode="after")
    def _is_there(self) -> Self:
        if self.serving not in self.releases:
            raise ValueError("'serving' is none of its 'releases'")
        return self

    @property
    def first(self) -> ReleaseSettings:
        """The one that answers until somebody switches."""
        return self.releases[self.serving]

    @property
    def schedules(self) -> bool:
        """Whether all servers that answers may come from take requests by their priority."""
        return all(release.schedules for release in self.releases.values())


class UpstreamSettings(_Strict):
    """Patience with model servers."""

    connect_seconds: Seconds = 5.0
    first_byte_seconds: Seconds = 60.0
    stall_seconds: Seconds = 60.0  # between two frames


class LimitSettings(_Strict):
    body_bytes: int = Field(default=1 << 20, ge=1024, le=64 << 20)
    body_depth: int = Field(default=64, ge=8, le=256)  # of JSON
    body_values: int = Field(default=100_000, ge=100, le=10_000_000)  # of JSON: objects, arrays and what is in them
    body_seconds: Seconds = 30.0
    body_bytes_per_second: int = Field(default=500, ge=1, le=1 << 20)  # on average, once five seconds are over
    handshake_seconds: Seconds = 5.0  # for the PROXY protocol's header and the TLS handshake together
    head_seconds: Seconds = 5.0  # for a request's first line and headers
    write_seconds: Seconds = 30.0  # for a caller to take what has piled up of an answer
    idle_seconds: int = Field(
        default=75, ge=1, le=3600
    )  # between two requests; longer than common load balancers', who should close first
    connections: int = Field(default=10_000, ge=1, le=1_000_000)
    connections_per_address: int = Field(default=1_000, ge=1, le=1_000_000)  # a proxy is one address, so is an IPv6 /64
    answer_seconds: Seconds = 600.0  # from the request to the answer's end


class NamesEngineSettings(_Strict):
    """A name model of the operator's (filters/pii/nlp_engine.py): `configuration` is a Presidio NLP configuration."""

    configuration: Path
    beside_embedded: bool = False  # whether the embedded model goes on looking as well


class ProxySettings(_Strict):
    """The machines that may stand before the gateway (gateway/addresses.py); none: callers connect directly."""

    networks: tuple[Network, ...] = ()
    hops: int = Field(default=1, ge=1, le=16)
    header: HeaderName = "x-forwarded-for"
    proxy_protocol: bool = False  # version 2, at the beginning of each of their connections to the public listener
    client_cert_header: bool = False  # RFC 9440: they set or remove it, as the caller showed them a certificate or not

    @model_validator(mode="after")
    def _said_by_somebody(self) -> Self:
        if (self.proxy_protocol or self.client_cert_header) and not self.networks:
            raise ValueError("'proxy_protocol' and 'client_cert_header' need 'networks': whose they are")
        if self.proxy_protocol and self.client_cert_header and self.hops < 2:
            raise ValueError(
                "'client_cert_header' with 'proxy_protocol' needs 'hops' of 2 or more: "
                "what sends the PROXY header writes no other, and the caller could"
            )
        return self

    def proxies(self) -> Proxies:
        return Proxies(self.networks, self.hops, self.header, self.proxy_protocol, self.client_cert_header)


_FOR_OTHERS: Final = "goes with 'directory': what goes elsewhere is for others to delete"
KeepDays = Annotated[int, Field(ge=1, le=3650)]


def _no_file(value: object) -> object:
    """Raises ValueError for what would be a file that grows for ever."""
    if value not in ("stdout", "stderr"):
        raise ValueError("must be stdout or stderr; 'directory' has files, which are deleted in time")
    return value


Destination = Annotated[Literal["stdout", "stderr"], BeforeValidator(_no_file)]


class SecurityLogSettings(_Strict):
    """Where security events go (docs/records.md). If nothing is said, to files of their own in `log.directory`, or else
    where the other records go."""

    destination: Destination | None = None
    directory: Path | None = None
    keep_days: KeepDays = SECURITY_DAYS  # in a directory

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.destination is not None and self.directory is not None:
            raise ValueError("needs either 'destination' or 'directory'")
        return self


class LogSettings(_Strict):
    """`key_file` holds the secret (32 bytes or more) for hashed callers; without it one is made for each run."""

    subject: SubjectForm = "hashed"
    address: AddressForm = "truncated"
    key_file: SecretRef | None = None
    destination: Destination | None = None  # None: standard output, if there is no directory
    directory: Path | None = None  # a file for each day and process
    keep_days: KeepDays = RECORD_DAYS
    encrypt_to: Path | None = None  # a public key, whose private half the gateway does not have
    security: SecurityLogSettings = SecurityLogSettings()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.destination is not None and self.directory is not None:
            raise ValueError("needs either 'destination' or 'directory'")
        if self.keep_days != RECORD_DAYS and self.directory is None:
            raise ValueError(f"'keep_days' {_FOR_OTHERS}")
        in_files = self.security_directory is not None
        if self.security.keep_days != SECURITY_DAYS and not in_files:
            raise ValueError(f"'security.keep_days' {_FOR_OTHERS}")
        if self.encrypt_to is not None and not (self.directory and in_files):
            raise ValueError("'encrypt_to' goes with 'directory', for security events too: nothing else is encrypted")
        return self

    @property
    def security_directory(self) -> Path | None:
        """Of security events; None: they go to no directory."""
        own = self.security
        return own.directory or (self.directory if own.destination is None else None)


OwnHeader = Annotated[str, Field(pattern="^[A-Za-z0-9-]{1,64}$")]
_TRACE_PATH: Final = "/v1/traces"
_OF_DELIVERIES: Final = frozenset(
    {"host", "connection", "content-type", "content-length", "content-encoding", "accept-encoding", "transfer-encoding"}
)


class TraceSettings(_Strict):
    """Where traces go (docs/traces.md): to a collector that speaks OTLP over HTTP. They hold what records hold."""

    endpoint: str  # https://HOST[:PORT][/PATH]; /v1/traces where there is no path
    headers: Mapping[OwnHeader, SecretRef] = Field(default_factory=dict, max_length=16)  # what lets us in
    ca_file: Path | None = None  # the authorities of its certificate; the system's where it does not say
    client_certificate: Path | None = None
    client_key_file: SecretRef | None = None
    allow_plaintext: bool = False  # http:// off loopback
    service_name: str = Field(default="tightlip", pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    sample: float = Field(default=1.0, ge=0.0, le=1.0)  # the part of the requests that traces are made of
    every_seconds: Seconds = 1.0  # between two deliveries
    last_seconds: Seconds = 2.0  # after the drain, for what is left then
    timeout_seconds: Seconds = 10.0  # of each
    # A caller's traceparent is gone on from: he chooses its sixteen bytes, and what is sampled.
    trust_callers: bool = False
    tell_model_servers: bool = False  # with a traceparent of ours

    @field_validator("endpoint")
    @classmethod
    def _is_address(cls, endpoint: str) -> str:
        parts = _split(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be https://HOST[:PORT][/PATH]")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("must not hold a user name, password, query or fragment; use 'headers'")
        return endpoint if parts.path.strip("/") else endpoint.rstrip("/") + _TRACE_PATH

    @field_validator("headers")
    @classmethod
    def _are_additional(cls, headers: Mapping[str, SecretRef]) -> Mapping[str, SecretRef]:
        names = [name.lower() for name in headers]
        if len(set(names)) < len(names) or set(names) & _OF_DELIVERIES:
            raise ValueError("must be different names, and none of those that a delivery has by itself")
        return headers

    @model_validator(mode="after")
    def _has_link(self) -> Self:
        _check_link(self, "https", self.endpoint)
        if self.plaintext and not self.allow_plaintext:
            raise ValueError("http:// off loopback is not encrypted; use https, or say 'allow_plaintext'")
        return self

    @property
    def plaintext(self) -> bool:
        """Whether traces cross a network unencrypted."""
        return _is_plain_http(self.endpoint)


class AuditSettings(_Strict):
    """Where it is recorded who administrated what (docs/audit-log.md); without it nothing can be administrated."""

    directory: Path | None = None  # on a local file system; one for each machine, whose processes share it
    stdout: bool = False  # for clusters that collect it: not synced to any disk by us
    key_file: SecretRef  # 32 bytes or more: the root of the key that lines are sealed with
    # Who administrates, by name: an audit has to say it. Those who are revoked stand there as marks, always.
    subject: Literal["plain", "hashed"] = "plain"
    keep_days: KeepDays = 180

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.directory is None) != self.stdout:
            raise ValueError("needs either 'directory' or 'stdout: true'")
        if self.stdout and "keep_days" in self.model_fields_set:
            raise ValueError("'keep_days' goes with 'directory': what was printed is the collector's")
        return self


class SentinelSettings(_Strict):
    """The Sentinels that know the master of the moment. It is spoken to as they are: with TLS (rediss) or without."""

    master: str = Field(min_length=1, max_length=256)
    urls: tuple[str, ...] = Field(min_length=1, max_length=64)  # rediss://HOST[:PORT]
    user: str | None = None
    password_file: SecretRef | None = None

    @field_validator("urls")
    @classmethod
    def _are_servers(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        parts = [_redis(url) for url in urls]
        if any(each.path for each in parts):
            raise ValueError("must be rediss://HOST[:PORT]")
        if len({each.scheme for each in parts}) > 1:
            raise ValueError("must all be rediss, or all redis")
        return urls


class StateSettings(_Strict):
    """Where what replicas share is kept (docs/state.md); without it each process has its own, until it ends."""

    file: Path | None = None  # SQLite, for the processes of one machine
    url: str | None = None  # rediss://HOST[:PORT][/DATABASE]
    sentinel: SentinelSettings | None = None
    user: str | None = Field(default=None, min_length=1, max_length=256)
    password_file: SecretRef | None = None
    ca_file: Path | None = None
    client_certificate: Path | None = None  # shown to Redis, and to the Sentinels
    client_key_file: SecretRef | None = None
    allow_plaintext: bool = False  # redis:// off loopback
    grace_seconds: float = Field(default=GRACE_SECONDS, ge=1.0, le=300.0)  # that revocations may be old
    # While it does not answer: callers who have limits are refused, or each process counts for itself.
    limits_on_failure: OnFailure = "refuse"

    @field_validator("url")
    @classmethod
    def _is_server(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"(?:/[0-9]{1,4})?", _redis(url).path):
            raise ValueError("must be rediss://HOST[:PORT][/DATABASE]")
        return url

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.file, self.url, self.sentinel)) != 1:
            raise ValueError("needs one of 'file', 'url' and 'sentinel'")
        if self.file is not None and self.model_fields_set - {"file", "grace_seconds", "limits_on_failure"}:
            raise ValueError("'file' goes with no keys but 'grace_seconds' and 'limits_on_failure'")
        if self.user is not None and self.password_file is None:
            raise ValueError("'user' needs a 'password_file'")
        _check_link(self, "rediss", *self.urls)
        if not self.allow_plaintext and self.plaintext:
            raise ValueError("redis:// off loopback is not encrypted; use rediss, or say 'allow_plaintext'")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """Of Redis, or of the Sentinels."""
        if self.sentinel is not None:
            return self.sentinel.urls
        return (self.url,) if self.url is not None else ()

    @property
    def plaintext(self) -> bool:
        """Whether what is kept there crosses a network unencrypted."""
        return any(map(_is_plain, self.urls))


class AppRoleSettings(_Strict):
    """Login by AppRole: the id of the role, and its secret id, which Vault's operator gives out."""

    role_id: str = Field(min_length=1, max_length=256)
    secret_id_file: SecretRef
    mount: VaultPath = "approle"

    @field_validator("secret_id_file")
    @classmethod
    def _is_elsewhere(cls, ref: SecretRef) -> SecretRef:
        if isinstance(ref, VaultRef):
            raise ValueError("can't be in Vault: it is what opens it")
        return ref


class PodSettings(_Strict):
    """Login as a Kubernetes service account; its token is read for each login, since such tokens are renewed in
    place."""

    role: str = Field(min_length=1, max_length=256)
    token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    mount: VaultPath = "kubernetes"


class VaultSettings(_Strict):
    """Where secrets named `vault:…` are (docs/secrets.md)."""

    url: str  # https://HOST[:PORT]
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key_file: SecretRef | None = None  # not in Vault: it is what opens it
    namespace: VaultPath | None = None
    mount: VaultPath = "secret"  # of the KV engine, version 2
    app_role: AppRoleSettings | None = None
    kubernetes: PodSettings | None = None
    refresh_seconds: float = Field(default=60.0, ge=1.0, le=3600.0)
    allow_plaintext: bool = False  # http:// off loopback

    @field_validator("url")
    @classmethod
    def _is_root(cls, url: str) -> str:
        parts = _split(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("must be https://HOST[:PORT]")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("must not hold a user name, password, query or fragment")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.app_role is None) == (self.kubernetes is None):
            raise ValueError("needs either 'app_role' or 'kubernetes'")
        _check_link(self, "https", self.url)
        if isinstance(self.client_key_file, VaultRef):
            raise ValueError("'client_key_file' can't be in Vault: it is what opens it")
        if self.plaintext and not self.allow_plaintext:
            raise ValueError("http:// off loopback is not encrypted; use https, or say 'allow_plaintext'")
        return self

    @property
    def plaintext(self) -> bool:
        """Whether secrets cross a network unencrypted."""
        return _is_plain_http(self.url)


class Settings(BaseSettings):
    """All of it. Made by `load` only."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    public: Listener = Listener(port=8080)
    management: Listener = Listener(port=9090)
    policy: Path
    models: Mapping[Name, ModelSettings] = Field(min_length=1)
    upstream: UpstreamSettings = UpstreamSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    traces: TraceSettings | None = None
    audit: AuditSettings | None = None
    trusted_proxies: ProxySettings | None = None  # not said: nobody's address is known for sure
    names_engine: NamesEngineSettings | None = None  # without it the embedded model finds names
    state: StateSettings | None = None
    vault: VaultSettings | None = None
    encryption_keys_file: SecretRef | None = None  # private keys for roles that encrypt (docs/encryption.md)
    pseudonym_key_file: SecretRef | None = None  # 32 bytes or more; without it pseudonyms change with each start
    keep_alive_seconds: Seconds = 15.0
    # After SIGTERM: how long it still serves, and says that it is not ready, for those to see who send it requests; and
    # how long running answers may take then.
    unready_seconds: float = Field(default=0.0, ge=0, le=3600)
    drain_seconds: Seconds = 30.0
    allow_plaintext_upstream: bool = False
    allow_plaintext_administration: bool = False  # on a management listener off loopback without TLS

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if _overlap(self.public, self.management):
            raise ValueError("'public' and 'management' must not be the same address")
        if not self.allow_plaintext_upstream and (names := sorted(self.plaintext_models())):
            raise ValueError(
                f"model {names[0]!r} is reached by plain http off loopback; "
                "use https, or set 'allow_plaintext_upstream' if that network is yours alone"
            )
        return self

    @property
    def knows_addresses(self) -> bool:
        """Whether it is said what stands before the gateway, be it nothing."""
        return self.trusted_proxies is not None

    @property
    def management_is_private(self) -> bool:
        """Whether nobody on the way to the management listener can read an administrator's token."""
        listener = self.management
        return listener.tls is not None or is_loopback(listener.host) or self.allow_plaintext_administration

    @property
    def knows_certificates(self) -> bool:
        """Whether callers' certificates come to the public listener, or in a header from trusted proxies."""
        said = self.trusted_proxies is not None and self.trusted_proxies.client_cert_header
        return said or self.public.verifies_callers

    def releases(self) -> dict[Release, ReleaseSettings]:
        """All of all models."""
        return {Release(model, name): each for model, of in self.models.items() for name, each in of.releases.items()}

    def shown_certificates(self) -> Mapping[str, Path]:
        """Those that others are shown: model servers by the first address of each, the rest by their keys here."""
        every = (server for release in self.releases().values() for server in release.servers)
        shown = {each.urls[0]: each.client_certificate for each in every if each.client_certificate is not None}
        others = self.links().items()
        return shown | {key: link.client_certificate for key, link in others if link.client_certificate is not None}

    def links(self) -> Mapping[str, StateSettings | VaultSettings | TraceSettings]:
        """What is spoken to besides model servers, by its key here."""
        every = {"state": self.state, "vault": self.vault, "traces": self.traces}
        return {key: link for key, link in every.items() if link is not None}

    def plaintext_models(self) -> Iterator[str]:
        for name, model in self.models.items():
            if any(server.plaintext for release in model.releases.values() for server in release.servers):
                yield name

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment over the file, which comes in as arguments; nothing else."""
        return env_settings, init_settings


def load(path: Path) -> Settings:
    """Raises ConfigError with every problem of the file and the environment, none of which quotes a value."""
    document = read(path)
    _refuse_unknown_variables(os.environ)
    try:
        settings = Settings(**document.data)
    except ValidationError as error:
        raise ConfigError(*_problems(error, document)) from None
    except SettingsError:
        raise ConfigError(
            Problem("environment", None, f"{PREFIX}…", "a variable does not hold the JSON it must")
        ) from None
    return _anchored(settings, path.parent)


# ---- addresses -------------------------------------------------------------------------------------------------------


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text quotes the url
        raise ValueError("is not a URL") from None
    return parts


def _check_link(link: ServerSettings | TraceSettings | StateSettings | VaultSettings, tls: str, *urls: str) -> None:
    """Whether its certificates fit together and its addresses; `tls` is the scheme that these need. Raises
    ValueError."""
    if (link.client_certificate is None) != (link.client_key_file is None):
        raise ValueError("'client_certificate' and 'client_key_file' go together")
    if (link.ca_file or link.client_certificate) and any(urlsplit(url).scheme != tls for url in urls):
        raise ValueError(f"'ca_file' and 'client_certificate' need {tls}")


def _share(one: ServerSettings, other: ServerSettings) -> bool:
    """Whether a replica may be both."""
    return not set(one.urls).isdisjoint(other.urls)


def _redis(url: str) -> SplitResult:
    parts = _split(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("must be rediss://HOST[:PORT], or redis://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password; use 'user' and 'password_file'")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or fragment")
    return parts


def _is_plain(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "redis" and not is_loopback(parts.hostname or "")


def _is_plain_http(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _overlap(one: Listener, other: Listener) -> bool:
    """Port 0 never does: the system gives each its own."""
    every = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to
    same_host = one.host == other.host or bool({one.host, other.host} & every)
    return same_host and one.port == other.port != 0


# ---- paths -----------------------------------------------------------------------------------------------------------


def _anchored(settings: Settings, folder: Path) -> Settings:
    """The same with every path made absolute from the configuration's folder."""
    root = folder.absolute()
    anchored: Settings = mapped(settings, lambda leaf: root / leaf if isinstance(leaf, Path) else leaf)
    return anchored


def mapped(value: Any, work: Callable[[Any], Any]) -> Any:
    """A part of the settings with `work` done on all that stands in it, however deep."""
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        changed = {name: new for name, old in fields.items() if (new := mapped(old, work)) is not old}
        return value.model_copy(update=changed) if changed else value
    if isinstance(value, Mapping):
        return {name: mapped(each, work) for name, each in value.items()}
    return work(value)


# ---- problems --------------------------------------------------------------------------------------------------------

# A Kubernetes service called "tightlip" puts these into every pod beside it. None has two underscores in a row.
_KUBERNETES: Final = re.compile(r"TIGHTLIP_(?!.*__)(?:.+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT(?:_[0-9]+_.+)?)")


def _refuse_unknown_variables(environment: Iterable[str]) -> None:
    """A variable with a typing error in its name would be a setting that silently isn't. Raises ConfigError."""
    for name in sorted(environment):
        first = name[len(PREFIX) :].split(NESTED, 1)[0].lower()
        known = first in Settings.model_fields or name == ADMIN_TOKEN or _KUBERNETES.fullmatch(name)
        if name.upper().startswith(PREFIX) and not known:
            raise ConfigError(Problem("environment", None, name, "is not a known setting"))


def _problems(error: ValidationError, document: Document) -> list[Problem]:
    return [_problem(detail["loc"], complaint(detail["type"], detail["msg"]), document) for detail in _details(error)]


def _details(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False, include_context=False, include_input=False))


def _problem(found: tuple[str | int, ...], text: str, document: Document) -> Problem:
    location = _as_written(found, document)
    variable = _variable(location, os.environ)
    return Problem("environment", None, variable, text) if variable else document.problem(location, text)


def _as_written(location: tuple[str | int, ...], document: Document) -> tuple[str | int, ...]:
    """Without the name of a release that nobody has named."""
    if location[:1] != ("models",) or location[2:4] != ("releases", ONLY):
        return location
    models = document.data.get("models")
    model = models.get(location[1]) if isinstance(models, Mapping) else None
    return location if isinstance(model, Mapping) and "releases" in model else (*location[:2], *location[4:])


def _variable(location: tuple[str | int, ...], environment: Iterable[str]) -> str | None:
    """The variable that set this key, if one did."""
    wanted = PREFIX + NESTED.join(map(str, location))
    return next((name for name in environment if name.upper() == wanted.upper()), None)
