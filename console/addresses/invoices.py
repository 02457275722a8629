"""Addresses of invoices, statements and credit notes."""

from django.urls import URLPattern, path

from console.views.invoices import invoice, invoice_csv, invoice_pdf, invoice_xml, invoices

_HERE = "t/<slug:slug>/billing/invoices"
_ONE = f"{_HERE}/<uuid:invoice_id>"

urlpatterns: list[URLPattern] = [
    path(_HERE, invoices, name="invoices"),
    path(_ONE, invoice, name="invoice"),
    path(f"{_ONE}/pdf", invoice_pdf, name="invoice-pdf"),
    path(f"{_ONE}/xml", invoice_xml, name="invoice-xml"),
    path(f"{_ONE}/csv", invoice_csv, name="invoice-csv"),
]
