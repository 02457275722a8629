"""What the operator does with a model: adds its engines and its entry, publishes it, announces its end.

A model that is published has a reference price and an engine that answers; from then on it is probed every minute.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import RateCard
from billing.prices.changes import Outcome, PriceWish, put_prices
from billing.prices.price_book import add_rate_card, price_in_force, reference_rate_card
from billing.prices.visibility import NOBODY, Audience, set_visibility, tenants_that_see
from gateway.pools.engine_look import Served
from gateway.pools.models import Replica
from gateway.pools.probe_call import PROBED_KINDS
from gateway.pools.probes import probe_replica
from gateway.pools.reasons import DRAINS, EJECTED, PUT_BACK
from gateway.pools.registry import (
    OUT,
    engine_address,
    register_pool,
    register_replica,
    remove_replica,
    set_state,
)
from gateway.pools.serving import served_models
from identity import audit
from identity.errors import Conflict, Invalid
from identity.models import Tenant
from identity.operators import Operator
from identity.permissions import OperatorPermission
from models_catalog.endings import tell_of_end
from models_catalog.entries import NewEntry, add_model, change_model
from models_catalog.lifecycle import NOTICE_MONTHS, months_later
from models_catalog.models import LanguageModel

REFERENCE = "Reference"  # the list of an installation that loaded no prices
UNTOLD_WINDOW = 4_096  # tokens, where an engine does not say its context window: what any serves


def entry_for(served: Served, name: str, **described: str) -> NewEntry:
    """An entry for what an engine serves, with what it says of itself; `described` as `NewEntry` takes it."""
    # Twice what one word takes: templates grow a little with dates and roles.
    overhead = None if served.template_tokens is None else 64 + 2 * served.template_tokens
    window = served.context_window or UNTOLD_WINDOW
    entry = NewEntry(name=name, kind=served.kind, context_window=window)
    return replace(entry, template_overhead_tokens=overhead, **described)  # type: ignore[arg-type]  # texts alone


def create_model(entry: NewEntry, *, by: Operator) -> LanguageModel:
    """A new catalogue entry, which nobody sees yet. Raises as `add_model`, `Forbidden`."""
    by.require(OperatorPermission.CATALOGUE_UPDATE)
    return add_model(entry, actor=by.actor)


def describe_model(model: LanguageModel, changes: Mapping[str, object], *, by: Operator) -> bool:
    """Change what its entry says, of `CHANGEABLE`; False where it says so already. Raises `Forbidden`, `Invalid`."""
    by.require(OperatorPermission.CATALOGUE_UPDATE)
    return change_model(model, changes, actor=by.actor)


def add_engine(
    *, model: LanguageModel, address: str, api_key: str = "", served_name: str = "", node: str = "", by: Operator
) -> Replica:
    """Register an engine for the model and try it at once; what is wrong with it, `state_reason` says.

    served_name: the engine's name for the model; "": the model's own. Raises `Invalid`, `Forbidden`.
    """
    by.require(OperatorPermission.CAPACITY_UPDATE)
    url, own_key = engine_address(address)
    key = api_key or own_key
    pool = register_pool(model=model, served_name=served_name or model.name, actor=by.actor)
    replica = register_replica(pool=pool, url=url, api_key=key, node=node, actor=by.actor)
    if replica.state not in OUT:
        probe_replica(replica)
    replica.refresh_from_db()
    return replica


def drain(replica: Replica, *, by: Operator) -> None:
    """It gets no new request; what it is answering it ends. Raises `Forbidden`, `Conflict` where it does not run."""
    _set(replica, Replica.State.DRAINING, DRAINS % {"who": by.name}, by)


def eject(replica: Replica, *, by: Operator) -> None:
    """Out at once: what it answers breaks off, and is begun elsewhere where nothing was sent. Raises as `drain`."""
    _set(replica, Replica.State.EJECTED, EJECTED % {"who": by.name}, by)


def put_back(replica: Replica, *, by: Operator) -> None:
    """Into service again, once a probe finds it sound; that is tried at once. Raises as `drain`."""
    _set(replica, Replica.State.REGISTERED, PUT_BACK, by)
    probe_replica(replica)
    replica.refresh_from_db()


def take_away(replica: Replica, *, by: Operator) -> None:
    """Off the list; what it is answering it ends.

    Raises `Forbidden`, `Conflict` where the environment names it or its pool is managed.
    """
    by.require(OperatorPermission.CAPACITY_UPDATE)
    if replica.source == Replica.Source.FLEET:
        raise Conflict(_("Its pool would bring another one: change how many replicas the pool has."))
    if replica.source == Replica.Source.ENVIRONMENT:
        raise Conflict(
            _("The environment names this engine (BEFFROI_ENGINES): take it out there, and let it drain here.")
        )
    remove_replica(replica=replica, actor=by.actor)


def what_is_missing(model: LanguageModel) -> list[str]:
    """Why the model cannot be published yet: of `kind`, `price`, `engine`, `retired`."""
    has_engine = bool(served_models([model.pk]))
    return missing_of(model, has_price=_has_price(model), has_engine=has_engine)


def missing_of(model: LanguageModel, *, has_price: bool, has_engine: bool) -> list[str]:
    """`what_is_missing`, for who knows already whether it has a reference price and an engine that is ready."""
    is_over = model.retired_on is not None and model.retired_on <= datetime.now(UTC).date()
    found = {"kind": model.kind in PROBED_KINDS, "price": has_price, "engine": has_engine, "retired": not is_over}
    return [what for what, is_there in found.items() if not is_there]


def publish(model: LanguageModel, *, audience: Audience, by: Operator) -> bool:
    """Let these see and call the model, and probe it from now on. False where it was published so before.

    Raises `Forbidden`, `Conflict` where something is missing (`what_is_missing`), `Invalid` for the audience.
    """
    by.require(OperatorPermission.CATALOGUE_UPDATE)
    if audience.visibility == LanguageModel.Visibility.NOBODY:
        raise Invalid("visibility", _("Who publishes a model shows it to somebody."))
    with transaction.atomic():
        fresh = LanguageModel.objects.select_for_update(no_key=True).get(pk=model.pk)
        if missing := what_is_missing(fresh):
            reasons = ", ".join(str(_MISSING[one]) for one in missing)
            raise Conflict(_("It cannot be published: {reasons}.").format(reasons=reasons))
        is_new = fresh.published_at is None
        if is_new:
            mark_published(fresh, actor=by.actor)
        changed = set_visibility(model=fresh, audience=audience, actor=by.actor)
    model.refresh_from_db()
    return is_new or changed


def mark_published(model: LanguageModel, *, actor: audit.Actor) -> None:
    """Promise from now on that it answers. Nothing where that was promised before."""
    with transaction.atomic():
        now = datetime.now(UTC)
        if not LanguageModel.objects.filter(pk=model.pk, published_at=None).update(published_at=now):
            return
        model.published_at = now
        target = audit.Target("languagemodel", str(model.pk), model.name)
        audit.record(actor=actor, action="model.published", target=target, detail={"model": model.name})


def show_to(model: LanguageModel, *, audience: Audience, by: Operator) -> bool:
    """Change who sees the model, from now; False where it was so before. Raises `Forbidden`, `Invalid`, `Conflict`."""
    by.require(OperatorPermission.CATALOGUE_UPDATE)
    if model.published_at is None and audience != NOBODY:
        raise Conflict(_("It is not published yet."))
    return set_visibility(model=model, audience=audience, actor=by.actor)


def set_reference_price(
    model: LanguageModel,
    *,
    prices: Mapping[str, int],
    audio_by_started_minute: bool = False,
    reason: str = "",
    by: Operator,
) -> bool:
    """The model's prices by meter (nano-EUR per million units) on the reference list, from now; other models stay.

    What its requests report besides and nobody pays gets the price 0: without any they would be refused. False where
    these are in force already. Raises `Forbidden`, `Invalid`, also where a price rises without a reason, `Conflict`.
    """
    by.require(OperatorPermission.PRICE_UPDATE)
    with transaction.atomic():
        try:
            card = reference_rate_card()
        except RateCard.DoesNotExist:
            card = add_rate_card(name=REFERENCE, is_reference=True, actor=by.actor)
        wish = PriceWish(model.name, prices, audio_by_started_minute=audio_by_started_minute)
        [plan] = put_prices(by=by, rate_card=card, wishes=[wish], reason=reason)
        if plan.error is not None:
            raise plan.error
    return plan.outcome == Outcome.ADDED


def earliest_end(today: date | None = None) -> date:
    """The first day on which a model may end whose end is announced on that day (None: today, UTC): M2's notice."""
    return months_later(today or datetime.now(UTC).date(), NOTICE_MONTHS)


