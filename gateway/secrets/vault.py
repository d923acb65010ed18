"""HashiCorp Vault or OpenBao over hvac, which blocks: for threads. KV version 2; login by AppRole or as a Kubernetes
service account.

1. Nothing of the environment counts (VAULT_ADDR, ~/.vault-token, proxies): only the settings do. No redirect is
   followed, since a token would go with it.
2. A token is renewed when two thirds of its lease are over. One that can't be renewed, or not for much longer, is
   replaced by a new login; so is one that Vault no longer knows. Where neither can be had, one that lives is used.
3. Foreign errors become `VaultTrouble` here and nowhere else; their texts, which may quote an answer, go nowhere.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import hvac
import requests
from hvac import exceptions

from gateway.authorities import key_path, linked
from gateway.config_file import ConfigError
from gateway.secrets.references import VaultRef, read_secret
from gateway.secrets.trouble import Trouble, VaultTrouble
from gateway.settings import VaultSettings

TIMEOUT: Final = 5.0  # seconds without a word from it
BETWEEN: Final = 60.0  # seconds between two logins for what is forbidden, which may be so for good
# What becomes of an answer that is not Vault's: a redirect, or another program's page. hvac looks into those, too.
_STRANGE: Final = (KeyError, TypeError, AttributeError, ValueError)
_RENEW_AFTER: Final = 2 / 3  # of a lease
_WORTHWHILE: Final = 1 / 2  # of the first lease: a renewal that gives less is near the end of all renewals


class Vault:
    """Fulfils `gateway.secrets.store.Vault`. For any thread; one asks at a time."""

    def __init__(self, settings: VaultSettings, now: Callable[[], float] = time.monotonic) -> None:
        """Connects to nothing yet. Raises ConfigError for a CA file that holds no authority, and for a certificate that
        can't be shown."""
        cert = _shown(settings)
        session = requests.Session()
        session.trust_env = False
        verify: str | bool = str(settings.ca_file) if settings.ca_file else True
        session.verify = verify
        session.cert = cert
        self._client = hvac.Client(
            url=settings.url,
            token="",
            cert=cert,
            verify=verify,
            timeout=TIMEOUT,
            allow_redirects=False,
            session=session,
            namespace=settings.namespace,
        )
        self._settings, self._now, self._lock = settings, now, threading.Lock()
        self._first_lease = 0.0
        self._renew_at = self._ends = -math.inf
        self._renewable = False
        self._helped_at = -math.inf  # when the last login was because something was forbidden

    def read(self, ref: VaultRef) -> str:
        """As `gateway.secrets.store.Vault.read`."""
        with self._lock:
            self._keep_or_go_on()
            try:
                answer = self._get(ref)
            except VaultTrouble as refused:
                if refused.trouble is not Trouble.FORBIDDEN or self._now() < self._helped_at + BETWEEN:
                    raise
                self._log_in()  # the token may have been revoked, or Vault may have forgotten it
                self._helped_at = self._now()
                answer = self._get(ref)
        return _value(answer, ref)

    def keep(self) -> None:
        """As `gateway.secrets.store.Vault.keep`."""
        with self._lock:
            self._keep()

    @property
    def due(self) -> float:
        """As `gateway.secrets.store.Vault.due`."""
        return max(0.0, self._renew_at - self._now())

    def _keep_or_go_on(self) -> None:
        try:
            self._keep()
        except VaultTrouble:
            if self._now() >= self._ends:
                raise

    def _keep(self) -> None:
        if self._now() < self._renew_at:
            return
        if not (self._renewable and self._renewed()):
            self._log_in()

    def _renewed(self) -> bool:
        try:
            answer = _asked(self._client.auth.token.renew_self)
        except VaultTrouble:
            return False  # Vault says of an expired token the same as of a fault of its own
        lease, _ = _lease(answer)
        self._hold(lease)
        return lease >= self._first_lease * _WORTHWHILE

    def _log_in(self) -> None:
        """The token before stays until there is another. Raises VaultTrouble, never FORBIDDEN."""
        try:
            self._first_lease, self._renewable = _lease(_asked(self._login))
        except VaultTrouble as refused:
            raise VaultTrouble(refused.trouble if refused.passes else Trouble.LOGIN_REFUSED) from None
        except ConfigError as unread:
            raise VaultTrouble(Trouble.CREDENTIAL, unread.problems[0].file) from None
        self._hold(self._first_lease or math.inf)

    def _hold(self, lease: float) -> None:
        now = self._now()
        self._renew_at, self._ends = now + lease * _RENEW_AFTER, now + lease

    def _login(self) -> Any:
        if (role := self._settings.app_role) is not None:
            secret_id = read_secret(role.secret_id_file)
            return self._client.auth.approle.login(role.role_id, secret_id, mount_point=role.mount)
        pod = self._settings.kubernetes
        assert pod is not None
        return self._client.auth.kubernetes.login(pod.role, read_secret(pod.token_file), mount_point=pod.mount)

    def _get(self, ref: VaultRef) -> Mapping[str, Any]:
        def get() -> Any:
            return self._client.secrets.kv.v2.read_secret_version(
                ref.path, ref.version, mount_point=self._settings.mount, raise_on_deleted_version=True
            )

        return _asked(get, str(ref))


def _shown(settings: VaultSettings) -> tuple[str, str] | None:
    """Certificate and key. What can't be used is found here: or every request would fail, as if Vault were away."""
    linked(settings.ca_file, settings.client_certificate, settings.client_key_file)
    if settings.client_certificate is None or settings.client_key_file is None:
        return None
    return str(settings.client_certificate), key_path(settings.client_key_file)


def _asked(work: Callable[[], Any], what: str = "") -> Mapping[str, Any]:
    try:
        answer = work()
    except exceptions.VaultError as error:
        raise _as_ours(error, what) from None
    except (requests.RequestException, OSError, *_STRANGE):
        raise VaultTrouble(Trouble.UNREACHABLE) from None
    if not isinstance(answer, dict):  # a redirect, or another program's page
        raise VaultTrouble(Trouble.UNREACHABLE)
    return answer


def _lease(answer: Mapping[str, Any]) -> tuple[float, bool]:
    """Of a token: its seconds (0: for ever), and whether it can be renewed. Raises VaultTrouble."""
    try:
        return float(answer["auth"]["lease_duration"]), bool(answer["auth"]["renewable"])
    except _STRANGE:
        raise VaultTrouble(Trouble.UNREACHABLE) from None


def _as_ours(error: exceptions.VaultError, what: str) -> VaultTrouble:
    if isinstance(error, exceptions.VaultDown):
        return VaultTrouble(Trouble.SEALED)
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized | exceptions.InvalidRequest):
        return VaultTrouble(Trouble.FORBIDDEN, what)
    if isinstance(error, exceptions.InvalidPath):
        return VaultTrouble(Trouble.MISSING, what)
    return VaultTrouble(Trouble.UNREACHABLE)


def _value(answer: Mapping[str, Any], ref: VaultRef) -> str:
    """A document of keys may be kept as text, or as the object that it is."""
    try:
        value = answer["data"]["data"][ref.key]
    except _STRANGE:
        raise VaultTrouble(Trouble.MISSING, str(ref)) from None
    if isinstance(value, dict):
        return json.dumps(value)
    if not isinstance(value, str):
        raise VaultTrouble(Trouble.UNREADABLE, str(ref))
    return value
