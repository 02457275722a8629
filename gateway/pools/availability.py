"""What the probes say of models: the last state, and the share of minutes that answered. Reads only.

A minute counts once it has an outcome. What nobody asked (the worker was away) is neither an answer nor a failure:
`Share.probed` tells how many minutes stand behind a share.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Avg, Count, F, FloatField, Q
from django.db.models.functions import Cast, TruncHour

from gateway.pools.models import ModelProbe

QUARTER = timedelta(minutes=15)
QUARTERS = 96
FRESH = timedelta(minutes=3)  # an older last probe says nothing of now
_ANSWERED = Q(outcome=ModelProbe.Outcome.ANSWERED)
_PACE = Cast(F("tokens"), FloatField()) * 1000 / F("duration_ms")


@dataclass(frozen=True, slots=True)
class Share:
    """Of the minutes of a period with an outcome, those that answered."""

    answered: int
    probed: int

    @property
    def percent(self) -> float | None:
        """From 0 to 100; None where nothing was probed."""
        return 100 * self.answered / self.probed if self.probed else None


@dataclass(frozen=True, slots=True)
class Hour:
    """The probes of a model in an hour (its start, UTC): means of what answered, None where nothing did."""

    starts_at: datetime
    share: Share
    first_token_ms: float | None
    tokens_per_second: float | None


def day_since(now: datetime) -> datetime:
    """When the last 24 hours begin, as pages show them: the quarter of an hour that runs is their last."""
    quarter = now.astimezone(UTC).replace(minute=now.minute - now.minute % 15, second=0, microsecond=0)
    return quarter - (QUARTERS - 1) * QUARTER


def last_probes(model_ids: Collection[int], *, now: datetime) -> dict[int, ModelProbe]:
    """By model, its newest probe with an outcome, of the last day; in one query."""
    found = ModelProbe.objects.filter(model__in=model_ids, minute__gt=now - timedelta(days=1), minute__lte=now)
    newest = found.exclude(outcome="").order_by("model_id", "-minute").distinct("model_id")
    return {probe.model_id: probe for probe in newest}


def is_answering(probe: ModelProbe | None, *, now: datetime) -> bool | None:
    """Whether the model answers now, by its newest probe; None: nobody knows, the last one is too old."""
    if probe is None or probe.minute < now - FRESH:
        return None
    return probe.outcome == ModelProbe.Outcome.ANSWERED


def shares_answered(model_ids: Collection[int], *, since: datetime, until: datetime) -> dict[int, Share]:
    """By model, the share of the minutes in [since, until) that answered; in one query."""
    probes = ModelProbe.objects.filter(model__in=model_ids, minute__gte=since, minute__lt=until).exclude(outcome="")
    rows = probes.values("model_id").annotate(answered=Count("pk", filter=_ANSWERED), probed=Count("pk"))
    found = {row["model_id"]: Share(row["answered"], row["probed"]) for row in rows}
    return {model_id: found.get(model_id, Share(0, 0)) for model_id in model_ids}


def hours_of(model_id: int, *, since: datetime, until: datetime) -> list[Hour]:
    """The hours of [since, until) that have probes, oldest first."""
    probes = ModelProbe.objects.filter(model=model_id, minute__gte=since, minute__lt=until).exclude(outcome="")
    rows = (
        probes.annotate(hour=TruncHour("minute"))
        .values("hour")
        .annotate(
            answered=Count("pk", filter=_ANSWERED),
            probed=Count("pk"),
            first_token=Avg("first_token_ms"),
            pace=Avg(_PACE),
        )
        .order_by("hour")
    )
    return [Hour(row["hour"], Share(row["answered"], row["probed"]), row["first_token"], row["pace"]) for row in rows]


def outcomes_of(model_id: int, *, since: datetime, until: datetime) -> Mapping[datetime, ModelProbe]:
    """Each minute's probe with an outcome in [since, until), by the minute's start."""
    probes = ModelProbe.objects.filter(model=model_id, minute__gte=since, minute__lt=until).exclude(outcome="")
    return {probe.minute: probe for probe in probes.order_by("minute")}
