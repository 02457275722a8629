"""Writing to a payer's people, who are no members: by e-mail, each thing once."""

from collections.abc import Mapping

from django.db.models import Q

from billing.models import Invoice, PayerPerson
from identity.notices import notify_outsider


def tell_payer(invoice: Invoice, kind: str, *, context: Mapping[str, object], once_key: str) -> None:
    """Write an e-mail to each of the payer's people whom the invoice, or the credit note, is made out to, once a key.

    Call it in the transaction of what it tells of.
    """
    billed_at = invoice.corrects.issued_at if invoice.corrects else invoice.issued_at
    paying = Q(payer__ended_at=None) | Q(payer__ended_at__gt=billed_at)
    paying &= Q(payer__tenant=invoice.tenant, payer__accepted_at__lte=billed_at)
    joined = PayerPerson.objects.filter(paying, ended_at=None, person__is_active=True).select_related("person")
    for one in joined.order_by("pk"):
        assert one.person is not None
        notify_outsider(
            invoice.tenant,
            kind,
            email=one.email,
            language=one.person.language,
            context={**context, "organisation": invoice.tenant.name},
            once_key=f"{once_key}:payer:{one.pk}",
        )
