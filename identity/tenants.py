"""The life of a tenant: created, renamed, suspended, reactivated."""

from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.errors import Conflict, Invalid
from identity.models import Project, Tenant
from identity.notices import notify
from identity.permissions import Permission
from identity.wording import clean_name

DEFAULT_PROJECT = "Default"
_SLUG_LENGTH_MAX = 63


def create_tenant(
    *, slug: str, name: str, actor: audit.Actor, time_zone: str = "Europe/Paris", is_demo: bool = False
) -> Tenant:
    """A new tenant with its "Default" project. Its budgets' periods begin at midnight of the time zone.

    Raises `Invalid`, or `Conflict` where the slug is taken.
    """
    name = clean_name(name)
    _check_slug(slug)
    _check_time_zone(time_zone)
    with transaction.atomic():
        try:
            with transaction.atomic():
                tenant = Tenant.objects.create(slug=slug, name=name, time_zone=time_zone, is_demo=is_demo)
        except IntegrityError:
            raise Conflict("the slug is taken") from None
        project = Project.objects.create(tenant=tenant, name=DEFAULT_PROJECT)
        detail = {"slug": slug, "name": name, "time_zone": time_zone, "is_demo": is_demo, "project": project.pk}
        audit.record(tenant=tenant, actor=actor, action="tenant.created", target=tenant, detail=detail)
    # A trigger gave it its version, again when the project came: read what is there now.
    tenant.refresh_from_db()
    return tenant


def is_tenant(slug: str) -> bool:
    """Whether there is one of this slug."""
    return Tenant.objects.filter(slug=slug).exists()


def rename_tenant(tenant: Tenant, name: str, *, actor: audit.Actor) -> None:
    """Give the tenant another name on screen and bills; its slug stays. Raises `Invalid`."""
    name = clean_name(name)
    with transaction.atomic():
        before = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk).name
        if before == name:
            return
        Tenant.objects.filter(pk=tenant.pk).update(name=name)
        audit.record(
            tenant=tenant,
            actor=actor,
            action="tenant.renamed",
            target=tenant,
            before={"name": before},
            after={"name": name},
        )
    tenant.refresh_from_db()


def change_tenant(*, by: Caller, name: str, time_zone: str) -> None:
    """Give the caller's tenant a name and a time zone; what is as it was stays so and is not recorded.

    A period of a budget that runs ends when it was cut to end; the next begins there and is cut by the new time zone.
    Raises `Invalid`, `Forbidden`.
    """
    by.require(Permission.TENANT_UPDATE)
    _check_time_zone(time_zone)
    with transaction.atomic():
        rename_tenant(by.tenant, name, actor=by.actor)
        before = Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk).time_zone
        if before == time_zone:
            return
        Tenant.objects.filter(pk=by.tenant.pk).update(time_zone=time_zone)
        told = {"by": str(by.person or "API"), "before": before, "after": time_zone}
        notify(by.tenant, "tenant.time_zone_changed", context=told)
        detail = {"before": before, "after": time_zone}
        action = "tenant.time_zone_changed"
        audit.record(tenant=by.tenant, actor=by.actor, action=action, target=by.tenant, detail=detail)
    by.tenant.refresh_from_db()


def suspend_tenant(tenant: Tenant, *, actor: audit.Actor, reason: str) -> bool:
    """Refuse the tenant's keys; its members can still look. False where it was suspended before."""
    return _set_status(tenant, Tenant.Status.SUSPENDED, actor=actor, action="tenant.suspended", reason=reason)


def reactivate_tenant(tenant: Tenant, *, actor: audit.Actor, reason: str) -> bool:
    """Let the tenant's keys work again. False where it was active before."""
    return _set_status(tenant, Tenant.Status.ACTIVE, actor=actor, action="tenant.reactivated", reason=reason)


def _set_status(tenant: Tenant, status: Tenant.Status, *, actor: audit.Actor, action: str, reason: str) -> bool:
    reason = clean_name(reason, "reason")
    with transaction.atomic():
        if not Tenant.objects.filter(pk=tenant.pk).exclude(status=status).update(status=status):
            return False
        audit.record(tenant=tenant, actor=actor, action=action, target=tenant, detail={"reason": reason})
    tenant.refresh_from_db()
    return True


def _check_slug(slug: str) -> None:
    try:
        validate_slug(slug)
    except ValidationError:
        raise Invalid("slug", "must be letters, digits, hyphens and underscores") from None
    if slug != slug.lower() or len(slug) > _SLUG_LENGTH_MAX:
        raise Invalid("slug", f"must be in lower case and have at most {_SLUG_LENGTH_MAX} characters")


def _check_time_zone(time_zone: str) -> None:
    if time_zone not in available_timezones():
        raise Invalid("time_zone", _('must be a time zone such as "Europe/Paris"'))
