"""Whether the gateway of this container is alive: `python -m gateway.health [URL]`, where there is no other client.

Asks /healthz of the management listener on loopback, at the port that TIGHTLIP_MANAGEMENT__PORT says (9090), by https
where a TIGHTLIP_MANAGEMENT__TLS is there. Where the configuration alone says another port, or TLS, the URL has to be
named. The standard library only, since it runs every half minute.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPException
from typing import Final
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

DEFAULT_PORT: Final = "9090"
TLS: Final = "TIGHTLIP_MANAGEMENT__TLS"
SECONDS: Final = 4.0  # less than the image's HEALTHCHECK gives


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit status: 0 if it answers that it is, else 1."""
    port = environment.get("TIGHTLIP_MANAGEMENT__PORT", DEFAULT_PORT)
    scheme = "https" if any(name.startswith(TLS) for name in environment) else "http"
    url = arguments[0] if arguments else f"{scheme}://127.0.0.1:{port}/healthz"
    return 0 if is_alive(url) else 1


def is_alive(url: str) -> bool:
    """Whether `url` answers with 200. A certificate is not looked at (it names another host than loopback, and nothing
    secret is sent or asked), nor is a proxy of the environment."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=SECONDS) as response:
            return bool(response.status == HTTPStatus.OK)
    except (OSError, HTTPException, ValueError):  # nobody is there; what is no HTTP; what is no URL
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
