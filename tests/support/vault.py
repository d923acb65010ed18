"""A real Vault on loopback, with TLS and its data in a folder, so that it can be sealed, killed and started again.

The program is looked for in the folder that KUBEBUILDER_ASSETS names, beside the other servers of tests, then on the
PATH.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests

from tests.support.processes import Child, Program, free_ports, start, stop, wait_until_ready
from tests.support.tls import Authority


def _program() -> str | None:
    beside = Path(os.environ.get("KUBEBUILDER_ASSETS", "")) / "vault"
    return str(beside) if os.access(beside, os.X_OK) and beside.is_file() else shutil.which("vault")


PROGRAM = _program()
needs_vault = pytest.mark.skipif(PROGRAM is None, reason="no vault in the folder KUBEBUILDER_ASSETS, nor on the PATH")
LEADS_SECONDS = 120.0
READS = 'path "secret/data/tightlip/*" { capabilities = ["read"] }'


class Vault:
    """One server, and what its operator does with it."""

    def __init__(self, folder: Path) -> None:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        self.folder, (self._port, cluster) = folder, free_ports(2)
        authority = Authority(folder)
        certificate = authority.server("vault")
        self.ca_file, self.url = authority.ca_file, f"https://127.0.0.1:{self._port}"
        (folder / "vault.hcl").write_text(
            f'storage "raft" {{ path = "{folder}/data" node_id = "one" performance_multiplier = 1 }}\n'
            f'api_addr = "{self.url}"\ncluster_addr = "https://127.0.0.1:{cluster}"\n'
            f'listener "tcp" {{ address = "127.0.0.1:{self._port}" cluster_address = "127.0.0.1:{cluster}" '
            f'tls_cert_file = "{certificate}" tls_key_file = "{certificate}" }}\n'
            "disable_mlock = true\n"
        )
        self._child: Child | None = None
        self._key = ""
        session = requests.Session()
        session.trust_env, session.verify = False, str(self.ca_file)
        self.api: Any = hvac.Client(self.url, token="", verify=str(self.ca_file), session=session)

    def start(self) -> None:
        """Run, sealed as after every start."""
        command = [PROGRAM or "vault", "server", f"-config={self.folder}/vault.hcl", "-log-level=warn"]
        self._child = start(Program("vault", command, lambda _: self._answers()), self.folder / "logs")
        wait_until_ready(self._child)

    def stop(self) -> None:
        if self._child is not None:
            self.go_on()
            stop(self._child)

    def hang(self) -> None:
        """It takes connections and answers nothing."""
        assert self._child is not None
        self._child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._child is not None
        self._child.process.send_signal(signal.SIGCONT)

    def initialise(self) -> None:
        """One key opens it; the engine and the two ways of login are there, and a policy that reads."""
        made = self.api.sys.initialize(secret_shares=1, secret_threshold=1)
        self._key, self.api.token = made["keys"][0], made["root_token"]
        self.unseal()
        self.api.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        self.api.sys.enable_auth_method("approle")
        self.api.sys.create_or_update_policy("reads", READS)

    def seal(self) -> None:
        self.api.sys.seal()

    def unseal(self) -> None:
        """Open, and the leader of its cluster of one."""
        self.api.sys.submit_unseal_key(self._key)
        end = time.monotonic() + LEADS_SECONDS
        while not isinstance(self.api.sys.read_health_status(method="GET"), dict):  # as which only 200 comes
            assert time.monotonic() < end, "Vault does not become active"
            time.sleep(0.1)

    def put(self, path: str, values: Mapping[str, Any]) -> None:
        """A new version of `tightlip/PATH`."""
        self.api.secrets.kv.v2.create_or_update_secret(f"tightlip/{path}", dict(values), mount_point="secret")

    def app_role(self, name: str, **more: Any) -> tuple[str, str]:
        """A role that reads; its id and a secret id."""
        role = self.api.auth.approle
        role.create_or_update_approle(name, token_policies=["reads"], **more)
        return (
            str(role.read_role_id(name)["data"]["role_id"]),
            str(role.generate_secret_id(name)["data"]["secret_id"]),
        )

    def trust_cluster(self, url: str, ca: str, reviewer: str) -> None:
        """Service accounts of this cluster may log in, as roles say; `reviewer` is the token to ask its server with."""
        self.api.sys.enable_auth_method("kubernetes")
        self.api.auth.kubernetes.configure(
            url, kubernetes_ca_cert=ca, token_reviewer_jwt=reviewer, disable_local_ca_jwt=True
        )

    def cluster_role(self, name: str, account: str) -> None:
        """A role that reads, for one service account of the namespace `default`."""
        self.api.auth.kubernetes.create_role(
            name,
            bound_service_account_names=[account],
            bound_service_account_namespaces=["default"],
            policies=["reads"],
        )

    def revoke_tokens(self, name: str) -> None:
        """Every token that this way of login has given, and those of no other."""
        self.api.sys.revoke_prefix(f"auth/{name}/login")

    def _answers(self) -> bool:
        try:
            self.api.sys.read_health_status(method="GET")
        except requests.RequestException:
            return False
        return True


@contextmanager
def vault(folder: Path) -> Iterator[Vault]:
    """Initialised and open, for as long as the block lasts."""
    server = Vault(folder)
    try:
        server.start()
        server.initialise()
        yield server
    finally:
        server.stop()
