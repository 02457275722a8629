"""The price book: rate cards and their dated versions, which are followed by others and never changed (I4).

Prices are nano-EUR per million units. Times are the database's. The first version of a model's prices on a rate card
may start in the past, as nothing could be billed before it; every other one starts now or later. A list that no
contract ever had may be given its history, for the same reason.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.models import Contract, MeterPrice, PriceVersion, RateCard
from billing.models.prices import Mode
from billing.money import NotAnAmount, parse_eur
from billing.prices.notices import tell_of_prices
from billing.pricing import METERS, Prices
from identity import audit
from identity.errors import Conflict, Invalid
from models_catalog.models import LanguageModel

REFERENCE_PRICES = Path(__file__).parents[1] / "data" / "prices.json"
HIGHEST_PRICE = 10**15  # nano-EUR per million units: a euro a unit


def add_rate_card(*, name: str, is_reference: bool = False, actor: audit.Actor) -> RateCard:
    """A new, empty price list. Raises Conflict where the name is taken or another is the reference."""
    with transaction.atomic():
        taken = RateCard.objects.filter(name=name)
        if taken.exists() or (is_reference and RateCard.objects.filter(is_reference=True).exists()):
            raise Conflict(_("There is such a rate card already."))
        card = RateCard.objects.create(name=name, is_reference=is_reference)
        audit.record(actor=actor, action="rate_card.added", target=card, detail={"name": name})
    return card


def reference_rate_card() -> RateCard:
    """The price list of those who agreed on no other. Raises RateCard.DoesNotExist before `load_prices` ran."""
    return RateCard.objects.get(is_reference=True)


def add_price_version(
    *,
    rate_card: RateCard,
    model: LanguageModel,
    prices: Mapping[str, int],
    valid_from: datetime | None = None,
    mode: str = Mode.STANDARD,
    actor: audit.Actor,
) -> PriceVersion:
    """Prices of a model by meter, in force from `valid_from` (None: now) until the next version's start.

    Organisations whose price changes are told. Raises Invalid for prices that make no sense, Conflict for a start that
    would change the past.
    """
    with transaction.atomic():
        added = _add_version(rate_card, model, prices, valid_from, mode, actor)
        tell_of_prices([added.version] if added.is_change else [])
    return added.version


class _Added(NamedTuple):
    version: PriceVersion
    is_change: bool  # the model had a price until then


def _add_version(
    rate_card: RateCard,
    model: LanguageModel,
    prices: Mapping[str, int],
    valid_from: datetime | None,
    mode: str,
    actor: audit.Actor,
) -> _Added:
    check_prices(prices)
    check_mode(mode)
    with transaction.atomic():
        is_unused = lock_list(rate_card, for_the_past=valid_from is not None and valid_from < database_now())
        now = database_now()
        starts = valid_from or now
        others = PriceVersion.objects.filter(rate_card=rate_card, model=model, mode=mode)
        known = list(others.values_list("valid_from", flat=True))
        check_start(starts, known=known, now=now, is_unused=is_unused)
        version = write_version(rate_card, model, mode, prices, starts, actor=actor)
    return _Added(version, any(start < starts for start in known))


def write_version(
    rate_card: RateCard,
    model: LanguageModel,
    mode: str,
    prices: Mapping[str, int],
    starts: datetime,
    *,
    reason: str = "",
    audio_by_started_minute: bool = False,
    actor: audit.Actor,
) -> PriceVersion:
    """The version, by who holds the list (`lock_list`) and has looked at it (`check_start`)."""
    version = PriceVersion.objects.create(
        rate_card=rate_card,
        model=model,
        mode=mode,
        valid_from=starts,
        reason=reason,
        audio_by_started_minute=audio_by_started_minute,
    )
    MeterPrice.objects.bulk_create(
        MeterPrice(version=version, meter=meter, nano_eur_per_million=price) for meter, price in prices.items()
    )
    detail: dict[str, Any] = {"rate_card": rate_card.name, "model": model.name, "mode": mode, "prices": dict(prices)}
    detail["valid_from"] = starts.isoformat()
    detail |= {"reason": reason} if reason else {}
    if audio_by_started_minute:
        detail["audio_by_started_minute"] = True
    audit.record(actor=actor, action="price_version.added", target=version, detail=detail)
    return version


def lock_list(rate_card: RateCard, *, for_the_past: bool) -> bool:
    """Let nobody else change the list in this transaction. Whether nobody ever had a contract of it: only then its past
    may be written, and nobody gets one meanwhile; always False unless that is asked.
    """
    RateCard.objects.select_for_update(no_key=not for_the_past).get(pk=rate_card.pk)
    return for_the_past and not Contract.objects.filter(rate_card=rate_card).exists()


def check_start(starts: datetime, *, known: Collection[datetime], now: datetime, is_unused: bool) -> None:
    """Raises Conflict where prices that start then would change what is or was in force.

    known: when the model's other prices in that mode start
    """
    if starts < now and known and not is_unused:
        raise Conflict(_("Prices that are or were in force do not change: let the new ones start now or later."))
    if starts in known:
        raise Conflict(_("Prices that start at that instant exist already."))


def price_in_force(
    *, rate_card: RateCard, model: LanguageModel, at: datetime | None = None, mode: str = Mode.STANDARD
) -> PriceVersion | None:
    """The version that bills a request admitted `at` (None: now); None where the model has no price then."""
    return (
        PriceVersion.objects.filter(rate_card=rate_card, model=model, mode=mode, valid_from__lte=at or Now())
        .order_by("-valid_from")
        .first()
    )


def reference_prices_in_force() -> QuerySet[PriceVersion]:
    """Of each model that has one, the version of the reference list that bills now, by model; with its prices."""
    begun = PriceVersion.objects.filter(rate_card__is_reference=True, mode=Mode.STANDARD, valid_from__lte=Now())
    newest = begun.order_by("model_id", "-valid_from").distinct("model_id")
    return newest.select_related("model").prefetch_related("prices")


def prices_of(version: PriceVersion) -> Prices:
    """The version in the form that arithmetic takes."""
    given = dict(version.prices.values_list("meter", "nano_eur_per_million"))
    return Prices(version.pk, given, version.audio_by_started_minute)


@dataclass(frozen=True, slots=True)
class _FileVersion:
    card: str
    is_reference: bool
    mode: str
    valid_from: datetime
    prices: dict[str, dict[str, int]]  # kind of model -> meter -> nano-EUR per million units


def load_prices(path: Path = REFERENCE_PRICES, *, actor: audit.Actor) -> list[PriceVersion]:
    """Add the file's versions to every catalog model of their kind that lacks them; gives those added.

    A model whose only prices on that list are not the file's, but an operator's, keeps those.
    Raises Invalid for a file that makes no sense, Conflict where a version in the file differs from the one in the
    book.
    """
    added = []
    with transaction.atomic():
        versions = _read_prices(path)
        for listed in versions:
            card = RateCard.objects.filter(name=listed.card).first() or add_rate_card(
                name=listed.card, is_reference=listed.is_reference, actor=actor
            )
            known = _known_prices(card, listed.mode, listed.valid_from)
            own = _priced_by_others(card, listed.mode, [one.valid_from for one in versions if one.card == listed.card])
            for model in LanguageModel.objects.filter(kind__in=listed.prices).exclude(pk__in=own).order_by("name"):
                prices = listed.prices[model.kind]
                if model.pk not in known:
                    added.append(_add_version(card, model, prices, listed.valid_from, listed.mode, actor))
                elif known[model.pk] != prices:
                    raise Conflict(
                        f"{model.name}: the prices since {listed.valid_from:%Y-%m-%d} differ from the file's."
                        " Prices do not change: add a version that starts later."
                    )
        tell_of_prices(one.version for one in added if one.is_change)
    return [one.version for one in added]


def _priced_by_others(card: RateCard, mode: str, starts: list[datetime]) -> set[int]:
    """The models with prices of which none starts when one of the file's does."""
    versions = PriceVersion.objects.filter(rate_card=card, mode=mode)
    of_the_file = versions.filter(valid_from__in=starts).values("model")
    return set(versions.exclude(model__in=of_the_file).values_list("model_id", flat=True))


