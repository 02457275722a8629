"""The demo: two organisations, people of five roles, a key that works. Idempotent, and made by the ordinary verbs."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from billing.contracts.contracts import contract_in_force, start_contract
from billing.contracts.tiers import tier_by_code
from billing.limits.budgets import set_budget
from billing.models import Budget
from identity.access import Caller
from identity.api_keys import mint_api_key, revoke_api_key
from identity.audit import Actor
from identity.key_policy import KeyPolicy
from identity.members import add_member
from identity.models import ApiKey, Membership, OperatorRole, Person, Project, Role, Tenant
from identity.operators import appoint_operator
from identity.people import create_person
from identity.scopes import Scope
from identity.sign_in_links import make_link
from identity.tenants import create_tenant
from models_catalog.models import LanguageModel

ACTOR = Actor.system("demo")
EUR = 10**9
KEY_NAME = "Demo"
LINK_LIFETIME = timedelta(days=1)
# Kind of model -> the catalog's id that simulated engines serve.
SIMULATED_MODELS = {"chat": "gpt-oss:120b", "embedding": "bge-m3:567m", "rerank": "qwen3-reranker:4b"}


@dataclass(frozen=True)
class DemoPerson:
    """Somebody of the demo: `role` in an organisation, or `runs`, what an operator does for the platform."""

    email: str
    name: str
    role: Role | None = None
    runs: OperatorRole | None = None


@dataclass(frozen=True)
class DemoTenant:
    """An organisation of the demo and its people, by the role that their sign-in link is listed under."""

    slug: str
    name: str
    people: dict[str, DemoPerson]


# By what their sign-in links are listed under.
OPERATORS = {
    "operator": DemoPerson("ines@operator.example", "Inès Moreau", runs=OperatorRole.PLATFORM),
    "billing": DemoPerson("karim@operator.example", "Karim Haddad", runs=OperatorRole.BILLING),
}
TENANTS = (
    DemoTenant(
        "valbourg",
        "Ville de Valbourg",
        {
            "owner": DemoPerson("alice@valbourg.example", "Alice Martin", Role.OWNER),
            "finance": DemoPerson("fatima@valbourg.example", "Fatima Benali", Role.FINANCE),
            "developer": DemoPerson("bob@valbourg.example", "Bob Lefèvre", Role.DEVELOPER),
        },
    ),
    DemoTenant(
        "saint-orme",
        "Hôpital Saint-Orme",
        {"owner": DemoPerson("charlie@saint-orme.example", "Charlie Roy", Role.OWNER)},
    ),
)


def seed_demo(*, tier: str, new_key: bool) -> str:
    """Make what is missing of the demo. Answers the text of a key where one was made, else "".

    `new_key`: the text of an earlier key was lost, so it is revoked and another made. Raises `Tier.DoesNotExist`.
    """
    tenants = [_tenant(demo, tier) for demo in TENANTS]
    for operator in OPERATORS.values():
        demo_person(operator)
    first = tenants[0]
    project = Project.objects.get(tenant=first, name="Default")
    live = ApiKey.objects.filter(project=project, name=KEY_NAME, revoked_at=None).first()
    if live is not None and new_key:
        revoke_api_key(live, actor=ACTOR, reason="its text was lost")
        live = None
    if live is not None:
        return ""
    policy = KeyPolicy(scopes=frozenset((Scope.INFERENCE, Scope.USAGE_READ_TENANT)))
    key, text = mint_api_key(maker=Caller.system("demo", first), project=project, name=KEY_NAME, policy=policy)
    for holder, period, euros in (
        (first, Budget.Period.MONTH, 1_000_000),
        (project, Budget.Period.MONTH, 500_000),
        (key, Budget.Period.DAY, 100_000),
    ):
        set_budget(on=holder, period=period, limit_nano_eur=euros * EUR, actor=ACTOR)
    return text


def sign_in_secrets() -> dict[str, str]:
    """A fresh one-time sign-in secret for each role: owner, finance, developer, operator, billing."""
    people = TENANTS[0].people | OPERATORS
    now = timezone.now()
    return {
        role: make_link(Person.objects.get(email=person.email), LINK_LIFETIME, actor=ACTOR, now=now)
        for role, person in people.items()
    }


def demo_models(given: list[str]) -> dict[str, str]:
    """Kind -> the model to try: of those given engines' ids, or the simulated ones."""
    if not given:
        return dict(SIMULATED_MODELS)
    kinds = dict(LanguageModel.objects.filter(name__in=given).values_list("name", "kind"))
    models: dict[str, str] = {}
    for name in given:
        models.setdefault(kinds.get(name, LanguageModel.Kind.CHAT), name)
    return models


def _tenant(demo: DemoTenant, tier: str) -> Tenant:
    tenant = Tenant.objects.filter(slug=demo.slug).first()
    if tenant is None:
        tenant = create_tenant(slug=demo.slug, name=demo.name, actor=ACTOR, is_demo=True)
    if contract_in_force(tenant) is None:  # what somebody changed since stays
        start_contract(tenant=tenant, tier=tier_by_code(tier), actor=ACTOR)
    for member in demo.people.values():
        person = demo_person(member)
        if member.role is not None and not Membership.objects.filter(tenant=tenant, person=person).exists():
            add_member(by=Caller.system("demo", tenant), person=person, role=member.role)
    return tenant


def demo_person(demo: DemoPerson) -> Person:
    """The person, made where missing."""
    known = Person.objects.filter(email=demo.email).first()
    if known is not None:
        return known
    person = create_person(email=demo.email, name=demo.name, actor=ACTOR)
    if demo.runs is not None:
        appoint_operator(person, demo.runs, actor=ACTOR)
    return person
