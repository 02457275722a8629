"""Reads what is served and what it costs: models, aliases, replicas that are ready, prices."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from billing.pricing import Prices
from gateway.relay.config import Config
from gateway.relay.database import Line
from gateway.relay.input_bound import ModelFacts
from gateway.relay.routing import Replica, places_of
from gateway.relay.snapshot import Audience, Model, PriceList, Snapshot
from identity.secret_box import SecretBoxError

logger = logging.getLogger("beffroi.snapshot")

_MODELS = """
    select m.id, m.name, m.kind, m.context_window, m.template_overhead_tokens, m.template_overhead_tokens_per_message,
        m.media_max_tokens, m.default_max_output, m.kwh_per_million_tokens::text,
        coalesce(extract(epoch from coalesce(m.released_on, m.published_at))::bigint, 0), m.publisher,
        m.deprecated_on, m.retired_on, coalesce(s.name, ''),
        exists (select from pools_pool p where p.model_id = m.id
            and (p.policy <> 'unmanaged' or exists (select from pools_replica r where r.pool_id = p.id))),
        m.visibility, m.visible_tiers, m.visible_tenants, w.wakes, w.is_stuck
    from models_catalog_languagemodel m left join models_catalog_languagemodel s on s.id = m.successor_id
    cross join lateral (
        select count(*) > 0 as wakes, coalesce(bool_and(p.is_stuck), false) as is_stuck
        from pools_pool p
        where p.model_id = m.id and p.policy = 'automatic' and p.zero_after_s is not null and p.maximum > 0
    ) w
"""
_ALIASES = "select model_id, alias, tenant_id from models_catalog_modelalias order by alias"
_REPLICAS = """
    select r.id, r.name, r.url, r.sealed_api_key, p.served_name, p.name, r.node, p.site, p.requests_at_once,
        coalesce((select s.waiting from pools_enginesample s where s.pool = p.name and s.replica = r.name
            and s.at > now() - make_interval(secs => %s) order by s.at desc limit 1), 0),
        p.model_id, r.context_window
    from pools_replica r join pools_pool p on p.id = r.pool_id where r.state = 'ready' order by r.id
"""
_GATEWAYS = """
    select count(*) from billing_incarnation
    where fenced_at is null and heartbeat_at > now() - make_interval(secs => %s)
"""
SAMPLE_FRESH_S = 90  # the worker reads engines every minute
_OUT = "select id, state = 'ejected' from pools_replica where state in ('draining', 'ejected')"
PRICES_QUERY = """
    select v.rate_card_id, v.model_id, v.mode, v.id, extract(epoch from v.valid_from)::float8,
        jsonb_object_agg(m.meter, m.nano_eur_per_million), v.audio_by_started_minute
    from billing_priceversion v join billing_meterprice m on m.version_id = v.id group by v.id order by v.valid_from
"""


class CatalogReader:
    """Fills the catalog's part of a snapshot, whole each time: it is small."""

    def __init__(
        self, config: Config, snapshot: Snapshot, line: Line, busy: asyncio.Lock, on_read: Callable[[], None]
    ) -> None:
        self._config, self._snapshot, self._on_read = config, snapshot, on_read
        self._line, self._busy = line, busy  # others read on this connection too
        self._begun = self._known = 0  # numbers of readings: the last begun, the last that succeeded
        self._replicas: dict[int, Replica] = {}

    @property
    def places(self) -> set[tuple[str, int, bool]]:
        """Where the replicas listen that are ready, or may still end what they began."""
        return {replica.place for replica in self._replicas.values()}

    async def read(self) -> None:
        """Read models, aliases, prices, replicas. Who asks while others wait shares theirs. Raises one of LOST."""
        asked_after = self._begun
        async with self._busy:
            if self._known > asked_after:
                return
            number = self._begun = self._begun + 1
            models = await self._line.call(_MODELS)
            aliases = await self._line.call(_ALIASES)
            replicas = await self._line.call(_REPLICAS, (SAMPLE_FRESH_S,))
            out = await self._line.call(_OUT)
            [[gateways]] = await self._line.call(_GATEWAYS, (self._config.limits.silent_s,))
            prices = await self._line.call(PRICES_QUERY)
            self._known = number
        served = self._replicas_by_model(replicas, dict(out), gateways)
        priced = prices_by_model(prices)
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
        self._on_read()

    def _replicas_by_model(
        self, rows: list[tuple[Any, ...]], out: dict[int, bool], gateways: int
    ) -> dict[int, list[Replica]]:
        """The replicas by model; one that was known keeps its counts. `gateways`: how many share the places there.

        `out`: those that were taken out of service, and whether what they are answering ends too. One that was known
        stays known: what it answers may take long, and it may be ejected in the middle of draining.
        """
        by_model: dict[int, list[Replica]] = defaultdict(list)
        known, self._replicas = self._replicas, {}
        for replica_id in known.keys() & out.keys():
            self._replicas[replica_id] = known[replica_id]
            known[replica_id].is_ejected = out[replica_id]
        for replica_id, name, url, sealed, served_name, pool, node, site, at_once, waiting, model_id, _ in rows:
            api_key = self._open_api_key(replica_id, sealed)
            if api_key is None:
                continue
            replica = known.get(replica_id)
            if replica is not None:
                replica.is_ejected = False
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
            replica.most = places_of(at_once, gateways)
            replica.queued = waiting // max(1, gateways)
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
        audience=_audience(*row[15:18]),
        wakes=row[18],
        is_stuck=row[19],
        aliases=tuple(aliases),
        replicas=tuple(replicas),
        prices=prices,
    )


def _audience(visibility: str, tiers: list[int], tenants: list[int]) -> Audience | None:
    if visibility == "everybody":
        return None
    is_somebody = visibility == "chosen"
    return Audience(is_somebody, frozenset(tiers if is_somebody else ()), frozenset(tenants if is_somebody else ()))


def prices_by_model(rows: list[tuple[Any, ...]]) -> dict[int, dict[tuple[int, str], PriceList]]:
    """By model, then by rate card and mode, of the rows that `PRICES_QUERY` gives."""
    lists: dict[int, dict[tuple[int, str], list[tuple[float, Prices]]]] = defaultdict(lambda: defaultdict(list))
    for rate_card_id, model_id, mode, version_id, valid_from, meters, by_minute in rows:
        lists[model_id][(rate_card_id, mode)].append((valid_from, Prices(version_id, meters, by_minute)))
    by_model: dict[int, dict[tuple[int, str], PriceList]] = defaultdict(dict)
    for model_id, versions in lists.items():
        for place, dated in versions.items():
            by_model[model_id][place] = PriceList(
                tuple(start for start, _ in dated), tuple(price for _, price in dated)
            )
    return by_model
