"""Addresses of the operator's billing."""

from django.urls import URLPattern, path

from console.views.operator import billing, credit, exports

urlpatterns: list[URLPattern] = [
    path("billing", billing.billing, name="operator-billing"),
    path("billing/exports", exports.exports, name="operator-billing-exports"),
    path("billing/exports/new", exports.export_new, name="operator-billing-export-new"),
    path("billing/exports/monthly", exports.export_monthly, name="operator-billing-export-monthly"),
    path(
        "billing/exports/monthly/<int:monthly_id>/end",
        exports.export_monthly_end,
        name="operator-billing-export-monthly-end",
    ),
    path("billing/exports/<uuid:file_id>/file", exports.export_download, name="operator-billing-export-file"),
    path("billing/exports/<uuid:file_id>/remove", exports.export_remove, name="operator-billing-export-remove"),
    path("billing/credit", credit.credit_orders, name="operator-credit"),
    path("billing/credit/orders/<int:order_id>", credit.credit_order, name="operator-credit-order"),
    path("billing/credit/orders/<int:order_id>/cancel", credit.credit_order_cancel, name="operator-credit-cancel"),
    path("billing/credit/rule", credit.credit_rule, name="operator-credit-rule"),
    path("tenants/<slug:slug>/credit", credit.tenant_credit, name="operator-tenant-credit"),
    path("tenants/<slug:slug>/credit/record", credit.tenant_credit_record, name="operator-tenant-credit-record"),
    path("tenants/<slug:slug>/credit/correct", credit.tenant_credit_correct, name="operator-tenant-credit-correct"),
    path("billing/export.csv", billing.billing_export, name="operator-billing-export"),
]
