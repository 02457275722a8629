"""Every operation of the management API with who gets what from it; `test_access.py` asks them all."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from django.utils import timezone

from billing.exports.schedules import schedule_export, schedules_of
from billing.limits.budgets import set_budget
from billing.limits.limits import set_limit
from billing.models import Export, Tier, TierChoice
from billing.prices.aliases import put_alias
from identity.access import Caller
from identity.access_reviews import start_review
from identity.group_rules import add_rule
from identity.invitations import invite
from identity.members import add_member
from identity.models import (
    AccessRequest,
    AccessReview,
    IdentityProvider,
    LinkedIdentity,
    NoticeDelivery,
    Person,
    ProviderVersion,
    Role,
)
from identity.notices import notify
from identity.providers import ProviderSettings, prepare_version, provider_of
from identity.scim_tokens import make_token
from identity.support_sessions import open_session
from identity.webhooks import add_webhook
from tests.support import exported
from tests.support.invoices import filed
from tests.support.ledger import HeldKey, House, unique
from tests.support.people import TESTS, make_operator, make_person


class Case(NamedTuple):
    """An operation, and what it answers to the tenant's weak key, to its strong key, to a stranger's strong key.

    A stranger's 200 is about the stranger's own things: nothing of ours may be in it.
    """

    address: Callable[["Ours"], str]
    weak: int
    strong: int
    stranger: int
    body: Callable[["Ours"], object] = lambda ours: None


@dataclass(frozen=True)
class Ours:
    """Things of a tenant, and the words that must not reach a stranger."""

    house: House
    weak: HeldKey
    strong: HeldKey
    request_id: str
    refused_id: str
    alias: str

    @property
    def secrets(self) -> list[str]:
        return [
            self.house.tenant.slug,
            self.weak.row.lookup,
            self.strong.row.lookup,
            self.request_id,
            self.refused_id,
            self.alias,
        ]


def new_key(ours: Ours) -> object:
    return {"name": "a new one", "scopes": ["inference"]}


def new_webhook(ours: Ours) -> object:
    # Nothing listens there, and private addresses are refused before anybody asks.
    return {"name": "alarms", "url": "https://127.0.0.1:1/in", "kinds": ["model.deprecated"]}


def alias_of(ours: Ours) -> str:
    """A name of its own for its model."""
    alias = unique("alias")
    put_alias(by=Caller.system("tests", ours.house.tenant), alias=alias, model=ours.house.model.name)
    return alias


def webhook_of(ours: Ours) -> str:
    """The address of a new one."""
    webhook, _ = add_webhook(by=Caller.system("tests", ours.house.tenant), name="alarms", url="https://127.0.0.1:1/in")
    return f"/api/webhooks/{webhook.public_id}"


def notice_of(ours: Ours) -> int:
    context = {"model": ours.alias, "ends_on": "2027-03-01", "replacement": "large"}
    return notify(ours.house.tenant, "model.deprecated", context=context).pk


def delivery_of(ours: Ours) -> str:
    address = webhook_of(ours)
    notice_of(ours)
    delivery = NoticeDelivery.objects.filter(webhook__tenant=ours.house.tenant).latest("id")
    return f"{address}/deliveries/{delivery.public_id}/send-again"


def member_of(ours: Ours) -> UUID:
    """A developer of the project."""
    person = make_person("dora")
    system = Caller.system("tests", ours.house.tenant)
    add_member(by=system, person=person, role=Role.DEVELOPER, projects=[ours.house.project])
    return person.pseudonym


def linked_member_of(ours: Ours) -> UUID:
    """A developer of the project with an account at the organisation's own provider."""
    pseudonym, tenant = member_of(ours), ours.house.tenant
    provider, _ = IdentityProvider.objects.get_or_create(audience="tenant", tenant=tenant, defaults={"name": "own"})
    issuer = f"https://{tenant.slug}.example"
    ProviderVersion.objects.get_or_create(
        provider=provider, state="active", defaults={"issuer": issuer, "client_id": "b", "sealed_secret": b""}
    )
    person = Person.objects.get(pseudonym=pseudonym)
    LinkedIdentity.objects.create(person=person, issuer=issuer, subject=str(pseudonym))
    return pseudonym


def placed_role(ours: Ours) -> dict[str, object]:
    return {"role": "developer", "project_ids": [ours.house.project.pk]}


def address_of_erin() -> str:
    return f"{unique('erin')}@example.org"


