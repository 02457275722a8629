"""Where an organisation could save, from its own figures of the last thirty days, each with the amount. Reads only.

Figures, no promises: that a smaller model answers well enough, or that prompts can begin alike, only who calls knows.
Money is nano-EUR; amounts are of the thirty days unless they say a request.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import NamedTuple, TypeVar

from django.db import connection

from billing.pricing import METERS, UNITS_PER_PRICE, MissingPrice, Prices, Quantities, divide_half_even, price_of
from billing.usage.day_sums import DAYS_USED, MINE, DaysUsed
from billing.usage.records import Reader, lowest_request_id
from billing.usage.span import Days
from models_catalog.models import LanguageModel

DAYS = 30
SHOWN_MAX = 5  # of a kind
# What requests reserve and how long they are is read off the newest so many: the same work for a busy tenant.
SAMPLE_MAX = 2_000
_SAMPLED_MIN = 20
_SAVES_PERCENT_MIN = 20
_SAVING_MIN = 10**7  # a cent
# Shorter prompts hardly begin with instructions that others begin with; more than half cached is done already.
_LONG_PROMPT = 1_000
_CACHED_PERCENT_MAX = 50
_RESERVED_TIMES_MIN = 4
_IDLE_MIN = 10**6  # a tenth of a cent a request
_FIGURES = f"""
    with {DAYS_USED}, totals as (
        select model_id, sum(requests)::bigint as requests,
            {", ".join(f"sum({meter}_quantity)::bigint as {meter}" for meter in METERS)}
        from used group by 1 having sum(requests) > 0
    ), sampled as (
        select model_id, count(*) as requests, sum(max_tokens_given)::bigint as reserved,
            sum(output_quantity + reasoning_quantity)::bigint as answered,
            max(input_quantity + cached_quantity + coalesce(max_tokens_given, 0))::bigint as longest
        from (
            select * from billing_usage_record u
            where u.tenant_id = %(tenant)s and u.request_id >= %(since)s and u.status = 'completed' and {MINE}
            order by u.request_id desc limit {SAMPLE_MAX}
        ) newest group by 1
    )
    select t.*, s.requests, s.reserved, s.answered, s.longest from totals t left join sampled s using (model_id)