def withdraw(model: LanguageModel, *, ends_on: date, successor: LanguageModel | None = None, by: Operator) -> int:
    """Announce the model's end: it is deprecated from today and refused from `ends_on`. Gives how many were told.

    Told are the tenants that see it; of the successor, where all of them see that too. Announced again, with another
    day, the new one counts. Raises `Forbidden`, `Invalid` for a day that is too soon and for a successor that ends.
    """
    by.require(OperatorPermission.CATALOGUE_UPDATE)
    today = datetime.now(UTC).date()
    with transaction.atomic():
        fresh = LanguageModel.objects.select_for_update(no_key=True).get(pk=model.pk)
        announced = min(fresh.deprecated_on or today, today)
        if ends_on < max(months_later(announced, NOTICE_MONTHS), today):
            text = _("A model ends {months} months after that was announced at the earliest.")
            raise Invalid("ends_on", text.format(months=NOTICE_MONTHS))
        _check_successor(fresh, successor, ends_on)
        before = _told(fresh)
        fresh.deprecated_on, fresh.retired_on, fresh.successor = announced, ends_on, successor
        fresh.save(update_fields=["deprecated_on", "retired_on", "successor"])
        if before == _told(fresh):
            return 0
        told = tell_of_end(
            fresh, actor=by.actor, tenants=_active_that_see(fresh), names_successor=_is_seen_by_all(fresh, successor)
        )
        target = audit.Target("languagemodel", str(model.pk), model.name)
        detail = {"model": model.name, "tenants": told}
        audit.record(
            actor=by.actor, action="model.withdrawn", target=target, detail=detail, before=before, after=_told(fresh)
        )
    model.refresh_from_db()
    return told