def invitation_of(ours: Ours) -> int:
    system = Caller.system("tests", ours.house.tenant)
    return invite(by=system, email=address_of_erin(), role=Role.DEVELOPER, projects=[ours.house.project]).pk


def review_of(ours: Ours) -> int:
    open_ones = AccessReview.objects.filter(tenant=ours.house.tenant, signed_off_at=None)
    return (open_ones.first() or start_review(by=Caller.system("tests", ours.house.tenant))).pk


def support_of(ours: Ours) -> int:
    slug = ours.house.tenant.slug
    return open_session(operator=make_operator(), slug=slug, reason="why", duration=timedelta(hours=1)).pk


def asked_of(ours: Ours) -> int:
    """Somebody asks to be let in."""
    return AccessRequest.objects.create(person=make_person("frank"), tenant=ours.house.tenant).pk


def prepared(ours: Ours, state: str = "draft") -> str:
    """Settings of a provider of one's own, at which nothing listens."""
    version = prepare_version(by=Caller.system("tests", ours.house.tenant), settings=SETTINGS)
    version.provider.versions.filter(state="active").update(state="off")
    version.provider.versions.filter(pk=version.pk).update(state=state)
    return "/api/sign-in"


def group_rule_of(ours: Ours) -> int:
    prepared(ours)
    system, own = Caller.system("tests", ours.house.tenant), provider_of(ours.house.tenant)
    assert own is not None
    return add_rule(
        by=system, provider=own, group=unique("devs"), role=Role.DEVELOPER, projects=[ours.house.project]
    ).pk


def group_rule(ours: Ours) -> dict[str, object]:
    prepared(ours)
    return placed_role(ours) | {"provider": "own", "group": unique("devs")}


def scim_token_of(ours: Ours) -> int:
    return make_token(by=Caller.system("tests", ours.house.tenant), name="Entra")[0].pk


def an_export(ours: Ours) -> dict[str, object]:
    period = {"first_day": "2025-10-01", "last_day": "2025-10-31"}
    return {"content": "requests", "format": "csv", "project": ours.house.project.pk, **period}


def export_of(ours: Ours) -> UUID:
    Export.objects.filter(tenant=ours.house.tenant, state="waiting").update(state="cancelled")
    return exported.ask(ours.house).public_id


def made_export_of(ours: Ours) -> UUID:
    return exported.finish(exported.ask(ours.house)).export.public_id


def invoice_of(ours: Ours) -> UUID:
    """One with its files."""
    return filed(ours.house.tenant).public_id


def export_schedule_of(ours: Ours) -> int:
    system = Caller.system("tests", ours.house.tenant)
    found = schedules_of(system).filter(kind="days").first()
    return (found or schedule_export(by=system, kind=Export.Kind.DAYS, file_format=Export.Format.CSV)).pk


SETTINGS = ProviderSettings(issuer="https://127.0.0.1:1", client_id="beffroi", client_secret="hush")
PROVIDER = {"issuer": SETTINGS.issuer, "client_id": SETTINGS.client_id, "client_secret": SETTINGS.client_secret}
KEY_RULES: dict[str, object] = {
    "longest_life_days": 90, "default_life_days": None, "ip_ranges": [], "creators": "developers",
    "personal_keys": True,
}  # fmt: skip
A_BUDGET: dict[str, object] = {"period": "month", "limit_nano_eur": 10**9}
A_LIMIT: dict[str, object] = {"what": "tokens", "window": "day", "amount": 10**6}
OPEN = {"schema", "docs", "nowhere", "nowhere-root", "node-join"}


def tier_to_take(ours: Ours) -> Tier:
    """A tier that the tenant can take by itself: its contract is at its tier's prices."""
    contract = ours.house.tenant.contracts.get(ends_at=None)
    Tier.objects.filter(pk=contract.tier_id).update(rate_card=contract.rate_card_id)
    return Tier.objects.create(code=unique("tier")[:32], name="Another", rate_card=contract.rate_card)


def chosen_tier(ours: Ours) -> str:
    """The address of a choice that is open."""
    TierChoice.objects.filter(tenant=ours.house.tenant).delete()
    starts = timezone.now() + timedelta(days=9)
    TierChoice.objects.create(tenant=ours.house.tenant, tier=tier_to_take(ours), starts_at=starts)
    return "/api/contract/tier"