def _known_prices(card: RateCard, mode: str, valid_from: datetime) -> dict[int, dict[str, int]]:
    rows = MeterPrice.objects.filter(version__rate_card=card, version__mode=mode, version__valid_from=valid_from)
    known: dict[int, dict[str, int]] = defaultdict(dict)
    for model_id, meter, price in rows.values_list("version__model_id", "meter", "nano_eur_per_million"):
        known[model_id][meter] = price
    return known


def _read_prices(path: Path) -> list[_FileVersion]:
    """The file's versions. Prices are in EUR per million units, as text, so that no float comes near them."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [
            _FileVersion(
                card=card["name"],
                is_reference=card["is_reference"],
                mode=version["mode"],
                valid_from=_instant(version["valid_from"]),
                prices={kind: _nano(table) for kind, table in version["eur_per_million"].items()},
            )
            for card in document["rate_cards"]
            for version in card["versions"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise Invalid("prices", f"{path.name}: a member is missing or of a wrong type: {error}") from error
    except ValueError as error:
        raise Invalid("prices", f"{path.name}: {error}") from error


def _nano(table: Mapping[str, Any]) -> dict[str, int]:
    if not all(isinstance(price, str) for price in table.values()):
        raise NotAnAmount('a price must be text, such as "0.90"')
    return {meter: parse_eur(price) for meter, price in table.items()}


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text} lacks a time zone")
    return instant


def check_prices(prices: Mapping[str, int]) -> None:
    """Raises Invalid for prices that make no sense."""
    if not prices:
        raise Invalid("prices", _("There must be a price for a meter at least."))
    unknown = prices.keys() - set(METERS)
    if unknown:
        raise Invalid("prices", _("There is no meter {names}.").format(names=", ".join(sorted(unknown))))
    if any(type(price) is not int or not 0 <= price <= HIGHEST_PRICE for price in prices.values()):
        text = _("A price is a whole number of nano-EUR per million units, at most {highest}.")
        raise Invalid("prices", text.format(highest=HIGHEST_PRICE))


def check_mode(mode: str) -> None:
    """Raises Invalid for a mode that there is not."""
    if mode not in Mode.values:
        raise Invalid("mode", _("One of {names}.").format(names=", ".join(Mode.values)))
