"""The addresses under /api/operator/, as `gateway/api/urls.py` takes them: each begins with `operator/`."""

from django.urls import URLPattern, path, register_converter

from gateway.api.operator.billing import OperatedBillingView
from gateway.api.operator.engines import OperatedEnginesView, OperatedEngineView
from gateway.api.operator.model_aliases import OperatedAliasesView, OperatedAliasView
from gateway.api.operator.models import OperatedModelsView, OperatedModelView
from gateway.api.operator.organisation_rules import (
    GroupFeedView,
    GroupImportsView,
    OrganisationRulesView,
    OrganisationRuleView,
)
from gateway.api.operator.own_key import OwnOperatorKeyView
from gateway.api.operator.price_changes import (
    OperatedScheduledPriceView,
    OperatedVersionsView,
    OperatedWithdrawnView,
)
from gateway.api.operator.price_lists import OperatedPriceListsView, OperatedPriceListView
from gateway.api.operator.prices import OperatedPricesView, OperatedPriceView
from gateway.api.operator.sight import OperatedTenantModelsView, OperatedTierModelsView
from gateway.api.operator.tenants import (
    CloseTenantView,
    OperatedTenantsView,
    OperatedTenantView,
    ReactivateTenantView,
    SuspendTenantView,
    TenantImportsView,
)
from gateway.api.operator.tiers import (
    OperatedContractView,
    OperatedTiersView,
    OperatedTierView,
    RenewTierView,
)
from identity.tenants import EXTERNAL_ID


class ExternalIdConverter:
    """What the operator's systems call a tenant."""

    regex = EXTERNAL_ID.pattern

    def to_python(self, value: str) -> str:
        """As it is."""
        return value

    def to_url(self, value: str) -> str:
        """As it is."""
        return value


register_converter(ExternalIdConverter, "external")

_LIST = "operator/price-lists/<int:list_id>"
_TENANT = "operator/tenants/<external:external_id>"

urlpatterns: list[URLPattern] = [
    path("operator/key", OwnOperatorKeyView.as_view(), name="operator-api-key"),
    path("operator/billing", OperatedBillingView.as_view(), name="operator-api-billing"),
    path("operator/engines", OperatedEnginesView.as_view(), name="operator-api-engines"),
    path("operator/engines/<int:engine_id>", OperatedEngineView.as_view(), name="operator-api-engine"),
    path("operator/group-imports", GroupImportsView.as_view(), name="operator-api-group-imports"),
    path("operator/models", OperatedModelsView.as_view(), name="operator-api-models"),
    path("operator/models/<path:model_id>", OperatedModelView.as_view(), name="operator-api-model"),
    path("operator/price-lists", OperatedPriceListsView.as_view(), name="operator-api-price-lists"),
    path(_LIST, OperatedPriceListView.as_view(), name="operator-api-price-list"),
    path(f"{_LIST}/prices", OperatedVersionsView.as_view(), name="operator-api-price-list-prices"),
    path(
        f"{_LIST}/prices/<int:version_id>", OperatedScheduledPriceView.as_view(), name="operator-api-price-list-price"
    ),
    path(f"{_LIST}/withdrawn-prices", OperatedWithdrawnView.as_view(), name="operator-api-price-list-withdrawn"),
    path("operator/organisation-rules", OrganisationRulesView.as_view(), name="operator-api-organisation-rules"),
    path(
        "operator/organisation-rules/<slug:code>", OrganisationRuleView.as_view(), name="operator-api-organisation-rule"
    ),
    path("operator/prices", OperatedPricesView.as_view(), name="operator-api-prices"),
    path("operator/prices/<path:model_id>", OperatedPriceView.as_view(), name="operator-api-price"),
    path("operator/tenants", OperatedTenantsView.as_view(), name="operator-api-tenants"),
    path(_TENANT, OperatedTenantView.as_view(), name="operator-api-tenant"),
    path(f"{_TENANT}/contract", OperatedContractView.as_view(), name="operator-api-tenant-contract"),
    path(f"{_TENANT}/model-aliases", OperatedAliasesView.as_view(), name="operator-api-tenant-aliases"),
    path(f"{_TENANT}/model-aliases/<path:alias>", OperatedAliasView.as_view(), name="operator-api-tenant-alias"),
    path(f"{_TENANT}/group-feed", GroupFeedView.as_view(), name="operator-api-tenant-group-feed"),
    path(f"{_TENANT}/models", OperatedTenantModelsView.as_view(), name="operator-api-tenant-models"),
    path(f"{_TENANT}/close", CloseTenantView.as_view(), name="operator-api-tenant-close"),
    path(f"{_TENANT}/suspend", SuspendTenantView.as_view(), name="operator-api-tenant-suspend"),
    path(f"{_TENANT}/reactivate", ReactivateTenantView.as_view(), name="operator-api-tenant-reactivate"),
    path("operator/tenant-imports", TenantImportsView.as_view(), name="operator-api-tenant-imports"),
    path("operator/tiers", OperatedTiersView.as_view(), name="operator-api-tiers"),
    path("operator/tiers/<slug:code>", OperatedTierView.as_view(), name="operator-api-tier"),
    path("operator/tiers/<slug:code>/models", OperatedTierModelsView.as_view(), name="operator-api-tier-models"),
    path("operator/tiers/<slug:code>/renew", RenewTierView.as_view(), name="operator-api-tier-renew"),
]
