"""The addresses under /api/operator/, as `gateway/api/urls.py` takes them: each begins with `operator/`."""

from django.urls import URLPattern, path, register_converter

from gateway.api.operator.billing import OperatedBillingView
from gateway.api.operator.billing_settings import BillingSettingsView, VatRatesView, VatRateView
from gateway.api.operator.closing import (
    OperatedApprovalsView,
    OperatedClosingsView,
    OperatedClosingView,
    OperatedIssuesView,
    OperatedLegalIdentityView,
    OperatedPreviewsView,
)
from gateway.api.operator.contracts import (
    OperatedAgreementEndView,
    OperatedAgreementView,
    OperatedContractView,
    OperatedOwnPricesView,
    OperatedTermEndView,
    OperatedTermsView,
)
from gateway.api.operator.credit import (
    OperatedCreditCancelView,
    OperatedCreditCorrectionsView,
    OperatedCreditOrdersView,
    OperatedCreditPaymentsView,
    OperatedCreditPaymentView,
    OperatedCreditRulesView,
    OperatedCreditView,
)
from gateway.api.operator.engines import OperatedEnginesView, OperatedEngineView
from gateway.api.operator.exports import (
    OperatedExportFileView,
    OperatedExportSchedulesView,
    OperatedExportScheduleView,
    OperatedExportsView,
    OperatedExportView,
)
from gateway.api.operator.fleet import (
    OperatedCountFitView,
    OperatedDemandView,
    OperatedEngineLogsView,
    OperatedEngineLogView,
    OperatedFitView,
    OperatedFleetEventsView,
)
from gateway.api.operator.invoices import (
    OperatedCreditNotesView,
    OperatedInvoiceFileView,
    OperatedInvoicesView,
    OperatedInvoiceView,
    OperatedJournalView,
    OperatedPaymentsView,
)
from gateway.api.operator.model_aliases import OperatedAliasesView, OperatedAliasView
from gateway.api.operator.models import OperatedModelsView, OperatedModelView
from gateway.api.operator.nodes import OperatedNodesView, OperatedNodeTokenView, OperatedNodeView
from gateway.api.operator.organisation_rules import (
    GroupFeedView,
    GroupImportsView,
    OrganisationRulesView,
    OrganisationRuleView,
)
from gateway.api.operator.own_key import OwnOperatorKeyView
from gateway.api.operator.pools import (
    OperatedConfigurationView,
    OperatedPoolsView,
    OperatedPoolView,
)
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
from gateway.api.operator.tiers import OperatedTiersView, OperatedTierView, RenewTierView
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

_EXPORT = "operator/exports/<uuid:public_id>"
_SCHEDULE = "operator/export-schedules/<int:schedule_id>"
_INVOICE = "operator/invoices/<uuid:invoice_id>"
_ORDER = "operator/credit-orders/<int:order_id>"

