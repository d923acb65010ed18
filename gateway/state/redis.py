"""State in Redis, for many machines.

Every change is one Lua script, which Redis runs as a whole. The scripts get the time and randomness from here. All keys
begin with PREFIX; docs/state.md lists the commands that the user needs. Redis must keep what it is given:
another eviction policy than `noeviction` is refused, and what else its settings leave to luck is said at start.

With Sentinel the master of the moment is asked for at each connection, and what must not be lost is waited for until
one replica has it too.

What counts (limits, totals, last uses) has so many turns at once, and who waits too long for one has been refused: so
neither a burst nor a server that hangs takes the connections that revocations are read and written over, and when it is
back nothing is done that nobody waits for any more.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from gateway.config_file import ConfigError
from gateway.secrets.references import SecretRef, secret_text
from gateway.state import (
    FORMAT,
    KEEP_ANCHORS,
    KEEP_USES,
    KEEP_WITHDRAWN,
    PATIENCE,
    Anchor,
    Changes,
    Entry,
    Erased,
    Kept,
    Names,
    Position,
    StateUnavailable,
    StateUnfit,
    Use,
    check_format,
)
from gateway.state.holds import Draw, Drawn, Hold, minutes
from gateway.state.windows import LONGEST, Lease, Standing, Taken, Window

PREFIX: Final = "tightlip:"
META, ENTRIES, ORDER, EXPIRY = (PREFIX + name for name in ("meta", "revocations", "order", "expiry"))
SINCE, USES = PREFIX + "since", PREFIX + "uses"
ANCHORS: Final = PREFIX + "anchors"
OLDEST: Final = 1  # the format whose programs can work with what this one writes
TIMEOUT: Final = 1.5  # seconds for a connection, and for an answer
SENTINEL_TIMEOUT: Final = 0.4  # two that hang leave the third enough of the two seconds that anybody waits
CONNECTIONS: Final = 100
TURNS: Final = 64  # of them at once for what counts; the rest is for revocations
TURN_SECONDS: Final = PATIENCE  # whose request waited for longer has been refused
WAIT_MILLISECONDS: Final = 1000  # for one replica to have what must not be lost
USES_AT_ONCE: Final = 500  # a script holds up everybody else while it runs
LEASES_KEPT: Final = int(LONGEST)  # seconds after the last lease or hold of a key
TOTALS_KEPT: Final = 2 * 3600  # seconds after the last addition
REWRITE_SECONDS: Final = 5.0  # that an erasure waits for Redis to write its append-only file anew
DUMPS_LEFT: Final = (
    "dumps (RDB), replicas' files and backups of Redis have it until they are made anew: they are not the gateway's"
)
REWRITE_FORBIDDEN: Final = (
    "Redis's append-only file has it until it is written anew: this user may not ask for that (BGREWRITEAOF)"
)
STILL_WRITING: Final = (
    "Redis's append-only file has it until it is written anew, which takes longer than anybody waits here: ask again"
)
_SORTED: Final = frozenset({"lease", "use"})  # kinds that stand in sorted sets

# A new store says what it is. A random mark is kept of each write, and of the last one in `meta`.
_BEGIN: Final = """
if redis.call('HEXISTS', KEYS[1], 'mark') == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'oldest', ARGV[2], 'number', 0, 'mark', ARGV[3])
end
"""
# ARGV: format, oldest, mark, id, value, when it may be forgotten or '', now, 1 if only one that is there.
_WRITE: Final = (
    _BEGIN
    + """
local meta, entries, order, expiry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, value, ends = ARGV[4], ARGV[5], ARGV[6]
if ARGV[8] == '1' then
  local known = redis.call('HGET', entries, id)
  if not known or cjson.decode(known)['text'] == cjson.null then return 0 end
end
local number = redis.call('HINCRBY', meta, 'number', 1)
redis.call('HSET', meta, 'mark', ARGV[3])
redis.call('HSET', entries, id, value)
redis.call('ZADD', order, number, id)
if ends == '' then redis.call('ZREM', expiry, id) else redis.call('ZADD', expiry, ends, id) end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', ARGV[7], 'LIMIT', 0, 1000)) do
  redis.call('HDEL', entries, old)
  redis.call('ZREM', order, old)
  redis.call('ZREM', expiry, old)
