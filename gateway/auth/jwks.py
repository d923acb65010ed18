"""An issuer's public keys from the web (RFC 7517) or from Vault, fetched beside the requests and never because of what
a token says.

1. The address is the policy's, https, without a redirect; a token's `jku` is refused before anybody reads it.
2. What can't be had or read leaves the keys as they are. They serve through an outage for `keep_seconds`; then this
   issuer's tokens are refused, and nobody else's. That is judged by the clock at each use and not at the next fetch,
   which may never come or never end.
3. A key id that nobody knows may be a new key: it is fetched for, at most once a second, however many tokens ask, and
   none of them waits longer than DEADLINE. Of several pages none waits for another.
4. A key that is gone from the page is gone: tokens that were verified with it are verified again.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import aiohttp

from gateway.auth import keys
from gateway.auth.keys import Key, KeySet
from gateway.authorities import trusting
from gateway.config_file import ConfigError
from gateway.secrets.references import VaultRef, read_secret
from gateway.secrets.trouble import VaultTrouble

DEADLINE: Final = 5.0  # seconds for one fetch
AGAIN: Final = 10.0  # after one that failed
LEAST_BETWEEN: Final = 1.0  # two fetches for unknown key ids


@dataclass(frozen=True, slots=True)
class Page:
    """Where an issuer publishes its keys. Times in seconds."""

    url: str
    ca_file: Path | None = None
    token_file: Path | None = None  # a bearer token, read for each fetch, since such tokens are renewed in place
    refresh_seconds: float = 300.0
    keep_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class VaultPage:
    """Where the keys are in Vault: a JWKS document, or one key as PEM, which `kid` names. Times in seconds."""

    ref: VaultRef
    kid: str | None = None
    refresh_seconds: float = 300.0
    keep_seconds: float = 3600.0

    @property
    def url(self) -> str:
        """What a message calls it."""
        return str(self.ref)


Place = Page | VaultPage
ReadVault = Callable[[VaultRef], Awaitable[str]]


class Fetch(Protocol):
    """The page's bytes. Raises FetchFailed."""

    async def __call__(self, page: Place) -> bytes: ...


class FetchFailed(Exception):
    """The page could not be had. Says how in one word, and never what stood there."""


class PageFetcher:
    """Fetches over one session. To be made and closed inside the event loop."""

    def __init__(self, pages: Sequence[Place] = (), vault: ReadVault | None = None) -> None:
        """`vault` raises VaultTrouble. Raises ConfigError for a CA file that can't be read."""
        self._vault = vault
        self._contexts: dict[Path | None, ssl.SSLContext] = {}
        self.know(pages)
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=DEADLINE),
            trust_env=False,
        )

    def know(self, pages: Sequence[Place]) -> None:
        """Read the CA files of these pages, again where they are known. Raises ConfigError, and nothing has changed."""
        self._contexts |= {page.ca_file: trusting(page.ca_file) for page in pages if isinstance(page, Page)}

    async def aclose(self) -> None:
        await self._session.close()

    async def __call__(self, page: Place) -> bytes:
        if isinstance(page, VaultPage):
            return await self._from_vault(page.ref)
        try:
            return await self._get(page)
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:  # their texts hold addresses
            raise FetchFailed(type(error).__name__) from None
        except ConfigError:
            raise FetchFailed("token_file") from None

    async def _from_vault(self, ref: VaultRef) -> bytes:
        assert self._vault is not None, "a policy with such keys is refused without one"
        try:
            return (await self._vault(ref)).encode()
        except VaultTrouble as failed:
            raise FetchFailed(failed.trouble.value) from None

    async def _get(self, page: Page) -> bytes:
        headers = {"Accept": "application/json, application/jwk-set+json", "Accept-Encoding": "identity"}
        if page.token_file is not None:
            headers["Authorization"] = f"Bearer {await asyncio.to_thread(read_secret, page.token_file)}"
        context = self._contexts[page.ca_file]
        async with self._session.get(page.url, headers=headers, allow_redirects=False, ssl=context) as response:
            if response.status != 200:
                raise FetchFailed("status")
            raw = await response.content.read(keys.MAX_FILE_BYTES + 1)
            while len(raw) <= keys.MAX_FILE_BYTES and (more := await response.content.read(keys.MAX_FILE_BYTES)):
                raw += more
        if len(raw) > keys.MAX_FILE_BYTES:
            raise FetchFailed("too_large")
        return raw