"""  # noqa: S608  # constants of ours
_Found = TypeVar("_Found", "CheaperModel", "MoreFromCache", "LowerOutputLimit")


class Offer(NamedTuple):
    """A model that can be called now, and what it costs here."""

    model: LanguageModel
    prices: Prices


@dataclass(frozen=True, slots=True)
class CheaperModel:
    """What was asked of a model would have cost `other_nano_eur` of a smaller one that takes and can do the same."""

    model: str
    other: str
    cost_nano_eur: int
    other_nano_eur: int

    @property
    def saving_nano_eur(self) -> int:
        """If all of it went there."""
        return self.cost_nano_eur - self.other_nano_eur


@dataclass(frozen=True, slots=True)
class MoreFromCache:
    """Long prompts of which little was read from the cache. The saving is that of a tenth of them more."""

    model: str
    prompt_tokens: int
    cached_tokens: int
    saving_nano_eur: int


@dataclass(frozen=True, slots=True)
class LowerOutputLimit:
    """Requests reserve money for many more tokens than they answer with (averages): budgets seem full before they are.

    `idle_nano_eur` is what a request reserves and does not use of its output.
    """

    model: str
    reserved_tokens: int
    used_tokens: int
    idle_nano_eur: int


@dataclass(frozen=True, slots=True)
class Advice:
    """All of it, what saves most first."""

    cheaper: Sequence[CheaperModel]
    cache: Sequence[MoreFromCache]
    limits: Sequence[LowerOutputLimit]


class _Used(NamedTuple):
    """What was asked of a model; and of its newest requests how many, their tokens, and the most that one allowed, its
    prompt and output limit together. None where the newest requests of all models have none of it.
    """

    requests: int
    quantities: Quantities
    sampled: int | None
    reserved_tokens: int | None
    used_tokens: int | None
    longest: int | None


def advice(reader: Reader, offers: Iterable[Offer], *, today: date, time_zone: str) -> Advice:
    """What can be said of the last thirty days, at the prices that are in force now. One query."""
    offered = {offer.model.pk: offer for offer in offers}
    span = Days(today - timedelta(days=DAYS - 1), today, time_zone)
    wanted = DaysUsed(reader.tenant_id, span.first, span.last, time_zone, reader.project_ids, only_totals=True)
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, wanted.parameters() | {"since": lowest_request_id(span.bounds()[0])})
        rows = cursor.fetchall()
    meters = len(METERS)
    known = [
        (offered[pk], _Used(requests, Quantities(*figures[:meters]), *figures[meters:]))
        for pk, requests, *figures in rows
        if pk in offered
    ]
    return Advice(
        cheaper=_most((_cheaper(offer, used, offered.values()) for offer, used in known), "saving_nano_eur"),
        cache=_most((_cache(offer, used) for offer, used in known), "saving_nano_eur"),
        limits=_most((_limit(offer, used) for offer, used in known), "idle_nano_eur"),
    )


def _most(found: Iterable[_Found | None], amount: str) -> list[_Found]:
    return sorted((one for one in found if one is not None), key=attrgetter(amount), reverse=True)[:SHOWN_MAX]


def _cheaper(offer: Offer, used: _Used, others: Iterable[Offer]) -> CheaperModel | None:
    """The largest of the smaller models that save a fifth: what is cheapest of all is seldom what would do."""
    longest = used.longest or offer.model.context_window
    best: tuple[Decimal, CheaperModel] | None = None
    cost = _cost(used.quantities, offer.prices)
    for other in others:
        if cost is None or not _could_do(offer.model, other.model, longest):
            continue
        there = _cost(used.quantities, other.prices)
        if there is None or cost - there < _SAVING_MIN or (cost - there) * 100 < cost * _SAVES_PERCENT_MIN:
            continue
        size = _size(other.model)
        if best is None or size > best[0]:
            best = size, CheaperModel(offer.model.name, other.model.name, cost, there)
    return best[1] if best else None


def _could_do(model: LanguageModel, other: LanguageModel, longest: int) -> bool:
    """Whether the other is smaller, of the same kind, takes and can do all that the model does, and has the room."""
    return (
        other.pk != model.pk
        and other.kind == model.kind
        and other.retired_on is None
        and 0 < _size(other) < _size(model)
        and set(model.modalities) <= set(other.modalities)
        and set(model.capabilities) <= set(other.capabilities)
        and other.context_window >= longest
    )


def _cache(offer: Offer, used: _Used) -> MoreFromCache | None:
    prompt = used.quantities.input + used.quantities.cached
    try:
        cheaper_by = offer.prices.of(METERS.index("input")) - offer.prices.of(METERS.index("cached"))
    except MissingPrice:
        return None
    is_long = prompt >= used.requests * _LONG_PROMPT
    if not is_long or used.quantities.cached * 100 >= prompt * _CACHED_PERCENT_MAX:
        return None
    saving = divide_half_even(prompt // 10 * cheaper_by)
    return MoreFromCache(offer.model.name, prompt, used.quantities.cached, saving) if saving >= _SAVING_MIN else None


def _limit(offer: Offer, used: _Used) -> LowerOutputLimit | None:
    if not used.sampled or used.sampled < _SAMPLED_MIN or not used.reserved_tokens:
        return None
    reserved, answered = used.reserved_tokens // used.sampled, (used.used_tokens or 0) // used.sampled
    try:
        price = max(offer.prices.of(METERS.index(meter)) for meter in ("output", "reasoning"))
    except MissingPrice:
        return None
    idle = (reserved - answered) * price // UNITS_PER_PRICE
    if reserved < max(answered, 1) * _RESERVED_TIMES_MIN or idle < _IDLE_MIN:
        return None
    return LowerOutputLimit(offer.model.name, reserved, answered, idle)


def _cost(quantities: Quantities, prices: Prices) -> int | None:
    """Of all of it at once: a request's own rounding, a nano-EUR, is left out. None where a price is missing."""
    try:
        return price_of(quantities, prices)[0]
    except MissingPrice:
        return None


def _size(model: LanguageModel) -> Decimal:
    """In billions of parameters, of a mixture of experts all of them; 0 where nobody said."""
    return model.parameters_billion or Decimal(0)
