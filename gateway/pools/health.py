"""How the models are served, and what the last reconciliation found: for the operator's first page. Reads only."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from gateway.pools.models import Reconciliation, Replica
from gateway.pools.reconciliation import TOLERATED_SHARE
from models_catalog.models import LanguageModel

_READY = Q(pools__replicas__state=Replica.State.READY)
_FAILED = Q(pools__replicas__state=Replica.State.FAILED)
_MODELS_MAX = 200


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """A model that has replicas: how many of them take requests, and how many failed their probe."""

    name: str
    replicas: int
    ready: int
    failed: int

    @property
    def state(self) -> str:
        """`answers`, `degraded` (a replica is missing) or `away`."""
        if not self.ready:
            return "away"
        return "degraded" if self.ready < self.replicas else "answers"


@dataclass(frozen=True, slots=True)
class LastReconciliation:
    """The last period that was compared; `unexplained`: the pools whose difference nothing explains."""

    ends_at: datetime
    unexplained: tuple[str, ...]


def models_health() -> list[ModelHealth]:
    """Every model that replicas are registered for, those in trouble first."""
    found = (
        LanguageModel.objects.annotate(
            replicas=Count("pools__replicas"),
            ready=Count("pools__replicas", filter=_READY),
            failed=Count("pools__replicas", filter=_FAILED),
        )
        .filter(replicas__gt=0)
        .order_by("name")
        .values_list("name", "replicas", "ready", "failed")[:_MODELS_MAX]
    )
    order = ("away", "degraded", "answers")
    return sorted((ModelHealth(*row) for row in found), key=lambda one: order.index(one.state))


def last_reconciliation() -> LastReconciliation | None:
    """Of all pools in the period that ended last; None where nothing was compared yet."""
    last = Reconciliation.objects.order_by("-ends_at").values("ends_at")[:1]
    rows = list(Reconciliation.objects.filter(ends_at=last).order_by("pool"))
    if not rows:
        return None
    return LastReconciliation(rows[0].ends_at, tuple(row.pool for row in rows if not _is_tolerated(row)))


def _is_tolerated(row: Reconciliation) -> bool:
    pairs = (
        (row.unexplained_prompt_tokens, row.charged_prompt_tokens, row.engine_prompt_tokens),
        (row.unexplained_generation_tokens, row.charged_generation_tokens, row.engine_generation_tokens),
    )
    return all(abs(unexplained) <= TOLERATED_SHARE * max(charged, engine) for unexplained, charged, engine in pairs)