class RemoteKeys:
    """The keys of one issuer that has pages, with those of its files. Fulfils `gateway.auth.keys.Keys`."""

    def __init__(
        self,
        files: Sequence[Key],
        pages: Sequence[Place],
        fetch: Fetch,
        tell: Callable[[str | None], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell` hears after each fetch: None, or what went wrong in one word."""
        self._files, self._pages, self._fetch, self._tell, self._now = tuple(files), pages, fetch, tell, now
        self._fetched: dict[Place, tuple[float, tuple[Key, ...]]] = {}
        self._set, self._until = KeySet(self._files), math.inf
        self._running: asyncio.Task[bool] | None = None
        self._last_wish = -LEAST_BETWEEN
        self._generation = 0

    @property
    def ready(self) -> bool:
        """Whether there is any key that is not too old."""
        return self._current().ready

    @property
    def generation(self) -> int:
        """Of what `candidates` gives; tokens that were good in another one are verified again."""
        self._current()
        return self._generation

    @property
    def age(self) -> float:
        """Seconds since the page that was fetched longest ago; infinite while one never was."""
        return max(
            (self._now() - self._fetched[page][0] if page in self._fetched else float("inf")) for page in self._pages
        )

    def carry_over(self, before: RemoteKeys) -> None:
        """Take what another one has fetched from the same pages, as old as it is."""
        self._fetched |= {page: before._fetched[page] for page in self._pages if page in before._fetched}
        self._put_together()

    def candidates(self, unverified_kid: object, algorithm: str) -> Sequence[Key]:
        """As `KeySet.candidates`, of keys that are not too old."""
        return self._current().candidates(unverified_kid, algorithm)

    async def renewed(self) -> bool:
        """Fetch for a key id that nobody knows; whether it was worth to look again. At most once a second."""
        if self._running is None:
            if self._now() - self._last_wish < LEAST_BETWEEN:
                return False
            self._last_wish = self._now()
            self._running = asyncio.create_task(self.fetch())
            self._running.add_done_callback(lambda _: setattr(self, "_running", None))
        with suppress(TimeoutError):  # of several pages one that came may have it
            async with asyncio.timeout(DEADLINE):
                await asyncio.shield(self._running)
        return True

    async def fetch(self) -> bool:
        """Fetch every page once; whether all of them came."""
        came = await asyncio.gather(*map(self._fetch_page, self._pages))
        self._put_together()
        return all(came)

    async def watch(self) -> None:
        """Fetch for ever, first when what was fetched, here or before a reload, is old enough."""
        every = min(page.refresh_seconds for page in self._pages)
        again = min(AGAIN, every)
        wait = again if math.isinf(self.age) else max(0.0, every - self.age)
        while True:
            await asyncio.sleep(wait)
            wait = every if await self.fetch() else again

    async def _fetch_page(self, page: Place) -> bool:
        try:
            raw = await self._fetch(page)
            found = await asyncio.to_thread(_read, raw, page)
        except FetchFailed as failed:
            self._tell(str(failed))
            return False
        except Exception:  # noqa: BLE001 - a ConfigError, or what a library did not say: no page ends the watch over it
            self._tell("unreadable")
            return False
        self._fetched[page] = (self._now(), found)
        self._put_together()
        self._tell(None)
        return True

    def _current(self) -> KeySet:
        """Without what has become too old since it was put together."""
        if self._now() > self._until:
            self._put_together()
        return self._set

    def _put_together(self) -> None:
        """What is too old is dropped; what two sources call by the same name is the first one's."""
        found, now = list(self._files), self._now()
        ends = {page: self._fetched[page][0] + page.keep_seconds for page in self._pages if page in self._fetched}
        kept = {page: end for page, end in ends.items() if now <= end}
        for page in kept:
            taken = {key.kid for key in found if key.kid is not None}
            found += [key for key in self._fetched[page][1] if key.kid not in taken]
        new, self._until = KeySet(tuple(found)), min(kept.values(), default=math.inf)
        if new != self._set:
            self._set = new
            self._generation += 1


def _read(raw: bytes, page: Place) -> tuple[Key, ...]:
    found = keys.from_jwks(raw, page.url) if isinstance(page, Page) else keys.parse(raw, page.url, page.kid)
    return keys.collect(found, page.url).keys
