"""Addresses of closing: months, invoices, payments, how the seller bills."""

from django.urls import URLPattern, path

from console.views.legal_party import operator_legal_party
from console.views.operator import billing_settings, closing, invoices

urlpatterns: list[URLPattern] = [
    path("closing", closing.closing, name="operator-closing"),
    path("closing/<str:month>/preview", closing.preview_all, name="operator-closing-preview-all"),
    path("closing/<str:month>/approve", closing.approve_every, name="operator-closing-approve-all"),
    path("closing/<str:month>/issue", closing.issue_every, name="operator-closing-issue-all"),
    path("closing/<str:month>/<slug:slug>", closing.month_of_one, name="operator-closing-one"),
    path("closing/<str:month>/<slug:slug>/preview", closing.preview_one, name="operator-closing-preview"),
    path("closing/<str:month>/<slug:slug>/approve", closing.approve_one, name="operator-closing-approve"),
    path("closing/<str:month>/<slug:slug>/take-back", closing.take_back, name="operator-closing-take-back"),
    path("closing/<str:month>/<slug:slug>/issue", closing.issue_one, name="operator-closing-issue"),
    path("invoices", invoices.invoices, name="operator-invoices"),
    path("invoices/payments", invoices.payments_import, name="operator-payments-import"),
    path("invoices/journal.csv", invoices.journal_file, name="operator-journal"),
    path("invoices/<uuid:invoice_id>", invoices.invoice, name="operator-invoice"),
    path("invoices/<uuid:invoice_id>/credit", invoices.credit, name="operator-invoice-credit"),
    path("invoices/<uuid:invoice_id>/payment", invoices.payment, name="operator-invoice-payment"),
    path("invoices/<uuid:invoice_id>/files/<str:ending>", invoices.invoice_file, name="operator-invoice-file"),
    path("tenants/<slug:slug>/legal-identity", operator_legal_party, name="operator-legal-party"),
    path("billing/settings", billing_settings.settings_page, name="operator-billing-settings"),
    path("billing/settings/<str:subject>", billing_settings.settings_change, name="operator-billing-settings-change"),
    path("billing/vat-rates", billing_settings.rates, name="operator-vat-rates"),
    path("billing/vat-rates/end", billing_settings.rate_end, name="operator-vat-rate-end"),
]
