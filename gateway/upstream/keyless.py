"""Whether model servers answer who shows no key: whoever reaches such a one reads what no filter has seen.

Each is called once at the start, without its key; one that does not answer yet is called again until it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from gateway.errors import GatewayError, UpstreamTimeout, UpstreamUnavailable
from gateway.upstream.client import Errand, Server, UpstreamClient

AGAIN: Final = 10.0  # seconds, for those that were not there
DEADLINE: Final = 5.0  # for one call
_ERRAND: Final = Errand("key-check")


class KeyCheck:
    """Of some servers."""

    def __init__(self, client: UpstreamClient, servers: Iterable[Server], tell: Callable[[str], None]) -> None:
        """`tell` hears the address of each that answers without a key."""
        self._client, self._tell = client, tell
        self._left = [replace(server, api_key=None) for server in servers]

    async def look(self) -> bool:
        """Call those that have not answered yet; whether all have."""
        answered = await asyncio.gather(*(self._has_answered(server) for server in self._left))
        self._left = [server for server, has in zip(self._left, answered, strict=True) if not has]
        return not self._left

    async def watch(self) -> None:
        """Look until all have answered."""
        while not await self.look():  # noqa: ASYNC110 - what has answered has no event
            await asyncio.sleep(AGAIN)

    async def _has_answered(self, server: Server) -> bool:
        try:
            await self._client.models(server, _ERRAND, DEADLINE)
        except (UpstreamTimeout, UpstreamUnavailable):
            return False
        except GatewayError:  # it refused
            return True
        self._tell(server.url)
        return True