end
return 1
"""
)
# ARGV: format, oldest, mark for a new store, number and mark that the reader knows.
_CHANGES: Final = (
    _BEGIN
    + """
local meta, entries, order = KEYS[1], KEYS[2], KEYS[3]
local is = redis.call('HMGET', meta, 'format', 'oldest', 'number', 'mark')
local since, mark = tonumber(ARGV[4]), ARGV[5]
local known = since == tonumber(is[3]) and mark == is[4]
if not known and since < tonumber(is[3]) then
  local last = redis.call('ZRANGEBYSCORE', order, since, since)[1]
  local value = last and redis.call('HGET', entries, last)
  known = value and cjson.decode(value)['mark'] == mark
end
if not known then since = -1 end
local ids = redis.call('ZRANGEBYSCORE', order, '(' .. since, '+inf')
local values = {}
for i, id in ipairs(ids) do values[i] = redis.call('HGET', entries, id) end
return {is[1], is[2], is[3], is[4], known and 0 or 1, ids, values}
"""
)
# KEYS: of each draw the sums by minute and the holds. ARGV: now, minute, the first and the last that count, seconds to
# keep sums, and holds (none lasts longer); of each draw the amount, and of its hold the name or '', the wish, most
# and end.
_DRAW: Final = """
local now, first, last, longest, told = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6]), {}
local function written(number) return string.format('%.17g', number) end
for i = 1, #KEYS / 2 do
  local sums_at, holds_at, at = KEYS[2 * i - 1], KEYS[2 * i], 2 + 5 * i
  local name, total, others, held = ARGV[at + 1], 0, 0, 0
  if tonumber(ARGV[at]) > 0 then
    redis.call('HINCRBYFLOAT', sums_at, ARGV[2], ARGV[at])
    redis.call('EXPIRE', sums_at, ARGV[5])
  end
  local sums = redis.call('HGETALL', sums_at)
  for j = 1, #sums, 2 do
    local at_minute = tonumber(sums[j])
    if first <= at_minute and at_minute <= last then
      total = total + tonumber(sums[j + 1])
    else
      redis.call('HDEL', sums_at, sums[j])
    end
  end
  local holds = redis.call('HGETALL', holds_at)
  for j = 1, #holds, 2 do
    local amount, ends = string.match(holds[j + 1], '(%S+) (%S+)')
    if tonumber(ends) <= now or tonumber(ends) > now + longest then
      redis.call('HDEL', holds_at, holds[j])
    elseif holds[j] ~= name then
      others = others + tonumber(amount)
    end
  end
  if name ~= '' then
    held = math.max(0, math.min(tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]) - total - others))
    if held > 0 then
      redis.call('HSET', holds_at, name, written(held) .. ' ' .. ARGV[at + 4])
      redis.call('EXPIRE', holds_at, longest)
    else
      redis.call('HDEL', holds_at, name)
    end
  end
  told[#told + 1], told[#told + 2], told[#told + 3] = written(total), written(others), written(held)
end
return told
"""


# ARGV: now, what is older than this is forgotten, then names and when each was used last, or ''.
_USED: Final = """
for i = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'NX', ARGV[1], ARGV[i])
  if ARGV[i + 1] ~= '' then redis.call('ZADD', KEYS[2], 'GT', ARGV[i + 1], ARGV[i]) end
end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[2], 'LIMIT', 0, 1000)) do
  redis.call('ZREM', KEYS[1], old)
  redis.call('ZREM', KEYS[2], old)
