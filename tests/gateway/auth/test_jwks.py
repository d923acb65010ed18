"""Keys from an issuer's page: fetched over real TLS, kept through outages, renewed for a new key id."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

from gateway.auth import issuers
from gateway.auth.issuers import Verifier
from gateway.auth.jwks import AGAIN, LEAST_BETWEEN, FetchFailed, Page, PageFetcher, Place, RemoteKeys
from gateway.auth.keys import MAX_FILE_BYTES, Key
from gateway.config_file import ConfigError
from gateway.errors import NotAuthenticated, Reason
from gateway.policy.load import load
from tests.gateway.auth.test_keys import jwk
from tests.gateway.support import CANARY, CLAIMS, ISSUER, NOW, OTHER_ISSUER, POLICY, key_of, make_issuer, make_token
from tests.support.clock import leap, leaping
from tests.support.tls import Authority, Web, https_server
from tests.support.waiting import PATIENCE_S, until_async


def jwks(*names: str) -> bytes:
    return json.dumps({"keys": [jwk(name, kid=name) for name in names]}).encode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def web(authority: Authority) -> Iterator[Web]:
    with https_server(authority.server()) as web:
        web.body = jwks("ES256")
        yield web


async def fetched(page: Page) -> bytes:
    fetcher = PageFetcher([page])
    try:
        return await fetcher(page)
    finally:
        await fetcher.aclose()


# ---- the fetch -------------------------------------------------------------------------------------------------------


async def test_a_page_is_fetched_over_tls_with_its_own_ca_and_a_renewed_token(web: Web, authority: Authority) -> None:
    token = authority.folder / "token"
    token.write_text("one\n")
    page = Page(f"{web.url}/openid/v1/jwks", authority.ca_file, token)
    assert await fetched(page) == web.body
    token.write_text("two\n")
    await fetched(page)
    assert [asked["authorization"] for asked in web.asked] == ["Bearer one", "Bearer two"]
    assert web.asked[0]["path"] == "/openid/v1/jwks"


async def test_a_server_whose_certificate_nobody_signed_is_not_believed(web: Web) -> None:
    with pytest.raises(FetchFailed):
        await fetched(Page(web.url))


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (302, {"Location": "https://127.0.0.1:1/"}, b""),
        (500, {}, b"{}"),
        (404, {}, CANARY.encode()),
        (200, {}, b"x" * (MAX_FILE_BYTES + 1)),
        (200, {"Content-Length": "10"}, b"short"),
    ],
)
async def test_anything_but_a_small_page_is_a_failure(
    web: Web, authority: Authority, status: int, headers: dict[str, str], body: bytes
) -> None:
    web.status, web.headers, web.body = status, headers, body
    with pytest.raises(FetchFailed) as failed:
        await fetched(Page(web.url, authority.ca_file))
    assert CANARY not in str(failed.value)


async def test_nobody_there_is_a_failure_and_so_is_a_missing_token(web: Web, authority: Authority) -> None:
    with pytest.raises(FetchFailed):
        await fetched(Page("https://127.0.0.1:9/", authority.ca_file))
    with pytest.raises(FetchFailed):
        await fetched(Page(web.url, authority.ca_file, authority.folder / "no token"))


def test_a_broken_ca_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")

    async def start() -> None:
        PageFetcher([Page("https://127.0.0.1/", tmp_path / "ca.pem")])

    with pytest.raises(ConfigError, match="CA certificates"):
        asyncio.run(start())


# ---- the keys --------------------------------------------------------------------------------------------------------


class Pages:
    """A page that the test turns over."""

    def __init__(self, *names: str) -> None:
        self.body: bytes | None = jwks(*names)
        self.count = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, page: Page) -> bytes:
        self.count += 1
        await self.gate.wait()
        if self.body is None:
            raise FetchFailed("status")
        return self.body


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def remote(pages: Pages, clock: Clock, *files: Key) -> tuple[RemoteKeys, list[str | None]]:
    heard: list[str | None] = []
    return RemoteKeys(files, [Page("https://issuer.test/keys", keep_seconds=600.0)], pages, heard.append, clock), heard


def verifier(keys: RemoteKeys) -> Verifier:
    known = {ISSUER: make_issuer(keys=keys), OTHER_ISSUER: make_issuer(name=OTHER_ISSUER)}
    return Verifier(known, now=lambda: float(NOW))


def token(name: str, issuer: str = ISSUER) -> str:
    return make_token({"alg": "ES256", "kid": name}, {**CLAIMS, "iss": issuer}, key=name)


def refused(verifier: Verifier, raw_token: str) -> Reason:
    with pytest.raises(NotAuthenticated) as refusal:
        verifier.verify(raw_token)
    return Reason(refusal.value.reason)


async def test_before_the_first_fetch_no_token_is_good() -> None:
    keys, _ = remote(Pages("ES256"), Clock())
    assert not keys.ready
    assert refused(verifier(keys), token("ES256")) is Reason.UNKNOWN_KEY
    await keys.fetch()
    assert keys.ready
    assert verifier(keys).verify(token("ES256")).subject == "alice"


async def test_a_rotation_refuses_no_good_token_and_ends_the_old_key() -> None:
    pages, clock = Pages("ES256"), Clock()
    keys, _ = remote(pages, clock)
    await keys.fetch()
    good = verifier(keys)
    assert (await good.authenticate(token("ES256"))).subject == "alice"
    pages.body = jwks("ES256/other")
    assert (await good.authenticate(token("ES256/other"))).subject == "alice"
    with pytest.raises(NotAuthenticated):
        good.verify(token("ES256"))  # it was in the cache


async def test_unknown_key_ids_cause_one_fetch_a_second_together() -> None:
    pages, clock = Pages("ES256"), Clock()
    keys, _ = remote(pages, clock)
    await keys.fetch()
    pages.gate.clear()
    waiting = [asyncio.ensure_future(verifier(keys).authenticate(token("ES256/other"))) for _ in range(50)]
    await asyncio.sleep(0.01)
    pages.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, NotAuthenticated) for result in results)
    assert pages.count == 2
    with pytest.raises(NotAuthenticated):
        await verifier(keys).authenticate(token("ES256/other"))
    assert pages.count == 2, "a second has not passed"
    clock.now += LEAST_BETWEEN
    with pytest.raises(NotAuthenticated):
        await verifier(keys).authenticate(token("ES256/other"))
    assert pages.count == 3


async def test_nobody_waits_long_for_a_page_that_hangs_and_another_page_s_key_serves_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.auth.jwks.DEADLINE", PATIENCE_S)
    hangs, answers = (Page(f"https://issuer.test/{name}") for name in ("hangs", "answers"))
    asked: list[Page] = []

    async def fetch(page: Page) -> bytes:
        asked.append(page)
        if page is hangs:
            await asyncio.Event().wait()
        return jwks("ES256")

    keys = RemoteKeys((), [hangs, answers], fetch, lambda _: None, Clock())
    waiting = asyncio.ensure_future(verifier(keys).authenticate(token("ES256")))
    await until_async(lambda: keys.ready)
    leap(PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S):
        assert (await waiting).subject == "alice"
    with pytest.raises(NotAuthenticated):
        await leaping(PATIENCE_S, verifier(keys).authenticate(token("ES256/other")))
    assert asked == [hangs, answers], "one that hangs is not asked again beside itself"


async def test_old_keys_serve_through_an_outage_for_a_bounded_time_and_other_issuers_go_on() -> None:
    pages, clock = Pages("ES256"), Clock()
    keys, heard = remote(pages, clock)
    await keys.fetch()
    pages.body, good = None, verifier(keys)
    clock.now += 599.0
    assert not await keys.fetch()
    assert good.verify(token("ES256")).subject == "alice"
    clock.now += 2.0
    await keys.fetch()
    assert refused(good, token("ES256")) is Reason.UNKNOWN_KEY
    assert good.verify(make_token(claims={**CLAIMS, "iss": OTHER_ISSUER})).issuer == OTHER_ISSUER
    assert heard == [None, "status", "status"]
    pages.body = jwks("ES256")
    await keys.fetch()
    assert good.verify(token("ES256")).subject == "alice"


async def test_keys_grow_too_old_also_where_no_fetch_ends_or_comes() -> None:
    pages, clock = Pages("ES256"), Clock()
    keys, _ = remote(pages, clock)
    await keys.fetch()
    good = verifier(keys)
    assert good.verify(token("ES256")).subject == "alice"
    pages.gate.clear()
    hangs = asyncio.create_task(keys.fetch())
    await asyncio.sleep(0)
    clock.now += 600.0
    assert keys.ready
    assert good.verify(token("ES256")).subject == "alice"
    clock.now += 0.1
    assert refused(good, token("ES256")) is Reason.UNKNOWN_KEY  # it was in the cache
    assert not keys.ready
    pages.gate.set()
    assert await hangs
    assert good.verify(token("ES256")).subject == "alice"


async def test_of_two_pages_the_keys_of_one_may_grow_too_old_alone() -> None:
    clock, heard = Clock(), list[str | None]()
    names: dict[Place, str] = {
        Page("https://issuer.test/old", keep_seconds=600.0): "ES256",
        Page("https://issuer.test/new", keep_seconds=900.0): "ES256/other",
    }

    async def fetch(page: Place) -> bytes:
        return jwks(names[page])

    good = verifier(keys := RemoteKeys([], list(names), fetch, heard.append, clock))
    await keys.fetch()
    assert good.verify(token("ES256")).subject == "alice"
    clock.now += 601.0
    assert refused(good, token("ES256")) is Reason.UNKNOWN_KEY
    assert good.verify(token("ES256/other")).subject == "alice"
    clock.now += 300.0
    assert refused(good, token("ES256/other")) is Reason.UNKNOWN_KEY


async def test_an_error_that_nobody_expects_is_an_unreadable_page_and_not_the_last_fetch() -> None:
    class Broken(Pages):
        async def __call__(self, page: Page) -> bytes:
            raise x509.InvalidVersion(CANARY, 5)

    keys, heard = remote(Broken(), Clock())
    assert not await keys.fetch()
    assert not await keys.fetch()
    assert heard == ["unreadable", "unreadable"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"keys": []}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
        json.dumps({"keys": [jwk("ES256", kid=str(number)) for number in range(17)]}).encode(),
        json.dumps({"keys": [jwk("ES256", kid="a"), jwk("ES384", kid="a")]}).encode(),
    ],
)
async def test_a_page_that_is_no_good_changes_nothing(body: bytes) -> None:
    pages = Pages("ES256")
    keys, heard = remote(pages, Clock())
    await keys.fetch()
    pages.body = body
    assert not await keys.fetch()
    assert heard == [None, "unreadable"]
    assert verifier(keys).verify(token("ES256")).subject == "alice"


async def test_a_page_can_not_take_the_name_of_a_key_in_a_file() -> None:
    pages = Pages()
    pages.body = json.dumps({"keys": [jwk("ES256/other", kid="ES256")]}).encode()
    keys, _ = remote(pages, Clock(), key_of("ES256", kid="ES256"))
    await keys.fetch()
    assert verifier(keys).verify(token("ES256")).subject == "alice"


async def test_keys_are_carried_over_as_old_as_they_are() -> None:
    """To the verifier of another policy, which would refuse good tokens while the page can't be had."""
    pages, clock = Pages("ES256"), Clock()
    before, _ = remote(pages, clock)
    await before.fetch()
    now, _ = remote(pages, clock)
    elsewhere = RemoteKeys([], [Page("https://other.test/keys")], pages, lambda _: None, clock)
    made, other = verifier(now), verifier(elsewhere)
    made.carry_over(verifier(before))
    other.carry_over(verifier(before))
    assert made.verify(token("ES256")).subject == "alice"
    assert refused(other, token("ES256")) is Reason.UNKNOWN_KEY
    clock.now += 601
    pages.body = b""
    assert not await now.fetch()
    assert refused(made, token("ES256")) is Reason.UNKNOWN_KEY


