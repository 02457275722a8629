"""Addresses of the operator's organisation rules."""

from django.urls import URLPattern, path

from console.views.operator import organisation_rules as views

_RULE = "organisation-rules/<slug:rule>"

urlpatterns: list[URLPattern] = [
    path("organisation-rules", views.organisation_rules, name="operator-organisation-rules"),
    path("new-organisation-rule", views.organisation_rule_new, name="operator-organisation-rule-new"),
    path(_RULE, views.organisation_rule, name="operator-organisation-rule"),
    path(f"{_RULE}/remove", views.organisation_rule_remove, name="operator-organisation-rule-remove"),
    path("group-imports", views.group_import, name="operator-group-import"),
    path("tenants/<slug:slug>/groups", views.tenant_groups, name="operator-tenant-groups"),
    path("tenants/<slug:slug>/groups/end", views.tenant_feed_end, name="operator-tenant-feed-end"),
    path("tenants/<slug:slug>/groups/by/<slug:rule>", views.tenant_feed, name="operator-tenant-feed"),
]
