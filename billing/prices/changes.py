"""Prices as operators change them: one or a whole list at once, from now or a day to come, looked at before they count.

All of a table or nothing of it is written. What stands in the book already is left as it is, so the same table again
changes nothing. Prices are nano-EUR per million units.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.invoices.settings import billing_settings
from billing.models import Agreement, Contract, PriceVersion, RateCard
from billing.models.prices import Mode
from billing.prices.notices import tell_of_prices, tell_of_withdrawn_prices
from billing.prices.preview import PriceChange
from billing.prices.price_book import check_mode, check_prices, check_start, lock_list, prices_of, write_version
from billing.pricing import METERS, price_in
from identity import audit
from identity.errors import Conflict, IdentityError, Invalid, NotFound
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.wording import clean_text
from models_catalog.models import LanguageModel

WISHES_MAX = 1_000  # a call: some seconds
FURTHEST = timedelta(days=5 * 366)  # what starts later is a slip of the pen
REASON_LENGTH_MAX = 300
# What the requests of a kind report besides and nobody pays: without a price they would be refused.
FREE_OF_KIND: dict[str, tuple[str, ...]] = {
    LanguageModel.Kind.EMBEDDING: ("output",),
    LanguageModel.Kind.RERANK: ("input", "output"),
    LanguageModel.Kind.TRANSCRIPTION: ("input", "output"),
    LanguageModel.Kind.IMAGE: ("input", "output"),
}


@dataclass(frozen=True, slots=True)
class PriceWish:
    """What a model is to cost in a mode, all meters of it. `valid_from` None: from now. `line`: of a table.

    audio_by_started_minute: each request's audio is billed as whole minutes, the last one begun
    """

    model: str
    prices: Mapping[str, int]
    mode: str = Mode.STANDARD
    valid_from: datetime | None = None
    line: int = 0
    audio_by_started_minute: bool = False


class Outcome(StrEnum):
    """What becomes of a wish."""

    ADDED = "added"
    SAME = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PricePlan:
    """A wish and what becomes of it. `starts`: when; `old`: the prices until then, None where there were none, and
    `was_by_started_minute` how they billed audio.
    """

    wish: PriceWish
    outcome: Outcome
    starts: datetime
    model: LanguageModel | None = None
    old: Mapping[str, int] | None = None
    new: Mapping[str, int] = field(default_factory=dict)
    error: IdentityError | None = None
    was_by_started_minute: bool = False

    @property
    def rounds_otherwise(self) -> bool:
        """Whether audio was billed by another rule until then."""
        return self.old is not None and self.was_by_started_minute != self.wish.audio_by_started_minute

    @property
    def rises(self) -> bool:
        """Whether a meter becomes dearer that had a price, be it its fall-back's; audio by counting started minutes."""
        pairs = [(price_in(self.old or {}, meter), price_in(self.new, meter)) for meter in METERS]
        old_audio, audio = pairs[METERS.index("audio_ms")]
        if self.rounds_otherwise and self.wish.audio_by_started_minute and audio and old_audio is not None:
            return True
        return any(old is not None and new is not None and new > old for old, new in pairs)


@dataclass(frozen=True, slots=True)
class ShortNotice:
    """A price rises in `days`, and `asked_days` are to lie before a rise: it needs a reason in writing."""

    days: int
    asked_days: int


def plan_prices(*, by: Operator, rate_card: RateCard, wishes: Sequence[PriceWish]) -> list[PricePlan]:
    """What `put_prices` would do with each, in their order; nothing is written. Raises `Forbidden`, `Invalid`."""
    by.require(OperatorPermission.PRICE_UPDATE)
    _check_count(wishes)
    with transaction.atomic():
        return _plans(rate_card, wishes)


