"""Support sessions: how an operator looks into a tenant, and how the tenant sees and ends that.

A session has a reason and an end, at most `DURATION_MAX` away. It reads; an owner may add named permissions for a time,
never one that makes a credential or lets anybody in (`permissions.SUPPORT_MAY_BE_GRANTED`). It begins and ends in both
audit chains, and what is done through it carries the operator's name.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.models import Person, Role, SupportSession, Tenant
from identity.name_order import by_name
from identity.notices import notify
from identity.operators import Operator, require_operator
from identity.permissions import SUPPORT_MAY_BE_GRANTED, OperatorPermission, Permission
from identity.wording import clean_name

DURATION_MIN = timedelta(minutes=5)
# A working day. Who needs longer says again why.
DURATION_MAX = timedelta(hours=8)


def open_session(*, operator: Person, slug: str, reason: str, duration: timedelta) -> SupportSession:
    """Let the operator into the tenant, to look. Its owners and administrators are told at once.

    Raises `Forbidden`, `NotFound` (no such tenant), `Invalid` (reason, duration), `Conflict` (one is open already).
    """
    require_operator(operator, OperatorPermission.SUPPORT_OPEN)
    reason = clean_name(reason, "reason")
    if not DURATION_MIN <= duration <= DURATION_MAX:
        raise Invalid("duration", _("must be from 5 minutes to 8 hours"))
    tenant = Tenant.objects.filter(slug=slug, closed_at=None).first()
    if tenant is None:
        raise NotFound("tenant")
    with transaction.atomic():
        session = _opened(tenant, operator, reason, duration)
        detail = {"session": session.pk, "reason": reason, "expires_at": session.expires_at.isoformat()}
        notify(
            tenant,
            "support.opened",
            context={"reason": reason, "until_at": session.expires_at.isoformat()},
            once_key=f"support:{session.pk}",
        )
        _record(session, audit.Actor.operator(operator), "support_session.opened", detail)
    return session


def end_session(*, by: Caller, session_id: int) -> None:
    """End a session at once, from the tenant's side, or one's own. Raises `NotFound`, `Forbidden`.

    One that is over already stays as it is.
    """
    with transaction.atomic():
        session = _locked(session_id, Q(tenant=by.tenant))
        if by.support is None or by.support.pk != session.pk:
            by.require(Permission.SUPPORT_END)
        _end(session, by.actor)


def leave_session(*, operator: Person, session_id: int) -> None:
    """End one's own session at once, from the operator's side. Raises `NotFound`."""
    with transaction.atomic():
        _end(_locked(session_id, Q(operator=operator)), audit.Actor.operator(operator))


def stop_session(*, by: Operator, session_id: int) -> None:
    """End another operator's session at once. Raises `Forbidden` for who does not appoint operators, `NotFound`."""
    by.require(OperatorPermission.OPERATOR_APPOINT)
    with transaction.atomic():
        _end(_locked(session_id, Q()), by.actor)


def grant(*, by: Caller, session_id: int, permissions: Collection[Permission], duration: timedelta) -> None:
    """Add permissions to a session for a time, in place of those that were added before; none takes them back.

    Raises `Forbidden` (who is no owner, what may not be granted), `NotFound`, `Invalid`, `Conflict` (it is over).
    """
    by.require(Permission.SUPPORT_GRANT)
    if by.role != Role.OWNER:
        raise Forbidden(Permission.SUPPORT_GRANT.value)
    if beyond := set(permissions) - SUPPORT_MAY_BE_GRANTED:
        raise Forbidden(min(beyond).value)
    with transaction.atomic():
        session = _locked(session_id, Q(tenant=by.tenant))
        now = timezone.now()
        if not is_live(session, now):
            raise Conflict(_("the support session is over"))
        if permissions and duration <= timedelta(0):
            raise Invalid("duration", _("must be longer than nothing"))
        until = min(now + duration, session.expires_at) if permissions else None
        granted = sorted(permission.value for permission in permissions)
        SupportSession.objects.filter(pk=session.pk).update(granted=granted, granted_until=until, granted_by=by.person)
        detail = {"session": session.pk, "permissions": granted, "until": until.isoformat() if until else None}
        _record(session, by.actor, "support_session.granted", detail)


def is_live(session: SupportSession, now: datetime) -> bool:
    """Whether the session has neither ended nor run out."""
    return session.ended_at is None and session.expires_at > now


def live_sessions(tenant: Tenant) -> list[SupportSession]:
    """The sessions that are open in the tenant now, the oldest first: what every page of it tells."""
    sessions = SupportSession.objects.filter(tenant=tenant, ended_at=None, expires_at__gt=timezone.now())
    return list(sessions.select_related("operator").order_by("opened_at"))


def sessions_for(caller: Caller) -> QuerySet[SupportSession]:
    """All sessions in the caller's tenant, the newest first. Raises `Forbidden`."""
    caller.require(Permission.MEMBER_READ)
    return SupportSession.objects.filter(tenant=caller.tenant).select_related("operator").order_by("-opened_at", "-pk")


def sessions_of(operator: Person) -> QuerySet[SupportSession]:
    """The operator's own sessions in all tenants, the newest first. Raises `Forbidden`."""
    require_operator(operator, OperatorPermission.SUPPORT_OPEN)
    return SupportSession.objects.filter(operator=operator).select_related("tenant").order_by("-opened_at", "-pk")


def tenants_to_support(operator: Person) -> QuerySet[Tenant]:
    """The tenants that the operator may open a session in, by name. Raises `Forbidden`."""
    require_operator(operator, OperatorPermission.SUPPORT_OPEN)
    return Tenant.objects.filter(is_platform=False, closed_at=None).order_by(by_name(), "id")


def _opened(tenant: Tenant, operator: Person, reason: str, duration: timedelta) -> SupportSession:
    now = timezone.now()
    # One that ran out is over: it must not keep the next one from opening.
    over = SupportSession.objects.filter(tenant=tenant, operator=operator, ended_at=None, expires_at__lte=now)
    over.update(ended_at=F("expires_at"))
    try:
        with transaction.atomic():
            return SupportSession.objects.create(
                tenant=tenant, operator=operator, reason=reason, opened_at=now, expires_at=now + duration
            )
    except IntegrityError:
        raise Conflict(_("you have a support session in this organisation already")) from None


def _locked(session_id: int, within: Q) -> SupportSession:
    sessions = SupportSession.objects.select_for_update(of=("self",)).select_related("tenant")
    session = sessions.filter(within, pk=session_id).first()
    if session is None:
        raise NotFound("support session")
    return session


def _end(session: SupportSession, actor: audit.Actor) -> None:
    now = timezone.now()
    if not is_live(session, now):
        return
    SupportSession.objects.filter(pk=session.pk).update(ended_at=now)
    _record(session, actor, "support_session.ended", {"session": session.pk})


def _record(session: SupportSession, actor: audit.Actor, action: str, detail: dict[str, object]) -> None:
    """In both chains, the tenant's first: the order that all writers keep."""
    audit.record(tenant=session.tenant, actor=actor, action=action, target=session, detail=detail)
    seen = detail | {"tenant": session.tenant_id}
    audit.record(actor=actor, action=action, target=session, detail=seen)
