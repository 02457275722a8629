"""A model as the operator's script wishes it, in one go: its entry, who sees it, its end. Once more changes nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from django.db import transaction
from django.utils.translation import gettext as _

from billing.models import Tier
from billing.prices.visibility import Audience
from gateway.pools.publishing import create_model, describe_model, publish, show_to, withdraw
from gateway.pools.targets import Targets, set_targets
from identity.errors import Invalid
from identity.models import Tenant
from identity.operators import Operator
from identity.permissions import OperatorPermission
from models_catalog.entries import CHANGEABLE, NewEntry
from models_catalog.models import LanguageModel

Visibility = LanguageModel.Visibility


@dataclass(frozen=True, slots=True)
class ModelWish:
    """None: as it is, or as is usual for a new one. Sizes in tokens.

    tiers, tenants, successor: codes, slugs, a name
    target_answered, target_first_token_ms: as `Targets` has them; 0: none
    visibility: anything but `nobody` publishes a model that is not published yet
    """

    kind: str | None = None
    context_window: int | None = None
    title: str | None = None
    publisher: str | None = None
    licence: str | None = None
    description: str | None = None
    default_max_output: int | None = None
    visibility: str | None = None
    tiers: Sequence[str] = ()
    tenants: Sequence[str] = ()
    ends_on: date | None = None
    successor: str | None = None
    target_answered: int | None = None
    target_first_token_ms: int | None = None


def put_model(name: str, wish: ModelWish, *, by: Operator) -> bool:
    """Make the entry `name`, or change what differs; then who sees it, then its end. True where it is new.

    All or nothing. Raises `Forbidden`, `Invalid`, and `Conflict` where it cannot be published yet.
    """
    by.require(OperatorPermission.CATALOGUE_UPDATE)
    with transaction.atomic():
        model = LanguageModel.objects.select_related("successor").filter(name=name).first()
        is_new = model is None
        if model is None:
            model = create_model(_entry(name, wish), by=by)
        else:
            _change(model, wish, by)
        _show(model, wish, by)
        _end(model, wish, by)
        _aim(model, wish, by)
    return is_new


def _entry(name: str, wish: ModelWish) -> NewEntry:
    if wish.kind is None:
        raise Invalid("kind", _("A new model needs one."))
    if wish.context_window is None:
        raise Invalid("context_window", _("A new model needs one."))
    return NewEntry(
        name=name,
        kind=wish.kind,
        context_window=wish.context_window,
        title=wish.title or "",
        publisher=wish.publisher or "",
        licence=wish.licence or "",
        description=wish.description or "",
        default_max_output=wish.default_max_output,
    )


def _change(model: LanguageModel, wish: ModelWish, by: Operator) -> None:
    if wish.kind not in (None, model.kind):
        raise Invalid("kind", _("It stays as it is: make another model."))
    changes = {field: getattr(wish, field) for field in CHANGEABLE if getattr(wish, field) is not None}
    describe_model(model, changes, by=by)


def _show(model: LanguageModel, wish: ModelWish, by: Operator) -> None:
    if wish.visibility is None:
        if wish.tiers or wish.tenants:
            raise Invalid("visibility", _("Tiers and organisations go with the visibility “chosen”."))
        return
    audience = Audience(
        Visibility(wish.visibility),
        _known("tiers", wish.tiers, Tier.objects.filter(code__in=wish.tiers).values_list("code", "pk")),
        _known("tenants", wish.tenants, Tenant.objects.filter(slug__in=wish.tenants).values_list("slug", "pk")),
    )
    if model.published_at is None and audience.visibility != Visibility.NOBODY:
        publish(model, audience=audience, by=by)
    else:
        show_to(model, audience=audience, by=by)


def _aim(model: LanguageModel, wish: ModelWish, by: Operator) -> None:
    now = Targets.of(model)
    answered = now.answered if wish.target_answered is None else wish.target_answered or None
    first = now.first_token_ms if wish.target_first_token_ms is None else wish.target_first_token_ms or None
    set_targets(model, targets=Targets(answered, first), by=by)


def _known(field: str, wanted: Iterable[str], found: Iterable[tuple[str, int]]) -> tuple[int, ...]:
    ids = dict(found)
    for name in wanted:
        if name not in ids:
            raise Invalid(field, _("There is no {name}.").format(name=name))
    return tuple(ids.values())


def _end(model: LanguageModel, wish: ModelWish, by: Operator) -> None:
    if wish.ends_on is None:
        if wish.successor:
            raise Invalid("successor", _("It goes with the day on which the model ends."))
        return
    successor = None
    if wish.successor:
        successor = LanguageModel.objects.filter(name=wish.successor).first()
        if successor is None:
            raise Invalid("successor", _("There is no {name}.").format(name=wish.successor))
    if (model.retired_on, model.successor) != (wish.ends_on, successor):
        withdraw(model, ends_on=wish.ends_on, successor=successor, by=by)
