"""A person's own data: taken along as JSON, and erased (S7, GDPR articles 15, 17, 20).

Erasing empties what says who somebody is: the person's row, everything that would go with it (memberships, sign-ins,
links, readings, ...), what was kept by their address alone (invitations), and the names and addresses beside the audit
chain. The row itself stays, blank, under its pseudonym: usage records, invoices and the audit chain name nobody but
that, so none of them changes and the chain still verifies. Whose a personal key was stays told by the pseudonym too;
the key is revoked and loses its name.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import ForeignObjectRel, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit
from identity.access import memberships_of
from identity.access_news import tell_access_changed
from identity.api_keys import revoke_keys_of_person
from identity.audit_signing import utc_text
from identity.errors import Conflict, Forbidden
from identity.models import ApiKey, AuditEvent, AuditName, Membership, Notice, Person, Role, Tenant

# Nobody's address, ever (RFC 2606).
ERASED_DOMAIN = "erased.invalid"
_EXPORTED_EVENTS_MAX = 10_000  # the newest; the rest is in the audit of each tenant
_SHORTEST_NAME = 5  # characters; a shorter one would be found in the middle of other people's words
_SECRET_WORDS = ("digest", "secret", "password", "hash", "salt", "token")


def export_person(person: Person) -> dict[str, Any]:
    """What is known of the person, as JSON says it, for the page "My account": the caller gives their own person.

    Members: `person`, `memberships`, `keys`, `events` (what they did and what was done to them, with addresses), and
    `others`: the rows of every other table that are the person's. Never a secret, nor the digest of one.
    Raises `Forbidden` for who came through a tenant's own provider and belongs elsewhere too: the tenant may be asking.
    """
    if memberships_of(person).count() < Membership.objects.filter(person=person).count():
        raise Forbidden(_("sign in through the shared provider for this"))
    memberships = Membership.objects.filter(person=person).select_related("tenant").prefetch_related("projects")
    keys = ApiKey.objects.filter(owner=person).select_related("tenant").order_by("pk")
    return {
        "person": _row(person),
        "memberships": [_row(row) | {"tenant": row.tenant.slug} for row in memberships],
        "keys": [_row(key) | {"tenant": key.tenant.slug} for key in keys],
        "events": [_event(event) for event in _events_of(person)],
        "others": {
            relation.related_model.__name__.lower(): [_row(row) for row in rows]
            for relation, rows in _belongings(person)
            if relation.related_model is not Membership and rows.exists()
        },
    }


def erase_person(person: Person, *, actor: audit.Actor) -> None:
    """Forget who the person is, for good: they are signed out, their keys are revoked, their memberships end.

    actor: the person themself (`Actor.person(person)`), from "My account", or an operator
    Told in the chain of each tenant of theirs and in the platform's, by pseudonym. A second time changes nothing.
    Raises `Conflict` for the last owner of a tenant: it would belong to nobody.
    """
    with transaction.atomic():
        locked = Person.objects.select_for_update().get(pk=person.pk)
        if locked.erased_at is not None:
            return
        tenants = list(Tenant.objects.filter(memberships__person=person).select_for_update(no_key=True).order_by("pk"))
        _require_other_owners(person, tenants)
        name, email = locked.name, locked.email
        tell_access_changed([person.pk])
        revoked = revoke_keys_of_person(locked, actor=actor)
        for _relation, rows in _belongings(locked):
            rows.delete()
        for rows in _kept_by_address(email):
            rows.delete()
        ApiKey.objects.filter(owner=locked).update(name="-")
        _blank(locked)
        pseudonymous = audit.Actor(actor.kind, actor.name) if actor.name == str(locked.pseudonym) else actor
        for tenant in (*tenants, None):
            detail = {"keys_revoked": revoked}
            target = audit.Target("person", str(locked.pseudonym))
            audit.record(tenant=tenant, actor=pseudonymous, action="person.erased", target=target, detail=detail)
        _forget_names(locked, name, email)
        Notice.objects.filter(context__icontains=email).delete()  # requests for erasure, invitations: told and done
    person.refresh_from_db()


def _require_other_owners(person: Person, tenants: list[Tenant]) -> None:
    owners = Membership.objects.filter(role=Role.OWNER, person__is_active=True, tenant__in=tenants)
    owned = set(owners.filter(person=person).values_list("tenant_id", flat=True))
    shared = set(owners.exclude(person=person).values_list("tenant_id", flat=True))
    if owned - shared:
        raise Conflict(_("you are the last owner of an organisation: make somebody else an owner first"))


def _blank(person: Person) -> None:
    person.name = person.issuer = person.subject = ""
    person.email = f"{person.pseudonym}@{ERASED_DOMAIN}"
    person.is_active = person.is_operator = False
    person.last_login = None
    person.erased_at = timezone.now()
    person.set_unusable_password()
    person.save()


def _forget_names(person: Person, name: str, email: str) -> None:
    """Everything beside the chain that is about the person, or has their name or address in it."""
    about = Q(person=person.pseudonym) | Q(content__icontains=email)
    actors = Q(part="actor", event__actor=str(person.pseudonym))
    if len(name) >= _SHORTEST_NAME:
        about |= Q(content__icontains=name)
    found = AuditName.objects.filter(about | actors).values_list("pk", flat=True)
    AuditName.objects.filter(pk__in=list(found)).delete()


def _belongings(person: Person) -> list[tuple[Any, models.QuerySet[Any]]]:
    """The rows of other tables that would go with the person's row: whatever is added later is among them."""
    found = []
    for relation in Person._meta.get_fields(include_hidden=True):
        if isinstance(relation, ForeignObjectRel) and relation.on_delete is models.CASCADE:
            model: Any = relation.related_model
            found.append((relation, model.objects.filter(**{relation.field.name: person})))
    return found


def _kept_by_address(email: str) -> Iterator[models.QuerySet[Any]]:
    """The rows of other tables that have the person's address: who was invited, asked or written to by it alone."""
    others: list[Any] = [model for model in apps.get_models() if model is not Person]
    for model in others:
        for column in model._meta.concrete_fields:
            if isinstance(column, models.EmailField):
                yield model.objects.filter(**{column.name: email})


def _events_of(person: Person) -> models.QuerySet[AuditEvent]:
    pseudonym = str(person.pseudonym)
    mine = Q(actor=pseudonym) | Q(target_kind="person", target=pseudonym)
    return AuditEvent.objects.filter(mine).prefetch_related("known_as").order_by("-at")[:_EXPORTED_EVENTS_MAX]


def _event(event: AuditEvent) -> dict[str, Any]:
    own: dict[str, Any] = next((row.content for row in event.known_as.all() if row.part == "actor"), {})
    return {
        "at": utc_text(event.at),
        "action": event.action,
        "actor": event.actor,
        "target": event.target,
        "door": event.door,
        "address": own.get("address"),
        "detail": audit.told(event),
    }


def _row(row: models.Model) -> dict[str, Any]:
    """A row's own columns as JSON says them, secrets and binary ones left out."""
    shown: dict[str, Any] = {}
    for column in row._meta.concrete_fields:
        is_secret = any(word in column.name for word in _SECRET_WORDS)
        if is_secret or isinstance(column, models.BinaryField | models.ForeignKey):
            continue
        value = column.value_from_object(row)
        shown[column.name] = value if isinstance(value, type(None) | bool | int | str | list | dict) else str(value)
    return shown
