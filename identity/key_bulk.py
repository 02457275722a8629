"""One change for many keys: all of it, or nothing. Each key has its own link in the audit chain."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.api_keys import locked_key, require_may_answer_for, require_room, revoke_api_key
from identity.errors import Conflict, Invalid
from identity.key_changes import change_api_key
from identity.key_policy import policy_of, require_may_give
from identity.models import ApiKey, Person, Project
from identity.permissions import Permission

KEYS_MAX = 200  # of one change: a page of a list, and a transaction of a second


def revoke_keys(keys: Sequence[ApiKey], *, by: Caller, reason: str = "") -> int:
    """Stop them for good. Answers how many were not stopped before. Raises `Forbidden`, `Invalid` (too many)."""
    by.require(Permission.KEY_REVOKE)
    return _each(keys, lambda key: revoke_api_key(key, actor=by.actor, reason=reason))


def give_keys_to(keys: Sequence[ApiKey], *, by: Caller, responsible: Person) -> int:
    """Let the person answer for them. Answers how many were changed. Raises as `change_api_key`."""
    return _each(keys, lambda key: change_api_key(key, by=by, responsible=responsible))


def let_keys_expire(keys: Sequence[ApiKey], *, by: Caller, expires_at: datetime | None) -> int:
    """Let them end then (None: never). Answers how many were changed. Raises as `change_api_key`."""
    return _each(keys, lambda key: change_api_key(key, by=by, policy=replace(policy_of(key), expires_at=expires_at)))


def move_keys(keys: Sequence[ApiKey], *, by: Caller, project: Project) -> int:
    """Move them to another project, whose budget and limits bind them from now on; their usage so far stays where it
    was made. Answers how many were moved. Raises `Forbidden`, `NotFound`, `Invalid`, `Conflict`.
    """
    by.require(Permission.KEY_UPDATE)
    return _each(keys, lambda key: _move(key, project, by))


def _each(keys: Sequence[ApiKey], change: Callable[[ApiKey], bool]) -> int:
    """In the order of their ids: two who change the same keys queue, and none waits for the other in turn."""
    if len(keys) > KEYS_MAX:
        raise Invalid("keys", _("must be at most %(count)s keys at once") % {"count": KEYS_MAX})
    with transaction.atomic():
        return sum([_named(key, change) for key in sorted(keys, key=lambda key: key.pk)])


def _named(key: ApiKey, change: Callable[[ApiKey], bool]) -> bool:
    """Says of which key it is refused."""
    try:
        return change(key)
    except Conflict as refused:
        raise Conflict(_("%(key)s: %(refusal)s") % {"key": key.name, "refusal": refused}) from refused
    except Invalid as refused:
        raise Invalid(
            refused.field, _("%(key)s: %(refusal)s") % {"key": key.name, "refusal": refused.message}
        ) from refused


def _move(key: ApiKey, project: Project, by: Caller) -> bool:
    row = locked_key(key)
    if row.project_id == project.pk:
        return False
    if row.revoked_at is not None:
        raise Conflict(_("the key is revoked"))
    require_may_give(by, project, policy_of(row), row.owner)
    require_room(project)
    person = row.owner or row.responsible
    if person is not None:
        require_may_answer_for(person, project)
    before = row.project_id
    ApiKey.objects.filter(pk=row.pk).update(project=project)
    detail = {"before": {"project": before}, "after": {"project": project.pk}}
    audit.record(tenant=row.tenant, actor=by.actor, action="api_key.changed", target=row, detail=detail)
    return True
