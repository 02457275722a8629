"""What an operator wants of a pool: how a replica is started, and how many there are. The reconciler does the rest."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from django.db import transaction
from django.utils.translation import gettext as _

from billing.clock import database_now
from gateway.node_agent import engine_flags
from gateway.pools.fleet import events
from gateway.pools.fleet.demand import Advice, advice_for
from gateway.pools.fleet.reading import configuration_of, read_rows, read_world
from gateway.pools.fleet.world import Configuration
from gateway.pools.fleet_tables import PoolConfiguration
from gateway.pools.models import Pool
from gateway.pools.places import set_requests_at_once
from gateway.pools.registry import register_pool
from identity import audit
from identity.errors import Invalid
from identity.operators import Operator
from identity.permissions import OperatorPermission
from models_catalog.models import LanguageModel

REPLICAS_MAX = 200
PRIORITY_MAX = 100
GPUS_MAX = 16  # of a replica: those of one machine
ZERO_AFTER_S_LEAST, ZERO_AFTER_S_MOST = 60, 30 * 86_400
READY_WITHIN_S = 1_800  # a large model is fetched, loaded and compiled in less
_READY_WITHIN_S_MAX = 6 * 3_600
_MEMORY_MB_MAX = 2_000_000
_VALUE_LENGTH_MAX = 4_000
_SOURCES = ("path", "mirror", "hugging_face", "none")


@dataclass(frozen=True, slots=True)
class Wish:
    """How a replica is started: as `PoolConfiguration` keeps it. `weights` as agents take it (docs/pools.md)."""

    engine: str = PoolConfiguration.Engine.VLLM
    gpus: int = 1
    gpu_memory_mb: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False
    weights: Mapping[str, Any] = field(default_factory=lambda: {"source": "none", "location": ""})
    labels: Mapping[str, str] = field(default_factory=dict)
    ready_within_s: int = READY_WITHIN_S
    may_sleep: bool = False

    @classmethod
    def of(cls, row: PoolConfiguration) -> Self:
        """The one that a row keeps."""
        return cls(**{name: getattr(row, name) for name in cls.__slots__})

    def as_planned(self) -> Configuration:
        """What the planner has to know of it."""
        return configuration_of(PoolConfiguration(**asdict(self)))


@dataclass(frozen=True, slots=True)
class Count:
    """How many replicas: `wanted` now, and the bounds that whoever changes it keeps to. Where GPUs are short, automatic
    pools of a higher `priority` grow first. `zero_after_s`: an automatic pool has none once nobody asked for so many
    seconds, and wakes when asked; None: it keeps one.
    """

    minimum: int
    maximum: int
    wanted: int
    priority: int = 0
    zero_after_s: int | None = None


def manage_pool(
    *,
    model: LanguageModel,
    served_name: str = "",
    site: str = "",
    wish: Wish,
    count: Count,
    policy: Pool.Policy = Pool.Policy.MANUAL,
    requests_at_once: int | None = None,
    by: Operator,
) -> Pool:
    """Have replicas of the model kept running on nodes. A pool that it has already is managed from now on; engines that
    somebody registered in it stay as they are.

    served_name: what the engines call the model; "": as the catalogue does
    requests_at_once: to each replica; 0: as many as come; None: as the model's last pool has it
    Raises `Forbidden`, `Invalid`.
    """
    by.require(OperatorPermission.CAPACITY_UPDATE)
    check_wish(wish)
    check_count(count)
    with transaction.atomic():
        pool = register_pool(model=model, served_name=served_name or model.name, site=site, actor=by.actor)
        if requests_at_once is not None:
            set_requests_at_once(pool, number=requests_at_once or None, by=by)
        configure_pool(pool, wish, by=by)
        scale_pool(pool, count, policy=policy, by=by)
    return pool


def configure_pool(pool: Pool, wish: Wish, *, by: Operator) -> bool:
    """Another configuration, which its replicas get one at a time. False where it is so already.

    Raises `Forbidden`, `Invalid`.
    """
    by.require(OperatorPermission.CAPACITY_UPDATE)
    check_wish(wish)
    with transaction.atomic():
        fresh = Pool.objects.select_for_update(no_key=True).get(pk=pool.pk)
        rows = {row.generation: row for row in PoolConfiguration.objects.filter(pool=fresh)}
        before = Wish.of(rows[fresh.generation]) if fresh.generation in rows else None
        if before == wish:
            return False
        fresh.generation = max(rows, default=0) + 1
        PoolConfiguration.objects.create(
            pool=fresh, generation=fresh.generation, made_at=database_now(), **asdict(wish)
        )
        fresh.save(update_fields=["generation"])
        audit.record(
            actor=by.actor,
            action="pool.configured",
            target=fresh,
            detail={"pool": fresh.name, "generation": fresh.generation},
            before=_told(before),
            after=_told(wish),
        )
        events.note_pool(fresh, "configured")
    pool.refresh_from_db()
    return True


def scale_pool(pool: Pool, count: Count, *, policy: Pool.Policy, by: Operator) -> bool:
    """How many replicas there are from now on, and who says so. False where it was so. Raises `Forbidden`, `Invalid`.

    An UNMANAGED pool loses its replicas of the fleet: each ends what it is answering first.
    """
    by.require(OperatorPermission.CAPACITY_UPDATE)
    check_count(count)
    with transaction.atomic():
        fresh = Pool.objects.select_for_update(no_key=True).get(pk=pool.pk)
        if policy != Pool.Policy.UNMANAGED and not fresh.generation:
            raise Invalid("policy", _("It has no configuration yet: say how a replica is started."))
        if policy == Pool.Policy.AUTOMATIC and fresh.requests_at_once is None:
            raise Invalid(
                "policy", _("Say first how many requests each engine gets at once: demand is counted in them.")
            )
        after = {**asdict(count), "policy": policy.value}
        before = {name: getattr(fresh, name) for name in after}
        if before == after:
            return False
        woke = fresh.wakes
        for name, value in after.items():
            setattr(fresh, name, value)
        if fresh.wakes and not woke:
            fresh.asked_at = database_now() if fresh.wanted else None  # what it has is kept for so long from now on
        fresh.save(update_fields=[*after, "asked_at"])
        audit.record(
            actor=by.actor,
            action="pool.scaled",
            target=fresh,
            detail={"pool": fresh.name},
            before=before,
            after=after,
        )
        events.note_pool(fresh, "scaled")
    pool.refresh_from_db()
    return True


def dry_run(pool: Pool, *, by: Operator) -> Advice | None:
    """How many replicas the pool would get now, and why; None where it is not managed. Raises `Forbidden`."""
    by.require(OperatorPermission.PLATFORM_READ)
    rows = read_rows()
    return advice_for(rows.pools, read_world(rows, {}, database_now())).get(pool.pk)


def wish_of(pool: Pool) -> Wish | None:
    """The configuration that its replicas are to have; None for a pool that never was managed."""
    row = next((one for one in pool.configurations.all() if one.generation == pool.generation), None)
    return Wish.of(row) if row else None


def check_wish(wish: Wish) -> None:
    """Raises `Invalid`: nothing is asked of a node that its agent would refuse."""
    if wish.engine not in PoolConfiguration.Engine.values:
        raise Invalid("engine", _("One of: %(these)s.") % {"these": ", ".join(PoolConfiguration.Engine.values)})
    _within("gpus", wish.gpus, 0, GPUS_MAX)
    _within("gpu_memory_mb", wish.gpu_memory_mb, 1 if wish.gpus else 0, _MEMORY_MB_MAX)
    _within("ready_within_s", wish.ready_within_s, 10, _READY_WITHIN_S_MAX)
    if not all(map(_is_plain, wish.arguments.values())):
        raise Invalid("arguments", _("A value is a text, a number, true or false."))
    try:
        engine_flags.check(wish.arguments)
    except engine_flags.BadArgument as error:
        raise Invalid("arguments", str(error)) from None
    if wish.weights.get("source") not in _SOURCES:
        raise Invalid("weights", _("One of: %(these)s.") % {"these": ", ".join(_SOURCES)})
    if wish.weights["source"] != "none" and not wish.weights.get("location"):
        raise Invalid("weights", _("Say where they are."))


def _is_plain(value: object) -> bool:
    match value:
        case str():
            return value.isprintable() and len(value) <= _VALUE_LENGTH_MAX
        case bool() | int():
            return abs(value) < 2**63
        case float():
            return math.isfinite(value)
        case _:
            return False


def check_count(count: Count) -> None:
    """Raises `Invalid` where the bounds make no sense, or the number is not within them."""
    _within("maximum", count.maximum, 0, REPLICAS_MAX)
    _within("minimum", count.minimum, 0, count.maximum)
    _within("wanted", count.wanted, count.minimum, count.maximum)
    _within("priority", count.priority, -PRIORITY_MAX, PRIORITY_MAX)
    if count.zero_after_s is not None:
        _within("zero_after_s", count.zero_after_s, ZERO_AFTER_S_LEAST, ZERO_AFTER_S_MOST)
        if count.minimum:
            raise Invalid("zero_after_s", _("Only a pool with a minimum of 0 may have none."))


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Invalid(name, _("From %(least)s to %(most)s.") % {"least": least, "most": most})


def _told(wish: Wish | None) -> dict[str, Any] | None:
    """For the audit, which has no floats."""
    if wish is None:
        return None
    arguments = {name: str(value) if isinstance(value, float) else value for name, value in wish.arguments.items()}
    return {**asdict(wish), "arguments": arguments}
