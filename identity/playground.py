"""A key for a person's own calls from the console ("Try it"): of the chosen project, for a minute at a time."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit, key_format
from identity.access import Caller
from identity.api_keys import digested
from identity.errors import Conflict, Forbidden, NotFound
from identity.models import ApiKey, Membership, Person, Project
from identity.permissions import Permission
from identity.scopes import Scope

LIFETIME = timedelta(seconds=60)  # to begin a request; one that runs goes on
NAME = "Try it"


def playground_secret(caller: Caller, project: Project) -> str:
    """A text that opens inference in the project for `LIFETIME`, billed to it and recorded as the person's.

    There is one such key a person and project, in no list; each use gives it a new secret, and the one before works on
    to its end, for a second window. A gateway hears of it some milliseconds later: who calls at once and is refused
    with `invalid_api_key` asks again for up to a second.
    Raises `NotFound` (not a project of the caller), `Forbidden` (may not call models, or is no person), `Conflict`.
    """
    if project.tenant_id != caller.tenant.pk or (
        caller.project_ids is not None and project.pk not in caller.project_ids
    ):
        raise NotFound("project")
    caller.require(Permission.INFERENCE_CALL)
    person = caller.person
    if person is None:
        raise Forbidden(Permission.INFERENCE_CALL.value)
    if project.status != Project.Status.ACTIVE:
        raise Conflict(_("the project is archived"))
    with transaction.atomic():
        _lock_member(person, caller)
        key = _key_of(person, project)
        text = key_format.with_new_secret(key.lookup)
        now = timezone.now()
        key.previous_digest, key.previous_pepper_id = key.digest, key.pepper_id
        key.previous_ends_at, key.rotated_at = key.expires_at, now
        key.digest, key.pepper_id = digested(text)
        key.expires_at = now + LIFETIME
        key.save()
    return text


def _lock_member(person: Person, caller: Caller) -> None:
    """Who asks twice at once queues here; and whoever removes the person finds the key."""
    members = Membership.objects.select_for_update(of=("self",), no_key=True)
    if not members.filter(person=person, person__is_active=True, tenant=caller.tenant).exists():
        raise NotFound("tenant")


def _key_of(person: Person, project: Project) -> ApiKey:
    """The person's key of the project, made where there is none."""
    keys = ApiKey.objects.select_for_update(of=("self",), no_key=True)
    key = keys.filter(owner=person, project=project, kind=ApiKey.Kind.PLAYGROUND, revoked_at=None).first()
    if key is not None:
        return key
    text, lookup = key_format.make_key()
    secret = digested(text)
    key = ApiKey.objects.create(
        tenant_id=project.tenant_id,
        project=project,
        owner=person,
        created_by=person,
        name=NAME,
        kind=ApiKey.Kind.PLAYGROUND,
        lookup=lookup,
        digest=secret.digest,
        pepper_id=secret.pepper_id,
        scopes=[Scope.INFERENCE.value],
        expires_at=timezone.now(),
    )
    audit.record(
        tenant=project.tenant,
        actor=audit.Actor.person(person),
        action="api_key.minted",
        target=key,
        detail={"kind": key.kind, "project": project.pk, "owner": str(person.pseudonym)},
    )
    return key
