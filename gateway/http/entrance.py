"""From an accepted socket to a protocol that speaks HTTP: the count, the PROXY header, the handshake, in this order.

1. A connection counts from the moment it is accepted, and for its address as soon as that is known: for the one that a
   trusted proxy announces, else for its peer's. Half-open handshakes take places like any other connection.
2. The PROXY header is read byte for byte up to its own length, so that nothing of the handshake that follows it on the
   same socket is taken. A trusted proxy that does not send it is refused; from anybody else it is no HTTP, and no
   handshake.
3. Header and handshake share one deadline. What fails is closed without a word and counted.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.addresses import NO_PROXIES, Announced, Proxies
from gateway.http import proxy_v2
from gateway.http.arrivals import Connections, Origin, Place
from gateway.http.connection import Guarded
from gateway.http.tls import ServerTls

ACCEPTED_AT_ONCE: Final = 64  # then other work has its turn
PAUSE_SECONDS: Final = 1.0  # when the process has no more files to open


@dataclass(frozen=True, slots=True)
class Door:
    """How connections come in. `refused` hears of each that does not, with one of the metrics' CONNECTION_REFUSALS."""

    tls: ServerTls | None = None
    proxies: Proxies = NO_PROXIES
    seconds: float = 5.0  # for the header and the handshake together
    refused: Callable[[str], None] = lambda _why: None


class _Refused(Exception):
    """Carries why."""


class Entrance:
    """Accepts connections on one socket. Has what uvicorn wants of a server: `close` and `wait_closed`."""

    def __init__(
        self, bound: socket.socket, door: Door, connections: Connections, make_protocol: Callable[[], Guarded]
    ) -> None:
        self._bound, self._door, self._connections, self._make = bound, door, connections, make_protocol
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        bound.setblocking(False)
        self._open()

    def close(self) -> None:
        """Accepts no more, and gives up on what has not arrived yet."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._bound)
        for task in self._arriving:
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._arriving, return_exceptions=True)

    def _open(self) -> None:
        self._loop.add_reader(self._bound, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, address = self._bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no file is free: those that wait go on waiting
                self._loop.remove_reader(self._bound)
                self._pause = self._loop.call_later(PAUSE_SECONDS, self._open)
                return
            self._admit(connection, str(address[0]))

    def _admit(self, connection: socket.socket, peer: str) -> None:
        place = self._connections.enter()
        if place is None:
            connection.close()  # an answer would cost more than the connection
            self._door.refused("total")
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not for accepted sockets
        task = self._loop.create_task(self._arrive(connection, peer, place))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _arrive(self, connection: socket.socket, peer: str, place: Place) -> None:
        try:
            async with asyncio.timeout(self._door.seconds):
                origin = await self._origin(connection, peer, place)
                await self._hand_over(connection, origin, place)
        except _Refused as refused:
            self._turn_away(place, str(refused))
        except TimeoutError:
            self._turn_away(place, "late")
        except OSError:  # of the socket, or ssl.SSLError
            self._turn_away(place, "handshake")
        except BaseException:
            place.leave()
            raise

    def _turn_away(self, place: Place, why: str) -> None:
        place.leave()
        self._door.refused(why)

    async def _origin(self, connection: socket.socket, peer: str, place: Place) -> Origin:
        """Where it comes from, counted there. The socket is still ours, and closed if anything is wrong."""
        try:
            announced = await self._announced(connection) if self._door.proxies.must_announce(peer) else None
            if not place.belongs_to(announced.address or peer if announced is not None else peer):
                raise _Refused("address")
        except BaseException:
            connection.close()
            raise
        return Origin(peer, announced)

    async def _announced(self, connection: socket.socket) -> Announced:
        try:
            fixed = await self._exactly(connection, proxy_v2.FIXED_BYTES)
            return proxy_v2.read(fixed, await self._exactly(connection, proxy_v2.rest_bytes(fixed)))
        except (proxy_v2.Malformed, ConnectionError):
            raise _Refused("proxy_header") from None

    async def _exactly(self, connection: socket.socket, count: int) -> bytes:
        raw = b""
        while len(raw) < count:
            more = await self._loop.sock_recv(connection, count - len(raw))
            if not more:
                raise proxy_v2.Malformed
            raw += more
        return raw

    async def _hand_over(self, connection: socket.socket, origin: Origin, place: Place) -> None:
        """From here on the socket is the transport's, which closes it if the handshake fails."""

        def arrived() -> Guarded:
            protocol = self._make()
            protocol.comes_from(origin, place)
            return protocol

        tls = self._door.tls
        if tls is None:
            await self._loop.connect_accepted_socket(arrived, connection)
        else:
            patience = self._door.seconds
            await self._loop.connect_accepted_socket(
                arrived, connection, ssl=tls.context, ssl_shutdown_timeout=patience
            )
