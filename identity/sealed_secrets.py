"""Where secrets lie sealed (`identity/secret_box.py`), and how all of them come under the key in use now.

The gateway's are added in `gateway/pools/sealed_secrets.py`; a test finds a sealed column that neither names.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction
from django.db.models.functions import Substr

from identity import audit, break_glass, providers, shipping, webhook_post
from identity.models import LocalAdministrator, LogExport, ProviderVersion, Webhook
from identity.secret_box import HEADER_BYTES, SecretBox, SecretBoxError, key_number


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed secrets, and what each row's is sealed for."""

    rows: models.Manager[Any]
    name: str
    context_of: Callable[[Any], str]


@dataclass(slots=True)
class Resealed:
    """What a resealing found: how many secrets there are, how many of them it sealed anew, and which did not open."""

    secrets: int = 0
    renewed: int = 0
    closed: list[str] = field(default_factory=list)


COLUMNS = (
    SealedColumn(ProviderVersion.objects, "sealed_secret", lambda row: providers.secret_context(row.provider_id)),
    SealedColumn(LocalAdministrator.objects, "sealed_secret", lambda _row: break_glass.SECRET_CONTEXT),
    SealedColumn(Webhook.objects, "secret", webhook_post.secret_context),
    SealedColumn(Webhook.objects, "old_secret", webhook_post.secret_context),
    SealedColumn(LogExport.objects, "sealed_authorization", shipping.secret_context),
)


def reseal(columns: Iterable[SealedColumn], *, box: SecretBox, actor: audit.Actor) -> Resealed:
    """Seal every secret with the box's current key that was sealed with another; one transaction a secret.

    Again, or at the same time twice, it does what is left. One that does not open stays as it is and is named.
    """
    found = Resealed()
    for column in columns:
        for pk in _sealed_rows(column):
            _reseal_one(column, pk, box, found)
    if found.renewed:
        with transaction.atomic():
            detail = {"count": found.renewed}
            target = audit.Target("encryption_key", str(box.number))
            audit.record(actor=actor, action="secrets.resealed", target=target, detail=detail)
    return found


def sealed_by_key(columns: Iterable[SealedColumn]) -> dict[int, int]:
    """Number of an encryption key -> how many stored secrets were sealed with it. One query."""
    first, *others = [
        column.rows.exclude(**{column.name: None})
        .annotate(sealed_head=Substr(column.name, 1, HEADER_BYTES, output_field=models.BinaryField()))
        .order_by()
        .values_list("sealed_head", flat=True)
        for column in columns
    ]
    return dict(Counter(key_number(bytes(head)) for head in first.union(*others, all=True)))


def _sealed_rows(column: SealedColumn) -> list[Any]:
    rows = column.rows.exclude(**{column.name: None})
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _reseal_one(column: SealedColumn, pk: Any, box: SecretBox, found: Resealed) -> None:
    """Under the row's lock: whoever changes the secret at the same time waits or is waited for."""
    with transaction.atomic():
        row = column.rows.select_for_update(no_key=True).filter(pk=pk).first()
        sealed = bytes(getattr(row, column.name) or b"")
        if not sealed:
            return
        found.secrets += 1
        try:
            renewed = box.reseal(sealed, column.context_of(row))
        except SecretBoxError:
            found.closed.append(f"{column.rows.model.__name__}.{column.name} of {pk}")
            return
        if not box.is_current(sealed):
            column.rows.filter(pk=pk).update(**{column.name: renewed})
            found.renewed += 1