urlpatterns: list[URLPattern] = [
    path("operator/credit-orders", OperatedCreditOrdersView.as_view(), name="operated-credit-orders"),
    path(f"{_ORDER}/payment", OperatedCreditPaymentView.as_view(), name="operated-credit-payment"),
    path(f"{_ORDER}/cancel", OperatedCreditCancelView.as_view(), name="operated-credit-cancel"),
    path("operator/credit-rules", OperatedCreditRulesView.as_view(), name="operated-credit-rules"),
    path(f"{_TENANT}/credit", OperatedCreditView.as_view(), name="operated-credit"),
    path(f"{_TENANT}/credit/payments", OperatedCreditPaymentsView.as_view(), name="operated-credit-payments"),
    path(f"{_TENANT}/credit/corrections", OperatedCreditCorrectionsView.as_view(), name="operated-credit-corrections"),
    path("operator/key", OwnOperatorKeyView.as_view(), name="operator-api-key"),
    path("operator/billing", OperatedBillingView.as_view(), name="operator-api-billing"),
    path("operator/billing-settings", BillingSettingsView.as_view(), name="operator-api-billing-settings"),
    path("operator/vat-rates", VatRatesView.as_view(), name="operator-api-vat-rates"),
    path("operator/vat-rates/<str:country>/<str:valid_from>", VatRateView.as_view(), name="operator-api-vat-rate"),
    path("operator/closings", OperatedClosingsView.as_view(), name="operator-api-closings"),
    path("operator/closings/preview", OperatedPreviewsView.as_view(), name="operator-api-closings-preview"),
    path("operator/closings/approve", OperatedApprovalsView.as_view(), name="operator-api-closings-approve"),
    path("operator/closings/issue", OperatedIssuesView.as_view(), name="operator-api-closings-issue"),
    path(f"{_TENANT}/closings/<str:month>", OperatedClosingView.as_view(), name="operator-api-closing"),
    path(f"{_TENANT}/legal-identity", OperatedLegalIdentityView.as_view(), name="operator-api-legal-identity"),
    path("operator/invoices", OperatedInvoicesView.as_view(), name="operator-api-invoices"),
    path("operator/invoices/<uuid:invoice_id>", OperatedInvoiceView.as_view(), name="operator-api-invoice"),
    path(f"{_INVOICE}/credit-notes", OperatedCreditNotesView.as_view(), name="operator-api-credit-notes"),
    path(f"{_INVOICE}/files/<str:ending>", OperatedInvoiceFileView.as_view(), name="operator-api-invoice-file"),
    path(f"{_INVOICE}/payments", OperatedPaymentsView.as_view(), name="operator-api-payments"),
    path("operator/journal", OperatedJournalView.as_view(), name="operator-api-journal"),
    path("operator/engines", OperatedEnginesView.as_view(), name="operator-api-engines"),
    path("operator/engines/<int:engine_id>", OperatedEngineView.as_view(), name="operator-api-engine"),
    path("operator/exports", OperatedExportsView.as_view(), name="operator-api-exports"),
    path(_EXPORT, OperatedExportView.as_view(), name="operator-api-export"),
    path(f"{_EXPORT}/file", OperatedExportFileView.as_view(), name="operator-api-export-file"),
    path("operator/export-schedules", OperatedExportSchedulesView.as_view(), name="operator-api-export-schedules"),
    path(_SCHEDULE, OperatedExportScheduleView.as_view(), name="operator-api-export-schedule"),
    path("operator/nodes", OperatedNodesView.as_view(), name="operator-api-nodes"),
    path("operator/nodes/<slug:name>", OperatedNodeView.as_view(), name="operator-api-node"),
    path("operator/nodes/<slug:name>/token", OperatedNodeTokenView.as_view(), name="operator-api-node-token"),
    path("operator/pools", OperatedPoolsView.as_view(), name="operator-api-pools"),
    path("operator/pools/<slug:name>", OperatedPoolView.as_view(), name="operator-api-pool"),
    path("operator/pools/<slug:name>/demand", OperatedDemandView.as_view(), name="operator-api-pool-demand"),
    path(
        "operator/pools/<slug:name>/configuration",
        OperatedConfigurationView.as_view(),
        name="operator-api-pool-configuration",
    ),
    path("operator/pools/<slug:name>/fit", OperatedCountFitView.as_view(), name="operator-api-pool-fit"),
    path("operator/pools/<slug:name>/logs", OperatedEngineLogsView.as_view(), name="operator-api-pool-logs"),
    path("operator/pools/<slug:name>/logs/<int:log_id>", OperatedEngineLogView.as_view(), name="operator-api-pool-log"),
    path("operator/pool-fits", OperatedFitView.as_view(), name="operator-api-pool-fits"),
    path("operator/fleet-events", OperatedFleetEventsView.as_view(), name="operator-api-fleet-events"),
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
    path(f"{_TENANT}/contract/agreement", OperatedAgreementView.as_view(), name="operator-api-tenant-agreement"),
    path(
        f"{_TENANT}/contract/agreements/<int:agreement_id>",
        OperatedAgreementEndView.as_view(),
        name="operator-api-tenant-agreement-end",
    ),
    path(f"{_TENANT}/contract/own-prices", OperatedOwnPricesView.as_view(), name="operator-api-tenant-own-prices"),
    path(f"{_TENANT}/contract/terms", OperatedTermsView.as_view(), name="operator-api-tenant-terms"),
    path(
        f"{_TENANT}/contract/terms/<int:term_id>/end",
        OperatedTermEndView.as_view(),
        name="operator-api-tenant-term-end",
    ),
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