_MISSING = {
    "kind": gettext_lazy("requests for this kind of model are not passed on yet"),
    "price": gettext_lazy("it has no reference price"),
    "engine": gettext_lazy("no engine is ready"),
    "retired": gettext_lazy("it has ended"),
}


def _set(replica: Replica, state: Replica.State, reason: str, by: Operator) -> None:
    by.require(OperatorPermission.CAPACITY_UPDATE)
    if not replica.is_there:
        raise Conflict(_("It does not run yet, or not any more."))
    set_state(replica=replica, state=state, reason=reason, actor=by.actor)


def _has_price(model: LanguageModel) -> bool:
    try:
        return price_in_force(rate_card=reference_rate_card(), model=model) is not None
    except RateCard.DoesNotExist:
        return False


def _check_successor(model: LanguageModel, successor: LanguageModel | None, ends_on: date) -> None:
    if successor is None:
        return
    if successor.pk == model.pk or (successor.retired_on is not None and successor.retired_on <= ends_on):
        raise Invalid("successor", _("It must be another model, which lives longer."))


def _active_that_see(model: LanguageModel) -> list[Tenant]:
    return list(tenants_that_see(model).filter(status=Tenant.Status.ACTIVE).order_by("pk"))


def _is_seen_by_all(model: LanguageModel, successor: LanguageModel | None) -> bool:
    """Whether everybody who is told of the model's end sees its successor."""
    if successor is None or successor.visibility == LanguageModel.Visibility.EVERYBODY:
        return True
    return not tenants_that_see(model).exclude(pk__in=tenants_that_see(successor).values("pk")).exists()


def _told(model: LanguageModel) -> dict[str, str | None]:
    return {
        "deprecated_on": str(model.deprecated_on) if model.deprecated_on else None,
        "ends_on": str(model.retired_on) if model.retired_on else None,
        "successor": model.successor.name if model.successor else None,
    }
