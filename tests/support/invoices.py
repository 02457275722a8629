"""Invoices that were issued, of contents that are made up: for what comes after closing."""

import uuid
from dataclasses import replace
from datetime import date

from billing.clock import database_now
from billing.invoices.document.contents import InvoiceContents
from billing.invoices.files import PDF, XML
from billing.invoices.issued import keep
from billing.models import Invoice, InvoiceFile
from identity.models import Tenant
from tests.support.invoice_contents import invoice
from tests.support.operators import RUNS


def kept(tenant: Tenant, contents: InvoiceContents | None = None, *, corrects: Invoice | None = None) -> Invoice:
    """These contents, or some, as if they had been issued to the tenant; with a number of its own."""
    number = f"F-{uuid.uuid4().hex[:20]}"
    said = replace(contents or invoice(), number=number)
    return keep(said, tenant=tenant, by=RUNS, month=date(2026, 10, 1), now=database_now(), corrects=corrects)


def filed(tenant: Tenant, contents: InvoiceContents | None = None) -> Invoice:
    """The same with its files, which are none that anybody could read."""
    made = kept(tenant, contents)
    for media_type in (PDF, XML):
        InvoiceFile.objects.create(invoice=made, media_type=media_type, content=b"%PDF-", sha256="0" * 64)
    return made
