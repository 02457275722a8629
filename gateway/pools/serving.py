"""Which models are served at the moment: a replica takes their requests, or one is started when somebody asks."""

from collections.abc import Collection

from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet

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


def engines_of(model_ids: Collection[int]) -> frozenset[tuple[int, bool]]:
    """Those of these models that are served, each with whether by a simulated engine, and by a real one where there are
    both; of one that is asleep, as it will be started. In one query.
    """
    ready = Replica.objects.filter(state=Replica.State.READY, pool__model__in=model_ids)
    woken = Pool.objects.filter(WAKES, is_stuck=False, model__in=model_ids).exclude(
        model__in=ready.values("pool__model")
    )
    rows = PoolConfiguration.objects.filter(pool__in=woken, generation=F("pool__generation"))
    will_be = ExpressionWrapper(Q(engine=PoolConfiguration.Engine.SIMULATED), output_field=BooleanField())
    found = ready.values_list("pool__model", "is_simulated").union(rows.values_list("pool__model", will_be))
    return frozenset(found)


def models_at_rest() -> frozenset[int]:
    """The models that have no engine because nobody asked for them, or whose first one is on its way: no failure."""
    resting = Pool.objects.filter(WAKES, is_stuck=False).filter(Q(wanted=0) | Q(replicas__state__in=_ON_ITS_WAY))
    ready = Pool.objects.filter(READY).values("model")
    return frozenset(resting.exclude(model__in=ready).values_list("model", flat=True))


_ON_ITS_WAY = (Replica.State.REQUESTED, Replica.State.STARTING, Replica.State.WARMING, Replica.State.REGISTERED)
