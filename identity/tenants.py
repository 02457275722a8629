"""The life of a tenant: created, renamed, suspended, reactivated."""

import re
from functools import cache
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Project, Tenant
from identity.notices import notify
from identity.operators import Operator
from identity.permissions import OperatorPermission, Permission
from identity.wording import clean_name

DEFAULT_PROJECT = "Default"
EXTERNAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
_SLUG_LENGTH_MAX = 63


def create_tenant(
    *,
    slug: str,
    name: str,
    actor: audit.Actor,
    time_zone: str = "Europe/Paris",
    is_demo: bool = False,
    external_id: str | None = None,
) -> Tenant:
    """A new tenant with its "Default" project. Its budgets' periods begin at midnight of the time zone.

    Raises `Invalid`, or `Conflict` where the slug (or the external id) is taken.
    """
    name = clean_name(name)
    if external_id is not None:
        require_external_id(external_id)
    require_slug(slug)
    require_time_zone(time_zone)
    with transaction.atomic():
        try:
            with transaction.atomic():
                tenant = Tenant.objects.create(
                    slug=slug, name=name, time_zone=time_zone, is_demo=is_demo, external_id=external_id
                )
        except IntegrityError:
            raise Conflict("the slug is taken") from None
        project = Project.objects.create(tenant=tenant, name=DEFAULT_PROJECT)
        detail = {"slug": slug, "name": name, "time_zone": time_zone, "is_demo": is_demo, "project": project.pk}
        if external_id is not None:
            detail["external_id"] = external_id
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
    require_time_zone(time_zone)
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


def suspend_tenant(tenant: Tenant, *, by: Operator, reason: str) -> bool:
    """Refuse the tenant's keys within a second; its members still sign in, look and export. False where it was so.

    Its members are told, with the reason. Raises `Forbidden`, `Invalid`, `NotFound` (the platform's own account).
    """
    return _set_status(tenant, Tenant.Status.SUSPENDED, by=by, reason=reason)


def reactivate_tenant(tenant: Tenant, *, by: Operator, reason: str) -> bool:
    """Let the tenant's keys work again. False where it was active before. Raises `Forbidden`, `Invalid`."""
    return _set_status(tenant, Tenant.Status.ACTIVE, by=by, reason=reason)


def _set_status(tenant: Tenant, status: Tenant.Status, *, by: Operator, reason: str) -> bool:
    by.require(OperatorPermission.TENANT_SUSPEND)
    if tenant.is_platform:  # probes run on it: it is nobody's
        raise NotFound("tenant")
    reason = clean_name(reason, "reason")
    is_end = status == Tenant.Status.SUSPENDED
    since, kept = (Now(), reason) if is_end else (None, "")
    action = "tenant.suspended" if is_end else "tenant.reactivated"
    with transaction.atomic():
        others = Tenant.objects.filter(pk=tenant.pk).exclude(status=status)
        if not others.update(status=status, suspended_at=since, suspended_reason=kept):
            return False
        notify(tenant, "tenant.suspended" if is_end else "tenant.reactivated", context={"reason": reason})
        # In both chains, the tenant's first: the order that all writers keep.
        audit.record(tenant=tenant, actor=by.actor, action=action, target=tenant, detail={"reason": reason})
        audit.record(actor=by.actor, action=action, target=tenant, detail={"reason": reason})
    tenant.refresh_from_db()
    return True


def require_external_id(external_id: str) -> None:
    """Raises `Invalid` for what cannot stand in an address as it is."""
    if not EXTERNAL_ID.fullmatch(external_id):
        raise Invalid("external_id", _("must be 1 to 128 letters, digits and . _ : @ -, a letter or digit first"))


def require_slug(slug: str) -> None:
    """Raises `Invalid`."""
    try:
        validate_slug(slug)
    except ValidationError:
        raise Invalid("slug", "must be letters, digits, hyphens and underscores") from None
    if slug != slug.lower() or len(slug) > _SLUG_LENGTH_MAX:
        raise Invalid("slug", f"must be in lower case and have at most {_SLUG_LENGTH_MAX} characters")


def require_time_zone(time_zone: str) -> None:
    """Raises `Invalid`."""
    if time_zone not in _time_zones():
        raise Invalid("time_zone", _('must be a time zone such as "Europe/Paris"'))


@cache
def _time_zones() -> frozenset[str]:
    """Read from the disk once: an import asks hundreds of times."""
    return frozenset(available_timezones())
