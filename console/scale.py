"""An organisation as large as they come: half a million keys and ten million requests of thirteen months, to see that
every page stays quick. `make seed` makes it, as the owner of the tables and as fast as PostgreSQL writes.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from billing.contracts.contracts import start_contract
from billing.contracts.tiers import tier_by_code
from billing.demo import history as demo_history
from billing.demo.history import Past
from billing.limits.budgets import set_budget
from billing.models import Budget, Scope
from console import scale_queries as queries
from console.demo import ACTOR, EUR, TENANTS, demo_person
from identity.access import Caller
from identity.errors import Conflict
from identity.keyring import current
from identity.members import add_member
from identity.models import Membership, Person, Project, Role, Tenant
from identity.tenants import create_tenant

SLUG, NAME = "haute-plaine", "Région Haute-Plaine"
KEYS_A_PROJECT = 5_000
PEOPLE = 400
MONTHS_DAYS = 395
REFUSALS = 200_000
PROJECT_BUDGET_EUR = 5_000
SKEW = 4.0  # a hundredth of the keys asks a third of all
_PLACES = ("Lycée", "Direction des routes", "Centre de santé", "Agence", "Laboratoire", "Bibliothèque", "Service")
_NAMES = ("Anne Arnaud", "Bruno Blanc", "Claire Colin", "Denis Diallo", "Esther Étienne", "Farid Fabre", "Gwen Garnier")
Tell = Callable[[str], None]


def seed_scale(*, keys: int, records: int, tell: Tell, now: datetime | None = None) -> Tenant:
    """Make the organisation. Raises Conflict where it is there: its records only grow."""
    if Tenant.objects.filter(slug=SLUG).exists():
        raise Conflict(f"{NAME} is there already")
    until = now or timezone.now()
    since = (until - timedelta(days=MONTHS_DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    tenant = create_tenant(slug=SLUG, name=NAME, actor=ACTOR, is_demo=True)
    start_contract(tenant=tenant, tier=tier_by_code("unlimited"), actor=ACTOR)
    _let_in(tenant)
    _populate(tenant, keys, since)
    tell(f"{keys:,} keys in {tenant.projects.count():,} projects")
    set_budget(on=tenant, period=Budget.Period.MONTH, limit_nano_eur=100 * PROJECT_BUDGET_EUR * EUR, actor=ACTOR)
    past = Past(records=records, since=since, until=until, skew=SKEW)
    demo_history.begin(tenant)
    with connection.cursor() as cursor:
        cursor.execute(queries.SOURCES, {"tenant": tenant.pk, "since": since, "until": until})
        cursor.execute("analyze past_source")
    for written in demo_history.write(past):
        tell(f"{written:,} of about {records:,} usage records")
    demo_history.write_refusals(past, min(REFUSALS, records // 50))
    demo_history.count_into_budgets(since)
    note_uses(tenant)
    tell("tidying up")
    with connection.cursor() as cursor:
        for table in queries.TIDY:
            cursor.execute(f"vacuum (analyze) {table}")
    return tenant


def note_uses(tenant: Tenant) -> None:
    """Let each key have been used when its last record says."""
    with connection.cursor() as cursor:
        cursor.execute(queries.USES, {"tenant": tenant.pk})


def _let_in(tenant: Tenant) -> None:
    """The demo's people, in the same roles as in its first organisation."""
    for demo in TENANTS[0].people.values():
        assert demo.role is not None
        add_member(by=Caller.system("demo", tenant), person=demo_person(demo), role=Role(demo.role))


def _populate(tenant: Tenant, keys: int, since: datetime) -> None:
    """Projects with budgets, people, keys."""
    count = max(3, keys // KEYS_A_PROJECT)
    numbers = range(1, count + 1)
    projects = Project.objects.bulk_create(
        Project(tenant=tenant, name=f"{_PLACES[n % len(_PLACES)]} {n:03}", cost_centre=f"HP-{n:04}") for n in numbers
    )
    Budget.objects.bulk_create(
        Budget(
            tenant_id=tenant.pk,
            scope=Scope.PROJECT,
            scope_id=project.pk,
            limit_nano_eur=PROJECT_BUDGET_EUR * EUR,
        )
        for project in projects
    )
    people = Person.objects.bulk_create(
        Person(email=f"agent-{n}@{SLUG}.example", name=f"{_NAMES[n % len(_NAMES)]} {n}") for n in range(1, PEOPLE + 1)
    )
    Membership.objects.bulk_create(
        Membership(tenant=tenant, person=person, role=Role.DEVELOPER, in_all_projects=True) for person in people
    )
    _add_keys(tenant, keys, since)


def _add_keys(tenant: Tenant, keys: int, since: datetime) -> None:
    """Without a notice of each to every gateway: they find them by their versions."""
    pepper_id, _ = current(settings.KEY_PEPPERS)
    values: dict[str, Any] = {"tenant": tenant.pk, "slug": SLUG, "keys": keys, "pepper": pepper_id, "since": since}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("alter table identity_apikey disable trigger user")
        cursor.execute(queries.KEYS, values)
        cursor.execute("set constraints all immediate")
        cursor.execute("alter table identity_apikey enable trigger user")