# ---- from the policy -------------------------------------------------------------------------------------------------


async def test_a_policy_names_pages_relative_to_itself(web: Web, authority: Authority) -> None:
    path = authority.folder / "policy.yaml"
    source = f"{{url: {web.url}/keys, ca_file: ca.pem, refresh_seconds: 60}}"
    path.write_text(POLICY.replace("{file: key.pem}", source), encoding="utf-8")
    rules = load(path)
    fetcher = PageFetcher(issuers.pages(rules))
    try:
        made = Verifier(issuers.load(rules, fetcher), now=lambda: float(NOW))
        assert not made.ready
        await asyncio.gather(*(keys.fetch() for keys in made.remote))
        assert made.ready
        assert made.verify(token("ES256")).subject == "alice"
    finally:
        await fetcher.aclose()


@pytest.mark.parametrize(
    "source",
    [
        "{url: http://issuer.test/keys}",
        "{url: 'https://name:word@issuer.test/keys'}",
        "{url: ftp://issuer.test}",
        "{url: https://issuer.test/keys, file: key.pem}",
        "{url: https://issuer.test/keys, kid: a}",
        "{file: key.pem, token_file: token}",
        "{url: https://issuer.test/keys, refresh_seconds: 0}",
        "{}",
    ],
)
def test_sources_that_are_none(tmp_path: Path, source: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.replace("{file: key.pem}", source), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"issuers\[0\]\.keys\[0\]"):
        load(path)


