"""Which models are served at the moment: a replica takes their requests, or one is started when somebody asks."""

from collections.abc import Collection

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from gateway.pools.fleet_tables import PoolConfiguration
from gateway.pools.models import Pool, Replica
from models_catalog.models import LanguageModel

READY = Q(replicas__state=Replica.State.READY)
WAKES = Q(policy=Pool.Policy.AUTOMATIC, zero_after_s__isnull=False, maximum__gt=0)  # as `Pool.wakes`
SERVES = READY | (WAKES & Q(is_stuck=False))


def is_served() -> Exists:
    """Of a `LanguageModel` in a query: whether requests for it are answered, or held until an engine has started."""
    return Exists(Pool.objects.filter(SERVES, model=OuterRef("pk")))


def models_with_state(names: Collection[str]) -> QuerySet[LanguageModel]:
    """The models of these names, with `is_served`. In one query."""
    found = LanguageModel.objects.filter(name__in=names).select_related("successor")
    return found.annotate(is_served=is_served()).order_by("name")


def served_models(model_ids: Collection[int]) -> frozenset[int]:
    """Those of these models that are served."""
    return frozenset(Pool.objects.filter(SERVES, model__in=model_ids).values_list("model", flat=True))


def simulated_models(model_ids: Collection[int]) -> frozenset[int]:
    """Those of these models that only simulated engines serve; of one that is asleep, as it will be started."""
    ready = Replica.objects.filter(state=Replica.State.READY, pool__model__in=model_ids)
    kinds = set(ready.values_list("pool__model", "is_simulated"))
    awake = {model_id for model_id, _ in kinds}
    rows = PoolConfiguration.objects.filter(pool__model__in=model_ids, generation=F("pool__generation"))
    asleep = rows.filter(pool__zero_after_s__isnull=False).exclude(pool__model__in=awake)
    kinds |= {(row.pool.model_id, row.engine == row.Engine.SIMULATED) for row in asleep.select_related("pool")}
    return frozenset({pk for pk, is_simulated in kinds if is_simulated} - {pk for pk, is_so in kinds if not is_so})


def models_at_rest() -> frozenset[int]:
    """The models that have no engine because nobody asked for them, or whose first one is on its way: no failure."""
    resting = Pool.objects.filter(WAKES, is_stuck=False).filter(Q(wanted=0) | Q(replicas__state__in=_ON_ITS_WAY))
    ready = Pool.objects.filter(READY).values("model")
    return frozenset(resting.exclude(model__in=ready).values_list("model", flat=True))


_ON_ITS_WAY = (Replica.State.REQUESTED, Replica.State.STARTING, Replica.State.WARMING, Replica.State.REGISTERED)
