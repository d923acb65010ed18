"""Whether model servers answer who shows no key: whoever reaches such a one reads what no filter has seen.

Each replica is called at the start, without its key; one that does not answer yet is called again until it has. Where
the list of models is refused another door is tried, with an empty body that is answered by no model: vLLM 0.32 asks for
its --api-key below /v1, /v2, /inference and /cohere alone, and answers chats at SIDE_DOOR too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from gateway.errors import CallerError, GatewayError, UpstreamTimeout, UpstreamUnavailable
from gateway.upstream.client import MODELS, Errand, Server, UpstreamClient
from gateway.upstream.replicas import Replica

AGAIN: Final = 10.0  # seconds, for those that were not there
DEADLINE: Final = 5.0  # for one call
SIDE_DOOR: Final = "/invocations"
_ERRAND: Final = Errand("key-check")


class KeyCheck:
    """Of some servers."""

    def __init__(
        self, connect: Callable[[], UpstreamClient], servers: Iterable[Server], tell: Callable[[str, str], None]
    ) -> None:
        """`connect` makes a client, for each look another: who drops all that show no key is not ejected for it, for
        those who show one nor for the next look. `tell` hears the address of each that answers without a key, once, and
        the path where it does."""
        self._connect, self._tell = connect, tell
        self._left = [replace(server, api_key=None) for server in servers]
        self._answered: set[str] = set()  # where replicas are that have
        self._told: set[str] = set()

    async def look(self, client: UpstreamClient) -> bool:
        """Call those that have not answered yet; whether all have."""
        answered = await asyncio.gather(*(self._have_answered(client, server) for server in self._left))
        self._left = [server for server, have in zip(self._left, answered, strict=True) if not have]
        return not self._left

    async def watch(self) -> None:
        """Look until all have answered."""
        while True:
            async with aclosing(self._connect()) as client:
                if await self.look(client):
                    return
            await asyncio.sleep(AGAIN)

    async def _have_answered(self, client: UpstreamClient, server: Server) -> bool:
        """All replicas that are known, and one or more of each address."""
        replicas = [each.only for each in await client.each(server) if each.only is not None]
        left = [replica for replica in replicas if replica.at not in self._answered]
        await asyncio.gather(*(self._call(client, replace(server, only=replica), replica) for replica in left))
        known = {replica.url for replica in replicas} == set(server.urls)
        return known and all(replica.at in self._answered for replica in replicas)

    async def _call(self, client: UpstreamClient, server: Server, replica: Replica) -> None:
        try:
            path = await _open_door(client, server)
        except (UpstreamTimeout, UpstreamUnavailable):
            return
        self._answered.add(replica.at)
        if path is not None and replica.url not in self._told:
            self._told.add(replica.url)
            self._tell(replica.url, path)


async def _open_door(client: UpstreamClient, server: Server) -> str | None:
    """Where it answers; None: nowhere. Raises UpstreamTimeout, UpstreamUnavailable."""
    try:
        await client.models(server, _ERRAND, DEADLINE)
        return MODELS
    except (UpstreamTimeout, UpstreamUnavailable):
        raise
    except GatewayError:  # it refused
        return SIDE_DOOR if await _reads(client, server) else None


async def _reads(client: UpstreamClient, server: Server) -> bool:
    """Whether it looks at what is sent to the side door before it asks who sends it."""
    try:
        await client.post(server, SIDE_DOOR, {}, _ERRAND, DEADLINE)
    except CallerError:  # the body is wrong
        return True
    except (UpstreamTimeout, UpstreamUnavailable):
        raise
    except GatewayError:  # it asks, or has no such door
        return False
    return True