async def test_a_host_that_can_t_be_one_is_a_failure() -> None:
    for host in ("issuer..test", "a" * 64 + ".test"):
        with pytest.raises(FetchFailed):
            await fetched(Page(f"https://{host}/keys"))


async def watched(keys: RemoteKeys, monkeypatch: pytest.MonkeyPatch) -> float:
    """After how many seconds the page is first fetched."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        ours = SimpleNamespace(**vars(asyncio) | {"sleep": sleep})  # other threads' loops sleep as ever
        patched.setattr("gateway.auth.jwks.asyncio", ours)
        with pytest.raises(asyncio.CancelledError):
            await keys.watch()
    return slept[0]


async def test_a_reload_puts_off_no_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that is touched every few minutes must not keep a key that its issuer has withdrawn."""
    pages, clock = Pages("ES256"), Clock()
    before, _ = remote(pages, clock)
    await before.fetch()
    clock.now += 200.0
    now, _ = remote(pages, clock)
    now.carry_over(before)
    assert await watched(now, monkeypatch) == 100.0
    clock.now += 200.0
    assert await watched(now, monkeypatch) == 0.0


async def test_an_issuer_that_was_down_at_the_start_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = Pages()
    pages.body = None
    keys, _ = remote(pages, Clock())
    assert not await keys.fetch()
    assert await watched(keys, monkeypatch) == AGAIN


async def test_keys_are_fetched_again_and_again() -> None:
    pages = Pages("ES256")
    keys = RemoteKeys([], [Page("https://issuer.test", refresh_seconds=0.01)], pages, lambda _: None)
    watch = asyncio.ensure_future(keys.watch())
    await until_async(lambda: pages.count > 2)
    watch.cancel()
    assert keys.ready
