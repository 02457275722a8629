"""The addresses under /scim/. The last one answers for all of a tenant's that there are not."""

from django.urls import path

from gateway.api.scim.discovery import ResourceTypesView, SchemasView, ServiceProviderConfigView
from gateway.api.scim.users import SearchView, UsersView, UserView
from gateway.api.scim.view import NowhereView

_ROOT = "v2/<slug:slug>"

urlpatterns = [
    path(f"{_ROOT}/ServiceProviderConfig", ServiceProviderConfigView.as_view(), name="scim-configuration"),
    path(f"{_ROOT}/ResourceTypes", ResourceTypesView.as_view(), name="scim-resource-types"),
    path(f"{_ROOT}/ResourceTypes/<str:name>", ResourceTypesView.as_view(), name="scim-resource-type"),
    path(f"{_ROOT}/Schemas", SchemasView.as_view(), name="scim-schemas"),
    path(f"{_ROOT}/Schemas/<str:name>", SchemasView.as_view(), name="scim-schema"),
    path(f"{_ROOT}/.search", SearchView.as_view(), name="scim-search"),
    path(f"{_ROOT}/Users/.search", SearchView.as_view(), name="scim-users-search"),
    path(f"{_ROOT}/Users", UsersView.as_view(), name="scim-users"),
    path(f"{_ROOT}/Users/<uuid:pseudonym>", UserView.as_view(), name="scim-user"),
    path(_ROOT, NowhereView.as_view(), name="scim-root"),
    path(f"{_ROOT}/<path:rest>", NowhereView.as_view(), name="scim-nowhere"),
]
