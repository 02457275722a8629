"""What was issued to the organisation: a list by year, one with its lines, and its files."""

from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing.invoices.files import issued_to
from billing.invoices.issued import invoices_of
from console.invoice_words import rows_of, shown_invoice, years_of
from console.pages import tenant_page
from gateway.api.invoice_answers import answer_with
from identity.access import Caller
from identity.models import Service
from identity.permissions import Permission
from identity.service import service


@require_GET
@tenant_page(Permission.BILLING_READ)
def invoices(request: HttpRequest, caller: Caller) -> HttpResponse:
    """What was issued, by year; in a house that charges back: its statements."""
    found = invoices_of(caller)
    years = years_of(found)
    asked = request.GET.get("year", "")
    year = int(asked) if asked in map(str, years) else next(iter(years), None)
    shown = {
        "rows": rows_of(found, _today(caller), year),
        "years": years,
        "year": year,
        "are_sold": service().trade == Service.Trade.SELLER,
    }
    return render(request, "console/invoices/invoices.html", shown)


@require_GET
@tenant_page(Permission.BILLING_READ)
def invoice(request: HttpRequest, caller: Caller, invoice_id: UUID) -> HttpResponse:
    """One, as it was issued."""
    shown = shown_invoice(issued_to(caller, invoice_id), _today(caller))
    return render(request, "console/invoices/invoice.html", shown)


@require_GET
@tenant_page(Permission.BILLING_READ)
def invoice_pdf(request: HttpRequest, caller: Caller, invoice_id: UUID) -> HttpResponse:
    """Its PDF, with the XML inside."""
    return answer_with(issued_to(caller, invoice_id), "pdf", to=caller.actor)


@require_GET
@tenant_page(Permission.BILLING_READ)
def invoice_xml(request: HttpRequest, caller: Caller, invoice_id: UUID) -> HttpResponse:
    """Its XML (EN 16931)."""
    return answer_with(issued_to(caller, invoice_id), "xml", to=caller.actor)


@require_GET
@tenant_page(Permission.BILLING_READ)
def invoice_csv(request: HttpRequest, caller: Caller, invoice_id: UUID) -> HttpResponse:
    """Its lines as a table."""
    return answer_with(issued_to(caller, invoice_id), "csv", to=caller.actor)


def _today(caller: Caller) -> date:
    return timezone.localdate(timezone=ZoneInfo(caller.tenant.time_zone))
