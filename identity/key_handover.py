"""Keys that somebody has to take over: a project's key goes on when the person who answered for it is gone."""

from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller, keys_for
from identity.api_keys import require_may_answer_for
from identity.errors import Invalid
from identity.models import ApiKey, Membership, Person, Tenant
from identity.name_order import by_name
from identity.notices import notify
from identity.permissions import Permission

PEOPLE_SHOWN_MAX = 500  # to choose from in a form


def keys_without_responsible(caller: Caller) -> QuerySet[ApiKey]:
    """The projects' keys that work and that no member of their project answers for, newest first. Raises `Forbidden`.

    To give one to somebody: `change_api_key(responsible=...)`.
    """
    members = Membership.objects.filter(
        person=OuterRef("responsible"), person__is_active=True, tenant=OuterRef("tenant")
    )
    answering = Exists(members.filter(in_all_projects=True)) | Exists(members.filter(projects=OuterRef("project")))
    lives = Q(expires_at=None) | Q(expires_at__gt=Now())
    return keys_for(caller).filter(lives, ~answering, owner=None, revoked_at=None)


def tell_of_keys_left(person: Person, tenant: Tenant) -> int:
    """Tell the tenant's administrators how many projects' keys the person, who is gone, answered for. Returns it."""
    count = ApiKey.objects.filter(
        tenant=tenant, responsible=person, owner=None, revoked_at=None, kind=ApiKey.Kind.API
    ).count()
    if count:
        notify(tenant, "api_key.needs_a_responsible_person", context={"count": count, "name": str(person)})
    return count


def member_to_answer(caller: Caller, pseudonym: UUID) -> Person:
    """The member of the caller's organisation with that pseudonym. Raises `Invalid`: there is none."""
    member = Membership.objects.filter(tenant=caller.tenant, person__pseudonym=pseudonym).select_related("person")
    found = member.first()
    if found is None:
        raise Invalid("responsible", _("must be a member of the organisation"))
    return found.person


def people_who_may_answer(caller: Caller) -> list[Person]:
    """Members whom a key may be given to, by name; the first of very many. Raises `Forbidden`."""
    caller.require(Permission.KEY_UPDATE)
    members = Person.objects.filter(memberships__tenant=caller.tenant, is_active=True)
    if caller.project_ids is not None:
        everywhere, here = Q(memberships__in_all_projects=True), Q(memberships__projects__in=caller.project_ids)
        members = members.filter(everywhere | here).distinct()
    return list(members.order_by(by_name(), "email")[:PEOPLE_SHOWN_MAX])


def hand_over_keys(*, tenant: Tenant, leaving: Person, heir: Person, actor: audit.Actor) -> int:
    """Have the heir answer for the projects' keys that somebody who leaves answered for. Returns how many there were.

    Raises `Invalid` where the heir may not know of the project of one of them.
    """
    keys = ApiKey.objects.filter(tenant=tenant, responsible=leaving, owner=None, revoked_at=None)
    with transaction.atomic():
        rows = list(keys.select_for_update(of=("self",), no_key=True).select_related("project").order_by("pk"))
        for project in {row.project for row in rows}:
            require_may_answer_for(heir, project)
        ApiKey.objects.filter(pk__in=[row.pk for row in rows]).update(responsible=heir)
        before, after = {"responsible": str(leaving.pseudonym)}, {"responsible": str(heir.pseudonym)}
        for row in rows:
            audit.record(tenant=tenant, actor=actor, action="api_key.changed", target=row, before=before, after=after)
    return len(rows)