def put_prices(*, by: Operator, rate_card: RateCard, wishes: Sequence[PriceWish], reason: str = "") -> list[PricePlan]:
    """Add these prices, all of them or, where one is refused, none. Who pays by the list is told of what changes.

    reason: why, for operators; kept with each version. Raises `Forbidden`, `Invalid` for too many, and for a rise at
    short notice without a reason.
    """
    by.require(OperatorPermission.PRICE_UPDATE)
    _check_count(wishes)
    reason = checked_reason(reason)
    with transaction.atomic():
        plans = _plans(rate_card, wishes)
        if any(plan.outcome == Outcome.REFUSED for plan in plans):
            return plans
        require_reason(short_notice(rate_card, plans), reason)
        changed = []
        for plan in plans:
            if plan.outcome == Outcome.ADDED:
                assert plan.model is not None
                version = write_version(
                    rate_card,
                    plan.model,
                    plan.wish.mode,
                    plan.new,
                    plan.starts,
                    reason=reason,
                    audio_by_started_minute=plan.wish.audio_by_started_minute,
                    actor=by.actor,
                )
                if plan.old is not None:
                    changed.append(version)
        tell_of_prices(changed)
    return plans


def withdraw_price(*, by: Operator, rate_card: RateCard, version_id: int) -> None:
    """Take scheduled prices back: those before them go on. Who was told of them is told.

    Possible until a minute before they begin. Raises `Forbidden`, `NotFound`, `Conflict` where it is too late.
    """
    by.require(OperatorPermission.PRICE_UPDATE)
    with transaction.atomic():
        RateCard.objects.select_for_update(no_key=True).get(pk=rate_card.pk)
        found = PriceVersion.objects.select_related("model").filter(pk=version_id, rate_card=rate_card).first()
        if found is None:
            raise NotFound("price_version")
        prices = dict(prices_of(found).nano_eur_per_million)
        earlier = PriceVersion.objects.filter(rate_card=rate_card, model=found.model, mode=found.mode)
        is_change = earlier.filter(valid_from__lt=found.valid_from).exists()
        with connection.cursor() as cursor:
            cursor.execute("select withdraw_price_v1(%s)", [version_id])
            if not cursor.fetchone()[0]:
                raise Conflict(_("These prices have begun, or begin within a minute: let others follow them."))
        detail: dict[str, Any] = {"rate_card": rate_card.name, "model": found.model.name, "mode": found.mode}
        detail["prices"] = prices
        detail["valid_from"] = found.valid_from.isoformat()
        detail |= {"reason": found.reason} if found.reason else {}
        if found.audio_by_started_minute:
            detail["audio_by_started_minute"] = True
        target = audit.Target("priceversion", str(version_id), found.model.name)
        audit.record(actor=by.actor, action="price_version.withdrawn", target=target, detail=detail)
        if is_change:
            tell_of_withdrawn_prices(found)


def changes_of(plans: Sequence[PricePlan]) -> list[PriceChange]:
    """What the plans come to, for a preview: of each model and mode the last of its prices."""
    last: dict[tuple[int, str], PriceChange] = {}
    for plan in sorted(plans, key=lambda plan: plan.starts):
        if plan.outcome == Outcome.ADDED and plan.model is not None:
            known = last.get((plan.model.pk, plan.wish.mode))
            old = known.old if known else plan.old
            last[plan.model.pk, plan.wish.mode] = PriceChange(
                plan.model.pk, plan.model.name, plan.wish.mode, old, plan.new
            )
    return list(last.values())


def short_notice(rate_card: RateCard, plans: Sequence[PricePlan]) -> ShortNotice | None:
    """The first rise that begins before the notice of the billing settings is over; None: none does, or nobody has
    agreed on the list so far, and so nobody is to be told.
    """
    now = database_now()
    days = [max((plan.starts - now).days, 0) for plan in plans if plan.outcome == Outcome.ADDED and plan.rises]
    asked = billing_settings().rise_notice_days
    if not days or min(days) >= asked or not _is_agreed(rate_card):
        return None
    return ShortNotice(min(days), asked)


def require_reason(short: ShortNotice | None, reason: str) -> None:
    """Raises `Invalid` where a rise comes at short notice and nothing is said."""
    if short is not None and not reason:
        words = _("A price rises within %(asked)s days: write down why, or let it begin later.")
        raise Invalid("reason", words % {"asked": short.asked_days})


