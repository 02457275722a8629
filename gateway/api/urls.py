"""The addresses under /api/. The last one answers for all that there are not."""

from django.urls import path, register_converter

from gateway.api.access_requests import AccessRequestsView, ApproveAccessView, RefuseAccessView
from gateway.api.advice import AdviceView
from gateway.api.audit import AuditCheckpointsView, AuditExportView, AuditVerificationView, AuditView
from gateway.api.billing import ContractView, StatementView
from gateway.api.budget_changes import (
    BudgetDutyView,
    BudgetListView,
    BudgetRaiseView,
    BudgetView,
    LimitListView,
    LimitView,
)
from gateway.api.credit import (
    CreditAlertsView,
    CreditEntriesView,
    CreditOrdersView,
    CreditOrderView,
    CreditView,
)
from gateway.api.estimate import EstimatesView, EstimateView
from gateway.api.exports import (
    ExportFileView,
    ExportSchedulesView,
    ExportScheduleView,
    ExportsView,
    ExportView,
)
from gateway.api.group_rules import GroupRulesView, GroupRuleView
from gateway.api.invoices import InvoiceCsvView, InvoicePdfView, InvoicesView, InvoiceView, InvoiceXmlView
from gateway.api.key_bounds import KeyBoundsView
from gateway.api.key_changes import KeyChangesView
from gateway.api.key_rotation import EndPreviousSecretView, RotateKeyView
from gateway.api.key_rules import KeyRulesView
from gateway.api.keys import KeysView, KeyView, OwnKeyView, RevokeKeyView
from gateway.api.language_models import ModelsView, ModelView
from gateway.api.legal_identity import LegalIdentityView
from gateway.api.members import (
    InvitationsView,
    InvitationView,
    MemberIdentityView,
    MembersView,
    MemberView,
    ReviewsView,
    ReviewView,
    SupportSessionsView,
    SupportSessionView,
)
from gateway.api.model_aliases import ModelAliasesView, ModelAliasView
from gateway.api.nodes import JoinView
from gateway.api.notices import NoticesView, NoticeView
from gateway.api.openapi import DocumentationView, SchemaView
from gateway.api.operator.urls import urlpatterns as operator_patterns
from gateway.api.organisation import OrganisationView
from gateway.api.overview import OverviewView
from gateway.api.projects import ArchiveProjectView, ProjectsView, ProjectView
from gateway.api.scim_tokens import ScimTokensView, ScimTokenView
from gateway.api.sign_in import PreparationView, SignInView, SwitchOffView, TestSignInView
from gateway.api.tiers import TierChoiceView, TierOffersView
from gateway.api.usage import LabelsView, RecordsView, RefusalCountsView, RefusalsView, SummaryView
from gateway.api.view import NowhereView
from gateway.api.webhooks import (
    DeliveriesView,
    RotateWebhookView,
    SendAgainView,
    TestWebhookView,
    WebhooksView,
    WebhookView,
)


class LookupConverter:
    """The public id of a key."""

    regex = "[0-9A-Za-z]{1,16}"

    def to_python(self, value: str) -> str:
        """As it is."""
        return value

    def to_url(self, value: str) -> str:
        """As it is."""
        return value


register_converter(LookupConverter, "lookup")

