"""A key is given another name, policy or responsible person. What was consumed of its budgets and limits stays."""

from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller
from identity.api_keys import columns_of, locked_key, pseudonym_of, require_may_answer_for
from identity.errors import Conflict, Invalid
from identity.keep import Keep
from identity.key_policy import KeyPolicy, described, policy_of, require_may_give
from identity.key_rules import rules_of
from identity.models import ApiKey, Person
from identity.permissions import Permission
from identity.wording import clean_name


def change_api_key(
    key: ApiKey,
    *,
    by: Caller,
    name: str | None = None,
    policy: KeyPolicy | None = None,
    responsible: Person | Keep | None = Keep.KEEP,
) -> bool:
    """Change what is given. False where all of it was so before.

    policy: the whole of it. Never more than who changes it has (I6), and within the tenant's rules
    responsible: who answers for a project's key from now on; None: nobody yet
    Raises `Forbidden`, `Invalid`, `Conflict` (revoked), `NotFound`.
    """
    by.require(Permission.KEY_UPDATE)
    with transaction.atomic():
        row = locked_key(key)
        if row.revoked_at is not None:
            raise Conflict(_("the key is revoked"))
        before = _shown(row)
        if name is not None:
            row.name = clean_name(name)
        if policy is not None:
            _change_policy(row, policy, by)
        if not isinstance(responsible, Keep):
            _change_responsible(row, responsible)
        after = _shown(row)
        changed = [field for field in after if after[field] != before[field]]
        if not changed:
            return False
        row.save(update_fields=["name", "responsible", *columns_of(policy_of(row))])
        detail = {"before": {field: before[field] for field in changed}, "after": {f: after[f] for f in changed}}
        audit.record(tenant=row.tenant, actor=by.actor, action="api_key.changed", target=row, detail=detail)
    return True


def _change_policy(row: ApiKey, policy: KeyPolicy, by: Caller) -> None:
    if policy == policy_of(row):  # also one that has expired meanwhile
        return
    rules = rules_of(row.tenant)
    policy = rules.completed(policy.cleaned(timezone.now()))
    require_may_give(by, row.project, policy, row.owner)
    rules.require_within(policy, since=row.rotated_at or row.created_at, is_personal=row.owner_id is not None)
    for field, value in columns_of(policy).items():
        setattr(row, field, value)


def _change_responsible(row: ApiKey, person: Person | None) -> None:
    if person == row.responsible:
        return
    if row.owner_id is not None:
        raise Invalid("responsible", _("must be empty: a person's key is answered for by its owner"))
    if person is not None:
        require_may_answer_for(person, row.project)
    row.responsible = person


def _shown(row: ApiKey) -> dict[str, Any]:
    return described(policy_of(row)) | {"name": row.name, "responsible": pseudonym_of(row.responsible)}
