"""Keeps the snapshot fresh: LISTEN on a direct connection, a poll that misses nothing for long, rows on demand."""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections import defaultdict
from functools import lru_cache
from typing import Any

from billing.pricing import Prices
from gateway.relay.config import Config
from gateway.relay.database import LOST, Line
from gateway.relay.failures import log_failure
from gateway.relay.input_bound import ModelFacts
from gateway.relay.routing import Replica
from gateway.relay.snapshot import Key, KeyPolicy, Model, PriceList, Snapshot, Tenant
from identity.client_address import parse_networks
from identity.keyring import current
from identity.secret_box import SecretBoxError

logger = logging.getLogger("beffroi.snapshot")

POLL_S = 5
# A version is drawn before its transaction commits, so a poll looks back this many versions for late ones.
OVERLAP = 1000

_KEYS = """
    select k.lookup, k.id, k.tenant_id, k.project_id, k.policy_version, k.digest, k.pepper_id,
        coalesce(extract(epoch from k.expires_at)::bigint, 0), k.revoked_at is not null,
        k.scopes::text[], k.allowed_models::text[], k.ip_ranges::text[], k.origins::text[]
    from identity_apikey k
"""
_TENANTS = """
    select t.id, t.policy_version, t.status = 'active', coalesce(c.rate_card_id, 0)
    from identity_tenant t left join billing_contract c on c.tenant_id = t.id and c.ends_at is null
"""
_MODELS = """
    select m.id, m.name, m.kind, m.context_window, m.template_overhead_tokens, m.template_overhead_tokens_per_message,
        m.media_max_tokens, m.default_max_output, m.kwh_per_million_tokens::text,
        coalesce(extract(epoch from m.released_on)::bigint, 0), m.publisher, m.deprecated_on, m.retired_on,
        coalesce(s.name, ''),
        exists (select from pools_pool p join pools_replica r on r.pool_id = p.id where p.model_id = m.id)
    from models_catalog_languagemodel m left join models_catalog_languagemodel s on s.id = m.successor_id
"""
_ALIASES = "select model_id, alias, tenant_id from models_catalog_modelalias order by alias"
_REPLICAS = """
    select r.id, r.name, r.url, r.sealed_api_key, p.served_name, p.name, r.node, p.site, p.model_id, r.context_window
    from pools_replica r join pools_pool p on p.id = r.pool_id where r.state = 'ready' order by r.id
"""
_PRICES = """
    select v.rate_card_id, v.model_id, v.mode, v.id, extract(epoch from v.valid_from)::float8,
        jsonb_object_agg(m.meter, m.nano_eur_per_million)
    from billing_priceversion v join billing_meterprice m on m.version_id = v.id group by v.id order by v.valid_from
"""