end
"""

# KEYS: windows, then leases. ARGV: now, how many windows; of each its first part that counts, its part now, most,
# amount and seconds to keep; of each lease most, id, end and seconds to keep (none lasts longer). What is not there is
# -1 in the answer.
_TAKE: Final = """
local count, granted, told = tonumber(ARGV[2]), 1, {}
local function of_window(i) return 3 + (i - 1) * 5 end
local function of_lease(i) return 3 + count * 5 + (i - count - 1) * 4 end
local function drop(key, from, to)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, from, to)) do redis.call('ZREM', key, id) end
end
for i = 1, count do
  local at, sums, parts, used, newest, in_the_way = of_window(i), {}, {}, 0, -1, -1
  local oldest, this = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local kept = redis.call('HGETALL', KEYS[i])
  for j = 1, #kept, 2 do
    local part = tonumber(kept[j])
    if part < oldest or part - this > this - oldest then
      redis.call('HDEL', KEYS[i], kept[j])
    else
      parts[#parts + 1], sums[part] = part, tonumber(kept[j + 1])
      used = used + sums[part]
      newest = math.max(newest, part)
    end
  end
  local too_much = used + tonumber(ARGV[at + 3]) - tonumber(ARGV[at + 2])
  if too_much > 0 then granted = 0 end
  table.sort(parts)
  for _, part in ipairs(parts) do
    if too_much <= 0 then break end
    too_much, in_the_way = too_much - sums[part], part
  end
  told[#told + 1], told[#told + 2], told[#told + 3] = used, newest, in_the_way
end
for i = count + 1, #KEYS do
  drop(KEYS[i], '-inf', ARGV[1])
  drop(KEYS[i], string.format('(%.17g', ARGV[1] + ARGV[of_lease(i) + 3]), '+inf')
  local held = #redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', '+inf')
  if held >= tonumber(ARGV[of_lease(i)]) then granted = 0 end
  told[#told + 1] = held
end
if granted == 1 then
  for i = 1, count do
    local at = of_window(i)
    redis.call('HINCRBY', KEYS[i], ARGV[at + 1], ARGV[at + 3])
    redis.call('EXPIRE', KEYS[i], ARGV[at + 4])
  end
  for i = count + 1, #KEYS do
    local at = of_lease(i)
    redis.call('ZADD', KEYS[i], ARGV[at + 2], ARGV[at + 1])
    redis.call('EXPIRE', KEYS[i], ARGV[at + 3])
  end
end
table.insert(told, 1, granted)
return told
"""
# KEYS: windows, then leases. ARGV: how many windows; of each a part and what is added to it; of each lease its id.
_SETTLE: Final = """
local count = tonumber(ARGV[1])
for i = 1, count do
  if redis.call('HEXISTS', KEYS[i], ARGV[i * 2]) == 1 then
    redis.call('HINCRBY', KEYS[i], ARGV[i * 2], ARGV[i * 2 + 1])
  end
end
for i = count + 1, #KEYS do redis.call('ZREM', KEYS[i], ARGV[1 + count * 2 + i - count]) end
"""
# ARGV: of each lease its id, its end, and seconds to keep.
_RENEW: Final = """
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], ARGV[i * 3 - 1], ARGV[i * 3 - 2])
  redis.call('EXPIRE', KEYS[i], ARGV[i * 3])
end
"""
# ARGV: chain, its number, the whole value, and what is older than this is forgotten.
_ANCHOR: Final = """
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known or cjson.decode(known)['number'] < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if cjson.decode(all[i + 1])['at'] < tonumber(ARGV[4]) then redis.call('HDEL', KEYS[1], all[i]) end
end
"""
# ARGV: a text. There, and not here: to read all names would take longer than an answer may.
_SEARCH: Final = """
local told = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf')) do
  if string.find(name, ARGV[1], 1, true) then told[#told + 1] = name end
end
return told
"""


class _Value(msgspec.Struct, frozen=True):
    """An entry in the hash."""

    mark: str
    text: str | None  # None: withdrawn
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class Server:
    """Where Redis, or a Sentinel, is."""

    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True)
class Access:
    """As whom, and whom to trust."""

    user: str | None = None
    password_file: SecretRef | None = None
    ca_file: Path | None = None  # of the server's certificate; None: the system's
    certificate: Path | None = None  # that is shown to the server
    key_path: str | None = None  # of the certificate


class RedisStore:
    """Fulfils `Store`."""

    def __init__(self, client: Redis, sentinel: Sentinel | None = None) -> None:
        self._client, self._sentinel = client, sentinel
        self._turns = asyncio.Semaphore(TURNS)
        self._writing = client.register_script(_WRITE)
        self._changing = client.register_script(_CHANGES)
        self._drawing = client.register_script(_DRAW)
        self._using = client.register_script(_USED)
        self._taking = client.register_script(_TAKE)
        self._settling = client.register_script(_SETTLE)
        self._renewing = client.register_script(_RENEW)
        self._anchoring = client.register_script(_ANCHOR)
        self._searching = client.register_script(_SEARCH)

    @classmethod
    def at(cls, server: Server, access: Access, database: int = 0) -> RedisStore:
        """One server. Connects to nothing yet."""
        return cls(Redis(host=server.host, port=server.port, db=database, **_options(server.tls, access)))

    @classmethod
    def behind(cls, sentinels: Sequence[Server], name: str, access: Access, own: Access) -> RedisStore:
        """The master that the Sentinels call `name`; `own` is the access to the Sentinels themselves, which speak TLS
        if the master does."""
        tls = any(each.tls for each in sentinels)
        addresses = [(each.host, each.port) for each in sentinels]
        soon = {"socket_timeout": SENTINEL_TIMEOUT, "socket_connect_timeout": SENTINEL_TIMEOUT}
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            addresses, sentinel_kwargs=_options(tls, own) | soon, **_options(tls, access)
        )
        return cls(cast(Redis, sentinel.master_for(name)), sentinel)

    async def prepare(self) -> Sequence[str]:
        info = await _mapped(self._client.info("memory", "persistence"))
        if info.get("maxmemory_policy") != "noeviction":
            raise StateUnfit("Redis may forget what it is given: its maxmemory-policy must be noeviction")
        await self.changes(None)
        return await self._advice(bool(info.get("aof_enabled")))

    async def _advice(self, append_only: bool) -> Sequence[str]:
        if not append_only:
            return ["Redis does not keep an append-only file: a revocation may be lost when it ends (appendonly yes)"]
        try:
            found = await self._client.config_get("appendfsync")
        except NoPermissionError:
            return ["this user may not read whether Redis syncs every write (CONFIG GET appendfsync)"]
        except RedisError as error:
            raise _as_ours(error) from None
        if found.get("appendfsync") != "always":
            return ["Redis does not sync every write: a second's revocations may be lost (appendfsync always)"]
        return []

    async def draw(self, draws: Sequence[Draw], now: float) -> Sequence[Drawn]:
        """As `HourlyTotals.draw`."""
        arguments: list[str | int] = [repr(now), int(now // 60), *minutes(now), TOTALS_KEPT, LEASES_KEPT]
        for each in draws:
            hold = each.hold or Hold("", 0.0, 0.0, 0.0)
            arguments += [repr(each.amount), hold.id, repr(hold.amount), repr(hold.most), repr(hold.ends)]
        keys = [f"{PREFIX}{kind}:{each.key}" for each in draws for kind in ("total", "hold")]
        async with self._turn():
            told = [float(number) for number in await _mapped(self._drawing(keys, arguments))]
        return [Drawn(*told[at : at + 3]) for at in range(0, len(told), 3)]

    async def put(self, entry: Entry, now: float) -> None:
        await self._write(entry.id, entry.text, entry.expires_at, now)

    async def withdraw(self, entry_id: str, now: float) -> bool:
        return await self._write(entry_id, None, now + KEEP_WITHDRAWN, now)

    async def _write(self, entry_id: str, text: str | None, expires_at: float | None, now: float) -> bool:
        mark = secrets.token_hex(8)
        value = msgspec.json.encode(_Value(mark, text, expires_at)).decode()
        ends = "" if expires_at is None else repr(expires_at)
        only_there = 1 if text is None else 0
        arguments: list[str | int] = [FORMAT, OLDEST, mark, entry_id, value, ends, repr(now), only_there]
        return bool(await _mapped(self._written(arguments) if self._sentinel is None else self._copied(arguments)))

    async def _written(self, arguments: list[str | int], client: Redis | None = None) -> Any:
        return await self._writing([META, ENTRIES, ORDER, EXPIRY], arguments, client=client)

    async def _copied(self, arguments: list[str | int]) -> Any:
        """Over one connection: WAIT speaks of what was written over its own."""
        async with self._client.client() as one:
            written = await self._written(arguments, one)
            if written and await one.wait(1, WAIT_MILLISECONDS) < 1:
                raise StateUnavailable("no replica of Redis has it: a failover now would lose it")
        return written

    async def changes(self, since: Position | None) -> Changes:
        seen = since or Position(-1, "")
        arguments: list[str | int] = [FORMAT, OLDEST, secrets.token_hex(8), seen.number, seen.mark]
        return _read(await _mapped(self._changing([META, ENTRIES, ORDER], arguments)))

    async def used(self, names: Mapping[str, float | None], now: float) -> None:
        told = [(name, "" if last is None else repr(last)) for name, last in names.items()]
        for at in range(0, len(told), USES_AT_ONCE):
            pairs = [text for pair in told[at : at + USES_AT_ONCE] for text in pair]
            async with self._turn():
                await _mapped(self._using([SINCE, USES], [repr(now), repr(now - KEEP_USES), *pairs]))

    async def uses(self) -> Mapping[str, Use]:
        since, last = [await self._scores(key) for key in (SINCE, USES)]
        return {name: Use(at, last.get(name)) for name, at in since.items()}

    async def _scores(self, key: str) -> dict[str, float]:
        """All of a sorted set, in steps: one answer with tens of thousands would take longer than anybody waits for
        one, and hold up all that runs here. A step begins with the last name of the one before; where that is elsewhere
        by now, what has its score is read anew."""
        found: dict[str, float] = {}
        least, skip, last = "-inf", 0, None
        while True:
            some = await _mapped(self._client.zrangebyscore(key, least, "+inf", skip, USES_AT_ONCE, withscores=True))
            found |= dict(some)
            if last is not None and (not some or some[0][0] != last):
                skip, last = 0, None
                continue
            if len(some) < USES_AT_ONCE:
                return found
            last, score = some[-1]
            before = skip if repr(score) == least else 0
            skip = before + sum(each == score for _, each in some) - 1
            least = repr(score)

    async def take(self, windows: Sequence[Window], leases: Sequence[Lease], now: float) -> Taken:
        """As `Counters.take`."""
        arguments: list[str | int] = [repr(now), len(windows)]
        for each in windows:
            arguments += [each.oldest(now), each.part(now), each.most, each.amount, 2 * each.seconds]
        for lease in leases:
            arguments += [lease.most, lease.id, repr(lease.ends), LEASES_KEPT]
        async with self._turn():
            granted, *told = await _mapped(self._taking(_counted(windows, leases), arguments))
        found = [told[at : at + 3] for at in range(0, 3 * len(windows), 3)]
        standings = [Standing(used, _or_none(newest), _or_none(way)) for used, newest, way in found]
        return Taken(bool(granted), standings, told[3 * len(windows) :])

    async def settle(self, windows: Sequence[Window], leases: Sequence[Lease], taken_at: float) -> None:
        """As `Counters.settle`."""
        arguments: list[str | int] = [len(windows)]
        for each in windows:
            arguments += [each.part(taken_at), each.amount]
        arguments += [lease.id for lease in leases]
        async with self._turn():
            await _mapped(self._settling(_counted(windows, leases), arguments))

    async def renew(self, leases: Sequence[Lease]) -> None:
        """As `Counters.renew`."""
        for at in range(0, len(leases), USES_AT_ONCE):
            some = leases[at : at + USES_AT_ONCE]
            arguments = [text for lease in some for text in (lease.id, repr(lease.ends), str(LEASES_KEPT))]
            async with self._turn():
                await _mapped(self._renewing(_counted((), some), arguments))

    async def uses_with(self, text: str) -> Sequence[str]:
        """As `Personal.uses_with`."""
        names: Sequence[str] = await _mapped(self._searching([SINCE], [text]))
        return names

    async def kept(self, names: Names) -> Sequence[Kept]:
        """As `Personal.kept`."""
        return [kept for _, _, kept in await self._found(names)]

    async def erase(self, names: Names) -> Erased:
        """As `Personal.erase`."""
        found = await self._found(names)
        for key, field, kept in found:
            await _mapped((self._client.zrem if kept.kind in _SORTED else self._client.hdel)(key, field))
        for name in names.uses:
            await _mapped(self._client.zrem(USES, name))
        return Erased([kept for _, _, kept in found], await self._rewritten())

    async def _found(self, names: Names) -> list[tuple[str, str, Kept]]:
        """With the key and the field or member that each has in Redis."""
        found: list[tuple[str, str, Kept]] = []
        for name, key in zip(names.windows, _limits(names.windows), strict=True):
            parts = await _mapped(self._client.hgetall(key))
            found += [(key, part, Kept("window", name, int(part), int(sum_))) for part, sum_ in parts.items()]
        for name, key in zip(names.leases, _limits(names.leases), strict=True):
            places = await _mapped(self._client.zrangebyscore(key, "-inf", "+inf", withscores=True))
            found += [(key, place, Kept("lease", name, ends)) for place, ends in places]
        for name in names.totals:
            sums_at, holds_at = f"{PREFIX}total:{name}", f"{PREFIX}hold:{name}"
            sums = await _mapped(self._client.hgetall(sums_at))
            found += [(sums_at, at, Kept("total", name, int(at), float(sum_))) for at, sum_ in sums.items()]
            holds = await _mapped(self._client.hgetall(holds_at))
            found += [(holds_at, id_, _held(name, *value.split(" "))) for id_, value in holds.items()]
        for name in names.uses:
            since = await self._score(SINCE, name)
            if since is not None:
                found.append((SINCE, name, Kept("use", name, since, await self._score(USES, name))))
        return found

    async def _score(self, key: str, member: str) -> float | None:
        """None: it is not there. With no right but those that the rest needs: nothing is added to it."""
        score: float | None = await _mapped(self._client.zadd(key, {member: 0}, xx=True, incr=True))
        return score

    async def _rewritten(self) -> Sequence[str]:
        """Its append-only file keeps what was deleted until it is written anew. In plain words what is left."""
        info = await _mapped(self._client.info("persistence"))
        if not info.get("aof_enabled"):
            return [DUMPS_LEFT]
        try:
            await self._rewrite()
        except NoPermissionError:
            return [REWRITE_FORBIDDEN, DUMPS_LEFT]
        except TimeoutError:  # asyncio's; that of Redis is none of these
            return [STILL_WRITING, DUMPS_LEFT]
        except (RedisError, OSError) as error:
            raise _as_ours(error) from None
        return [DUMPS_LEFT]

    async def _rewrite(self) -> None:
        """From now on. One that is under way began before, and has to end first. Raises TimeoutError."""
        async with asyncio.timeout(REWRITE_SECONDS):
            await self._no_rewrite()
            await self._client.bgrewriteaof()
            await self._no_rewrite()

    async def _no_rewrite(self) -> None:
        while True:
            info = await self._client.info("persistence")
            if not info.get("aof_rewrite_in_progress") and not info.get("aof_rewrite_scheduled"):
                return
            await asyncio.sleep(0.05)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Raises StateUnavailable for who waits too long."""
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise StateUnavailable("Redis is too slow") from None
        try:
            yield
        finally:
            self._turns.release()

    async def anchor(self, chain: str, anchor: Anchor) -> None:
        """As `Anchors.anchor`."""
        value = msgspec.json.encode(anchor).decode()
        arguments: list[str | int] = [chain, anchor.number, value, repr(anchor.at - KEEP_ANCHORS)]
        await _mapped(self._anchoring([ANCHORS], arguments))

    async def anchors(self) -> Mapping[str, Anchor]:
        found = await _mapped(self._client.hgetall(ANCHORS))
        try:
            return {chain: msgspec.json.decode(value, type=Anchor) for chain, value in found.items()}
        except msgspec.MsgspecError:
            raise StateUnfit("the store is damaged, or has an entry that this version does not understand") from None

    async def aclose(self) -> None:
        await self._client.aclose()
        for each in self._sentinel.sentinels if self._sentinel else ():
            await each.aclose()


def _counted(windows: Sequence[Window], leases: Sequence[Lease]) -> list[str]:
    return _limits([window.key for window in windows] + [lease.key for lease in leases])


def _limits(keys: Sequence[str]) -> list[str]:
    return [f"{PREFIX}limit:{key}" for key in keys]


def _held(name: str, amount: str, ends: str) -> Kept:
    return Kept("hold", name, float(ends), float(amount))


def _or_none(part: int) -> int | None:
    return None if part < 0 else part


def _read(answer: Sequence[Any]) -> Changes:
    found, oldest, number, mark, whole, ids, raw_values = answer
    try:
        check_format(int(found), int(oldest))
        position = Position(int(number), mark)
        values = [msgspec.json.decode(raw, type=_Value) for raw in raw_values]
    except (TypeError, ValueError, msgspec.MsgspecError):
        raise StateUnfit("the store is damaged, or has an entry that this version does not understand") from None
    pairs = list(zip(ids, values, strict=True))
    return Changes(
        position,
        bool(whole),
        entries=[Entry(name, value.text, value.expires_at) for name, value in pairs if value.text is not None],
        withdrawn=[name for name, value in pairs if value.text is None],
    )


# ---- the connection --------------------------------------------------------------------------------------------------


class _Credentials(CredentialProvider):
    """Read anew for each connection, so that a password can be changed while we run."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        assert self._access.password_file is not None
        try:
            password = secret_text(self._access.password_file)
        except (ConfigError, UnicodeDecodeError):
            raise StateUnavailable("the password for Redis can't be read") from None
        return (self._access.user, password) if self._access.user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


def _options(tls: bool, access: Access) -> dict[str, Any]:
    options: dict[str, Any] = {
        "decode_responses": True,
        "driver_info": None,  # what we are is nobody's business
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "max_connections": CONNECTIONS,
        "retry": Retry(NoBackoff(), 0),  # a write that is said twice may count twice; who asks, asks again
    }
    if access.password_file is not None:
        options["credential_provider"] = _Credentials(access)
    if tls:
        options |= {"ssl": True, "ssl_min_version": ssl.TLSVersion.TLSv1_2, "ssl_check_hostname": True}
        options |= {"ssl_ca_certs": str(access.ca_file)} if access.ca_file else {}
        options |= {"ssl_certfile": str(access.certificate)} if access.certificate else {}
        options |= {"ssl_keyfile": access.key_path} if access.key_path else {}
    return options


async def _mapped(answer: Any) -> Any:
    """The one place where Redis's errors become ours; their texts may hold an address or a user, and are left out."""
    try:
        return await answer
    except (RedisError, OSError) as error:
        raise _as_ours(error) from None


_UNFIT: Final[Mapping[type[Exception], str]] = {
    AuthenticationError: "Redis refuses this user or password",
    AuthorizationError: "Redis refuses this user or password",
    NoPermissionError: "this user of Redis may not do what is needed (docs/state.md lists it)",
}
_UNAVAILABLE: Final[Mapping[type[Exception], str]] = {
    OutOfMemoryError: "Redis is full",
    ReadOnlyError: "this Redis is a replica, which can't be written",
}


def _as_ours(error: Exception) -> StateUnavailable | StateUnfit:
    if (words := _UNFIT.get(type(error))) is not None:
        return StateUnfit(words)
    if (words := _UNAVAILABLE.get(type(error))) is not None:
        return StateUnavailable(words)
    if isinstance(error, ResponseError):
        return _refused(str(error))
    return StateUnavailable(f"Redis does not answer ({type(error).__name__})")


def _refused(unread: str) -> StateUnavailable | StateUnfit:
    if "MISCONF" in unread:
        return StateUnavailable("Redis can't write its files and takes nothing: is its disk full?")
    if "The user executing the script" in unread or "ACL failure in script" in unread:
        return StateUnfit(_UNFIT[NoPermissionError])
    if "NOREPLICAS" in unread:
        return StateUnavailable("Redis has too few replicas to take anything")
    return StateUnavailable("Redis refused a script")
