"""A real nginx with the example configuration, in front of something on loopback."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import HOST, Child, Program, free_port, running

EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx" / "tightlip.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
NEEDED = "needs nginx on PATH (apt-get install nginx-light)"

_MAIN = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
{temporary}
include {folder}/tightlip.conf;
}}
"""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx(folder: Path, gateway_port: int) -> Iterator[tuple[Child, int]]:
    """It and its port. The example is as it stands but for its capitals, its paths, and TLS, which hides no vector."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    (folder / "tightlip.conf").write_text(_filled(folder, port, gateway_port))
    user = "user root;" if os.geteuid() == 0 else ""  # its worker reads the test's folder, which is ours alone
    temporary = "\n".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY)
    (folder / "nginx.conf").write_text(_MAIN.format(user=user, folder=folder, temporary=temporary))
    command = [str(NGINX), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with running(Program("nginx", command, lambda _: _listens(port)), folder / "logs") as child:
        yield child, port


def _filled(folder: Path, port: int, gateway_port: int) -> str:
    text = EXAMPLE.read_text(encoding="utf-8")
    for pattern, put in (
        (r"GATEWAY_ADDRESS:8080", f"{HOST}:{gateway_port}"),
        (r"GATEWAY_NAME", "a"),
        (r"listen 443 ssl;", f"listen {HOST}:{port};"),
        (r"    ssl_\w+ .*\n", ""),
        (r"/var/log/nginx", str(folder)),
    ):
        text, count = re.subn(pattern, put, text)
        assert count, f"{pattern} is no longer in the example"
    return text


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
