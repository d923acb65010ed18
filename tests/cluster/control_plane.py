"""A real Kubernetes API server with its etcd, on loopback, for tokens that an issuer other than ourselves made.

The programs are looked for in the folder that KUBEBUILDER_ASSETS names (as other projects' tests do), then on the PATH.
"""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.support.processes import free_port
from tests.support.programs import find

READY_SECONDS = 90.0
PROGRAMS = ("etcd", "kube-apiserver")


def missing() -> str | None:
    """Why there can be no cluster, or None."""
    absent = [name for name in PROGRAMS if find(name) is None]
    return f"no {', '.join(absent)}: set KUBEBUILDER_ASSETS or put them on the PATH" if absent else None


class ApiServer:
    """Its signing keys are `key(name)`, made when they are first named."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = ""
        self.ca_file = home / "certs" / "apiserver.crt"
        self.admin = secrets.token_urlsafe(24)
        self._children: list[subprocess.Popen[bytes]] = []
        self._etcd, self._peer, self._port = (free_port() for _ in range(3))

    def start_etcd(self) -> None:
        url, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        self._spawn(
            "etcd",
            "--data-dir=etcd",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )

    def start(self, signing: str, accepted: Sequence[str]) -> None:
        """Serve; new tokens are signed with one key, and the page lists all accepted ones."""
        (self.home / "tokens.csv").write_text(f"{self.admin},admin,admin,system:masters\n")
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd}",
            f"--secure-port={self._port}",
            "--bind-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--cert-dir=certs",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self._key(signing)}.key",
            *(f"--service-account-key-file={self._key(name)}.pub" for name in accepted),
            "--service-cluster-ip-range=10.96.0.0/16",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=Node,RBAC",
        )
        self.url = f"https://127.0.0.1:{self._port}"
        self._wait()

    def restart(self, signing: str, accepted: Sequence[str]) -> None:
        """As `start`, with other keys."""
        server = self._children.pop()
        server.kill()
        server.wait()
        self.start(signing, accepted)

    def stop(self) -> None:
        for child in reversed(self._children):
            child.kill()
            child.wait()

    def post(self, path: str, body: Any) -> Any:
        return json.loads(self._request(path, json.dumps(body).encode()))

    def create_account(self, name: str) -> None:
        """In the namespace `default`, which the API server makes a moment after it is ready."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        self._retried(lambda: self.post("/api/v1/namespaces/default/serviceaccounts", account))

    def allow_reviews(self, name: str) -> None:
        """Let this account ask what other tokens are, as a Vault does that logs service accounts in."""
        group = "rbac.authorization.k8s.io"
        role = {"apiGroup": group, "kind": "ClusterRole", "name": "system:auth-delegator"}
        subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
        binding = {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name}}
        self.post(f"/apis/{group}/v1/clusterrolebindings", binding | {"roleRef": role, "subjects": [subject]})

    def create_secret(self, name: str) -> None:
        """In the namespace `default`: something that a token can be bound to."""
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        self.post("/api/v1/namespaces/default/secrets", secret)

    def delete(self, kind: str, name: str) -> None:
        """Of the namespace `default`; `kind` as addresses have it."""
        self._request(f"/api/v1/namespaces/default/{kind}/{name}", method="DELETE")

    def is_good(self, token: str, audience: str) -> bool:
        """What the API server itself says of a token when it is asked (a TokenReview)."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
        wish = review | {"spec": {"token": token, "audiences": [audience]}}
        answer = self.post("/apis/authentication.k8s.io/v1/tokenreviews", wish)
        return bool(answer["status"].get("authenticated"))

    def token(self, account: str, audience: str, seconds: int = 3600, secret: str | None = None) -> str:
        """As `kubectl create token ACCOUNT --audience AUDIENCE` makes it; audience "" is the API server's own. With
        `secret` it is bound to that object (`--bound-object-kind Secret`)."""
        audiences = [audience] if audience else []
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        bound = {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": secret}} if secret else {}
        wish = body | {"spec": {"audiences": audiences, "expirationSeconds": seconds} | bound}
        made = self.post(f"/api/v1/namespaces/default/serviceaccounts/{account}/token", wish)
        return str(made["status"]["token"])

    def _key(self, name: str) -> str:
        path = self.home / f"{name}.key"
        if not path.exists():
            key = rsa.generate_private_key(65537, 2048)
            path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            path.with_suffix(".pub").write_bytes(public)
        return name

    def _spawn(self, name: str, *flags: str) -> None:
        program = find(name)
        assert program is not None
        with (self.home / f"{name}.log").open("ab") as log:
            self._children.append(subprocess.Popen([program, *flags], stdout=log, stderr=log, cwd=self.home))

    def _request(self, path: str, body: bytes | None = None, method: str | None = None) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        headers = {"authorization": f"Bearer {self.admin}", "content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method=method)
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:
            raw: bytes = answer.read()
            return raw

    def _wait(self) -> None:
        self._retried(lambda: self._request("/readyz"))

    def _retried(self, work: Any) -> None:
        end = time.monotonic() + READY_SECONDS
        while True:
            assert all(child.poll() is None for child in self._children), "a process of the cluster has stopped"
            try:
                work()
            except (urllib.error.URLError, OSError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return


@contextmanager
def api_server(home: Path) -> Iterator[ApiServer]:
    """Runs inside the block."""
    server = ApiServer(home)
    try:
        server.start_etcd()
        server.start("first", ["first"])
        yield server
    finally:
        server.stop()
