"""Addresses of organisations, from the operator's side."""

from django.urls import URLPattern, path

from console.views.operator import agreements, tenant_changes, tenants

_TENANT = "tenants/<slug:slug>"

urlpatterns: list[URLPattern] = [
    path("tenants", tenants.tenants, name="operator-tenants"),
    path("new-tenant", tenants.tenant_new, name="operator-tenant-new"),
    path("tenant-imports", tenants.tenant_import, name="operator-tenant-import"),
    path(_TENANT, tenants.tenant, name="operator-tenant"),
    path(f"{_TENANT}/change", tenant_changes.tenant_change, name="operator-tenant-change"),
    path(f"{_TENANT}/contract", tenant_changes.tenant_contract, name="operator-tenant-contract"),
    path(f"{_TENANT}/terms", agreements.tenant_terms, name="operator-tenant-terms"),
    path(f"{_TENANT}/agreement", agreements.tenant_agreement, name="operator-tenant-agreement"),
    path(
        f"{_TENANT}/agreements/<int:agreement_id>/end",
        agreements.tenant_agreement_end,
        name="operator-tenant-agreement-end",
    ),
    path(f"{_TENANT}/own-prices", agreements.tenant_own_prices, name="operator-tenant-own-prices"),
    path(f"{_TENANT}/bill-terms/new", agreements.tenant_term_new, name="operator-tenant-term-new"),
    path(f"{_TENANT}/bill-terms/<int:term_id>/end", agreements.tenant_term_end, name="operator-tenant-term-end"),
    path(f"{_TENANT}/aliases", tenant_changes.tenant_alias, name="operator-tenant-alias"),
    path(f"{_TENANT}/aliases/remove", tenant_changes.tenant_alias_remove, name="operator-tenant-alias-remove"),
    path(f"{_TENANT}/models", tenant_changes.tenant_models, name="operator-tenant-models"),
    path(f"{_TENANT}/close", tenants.tenant_close, name="operator-tenant-close"),
    path(f"{_TENANT}/suspend", tenants.tenant_suspend, name="operator-tenant-suspend"),
    path(f"{_TENANT}/reactivate", tenants.tenant_reactivate, name="operator-tenant-reactivate"),
]
