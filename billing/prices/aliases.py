"""Names that a tenant gives to models: what its programs send already goes on working, and means a model of here.

An alias may not be the name of a model that the tenant sees and that lives; one that has ended gives its name up, so
that its callers can be led elsewhere. It is the real model that is admitted, answers and is paid; a usage record keeps
the alias besides. Where keys or projects list models, both the alias and the model's name count.
"""

from datetime import UTC, datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from billing.prices.visibility import visible_model
from identity import audit
from identity.access import Caller
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Tenant
from identity.operators import Operator, setting_up
from identity.permissions import OperatorPermission, Permission
from models_catalog.models import LanguageModel, ModelAlias, valid_model_name

ALIASES_MAX = 100  # of a tenant: every gateway holds them all
_LENGTH_MAX = 200


def aliases_of(tenant: Tenant) -> QuerySet[ModelAlias]:
    """The tenant's own, by name, with their models."""
    return ModelAlias.objects.filter(tenant=tenant).select_related("model").order_by("alias")


def put_alias(*, by: Caller, alias: str, model: str) -> tuple[ModelAlias, bool]:
    """Let the alias mean that model to the caller's tenant, from now: the alias, and whether it is new.

    model: its name, or a name that means it already. Raises `Forbidden`, `Invalid`, `Conflict` (the name of a model
    that lives, too many).
    """
    by.require(Permission.TENANT_UPDATE)
    _check_name(alias)
    meant = visible_model(by.tenant, model)
    if meant is None:
        raise Invalid("model", _("there is no such model"))
    with transaction.atomic():
        # Two at once must not pass the most together.
        Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)
        own = aliases_of(by.tenant)
        known = own.filter(alias=alias).first()
        if known is not None and known.model_id == meant.pk:
            return known, False
        if known is None:
            _refuse_taken(by.tenant, alias)
            if own.count() >= ALIASES_MAX:
                raise Conflict(_("at most %(count)s names of one's own") % {"count": ALIASES_MAX})
        before = {"model": known.model.name} if known else None
        made, is_new = ModelAlias.objects.update_or_create(tenant=by.tenant, alias=alias, defaults={"model": meant})
        after = {"model": meant.name}
        audit.record(
            tenant=by.tenant,
            actor=by.actor,
            action="model_alias.set",
            target=_target(alias),
            detail={"alias": alias},
            before=before,
            after=after,
        )
    return made, is_new


def remove_alias(*, by: Caller, alias: str) -> None:
    """Let the alias mean nothing of its own any more. Raises `Forbidden`, `NotFound`."""
    by.require(Permission.TENANT_UPDATE)
    with transaction.atomic():
        known = aliases_of(by.tenant).filter(alias=alias).first()
        if known is None:
            raise NotFound("alias")
        ModelAlias.objects.filter(pk=known.pk).delete()
        audit.record(
            tenant=by.tenant,
            actor=by.actor,
            action="model_alias.removed",
            target=_target(alias),
            detail={"alias": alias},
            before={"model": known.model.name},
        )


def put_alias_for(*, by: Operator, tenant: Tenant, alias: str, model: str) -> tuple[ModelAlias, bool]:
    """`put_alias` by who runs the platform; in both chains. Raises as that."""
    by.require(OperatorPermission.TENANT_CREATE)
    with transaction.atomic():
        before = aliases_of(tenant).filter(alias=alias).values_list("model__name", flat=True).first()
        made, is_new = put_alias(by=setting_up(tenant, by), alias=alias, model=model)
        if before != made.model.name:
            detail = {"tenant": tenant.slug, "alias": alias, "model": made.model.name}
            audit.record(actor=by.actor, action="model_alias.set", target=_target(alias), detail=detail)
    return made, is_new


def remove_alias_for(*, by: Operator, tenant: Tenant, alias: str) -> None:
    """`remove_alias` by who runs the platform; in both chains. Raises as that."""
    by.require(OperatorPermission.TENANT_CREATE)
    with transaction.atomic():
        remove_alias(by=setting_up(tenant, by), alias=alias)
        detail = {"tenant": tenant.slug, "alias": alias}
        audit.record(actor=by.actor, action="model_alias.removed", target=_target(alias), detail=detail)


def _target(alias: str) -> audit.Target:
    return audit.Target("modelalias", alias, alias)


def _check_name(alias: str) -> None:
    if len(alias) > _LENGTH_MAX:
        raise Invalid("alias", _("must have at most %(count)s characters") % {"count": _LENGTH_MAX})
    try:
        valid_model_name(alias)
    except ValidationError as error:
        raise Invalid("alias", " ".join(error.messages)) from None


def _refuse_taken(tenant: Tenant, alias: str) -> None:
    rival = visible_model(tenant, alias)
    if rival is not None and not _has_ended(rival):
        raise Conflict(_("%(alias)s means the model %(model)s already") % {"alias": alias, "model": rival.name})


def _has_ended(model: LanguageModel) -> bool:
    return model.retired_on is not None and model.retired_on <= datetime.now(UTC).date()
