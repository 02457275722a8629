"""Who sees a model: everybody; tenants with a contract of some tiers, some tenants, and those with whom it is agreed,
as long as that counts; or nobody.

A model that a tenant may not see does not exist for it: not in the console, not in the API, not at the gateway
(`gateway/relay/snapshot.py` holds the same rule), and its prices are not touched. What the tenant used of it before
stays in its usage records.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.db.models import Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from billing.models import Agreement, Contract, Tier
from identity import audit
from identity.errors import Invalid
from identity.models import Tenant
from models_catalog.catalog import model_by_name_or_alias
from models_catalog.models import LanguageModel

AUDIENCE_MAX = 1_000  # tenants or tiers that a model lists: the gateways hold them, and the audit tells of them


@dataclass(frozen=True, slots=True)
class Audience:
    """Who sees a model. `tiers` and `tenants` (ids) count with CHOSEN; a tenant of either sees it."""

    visibility: LanguageModel.Visibility
    tiers: tuple[int, ...] = ()
    tenants: tuple[int, ...] = ()


EVERYBODY = Audience(LanguageModel.Visibility.EVERYBODY)
NOBODY = Audience(LanguageModel.Visibility.NOBODY)


def audience_of(model: LanguageModel) -> Audience:
    """Who sees the model now."""
    return Audience(
        LanguageModel.Visibility(model.visibility), tuple(model.visible_tiers), tuple(model.visible_tenants)
    )


def visible_to(tenant: Tenant) -> Q:
    """The models that exist for the tenant, as a condition on `LanguageModel`."""
    tiers = ExpressionWrapper(OuterRef("visible_tiers"), output_field=ArrayField(models.BigIntegerField()))
    of_a_tier = Contract.objects.filter(tenant=tenant, ends_at=None).alias(tiers=tiers)
    return Q(visibility=LanguageModel.Visibility.EVERYBODY) | (
        Q(visibility=LanguageModel.Visibility.CHOSEN)
        & (
            Q(visible_tenants__contains=[tenant.pk])
            | Q(Exists(of_a_tier.filter(Q(("tiers__contains", [F("tier_id")])))))
            | Q(Exists(_counting().filter(tenant=tenant, model_ids__contains=[OuterRef("pk")])))
        )
    )


def agreed_models(tenant: Tenant) -> list[int]:
    """The models that it sees by agreement at this instant, by id. One query."""
    listed = _counting().filter(tenant=tenant).exclude(model_ids=[]).values_list("model_ids", flat=True)
    return [one for ids in listed for one in ids]


def _counting() -> QuerySet[Agreement]:
    """Agreements whose time it is, whether or not their contract has turned yet."""
    begun = Agreement.objects.filter(closed_at=None, starts_at__lte=Now())
    return begun.filter(Q(ends_at=None) | Q(ends_at__gt=Now()))


def visible_models(tenant: Tenant) -> QuerySet[LanguageModel]:
    """All models that exist for the tenant, those included that it cannot call now."""
    return LanguageModel.objects.filter(visible_to(tenant))


def visible_model(tenant: Tenant, name: str) -> LanguageModel | None:
    """The model that `name` means to the tenant, by name or alias; None where none exists for it."""
    model = model_by_name_or_alias(name, tenant)
    return model if model is not None and visible_models(tenant).filter(pk=model.pk).exists() else None


def as_seen_by(tenant: Tenant, found: QuerySet[LanguageModel]) -> list[LanguageModel]:
    """Those of the models that exist for the tenant, to be shown and not to be saved: a successor that does not exist
    for it is left out.
    """
    shown = list(found.filter(visible_to(tenant)).select_related("successor"))
    successors = {model.successor_id for model in shown if model.successor_id}
    if successors:
        seen = set(visible_models(tenant).filter(pk__in=successors).values_list("pk", flat=True))
        for model in shown:
            if model.successor_id not in seen:
                model.successor = None
    return shown


def tenants_that_see(model: LanguageModel) -> QuerySet[Tenant]:
    """The tenants for which the model exists."""
    clients = Tenant.objects.filter(is_platform=False, closed_at=None)
    if model.visibility == LanguageModel.Visibility.EVERYBODY:
        return clients
    if model.visibility == LanguageModel.Visibility.NOBODY:
        return clients.none()
    of_a_tier = Contract.objects.filter(tenant=OuterRef("pk"), ends_at=None, tier__in=model.visible_tiers)
    agreed = _counting().filter(tenant=OuterRef("pk"), model_ids__contains=[model.pk])
    return clients.filter(Q(pk__in=model.visible_tenants) | Q(Exists(of_a_tier)) | Q(Exists(agreed)))


def set_visibility(*, model: LanguageModel, audience: Audience, actor: audit.Actor) -> bool:
    """Let these see the model, and no others, from now: gateways hear of it at once. False where it was so before.

    Raises `Invalid` for a tier or tenant that there is not, and for CHOSEN without any.
    """
    audience = _cleaned(audience)
    with transaction.atomic():
        fresh = LanguageModel.objects.select_for_update(no_key=True).get(pk=model.pk)
        before = audience_of(fresh)
        if before == audience:
            return False
        fresh.visibility = audience.visibility
        fresh.visible_tiers, fresh.visible_tenants = list(audience.tiers), list(audience.tenants)
        fresh.save(update_fields=["visibility", "visible_tiers", "visible_tenants"])
        audit.record(
            actor=actor,
            action="model.visibility_changed",
            target=audit.Target("languagemodel", str(model.pk), model.name),
            detail={"model": model.name},
            before=_told(before),
            after=_told(audience),
        )
    model.refresh_from_db(fields=["visibility", "visible_tiers", "visible_tenants"])
    return True


def _cleaned(audience: Audience) -> Audience:
    if audience.visibility != LanguageModel.Visibility.CHOSEN:
        return Audience(audience.visibility)
    tiers, tenants = _known(audience.tiers, Tier, "tiers"), _known(audience.tenants, Tenant, "tenants")
    if not tiers and not tenants:
        raise Invalid("visibility", _("Choose a tier or an organisation at least."))
    return Audience(audience.visibility, tiers, tenants)


def _known(ids: Iterable[int], kind: type[Tier] | type[Tenant], field: str) -> tuple[int, ...]:
    wanted = sorted(set(ids))
    if len(wanted) > AUDIENCE_MAX:
        raise Invalid(field, f"must be at most {AUDIENCE_MAX}")
    known: set[int] = set(kind.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    missing = [one for one in wanted if one not in known]
    if missing:
        raise Invalid(field, f"There is none with the id {missing[0]}.")
    return tuple(wanted)


def _told(audience: Audience) -> dict[str, Any]:
    """For the audit chain: tiers by code, tenants by slug."""
    codes = Tier.objects.filter(pk__in=audience.tiers).order_by("code").values_list("code", flat=True)
    slugs = Tenant.objects.filter(pk__in=audience.tenants).order_by("slug").values_list("slug", flat=True)
    return {"visibility": audience.visibility.value, "tiers": list(codes), "tenants": list(slugs)}
