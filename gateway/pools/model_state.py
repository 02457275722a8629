"""The models as those see them who run the platform: their state, engines, price, use and what the probes say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Count, Q, QuerySet

from billing.models import MeterPrice, RateCard
from billing.usage.by_model import ModelUse, use_by_model
from gateway.pools.availability import is_answering, last_probes
from gateway.pools.models import ModelProbe, Replica
from gateway.pools.targets import Day, Targets, last_day
from models_catalog.models import LanguageModel


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model and where it stands. `prices`: nano-EUR per million units by meter at the reference prices, now.

    stage: `draft` (not published), `hidden` (published, seen by nobody), `published`, `ending`, `ended`
    answers: by the newest probe; None: nobody knows
    day: the last 24 hours, by the probes
    """

    model: LanguageModel
    stage: str
    answers: bool | None
    probe: ModelProbe | None
    ready: int
    replicas: int
    prices: Mapping[str, int]
    use: ModelUse
    day: Day

    @property
    def is_met(self) -> bool | None:
        """Whether it meets its targets; None where it has none, or nothing was probed."""
        return self.day.met(Targets.of(self.model))


def stage_of(model: LanguageModel, *, now: datetime) -> str:
    """Where the model stands for the operator: see `ModelState`."""
    today = now.astimezone(UTC).date()
    if model.retired_on is not None and model.retired_on <= today:
        return "ended"
    if model.published_at is None:
        return "draft"
    if model.visibility == LanguageModel.Visibility.NOBODY:
        return "hidden"
    return "ending" if model.retired_on is not None else "published"


def model_states(models: Sequence[LanguageModel], *, now: datetime) -> list[ModelState]:
    """In the order of the models, in five queries."""
    ids = [model.pk for model in models]
    days = last_day(ids, now=now)
    probes, prices, use = last_probes(ids, now=now), reference_prices(ids, now), use_by_model(now=now)
    counts = (
        Replica.objects.filter(pool__model__in=ids)
        .values("pool__model")
        .annotate(every=Count("pk"), ready=Count("pk", filter=Q(state=Replica.State.READY, silent_since=None)))
    )
    replicas = {row["pool__model"]: (row["ready"], row["every"]) for row in counts}
    return [
        ModelState(
            model=model,
            stage=stage_of(model, now=now),
            answers=is_answering(probes.get(model.pk), now=now),
            probe=probes.get(model.pk),
            ready=replicas.get(model.pk, (0, 0))[0],
            replicas=replicas.get(model.pk, (0, 0))[1],
            prices=prices.get(model.pk, {}),
            use=use.get(model.pk, ModelUse()),
            day=days[model.pk],
        )
        for model in models
    ]


def reference_prices(model_ids: Sequence[int], now: datetime) -> dict[int, dict[str, int]]:
    """By model, nano-EUR per million units by meter on the reference list; models without a price are not there."""
    return _in_force(MeterPrice.objects.filter(version__rate_card__is_reference=True), model_ids, now)


def prices_on(rate_card: RateCard, model_ids: Sequence[int], now: datetime) -> dict[int, dict[str, int]]:
    """The same on that list."""
    return _in_force(MeterPrice.objects.filter(version__rate_card=rate_card), model_ids, now)


def _in_force(prices_of_card: QuerySet[MeterPrice], ids: Sequence[int], now: datetime) -> dict[int, dict[str, int]]:
    amounts = prices_of_card.filter(version__mode="standard", version__model__in=ids, version__valid_from__lte=now)
    newest: dict[int, tuple[datetime, int]] = {}
    prices: dict[int, dict[str, int]] = {}
    for amount in amounts.select_related("version").order_by("version__model", "-version__valid_from", "pk"):
        version = amount.version
        if newest.setdefault(version.model_id, (version.valid_from, version.pk))[1] == version.pk:
            prices.setdefault(version.model_id, {})[amount.meter] = amount.nano_eur_per_million
    return prices
