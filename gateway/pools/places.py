"""How many requests gateways send to each engine of a pool at once (docs/routing.md)."""

from django.db import transaction
from django.utils.translation import gettext as _

from gateway.pools.models import Pool
from identity import audit
from identity.errors import Invalid
from identity.operators import Operator
from identity.permissions import OperatorPermission

MOST = 100_000  # no engine works on so many; a larger number is a mistake


def set_requests_at_once(pool: Pool, *, number: int | None, by: Operator) -> bool:
    """The bound from now on, None for no bound; False where it was so before. Raises `Forbidden`, `Invalid`.

    Gateways hear of it within a second; what is under way beyond a lower bound comes to its end.
    """
    by.require(OperatorPermission.CAPACITY_UPDATE)
    if number is not None and not 0 < number <= MOST:
        raise Invalid("requests_at_once", _("More than 0 and at most %(most)s requests.") % {"most": MOST})
    with transaction.atomic():
        before = Pool.objects.select_for_update(no_key=True).get(pk=pool.pk).requests_at_once
        if before == number:
            return False
        pool.requests_at_once = number
        pool.save(update_fields=["requests_at_once"])
        audit.record(
            actor=by.actor,
            action="pool.changed",
            target=pool,
            detail={"pool": pool.name},
            before={"requests_at_once": before},
            after={"requests_at_once": number},
        )
    return True