class SnapshotReader:
    """Fills a snapshot and keeps it true. Rows are read on one connection, news is heard on another."""

    def __init__(self, config: Config, snapshot: Snapshot) -> None:
        self._config, self._snapshot = config, snapshot
        self._line = Line(config.database_url, "snapshot", config.limits.call_s)
        self._ear = Line(config.database_url, "policy news", config.limits.call_s)
        self._busy = asyncio.Lock()
        self._catalogs_begun = self._catalog_known = 0  # numbers of readings: the last begun, the last that succeeded
        self._replicas: dict[int, Replica] = {}
        self._last_version = 0
        self.is_current = False  # whether the snapshot follows the database just now

    async def run(self) -> None:
        """Read everything, then follow the news for ever. Survives the database's absence."""
        while True:
            try:
                connection = await self._ear.connection()
                await connection.execute("listen beffroi_policy")
                await self.read_all()
                self.is_current = True
                while True:
                    async for news in connection.notifies(timeout=POLL_S):
                        await self._hear(news.payload)
                    await self._read_changes()
            except LOST as error:
                logger.warning("the database is away, the snapshot stays as it was: %s", type(error).__name__)
            except Exception as error:  # noqa: BLE001  # were this task to end, the snapshot would grow old for ever
                log_failure(logger, "snapshot", error)
            self.is_current = False
            await self._ear.close()
            await asyncio.sleep(0.5)

    @property
    def places(self) -> set[tuple[str, int, bool]]:
        """Where the replicas that are ready listen."""
        return {replica.place for replica in self._replicas.values()}

    async def close(self) -> None:
        """Close both connections."""
        await self._line.close()
        await self._ear.close()

    async def read_all(self) -> None:
        """Read every part; raises one of LOST."""
        await self._read_keys("")
        await self._read_tenants("")
        await self.read_catalog()
        self._snapshot.loaded = True

    async def read_key(self, key_id: int) -> None:
        """Read a key, its tenant and its project again: the ledger said that ours are old. Raises one of LOST."""
        await self._read_keys("where k.id = %s", key_id)
        lookup = self._snapshot.lookups.get(key_id)
        if lookup is not None:
            await self._read_tenants("where t.id = %s", self._snapshot.keys[lookup].tenant_id)

    async def read_catalog(self) -> None:
        """Read models, aliases, prices, replicas. Who asks while others wait shares theirs. Raises one of LOST."""
        asked_after = self._catalogs_begun
        async with self._busy:
            if self._catalog_known > asked_after:
                return
            number = self._catalogs_begun = self._catalogs_begun + 1
            models = await self._line.call(_MODELS)
            aliases = await self._line.call(_ALIASES)
            replicas = await self._line.call(_REPLICAS)
            prices = await self._line.call(_PRICES)
            self._catalog_known = number
        served = self._replicas_by_model(replicas)
        priced = _prices_by_model(prices)
        named: dict[int, list[str]] = defaultdict(list)
        for model_id, alias, tenant_id in aliases:
            if tenant_id is None:
                named[model_id].append(alias)
        narrowest = _narrowest_windows(replicas)
        by_id = {row[0]: _model(row, narrowest, named[row[0]], served[row[0]], priced[row[0]]) for row in models}
        by_name = {alias: model for model in by_id.values() for alias in model.aliases}
        by_name.update({model.name: model for model in by_id.values()})
        self._snapshot.models = by_name
        self._snapshot.tenant_aliases = {
            (tenant, alias): by_id[model] for model, alias, tenant in aliases if tenant is not None
        }

    async def _hear(self, payload: str) -> None:
        kind, _, number = payload.partition(":")
        if kind == "key":
            await self._read_keys("where k.id = %s", int(number))
        elif kind == "tenant":
            await self._read_tenants("where t.id = %s", int(number))
        elif kind == "project":
            await self._read_tenants("where t.id = (select tenant_id from identity_project where id = %s)", int(number))
        else:
            await self.read_catalog()

    async def _read_changes(self) -> None:
        """The poll: what was changed since, in case its notification was lost."""
        since = self._last_version - OVERLAP
        await self._read_keys("where k.policy_version > %s", since)
        await self._read_tenants("where t.policy_version > %s", since)
        await self.read_catalog()

    async def _read_keys(self, where: str, *parameters: int) -> None:
        """Read some keys, or with no condition all of them. A key asked for by its id that is not there was deleted."""
        async with self._busy:
            rows = await self._line.call(_KEYS + where, parameters)
        for row in rows:
            policy = _policy(tuple(row[9]), tuple(row[10]), tuple(row[11]), tuple(row[12]))
            self._snapshot.put_key(
                row[0], Key(row[1], row[2], row[3], row[4], bytes(row[5]), row[6], row[7], row[8], policy)
            )
            self._last_version = max(self._last_version, row[4])
        if where == "where k.id = %s" and not rows:
            self._snapshot.drop_key(parameters[0])
        elif not where and len(rows) < len(self._snapshot.keys):
            for key_id in self._snapshot.lookups.keys() - {row[1] for row in rows}:
                self._snapshot.drop_key(key_id)

    async def _read_tenants(self, where: str, *parameters: int) -> None:
        async with self._busy:
            rows = await self._line.call(_TENANTS + where, parameters)
            archived = await self._line.call("select id from identity_project where status <> 'active'")
        for tenant_id, version, is_active, rate_card_id in rows:
            self._snapshot.tenants[tenant_id] = Tenant(
                tenant_id, version, is_active, rate_card_id, self._cache_salt(tenant_id)
            )
            self._last_version = max(self._last_version, version)
        self._snapshot.archived_projects = frozenset(row[0] for row in archived)

    def _cache_salt(self, tenant_id: int) -> str:
        """256 secret bits a tenant, so that no tenant can time another's prefix cache."""
        _, pepper = current(self._config.peppers)
        salt = hmac.digest(pepper, f"cache salt of tenant {tenant_id}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(salt).decode().rstrip("=")

    def _replicas_by_model(self, rows: list[tuple[Any, ...]]) -> dict[int, list[Replica]]:
        """The replicas by model; one that was known keeps its counts."""
        by_model: dict[int, list[Replica]] = defaultdict(list)
        known, self._replicas = self._replicas, {}
        for replica_id, name, url, sealed, served_name, pool, node, site, model_id, _ in rows:
            api_key = self._open_api_key(replica_id, sealed)
            if api_key is None:
                continue
            replica = known.get(replica_id)
            if replica is None or (replica.url, replica.api_key, replica.served_name) != (url, api_key, served_name):
                replica = Replica(
                    replica_id=replica_id,
                    name=name,
                    url=url,
                    api_key=api_key,
                    served_name=served_name,
                    pool=pool,
                    node=node,
                    site=site,
                )
            self._replicas[replica_id] = replica
            by_model[model_id].append(replica)
        return by_model

    def _open_api_key(self, replica_id: int, sealed: bytes | None) -> str | None:
        """The engine's key, "" where it has none; None where ours does not open it: then only that replica is out."""
        if not sealed:
            return ""
        try:
            return self._config.secret_box.open_sealed(sealed, f"pools.replica:{replica_id}:api_key").decode()
        except SecretBoxError:
            logger.error("the sealed key of replica %d cannot be opened: it gets no requests", replica_id)
            return None


@lru_cache(maxsize=65536)
def _policy(
    scopes: tuple[str, ...], models: tuple[str, ...], ip_ranges: tuple[str, ...], origins: tuple[str, ...]
) -> KeyPolicy:
    return KeyPolicy(frozenset(scopes), frozenset(models), parse_networks(ip_ranges), frozenset(origins))


def _narrowest_windows(replicas: list[tuple[Any, ...]]) -> dict[int, int]:
    """By model, the smallest window in tokens that one of its engines was started with, as far as they said."""
    narrowest: dict[int, int] = {}
    for *_, model_id, window in replicas:
        if window:
            narrowest[model_id] = min(window, narrowest.get(model_id, window))
    return narrowest


def _model(
    row: tuple[Any, ...],
    narrowest: dict[int, int],
    aliases: list[str],
    replicas: list[Replica],
    prices: dict[tuple[int, str], PriceList],
) -> Model:
    window = min(row[3], narrowest.get(row[0], row[3]))
    return Model(
        id=row[0],
        name=row[1],
        kind=row[2],
        facts=ModelFacts(
            context_window=window,
            template_overhead_tokens=row[4],
            template_overhead_tokens_per_message=row[5],
            media_max_tokens=row[6],
        ),
        default_max_output=row[7],
        kwh_per_million_tokens=row[8],
        released_at=row[9],
        publisher=row[10],
        deprecated_on=row[11],
        retired_on=row[12],
        successor=row[13],
        has_engines=row[14],
        aliases=tuple(aliases),
        replicas=tuple(replicas),
        prices=prices,
    )


def _prices_by_model(rows: list[tuple[Any, ...]]) -> dict[int, dict[tuple[int, str], PriceList]]:
    lists: dict[int, dict[tuple[int, str], list[tuple[float, Prices]]]] = defaultdict(lambda: defaultdict(list))
    for rate_card_id, model_id, mode, version_id, valid_from, meters in rows:
        lists[model_id][(rate_card_id, mode)].append((valid_from, Prices(version_id, meters)))
    by_model: dict[int, dict[tuple[int, str], PriceList]] = defaultdict(dict)
    for model_id, versions in lists.items():
        for place, dated in versions.items():
            by_model[model_id][place] = PriceList(
                tuple(start for start, _ in dated), tuple(price for _, price in dated)
            )
    return by_model