CASES = {
    ("own-key", "GET"): Case(lambda ours: "/api/key", 200, 200, 200),
    ("keys", "GET"): Case(lambda ours: "/api/keys", 403, 200, 200),
    ("keys", "POST"): Case(lambda ours: "/api/keys", 403, 201, 201, new_key),
    ("key", "GET"): Case(lambda ours: f"/api/keys/{ours.strong.row.lookup}", 403, 200, 404),
    ("key", "DELETE"): Case(lambda ours: f"/api/keys/{spare_key(ours)}", 403, 204, 404),
    ("revoke-key", "POST"): Case(lambda ours: f"/api/keys/{spare_key(ours)}/revoke", 403, 200, 404),
    ("key", "PATCH"): Case(
        lambda ours: f"/api/keys/{spare_key(ours)}", 403, 200, 404, lambda ours: {"name": "another name"}
    ),
    ("rotate-key", "POST"): Case(lambda ours: f"/api/keys/{spare_key(ours)}/rotate", 403, 200, 404),
    ("end-previous-secret", "POST"): Case(
        lambda ours: f"/api/keys/{spare_key(ours)}/end-previous-secret", 403, 200, 404
    ),
    ("key-rules", "GET"): Case(lambda ours: "/api/key-rules", 403, 200, 200),
    ("usage-records", "GET"): Case(lambda ours: "/api/usage/records", 200, 200, 200),
    ("usage-summary", "GET"): Case(lambda ours: "/api/usage/summary?by=key,project,model", 200, 200, 200),
    ("usage-advice", "GET"): Case(lambda ours: "/api/usage/advice", 403, 200, 200),
    ("usage-refusals", "GET"): Case(lambda ours: "/api/usage/refusals", 200, 200, 200),
    ("usage-labels", "GET"): Case(lambda ours: "/api/usage/labels", 403, 200, 200),
    ("usage-refusal-counts", "GET"): Case(lambda ours: "/api/usage/refusals/counts", 200, 200, 200),
    ("audit-events", "GET"): Case(lambda ours: "/api/audit", 403, 200, 200),
    ("audit-file", "GET"): Case(lambda ours: "/api/audit/export", 403, 200, 200),
    ("audit-checkpoints", "GET"): Case(lambda ours: "/api/audit/checkpoints", 403, 200, 200),
    ("audit-verification", "GET"): Case(lambda ours: "/api/audit/verification", 403, 200, 200),
    ("audit-verification", "POST"): Case(lambda ours: "/api/audit/verification", 403, 200, 200),
    ("tenant-invoices", "GET"): Case(lambda ours: "/api/invoices", 403, 200, 200),
    ("tenant-invoice", "GET"): Case(lambda ours: f"/api/invoices/{invoice_of(ours)}", 403, 200, 404),
    ("tenant-invoice-pdf", "GET"): Case(lambda ours: f"/api/invoices/{invoice_of(ours)}/pdf", 403, 200, 404),
    ("tenant-invoice-xml", "GET"): Case(lambda ours: f"/api/invoices/{invoice_of(ours)}/xml", 403, 200, 404),
    ("tenant-invoice-csv", "GET"): Case(lambda ours: f"/api/invoices/{invoice_of(ours)}/csv", 403, 200, 404),
    ("tenant-exports", "GET"): Case(lambda ours: "/api/exports", 403, 200, 200),
    ("tenant-exports", "POST"): Case(lambda ours: "/api/exports", 403, 201, 404, an_export),
    ("tenant-export", "GET"): Case(lambda ours: f"/api/exports/{export_of(ours)}", 403, 200, 404),
    ("tenant-export", "DELETE"): Case(lambda ours: f"/api/exports/{export_of(ours)}", 403, 204, 404),
    ("tenant-export-file", "GET"): Case(lambda ours: f"/api/exports/{made_export_of(ours)}/file", 403, 200, 404),
    ("tenant-export-schedules", "GET"): Case(lambda ours: "/api/export-schedules", 403, 200, 200),
    ("tenant-export-schedules", "POST"): Case(
        lambda ours: "/api/export-schedules", 403, 201, 201, lambda ours: {"content": "requests", "format": "csv"}
    ),
    ("tenant-export-schedule", "DELETE"): Case(
        lambda ours: f"/api/export-schedules/{export_schedule_of(ours)}", 403, 204, 404
    ),
    ("budgets", "GET"): Case(lambda ours: "/api/budgets", 200, 200, 200),
    ("limits", "GET"): Case(lambda ours: "/api/limits", 200, 200, 200),
    ("tenant-notices", "GET"): Case(lambda ours: "/api/notices", 403, 200, 200),
    ("tenant-notice", "GET"): Case(lambda ours: f"/api/notices/{notice_of(ours)}", 403, 200, 404),
    ("tenant-webhooks", "GET"): Case(lambda ours: "/api/webhooks", 403, 200, 200),
    ("tenant-webhooks", "POST"): Case(lambda ours: "/api/webhooks", 403, 201, 201, new_webhook),
    ("tenant-webhook", "GET"): Case(webhook_of, 403, 200, 404),
    ("tenant-webhook", "PUT"): Case(webhook_of, 403, 200, 404, new_webhook),
    ("tenant-webhook", "DELETE"): Case(webhook_of, 403, 204, 404),
    ("tenant-webhook-rotate", "POST"): Case(lambda ours: f"{webhook_of(ours)}/rotate", 403, 200, 404),
    ("tenant-webhook-test", "POST"): Case(lambda ours: f"{webhook_of(ours)}/test", 403, 200, 404),
    ("tenant-webhook-deliveries", "GET"): Case(lambda ours: f"{webhook_of(ours)}/deliveries", 403, 200, 404),
    ("tenant-webhook-again", "POST"): Case(delivery_of, 403, 200, 404),
    ("tenant-members", "GET"): Case(lambda ours: "/api/members", 403, 200, 200),
    ("tenant-member", "GET"): Case(lambda ours: f"/api/members/{member_of(ours)}", 403, 200, 404),
    ("tenant-member", "PATCH"): Case(lambda ours: f"/api/members/{member_of(ours)}", 403, 200, 404, placed_role),
    ("tenant-member", "DELETE"): Case(lambda ours: f"/api/members/{member_of(ours)}", 403, 204, 404),
    ("tenant-member-identity", "DELETE"): Case(
        lambda ours: f"/api/members/{linked_member_of(ours)}/identity", 403, 204, 404
    ),
    ("tenant-invitations", "GET"): Case(lambda ours: "/api/invitations", 403, 200, 200),
    ("tenant-invitations", "POST"): Case(
        lambda ours: "/api/invitations", 403, 201, 404, lambda ours: placed_role(ours) | {"email": address_of_erin()}
    ),
    ("tenant-invitation", "DELETE"): Case(lambda ours: f"/api/invitations/{invitation_of(ours)}", 403, 204, 404),
    ("tenant-access-reviews", "GET"): Case(lambda ours: "/api/access-reviews", 403, 200, 200),
    ("tenant-access-review", "GET"): Case(lambda ours: f"/api/access-reviews/{review_of(ours)}", 403, 200, 404),
    ("tenant-support-sessions", "GET"): Case(lambda ours: "/api/support-sessions", 403, 200, 200),
    ("tenant-support-session", "DELETE"): Case(lambda ours: f"/api/support-sessions/{support_of(ours)}", 403, 204, 404),
    ("key-bounds", "GET"): Case(lambda ours: f"/api/keys/{ours.strong.row.lookup}/bounds", 403, 200, 404),
    ("key-changes", "POST"): Case(
        lambda ours: "/api/key-changes",
        403,
        200,
        404,
        lambda ours: {"change": "revoke", "key_ids": [spare_key(ours)]},
    ),
    ("key-rules", "PUT"): Case(lambda ours: "/api/key-rules", 403, 200, 200, lambda ours: KEY_RULES),
    ("tenant-overview", "GET"): Case(lambda ours: "/api/overview", 403, 200, 200),
    ("tenant-contract", "GET"): Case(lambda ours: "/api/contract", 403, 200, 200),
    ("tenant-statement", "GET"): Case(lambda ours: "/api/statement", 403, 200, 200),
    ("tenant-tiers", "GET"): Case(lambda ours: "/api/tiers", 403, 200, 200),
    # A stranger's prices were agreed, so that taking a tier needs the operator's word there.
    ("tenant-tier-choice", "PUT"): Case(
        lambda ours: "/api/contract/tier", 403, 200, 400, lambda ours: {"tier": tier_to_take(ours).code}
    ),
    ("tenant-tier-choice", "DELETE"): Case(chosen_tier, 403, 204, 404),
    ("estimates", "GET"): Case(lambda ours: "/api/estimates?input=5", 200, 200, 200),
    ("estimate", "GET"): Case(lambda ours: f"/api/estimate?model={ours.alias}&input=5", 200, 200, 404),
    ("tenant-access-requests", "GET"): Case(lambda ours: "/api/access-requests", 403, 200, 200),
    ("tenant-access-approve", "POST"): Case(
        lambda ours: f"/api/access-requests/{asked_of(ours)}/approve", 403, 200, 404, placed_role
    ),
    ("tenant-access-refuse", "POST"): Case(lambda ours: f"/api/access-requests/{asked_of(ours)}/refuse", 403, 204, 404),
    ("tenant-provider", "GET"): Case(prepared, 403, 200, 200),
    ("tenant-provider-preparation", "PUT"): Case(
        lambda ours: "/api/sign-in/preparation", 403, 200, 200, lambda ours: PROVIDER
    ),
    ("tenant-provider-preparation", "DELETE"): Case(lambda ours: f"{prepared(ours)}/preparation", 403, 204, 404),
    ("tenant-provider-test", "POST"): Case(lambda ours: f"{prepared(ours)}/test", 403, 200, 404),
    ("tenant-provider-off", "POST"): Case(lambda ours: f"{prepared(ours, 'active')}/switch-off", 403, 200, 404),
    ("tenant-group-rules", "GET"): Case(lambda ours: "/api/group-rules", 403, 200, 200),
    ("tenant-group-rules", "POST"): Case(lambda ours: "/api/group-rules", 403, 201, 404, group_rule),
    ("tenant-group-rule", "DELETE"): Case(lambda ours: f"/api/group-rules/{group_rule_of(ours)}", 403, 204, 404),
    ("tenant-scim-tokens", "GET"): Case(lambda ours: "/api/scim-tokens", 403, 200, 200),
    ("tenant-scim-tokens", "POST"): Case(
        lambda ours: "/api/scim-tokens", 403, 201, 201, lambda ours: {"name": "Entra"}
    ),
    ("tenant-scim-token", "DELETE"): Case(lambda ours: f"/api/scim-tokens/{scim_token_of(ours)}", 403, 204, 404),
    ("model-aliases", "GET"): Case(lambda ours: "/api/model-aliases", 200, 200, 200),
    ("model-alias", "PUT"): Case(
        lambda ours: f"/api/model-aliases/{unique('alias')}",
        403,
        201,
        201,
        lambda ours: {"model": ours.house.model.name},
    ),
    ("model-alias", "DELETE"): Case(lambda ours: f"/api/model-aliases/{alias_of(ours)}", 403, 204, 404),
    ("organisation", "GET"): Case(lambda ours: "/api/organisation", 200, 200, 200),
    ("organisation", "PATCH"): Case(lambda ours: "/api/organisation", 403, 200, 200, lambda ours: {"name": "Ours"}),
    ("budgets", "POST"): Case(lambda ours: "/api/budgets", 403, 200, 404, lambda ours: placed(ours) | A_BUDGET),
    ("budget", "DELETE"): Case(lambda ours: f"/api/budgets/{spare_budget(ours)}", 403, 204, 404),
    ("limits", "POST"): Case(lambda ours: "/api/limits", 403, 200, 404, lambda ours: placed(ours) | A_LIMIT),
    ("limit", "DELETE"): Case(lambda ours: f"/api/limits/{spare_limit(ours)}", 403, 204, 404),
    ("projects", "GET"): Case(lambda ours: "/api/projects", 200, 200, 200),
    ("projects", "POST"): Case(lambda ours: "/api/projects", 403, 201, 201, lambda ours: {"name": unique("project")}),
    ("project", "GET"): Case(lambda ours: f"/api/projects/{ours.house.project.pk}", 200, 200, 404),
    ("project", "PATCH"): Case(
        lambda ours: f"/api/projects/{ours.house.project.pk}", 403, 200, 404, lambda ours: {"cost_centre": "CC-7"}
    ),
    ("archive-project", "POST"): Case(lambda ours: f"/api/projects/{spare_project(ours)}/archive", 404, 200, 404),
    ("models", "GET"): Case(lambda ours: "/api/models", 200, 200, 200),
    ("model", "GET"): Case(lambda ours: f"/api/models/{ours.alias}", 200, 200, 404),
}


def spare_key(ours: Ours) -> str:
    return ours.house.key().row.lookup


def spare_project(ours: Ours) -> int:
    return ours.house.project_called(unique("spare")).pk


def spare_budget(ours: Ours) -> int:
    return set_budget(on=ours.house.project, period="day", limit_nano_eur=10**9, actor=TESTS).pk


def spare_limit(ours: Ours) -> int:
    return set_limit(on=ours.house.project, what="requests", window="hour", amount=1_000, actor=TESTS).pk


def placed(ours: Ours) -> dict[str, object]:
    return {"scope": "project", "project_id": ours.house.project.pk}