urlpatterns = [
    path("key", OwnKeyView.as_view(), name="own-key"),
    path("keys", KeysView.as_view(), name="keys"),
    path("keys/<lookup:key_id>", KeyView.as_view(), name="key"),
    path("keys/<lookup:key_id>/revoke", RevokeKeyView.as_view(), name="revoke-key"),
    path("keys/<lookup:key_id>/rotate", RotateKeyView.as_view(), name="rotate-key"),
    path("keys/<lookup:key_id>/end-previous-secret", EndPreviousSecretView.as_view(), name="end-previous-secret"),
    path("keys/<lookup:key_id>/bounds", KeyBoundsView.as_view(), name="key-bounds"),
    path("key-changes", KeyChangesView.as_view(), name="key-changes"),
    path("key-rules", KeyRulesView.as_view(), name="key-rules"),
    path("overview", OverviewView.as_view(), name="tenant-overview"),
    path("contract", ContractView.as_view(), name="tenant-contract"),
    path("legal-identity", LegalIdentityView.as_view(), name="tenant-legal-identity"),
    path("contract/tier", TierChoiceView.as_view(), name="tenant-tier-choice"),
    path("credit", CreditView.as_view(), name="tenant-credit"),
    path("credit/entries", CreditEntriesView.as_view(), name="tenant-credit-entries"),
    path("credit/orders", CreditOrdersView.as_view(), name="tenant-credit-orders"),
    path("credit/orders/<int:order_id>", CreditOrderView.as_view(), name="tenant-credit-order"),
    path("credit/alerts", CreditAlertsView.as_view(), name="tenant-credit-alerts"),
    path("tiers", TierOffersView.as_view(), name="tenant-tiers"),
    path("statement", StatementView.as_view(), name="tenant-statement"),
    path("usage/records", RecordsView.as_view(), name="usage-records"),
    path("usage/summary", SummaryView.as_view(), name="usage-summary"),
    path("usage/labels", LabelsView.as_view(), name="usage-labels"),
    path("usage/advice", AdviceView.as_view(), name="usage-advice"),
    path("usage/refusals", RefusalsView.as_view(), name="usage-refusals"),
    path("usage/refusals/counts", RefusalCountsView.as_view(), name="usage-refusal-counts"),
    path("invoices", InvoicesView.as_view(), name="tenant-invoices"),
    path("invoices/<uuid:public_id>", InvoiceView.as_view(), name="tenant-invoice"),
    path("invoices/<uuid:public_id>/pdf", InvoicePdfView.as_view(), name="tenant-invoice-pdf"),
    path("invoices/<uuid:public_id>/xml", InvoiceXmlView.as_view(), name="tenant-invoice-xml"),
    path("invoices/<uuid:public_id>/csv", InvoiceCsvView.as_view(), name="tenant-invoice-csv"),
    path("exports", ExportsView.as_view(), name="tenant-exports"),
    path("exports/<uuid:public_id>", ExportView.as_view(), name="tenant-export"),
    path("exports/<uuid:public_id>/file", ExportFileView.as_view(), name="tenant-export-file"),
    path("export-schedules", ExportSchedulesView.as_view(), name="tenant-export-schedules"),
    path("export-schedules/<int:schedule_id>", ExportScheduleView.as_view(), name="tenant-export-schedule"),
    path("projects", ProjectsView.as_view(), name="projects"),
    path("projects/<int:project_id>", ProjectView.as_view(), name="project"),
    path("projects/<int:project_id>/archive", ArchiveProjectView.as_view(), name="archive-project"),
    path("budgets", BudgetListView.as_view(), name="budgets"),
    path("budgets/<int:budget_id>", BudgetView.as_view(), name="budget"),
    path("budgets/<int:budget_id>/raise", BudgetRaiseView.as_view(), name="budget-raise"),
    path("budgets/<int:budget_id>/responsible", BudgetDutyView.as_view(), name="budget-responsible"),
    path("limits", LimitListView.as_view(), name="limits"),
    path("limits/<int:limit_id>", LimitView.as_view(), name="limit"),
    path("audit", AuditView.as_view(), name="audit-events"),
    path("audit/export", AuditExportView.as_view(), name="audit-file"),
    path("audit/checkpoints", AuditCheckpointsView.as_view(), name="audit-checkpoints"),
    path("audit/verification", AuditVerificationView.as_view(), name="audit-verification"),
    path("notices", NoticesView.as_view(), name="tenant-notices"),
    path("notices/<int:notice_id>", NoticeView.as_view(), name="tenant-notice"),
    path("webhooks", WebhooksView.as_view(), name="tenant-webhooks"),
    path("webhooks/<uuid:webhook_id>", WebhookView.as_view(), name="tenant-webhook"),
    path("webhooks/<uuid:webhook_id>/rotate", RotateWebhookView.as_view(), name="tenant-webhook-rotate"),
    path("webhooks/<uuid:webhook_id>/test", TestWebhookView.as_view(), name="tenant-webhook-test"),
    path("webhooks/<uuid:webhook_id>/deliveries", DeliveriesView.as_view(), name="tenant-webhook-deliveries"),
    path(
        "webhooks/<uuid:webhook_id>/deliveries/<uuid:delivery_id>/send-again",
        SendAgainView.as_view(),
        name="tenant-webhook-again",
    ),
    path("members", MembersView.as_view(), name="tenant-members"),
    path("members/<uuid:pseudonym>", MemberView.as_view(), name="tenant-member"),
    path("members/<uuid:pseudonym>/identity", MemberIdentityView.as_view(), name="tenant-member-identity"),
    path("invitations", InvitationsView.as_view(), name="tenant-invitations"),
    path("invitations/<int:invitation_id>", InvitationView.as_view(), name="tenant-invitation"),
    path("access-requests", AccessRequestsView.as_view(), name="tenant-access-requests"),
    path("access-requests/<int:asked_id>/approve", ApproveAccessView.as_view(), name="tenant-access-approve"),
    path("access-requests/<int:asked_id>/refuse", RefuseAccessView.as_view(), name="tenant-access-refuse"),
    path("access-reviews", ReviewsView.as_view(), name="tenant-access-reviews"),
    path("access-reviews/<int:review_id>", ReviewView.as_view(), name="tenant-access-review"),
    path("support-sessions", SupportSessionsView.as_view(), name="tenant-support-sessions"),
    path("support-sessions/<int:support_id>", SupportSessionView.as_view(), name="tenant-support-session"),
    path("sign-in", SignInView.as_view(), name="tenant-provider"),
    path("sign-in/preparation", PreparationView.as_view(), name="tenant-provider-preparation"),
    path("sign-in/test", TestSignInView.as_view(), name="tenant-provider-test"),
    path("sign-in/switch-off", SwitchOffView.as_view(), name="tenant-provider-off"),
    path("group-rules", GroupRulesView.as_view(), name="tenant-group-rules"),
    path("group-rules/<int:rule_id>", GroupRuleView.as_view(), name="tenant-group-rule"),
    path("scim-tokens", ScimTokensView.as_view(), name="tenant-scim-tokens"),
    path("scim-tokens/<int:token_id>", ScimTokenView.as_view(), name="tenant-scim-token"),
    path("organisation", OrganisationView.as_view(), name="organisation"),
    path("estimates", EstimatesView.as_view(), name="estimates"),
    path("estimate", EstimateView.as_view(), name="estimate"),
    path("model-aliases", ModelAliasesView.as_view(), name="model-aliases"),
    path("model-aliases/<path:alias>", ModelAliasView.as_view(), name="model-alias"),
    path("models", ModelsView.as_view(), name="models"),
    path("models/<path:model_id>", ModelView.as_view(), name="model"),
    path("nodes/join", JoinView.as_view(), name="node-join"),
    *operator_patterns,
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", DocumentationView.as_view(), name="docs"),
    path("", NowhereView.as_view(), name="nowhere-root"),
    path("<path:rest>", NowhereView.as_view(), name="nowhere"),
]
