"""Limits: at most so many requests or tokens a window, or requests at once, on an organisation, a project or a key.

What a tier brings (source "tier") and what somebody set (source "set") stand side by side; the lower binds.
"""

from django.db import transaction
from django.utils.translation import gettext as _

from billing.limits.places import Holder, Place, Source, place_of
from billing.models import Limit
from identity import audit
from identity.errors import Invalid, NotFound

HIGHEST_AMOUNT = 10**15  # requests or tokens a window: more is no limit


def set_limit(*, on: Holder, what: str, window: str, amount: int, actor: audit.Actor) -> Limit:
    """Set or change a limit; what is used of its window stays counted. `window` is "none" for requests at once.

    Raises Invalid for a limit that makes no sense.
    """
    check_limit(what=what, window=window, amount=amount)
    place = place_of(on)
    with transaction.atomic():
        place.lock()
        same = {"scope": place.scope, "scope_id": place.scope_id, "what": what, "window": window}
        before = Limit.objects.filter(**same, source=Source.SET.value, is_active=True).first()
        limit = put_limit(place, what=what, window=window, amount=amount, source=Source.SET)
        audit.record(
            actor=actor,
            action="limit.set",
            target=limit,
            tenant=place.tenant,
            detail={"scope": place.scope.value, "what": what, "window": window},
            before={"amount": before.amount} if before else None,
            after={"amount": amount},
        )
    return limit


def remove_limit(*, limit: Limit, actor: audit.Actor) -> None:
    """End a limit that somebody set. Raises Invalid for one that the contract brings."""
    if limit.source != Source.SET:
        raise Invalid("limit", _("It comes with the contract and ends with it."))
    with transaction.atomic():
        Limit.objects.filter(pk=limit.pk).update(is_active=False)
        place = Place.of_row(limit)
        audit.record(
            actor=actor,
            action="limit.removed",
            target=limit,
            tenant=place.tenant,
            detail={"scope": place.scope.value, "what": limit.what, "window": limit.window},
            before={"amount": limit.amount},
        )


def limit_on(holder: Holder, limit_id: int) -> Limit:
    """An active limit of the holder. Raises NotFound, also for one of another holder."""
    place = place_of(holder)
    found = Limit.objects.filter(pk=limit_id, scope=place.scope, scope_id=place.scope_id, is_active=True).first()
    if found is None:
        raise NotFound("limit")
    return found


def put_limit(place: Place, *, what: str, window: str, amount: int, source: Source) -> Limit:
    """The active limit of that source with that amount. The caller checks, locks the place and keeps the audit."""
    limit, _ = Limit.objects.update_or_create(
        scope=place.scope,
        scope_id=place.scope_id,
        what=what,
        window=window,
        source=source.value,
        is_active=True,
        defaults={"tenant_id": place.tenant.pk, "amount": amount},
    )
    return limit


def check_limit(*, what: str, window: str, amount: int) -> None:
    """Raises Invalid for a limit that makes no sense."""
    if what not in Limit.What.values:
        raise Invalid("what", _("One of %(choices)s.") % {"choices": ", ".join(Limit.What.values)})
    if window not in Limit.Window.values or (what == Limit.What.CONCURRENT) != (window == Limit.Window.NONE):
        raise Invalid("window", _("A minute, hour, day or month; none, and only none, for requests at once."))
    if type(amount) is not int or not 0 <= amount <= HIGHEST_AMOUNT:
        raise Invalid("amount", _("A whole number from 0 to %(highest)s.") % {"highest": HIGHEST_AMOUNT})
