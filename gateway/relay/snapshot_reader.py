"""Keeps the snapshot fresh: LISTEN on a direct connection, a poll that misses nothing for long, rows on demand.

Every reading is applied before the next one begins, on one connection and under one lock, so that nothing newer is ever
replaced by something older; and none is larger than a page, so that the streams of this process go on meanwhile.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import random
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.relay.catalog_reader import CatalogReader
from gateway.relay.config import Config
from gateway.relay.database import LOST, Line
from gateway.relay.failures import log_failure
from gateway.relay.keys import Key, KeyRow
from gateway.relay.snapshot import Snapshot, Tenant
from identity.keyring import current

logger = logging.getLogger("beffroi.snapshot")

POLL_S = 5
# A version is drawn before its transaction commits, so a poll looks back this many versions for late ones.
OVERLAP = 1000
# Everything is read again: soon after news may have been missed, not by all gateways at once; and now and then, as
# neither a poll nor news that a pooler swallowed tell of a deleted key.
REREAD_SOON_S, REREAD_S = 30, 3600
PAGE = 500  # rows, some 3 ms of this process
PARTS = 256  # of the table of keys, some 2 ms
LISTS_SHARED = 4096  # lists of models that projects may call: many have the same one

# Who sends a secret that was replaced is told so for a month after its end; then it is unknown, and weighs nothing.
_KEYS = """
    select x.lookup, x.id, x.tenant_id, x.project_id, x.policy_version, x.digest, x.pepper_id,
        coalesce(extract(epoch from x.expires_at)::bigint, 0), x.revoked_at is not null, x.blocked_at is not null,
        x.kind = 'playground', case when x.previous_ends_at > now() - interval '30 days' then x.previous_digest
            || int2send(x.previous_pepper_id) || float8send(extract(epoch from x.previous_ends_at)::float8) else '' end,
        json_build_array(x.scopes, x.allowed_models, x.ip_ranges, x.origins)::text
    from identity_apikey x
"""
_TENANTS = """
    select x.id, x.policy_version, x.status = 'active', coalesce(c.rate_card_id, 0), coalesce(c.tier_id, 0),
        x.is_platform,
        array(select p.id from identity_project p where p.tenant_id = x.id and p.status <> 'active'),
        coalesce((select json_object_agg(p.id, p.allowed_models) from identity_project p
            where p.tenant_id = x.id and p.status = 'active' and p.allowed_models <> '{}'), '{}')::text,
        coalesce((
            select json_agg(json_build_array(m, extract(epoch from a.starts_at), extract(epoch from a.ends_at)))
            from billing_agreement a cross join unnest(a.model_ids) m
            where a.tenant_id = x.id and a.closed_at is null), '[]')::text
    from identity_tenant x left join billing_contract c on c.tenant_id = x.id and c.ends_at is null
"""

_LAST_VERSION = """
    select greatest(
        0, (select max(policy_version) from identity_apikey), (select max(policy_version) from identity_tenant))
