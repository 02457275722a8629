"""Addresses of who pays for an organisation: the owner's page, and those of the payer's own people."""

from django.urls import URLPattern, path

from console.views import payer_invoices, payers

_ONE = "payer/<int:payer_id>"
_INVOICE = "payer/invoices/<uuid:paid_id>"

urlpatterns: list[URLPattern] = [
    path("t/<slug:slug>/billing/payer", payers.payer, name="payer"),
    path("t/<slug:slug>/billing/payer/end", payers.payer_end, name="payer-end"),
    path("payer", payer_invoices.invoices, name="payer-invoices"),
    path(_ONE, payer_invoices.identity, name="payer-identity"),
    path(f"{_ONE}/stop", payer_invoices.stop, name="payer-stop"),
    path(f"{_ONE}/people", payer_invoices.add_person, name="payer-person-add"),
    path(f"{_ONE}/people/remove", payer_invoices.remove_person, name="payer-person-remove"),
    path(_INVOICE, payer_invoices.invoice, name="payer-invoice"),
    path(f"{_INVOICE}/<str:ending>", payer_invoices.invoice_file, name="payer-invoice-file"),
]