def checked_reason(text: str) -> str:
    """In one line. Raises `Invalid`."""
    return clean_text(" ".join(text.split()), "reason", REASON_LENGTH_MAX)


def _is_agreed(rate_card: RateCard) -> bool:
    in_force = Contract.objects.filter(rate_card=rate_card, ends_at=None, tenant__is_platform=False)
    return in_force.exists() or Agreement.objects.filter(rate_card=rate_card, closed_at=None).exists()


def with_free_meters(kind: str, prices: Mapping[str, int]) -> dict[str, int]:
    """The prices, and those of what requests of the kind report besides and nobody pays."""
    return dict.fromkeys(FREE_OF_KIND.get(kind, ()), 0) | dict(prices)


def _check_count(wishes: Sequence[PriceWish]) -> None:
    if len(wishes) > WISHES_MAX:
        raise Invalid("prices", _("At most %(count)s.") % {"count": WISHES_MAX})


class _Booked(NamedTuple):
    prices: Mapping[str, int]
    by_started_minute: bool


_Book = dict[tuple[int, str], dict[datetime, _Booked]]


def _plans(rate_card: RateCard, wishes: Sequence[PriceWish]) -> list[PricePlan]:
    early = [wish.valid_from for wish in wishes if wish.valid_from is not None]
    is_unused = lock_list(rate_card, for_the_past=bool(early) and min(early) < database_now())
    now = database_now()
    models = {model.name: model for model in LanguageModel.objects.filter(name__in={wish.model for wish in wishes})}
    book = _book(rate_card, models.values())
    # The past before the future: what stands before a price is then known.
    order = sorted(range(len(wishes)), key=lambda place: wishes[place].valid_from or now)
    plans = {place: _plan(wishes[place], models, book, now, is_unused=is_unused) for place in order}
    return [plans[place] for place in range(len(wishes))]


def _plan(
    wish: PriceWish, models: Mapping[str, LanguageModel], book: _Book, now: datetime, *, is_unused: bool
) -> PricePlan:
    starts = wish.valid_from or now
    model = models.get(wish.model)
    try:
        if model is None:
            raise Invalid("model", _("There is no model of this name."))
        check_mode(wish.mode)
        check_prices(wish.prices)
        if starts > now + FURTHEST:
            raise Invalid("valid_from", _("Within five years."))
        if wish.audio_by_started_minute and "audio_ms" not in wish.prices:
            raise Invalid("audio_by_started_minute", _("There is no price of audio to count by started minutes."))
        new = _Booked(with_free_meters(model.kind, wish.prices), wish.audio_by_started_minute)
        known = book.setdefault((model.pk, wish.mode), {})
        before = [start for start in known if start < starts]
        old = known[max(before)] if before else None
        if known.get(starts) == new or (old == new and starts not in known):
            return _done(Outcome.SAME, wish, starts, model, old, new)
        check_start(starts, known=known, now=now, is_unused=is_unused)
    except (Invalid, Conflict) as error:
        return PricePlan(wish, Outcome.REFUSED, starts, model, error=error)
    known[starts] = new
    return _done(Outcome.ADDED, wish, starts, model, old, new)


def _done(
    outcome: Outcome, wish: PriceWish, starts: datetime, model: LanguageModel, old: _Booked | None, new: _Booked
) -> PricePlan:
    plan = PricePlan(wish, outcome, starts, model, old.prices if old else None, new.prices)
    return replace(plan, was_by_started_minute=old is not None and old.by_started_minute)


def _book(rate_card: RateCard, models: Collection[LanguageModel]) -> _Book:
    book: _Book = {}
    versions = PriceVersion.objects.filter(rate_card=rate_card, model__in=list(models)).prefetch_related("prices")
    for version in versions:
        prices = {price.meter: price.nano_eur_per_million for price in version.prices.all()}
        booked = _Booked(prices, version.audio_by_started_minute)
        book.setdefault((version.model_id, version.mode), {})[version.valid_from] = booked
    return book
