"""What the operator tells every tenant: planned work, security maintenance, incidents, changes of models and prices.

It fulfils the lines of the responsibility matrix in which clients are informed (I) or consulted (C).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction

from identity import audit
from identity.errors import Invalid
from identity.models import Tenant
from identity.notice_kinds import KINDS
from identity.notice_kinds.platform import MODEL_KINDS, PLATFORM_KINDS
from identity.notices import notify

ANNOUNCED = tuple(kind.name for kind in (*PLATFORM_KINDS, *MODEL_KINDS))


def announce(
    kind: str, context: Mapping[str, Any], *, actor: audit.Actor, tenants: Iterable[Tenant] | None = None
) -> int:
    """Tell the tenants (None: all that are active). Returns to how many. The same said again reaches nobody twice.

    kind: one of `ANNOUNCED`; context: what its wording needs. Raises `Invalid`.
    """
    if kind not in ANNOUNCED:
        raise Invalid("kind", f"must be one of {', '.join(ANNOUNCED)}")
    try:
        KINDS[kind].check(context)
    except ValueError as error:
        raise Invalid("context", str(error)) from None
    said = hashlib.sha256(json.dumps(dict(context), sort_keys=True).encode()).hexdigest()[:32]
    count = 0
    with transaction.atomic():
        everybody = Tenant.objects.filter(status=Tenant.Status.ACTIVE, is_platform=False).order_by("pk")
        found = everybody.iterator() if tenants is None else tenants
        for tenant in found:
            notify(tenant, kind, context=context, once_key=f"announcement:{kind}:{said}")
            count += 1
        detail = {"kind": kind, "tenants": count}
        target = audit.Target("notice", said)
        audit.record(actor=actor, action="notice.announced", target=target, detail=detail)
    return count
