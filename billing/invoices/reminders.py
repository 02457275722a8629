"""Telling people of invoices that are overdue: who is billed, and the payer's people, 3, 15 and 30 days after the day.

Once an invoice and number of days; of several that were reached while no worker ran, the last one only. What was paid
or credited in full is not told of.
"""

from datetime import date

from django.db import connection, transaction

from billing.invoices.payer_notices import tell_payer
from billing.models import Invoice
from billing.money import NANO_EUR_PER_CENT
from identity.notices import notify

DAYS_AFTER = (3, 15, 30)
TOLD_AT_ONCE_MAX = 500  # invoices a run; the next one tells of the others
_OVERDUE = """
    select * from (
        select i.id, i.tenant_id, late.days, concat_ws(':', 'invoice.overdue', i.id, reached.days) as once,
            i.due_cents
                - coalesce((select sum(p.amount_cents) from billing_payment p where p.invoice_id = i.id), 0)
                - coalesce((select sum(c.gross_cents) from billing_invoice c
                    where c.corrects_id = i.id and c.kind = 'credit_note'), 0) as open_cents
        from billing_invoice i join identity_tenant t on t.id = i.tenant_id
        cross join lateral (select (now() at time zone t.time_zone)::date - i.due_on as days) late
        cross join lateral (select max(d) as days from unnest(%s) d where d <= late.days) reached
        where i.kind = 'invoice' and i.due_on < now()::date and reached.days is not null
    ) overdue
    where open_cents > 0 and not exists (
        select from identity_notice n where n.tenant_id = overdue.tenant_id and n.once_key = overdue.once
    )
    order by id limit %s
"""


def remind_of_invoices() -> int:
    """Tell of each that is overdue and was not told of yet; how many notices. For the worker."""
    with connection.cursor() as cursor:
        cursor.execute(_OVERDUE, [list(DAYS_AFTER), TOLD_AT_ONCE_MAX])
        found = cursor.fetchall()
    for invoice_id, _tenant, days, once_key, open_cents in found:
        _remind(Invoice.objects.select_related("tenant").get(pk=invoice_id), days, once_key, int(open_cents))
    return len(found)


def _remind(invoice: Invoice, days: int, once_key: str, open_cents: int) -> None:
    assert isinstance(invoice.due_on, date)
    told = {
        "number": invoice.number,
        "left_nano_eur": open_cents * NANO_EUR_PER_CENT,
        "due_on": invoice.due_on.isoformat(),
        "days": days,
        "invoice": str(invoice.public_id),
    }
    with transaction.atomic():
        notify(invoice.tenant, "invoice.overdue", context=told, once_key=once_key)
        tell_payer(invoice, "payer.overdue", context=told, once_key=once_key)
