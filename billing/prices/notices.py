"""Telling those who pay that prices on their organisation's price list change."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db.models import QuerySet

from billing.models import Contract, PriceVersion
from billing.prices.visibility import visible_models
from identity.models import Tenant
from identity.notices import notify

NAMED_MAX = 20  # models; of more, the page has the others


def tell_of_prices(versions: Iterable[PriceVersion]) -> None:
    """One notice an organisation, price list and instant, however many models it is about. In the change's transaction.

    versions: those that take the place of earlier ones; a model's first price changes none
    """
    together: dict[tuple[int, datetime], list[PriceVersion]] = defaultdict(list)
    for version in versions:
        together[version.rate_card_id, version.valid_from].append(version)
    for (rate_card_id, starts), changed in together.items():
        for tenant in _who_pay_by(rate_card_id):
            seen = visible_models(tenant).filter(pk__in=[version.model_id for version in changed])
            names = sorted(seen.values_list("name", flat=True))
            if not names:
                continue
            told = ", ".join(names[:NAMED_MAX]) + (" …" if len(names) > NAMED_MAX else "")
            context = {"count": len(names), "models": told, "from_at": starts.isoformat()}
            notify(tenant, "price.changed", context=context, once_key=f"price:{changed[0].pk}")


def tell_of_withdrawn_prices(version: PriceVersion) -> None:
    """That prices do not change as was told. In the transaction that withdraws them, which the version is gone in."""
    context = {"model": version.model.name, "from_at": version.valid_from.isoformat()}
    for tenant in _who_pay_by(version.rate_card_id):
        if visible_models(tenant).filter(pk=version.model_id).exists():
            notify(tenant, "price.withdrawn", context=context, once_key=f"price-withdrawn:{version.pk}")


def _who_pay_by(rate_card_id: int) -> QuerySet[Tenant]:
    payers = Contract.objects.filter(rate_card=rate_card_id, ends_at=None).values("tenant")
    return Tenant.objects.filter(pk__in=payers, status=Tenant.Status.ACTIVE).order_by("pk")