"""
_TURN = "select turn_contract_v1(%s)"  # may be why the ledger called a tenant's row old
_LISTEN = "listen beffroi_policy"
_PROJECTS = msgspec.json.Decoder(dict[int, frozenset[str]])
_AGREED = msgspec.json.Decoder(tuple[tuple[int, float, float | None], ...])


class _Row(Protocol):
    """A row that has an id and a version."""

    @property
    def id(self) -> int: ...

    @property
    def version(self) -> int: ...


class _Order(NamedTuple):
    """By what rows are read: the column, and what it is called in a row that was read."""

    column: str
    field: str


class _Found(NamedTuple):
    """What was read page by page: the ids in their order, and the highest version."""

    ids: "array[int]"
    version: int


_BY_ID, _BY_VERSION = _Order("id", "id"), _Order("policy_version", "version")


class SnapshotReader:
    """Fills a snapshot and keeps it true. Rows are read on one connection, news is heard on another. `on_catalog` is
    called after each reading of models and replicas.
    """

    def __init__(self, config: Config, snapshot: Snapshot, on_catalog: Callable[[], None] = lambda: None) -> None:
        self._config, self._snapshot = config, snapshot
        self._line, self._ear = (
            Line(config.database_url, name, config.limits.call_s) for name in ("snapshot", "policy news")
        )
        self._busy = asyncio.Lock()
        self._catalog = CatalogReader(config, snapshot, self._line, self._busy, on_catalog)
        self._polled = 0  # the version up to which a poll or a whole reading has come; news do not move it
        self._may_have_missed = asyncio.Event()
        self.is_current = False  # what the snapshot does not have is not in the database either

    async def run(self) -> None:
        """Read everything, then follow the news for ever. Survives the database's absence."""
        await asyncio.gather(_for_ever(self._follow_news), _for_ever(self._read_all_again))

    @property
    def places(self) -> set[tuple[str, int, bool]]:
        """Where the replicas listen that are ready, or may still end what they began."""
        return self._catalog.places

    async def close(self) -> None:
        """Close both connections."""
        await self._line.close()
        await self._ear.close()

    async def read_all(self) -> None:
        """Read every part; raises one of LOST."""
        async with self._busy:
            [[version]] = await self._line.call(_LAST_VERSION)
        await _in_pages(self._read_tenants, _BY_ID, 0)
        await self._read_all_keys()
        await self.read_catalog()
        self._polled = version
        self._snapshot.loaded = True

    async def read_key(self, key_id: int) -> Key | None:
        """Read a key, its tenant and its project again: the ledger said that ours are old. Raises one of LOST.

        Its contract turns before, where an agreement's time has come.

        None: it was deleted.
        """
        await self._read_keys_of([key_id])
        key = self._snapshot.keys.of_id(key_id)
        if key is not None:
            async with self._busy:
                await self._line.call(_TURN, (key.tenant_id,))
            await self._read_tenants("where x.id = %s", key.tenant_id)
        return key

    async def read_catalog(self) -> None:
        """Read models, aliases, prices, replicas. Raises one of LOST."""
        await self._catalog.read()

    # ---- when
    async def _follow_news(self) -> None:
        """Listen, catch up with what was said before, then hear and poll for as long as the connection lives."""
        try:
            await self._ear.call(_LISTEN)
            connection = await self._ear.connection()
            if self._snapshot.loaded:
                self._may_have_missed.set()
                await self._read_changes()
            else:
                await self.read_all()
            self.is_current = True
            poll_at = time.monotonic() + POLL_S
            while True:
                wait = max(0.0, poll_at - time.monotonic())
                await self._hear([said.payload async for said in connection.notifies(timeout=wait, stop_after=1)])
                if time.monotonic() >= poll_at:
                    await self._ear.call(_LISTEN)  # a connection at whose other end nobody is any more raises here
                    await self._read_changes()
                    poll_at = time.monotonic() + POLL_S
        finally:
            self.is_current = False
            await self._ear.close()

    async def _read_all_again(self) -> None:
        """Soon after news may have been missed, or when it was not done for long."""
        try:
            async with asyncio.timeout(REREAD_S * random.uniform(0.5, 1.5)):  # noqa: S311  # no secret
                await self._may_have_missed.wait()
            await asyncio.sleep(random.uniform(0, REREAD_SOON_S))  # noqa: S311
        except TimeoutError:
            pass
        self._may_have_missed.clear()
        try:
            await self.read_all()
        except BaseException:
            self._may_have_missed.set()
            raise

    # ---- what
    async def _hear(self, news: Iterable[str]) -> None:
        """Read what was said to have changed, all that came at once together."""
        ids: dict[str, set[int]] = defaultdict(set)
        for said in news:
            kind, _, number = said.partition(":")
            ids[kind].add(int(number or 0))
        for part in _parts(ids.pop("tenant", ())):
            await self._read_tenants("where x.id = any(%s)", part)
        for part in _parts(ids.pop("project", ())):
            await self._read_tenants("where x.id in (select tenant_id from identity_project where id = any(%s))", part)
        for part in _parts(ids.pop("key", ())):
            await self._read_keys_of(part)
        if ids:
            await self.read_catalog()

    async def _read_changes(self) -> None:
        """The poll: what was changed since, in case its notification was lost."""
        since = self._polled - OVERLAP
        tenants = await _in_pages(self._read_tenants, _BY_VERSION, since)
        keys = await _in_pages(self._read_keys, _BY_VERSION, since)
        self._polled = max(self._polled, tenants.version, keys.version)
        await self.read_catalog()

    async def _read_all_keys(self) -> None:
        """Read all keys, then drop those that are not there any more."""
        there = (await _in_pages(self._read_keys, _BY_ID, 0)).ids
        for number, ids in enumerate(self._snapshot.keys.ids()):
            gone = [key_id for key_id in ids if not _is_in(there, key_id)]
            if gone:  # or made since
                await self._read_keys_of(gone)
            elif number % PARTS == 0:
                await asyncio.sleep(0)

    async def _read_keys_of(self, key_ids: list[int]) -> None:
        """Read the keys with these ids; one that is not there was deleted."""
        rows = await self._read_keys("where x.id = any(%s)", key_ids)
        for key_id in set(key_ids).difference(row.id for row in rows):
            self._snapshot.keys.drop(key_id)

    async def _read_keys(self, where: str, parameter: object) -> list[KeyRow]:
        async with self._busy:
            rows = [KeyRow._make(row) for row in await self._line.call(_KEYS + where, (parameter,))]
            for row in rows:
                self._snapshot.keys.put(row)
        return rows

    async def _read_tenants(self, where: str, parameter: object) -> list[Tenant]:
        async with self._busy:
            rows = await self._line.call(_TENANTS + where, (parameter,))
            tenants = [self._tenant(*row) for row in rows]
            for tenant in tenants:
                self._snapshot.tenants[tenant.id] = tenant
        return tenants

    def _tenant(self, tenant_id: int, *told: Any) -> Tenant:
        """Of a row that `_TENANTS` gives."""
        *known, archived, models, agreed = told
        parts = frozenset(archived), _lists(models), _AGREED.decode(agreed), self._cache_salt(tenant_id)
        return Tenant._make((tenant_id, *known, *parts))

    def _cache_salt(self, tenant_id: int) -> str:
        """256 secret bits a tenant, so that no tenant can time another's prefix cache."""
        _, pepper = current(self._config.peppers)
        salt = hmac.digest(pepper, f"cache salt of tenant {tenant_id}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(salt).decode().rstrip("=")


async def _for_ever(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except LOST as error:
            logger.warning("the database is away, the snapshot stays as it was: %s", type(error).__name__)
        except Exception as error:  # noqa: BLE001  # were this task to end, the snapshot would grow old for ever
            log_failure(logger, "snapshot", error)
        await asyncio.sleep(0.5)


async def _in_pages(read: Callable[[str, int], Awaitable[Sequence[_Row]]], order: _Order, after: int) -> _Found:
    """Read what comes after an id or version, a page at a time."""
    ids, version = array("q"), 0
    while True:
        rows = await read(f"where x.{order.column} > %s order by x.{order.column} limit {PAGE}", after)
        ids.extend(row.id for row in rows)
        version = max([version, *(row.version for row in rows)])
        if len(rows) < PAGE:
            return _Found(ids, version)
        after = getattr(rows[-1], order.field)


def _lists(text: str) -> dict[int, frozenset[str]]:
    """By project, the models that it lists; equal lists are one object."""
    return {project: _shared(models) for project, models in _PROJECTS.decode(text).items()}


@lru_cache(maxsize=LISTS_SHARED)
def _shared(models: frozenset[str]) -> frozenset[str]:
    return models


def _parts(ids: Iterable[int]) -> Iterator[list[int]]:
    left = sorted(ids)
    for start in range(0, len(left), PAGE):
        yield left[start : start + PAGE]


def _is_in(ids: "array[int]", wanted: int) -> bool:
    place = bisect_left(ids, wanted)
    return place < len(ids) and ids[place] == wanted
