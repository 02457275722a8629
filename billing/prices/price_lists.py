"""Price lists as operators keep them: which there are, who pays by them, and another one, as a copy or empty.

A list is a rate card of the price book. A tier names the list of the contracts that start on it, or means the reference
list; a contract has a list for good. Prices are nano-EUR per million units.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Min, Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.contracts.tiers import all_tiers
from billing.models import Contract, PriceVersion, RateCard, Tier
from billing.money import NotAnAmount, parse_typed_eur
from billing.prices.price_book import add_rate_card, write_version
from billing.pricing import divide_half_even
from identity.errors import Invalid, NotFound
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.wording import clean_name

ONCE = 1_000_000  # a factor of one, in millionths
FACTOR_MAX = 100 * ONCE
NAME_LENGTH_MAX = 100
_NANO_A_MILLIONTH = 1_000


@dataclass(frozen=True, slots=True)
class PriceList:
    """A rate card: how many models have a price on it now, and who pays by it.

    organisations: with a contract at these prices in force
    next_change: when the first scheduled prices start, if there are any
    """

    card: RateCard
    models: int
    tiers: Sequence[Tier]
    organisations: int
    next_change: datetime | None


def price_lists(text: str = "", *, most: int) -> list[PriceList]:
    """At most `most` of those that have the text in their name, the reference list first, then by name."""
    found = RateCard.objects.filter(name__icontains=text).order_by("-is_reference", "name")
    return described(list(found[:most]))


def price_list(list_id: int) -> PriceList:
    """One of them. Raises `NotFound`."""
    return described([card_of_list(list_id)])[0]


def card_of_list(list_id: int) -> RateCard:
    """Its rate card alone. Raises `NotFound`."""
    found = RateCard.objects.filter(pk=list_id).first()
    if found is None:
        raise NotFound("price_list")
    return found


def make_price_list(
    *, by: Operator, name: str, copy_of: RateCard | None = None, factor_millionths: int = ONCE
) -> RateCard:
    """Another price list: empty, or with the prices in force on `copy_of`, each times the factor, from now.

    A price is rounded half-even to a nano-EUR per million units. What is scheduled on `copy_of` is not copied. Raises
    `Forbidden`, `Invalid`, `Conflict` where the name is taken.
    """
    by.require(OperatorPermission.PRICE_UPDATE)
    name = clean_name(name, length_max=NAME_LENGTH_MAX)
    if type(factor_millionths) is not int or not 0 < factor_millionths <= FACTOR_MAX:
        raise Invalid("factor", _("A number above 0, up to %(highest)s.") % {"highest": FACTOR_MAX // ONCE})
    with transaction.atomic():
        card = add_rate_card(name=name, actor=by.actor)
        now = database_now()
        for version in _in_force(copy_of, now) if copy_of else ():
            prices = {
                price.meter: divide_half_even(price.nano_eur_per_million * factor_millionths)
                for price in version.prices.all()
            }
            by_minute = version.audio_by_started_minute
            write_version(
                card, version.model, version.mode, prices, now, audio_by_started_minute=by_minute, actor=by.actor
            )
    return card


def parse_factor(text: str) -> int:
    """Millionths from what people type, such as `0.9` or `1,25`. Raises `NotAnAmount`, also past 6 decimals."""
    millionths, finer = divmod(parse_typed_eur(text), _NANO_A_MILLIONTH)
    if finer:
        raise NotAnAmount(f"{text!r} has more than six decimals")
    return millionths


def described(cards: Sequence[RateCard]) -> list[PriceList]:
    """In the order of the cards, in three queries."""
    ids = [card.pk for card in cards]
    versions = PriceVersion.objects.filter(rate_card__in=ids).values("rate_card")
    counted = versions.annotate(
        models=Count("model", filter=Q(valid_from__lte=Now()), distinct=True),
        next=Min("valid_from", filter=Q(valid_from__gt=Now())),
    )
    prices = {row["rate_card"]: (row["models"], row["next"]) for row in counted}
    payers = Contract.objects.filter(rate_card__in=ids, ends_at=None, tenant__is_platform=False)
    organisations = dict(payers.values_list("rate_card").annotate(Count("pk")))
    tiers = defaultdict(list)
    for tier in all_tiers():
        tiers[tier.rate_card_id].append(tier)
    return [
        PriceList(
            card,
            prices.get(card.pk, (0, None))[0],
            tiers[card.pk] + (tiers[None] if card.is_reference else []),
            organisations.get(card.pk, 0),
            prices.get(card.pk, (0, None))[1],
        )
        for card in cards
    ]


def _in_force(card: RateCard, now: datetime) -> list[PriceVersion]:
    begun = PriceVersion.objects.filter(rate_card=card, valid_from__lte=now)
    newest = begun.order_by("model_id", "mode", "-valid_from").distinct("model_id", "mode")
    return list(newest.select_related("model").prefetch_related("prices"))
