"""What the demo's first organisation did before today: projects, people, keys, and two months of their requests.

Made once, by the ordinary verbs where these are about now, and by the owner of the tables where they are about the
past. Only numbers are made up, never a text of a request.
"""

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from billing.demo import history as demo_history
from billing.demo.history import Past, Source
from billing.limits.budgets import set_budget
from billing.limits.limits import set_limit
from billing.models import Budget, Limit, UsageRecord
from console.demo import ACTOR, EUR, SIMULATED_MODELS, TENANTS, DemoPerson, demo_person
from console.scale import note_uses
from identity.access import Caller
from identity.api_keys import mint_api_key
from identity.key_policy import KeyPolicy
from identity.members import add_member
from identity.models import ApiKey, Membership, Person, Project, Role, Tenant
from identity.projects import create_project
from identity.scopes import Scope

RECORDS = 22_000
REFUSALS = 600
DAYS = 60
SEED = 4  # the same past on every machine
CHAT, EMBEDDING, RERANK = SIMULATED_MODELS["chat"], SIMULATED_MODELS["embedding"], SIMULATED_MODELS["rerank"]
ENDPOINTS = {EMBEDDING: "/v1/embeddings", RERANK: "/v1/rerank"}
INFERENCE = frozenset({Scope.INFERENCE})
TENANT_BUDGET_EUR = 90


@dataclass(frozen=True)
class Application:
    """A program of a project: how many keys it has, how much it asks of which models. Tokens are those of a request."""

    name: str
    models: tuple[str, ...]
    keys: int = 3
    weight: int = 4
    prompt: int = 1_500
    answer: int = 350
    reasoning: int = 10


@dataclass(frozen=True)
class DemoProject:
    """A project, its budget a month in EUR and its applications."""

    name: str
    cost_centre: str
    budget_eur: int
    applications: tuple[Application, ...]


PEOPLE = (
    DemoPerson("camille@valbourg.example", "Camille Durand", Role.ADMINISTRATOR),
    DemoPerson("david@valbourg.example", "David Nguyen", Role.DEVELOPER),
    DemoPerson("elodie@valbourg.example", "Élodie Perrin", Role.DEVELOPER),
    DemoPerson("gael@valbourg.example", "Gaël Le Roux", Role.DEVELOPER),
    DemoPerson("hugo@valbourg.example", "Hugo Schmitt", Role.DEVELOPER),
    DemoPerson("lucia@valbourg.example", "Lucía Fernández", Role.DEVELOPER),
    DemoPerson("marc@valbourg.example", "Marc Oliveira", Role.FINANCE),
    DemoPerson("nadia@valbourg.example", "Nadia Haddad", Role.AUDITOR),
)
PROJECTS = (
    DemoProject(
        "Portail citoyen",
        "CC-1040",
        24,
        (
            Application("Assistant des démarches", (CHAT,), keys=6, weight=90, prompt=6_800, answer=520),
            Application("Recherche du portail", (EMBEDDING, RERANK), keys=4, weight=80, prompt=900),
            Application("Accessibilité des pages", ("qwen3-vl:30b",), keys=2, weight=8, prompt=4_800, answer=240),
        ),
    ),
    DemoProject(
        "Courrier et guichets",
        "CC-1041",
        16,
        (
            Application("Lecture du courrier", ("deepseek-ocr",), keys=4, weight=40, prompt=5_200, answer=1_400),
            Application("Tri du courrier", ("ministral-3:8b",), keys=3, weight=40, prompt=2_900, answer=60),
            Application("Guichet", (CHAT,), keys=48, weight=1, prompt=1_400, answer=300),
        ),
    ),
    DemoProject(
        "Service juridique",
        "CC-2010",
        15,
        (
            Application(
                "Analyse des marchés publics", ("qwen3.6:35b",), keys=3, weight=18, prompt=24_000, answer=1_500
            ),
            Application(
                "Résumé des délibérations", ("mistral-small4:119b",), keys=3, weight=14, prompt=18_500, answer=1_200
            ),
        ),
    ),
    DemoProject(
        "Bibliothèque et archives",
        "CC-3300",
        6,
        (
            Application("Indexation des fonds", (EMBEDDING,), keys=3, weight=54, prompt=2_400),
            Application(
                "Traduction des notices", ("translategemma:12b",), keys=2, weight=10, prompt=1_800, answer=1_700
            ),
            Application("Ancien catalogue", ("llama3.3:70b",), keys=2, weight=5, prompt=2_200, answer=600),
        ),
    ),
    DemoProject(
        "Équipe numérique",
        "CC-5000",
        18,
        (
            Application("Revue de code", ("devstral-small-2:24b",), keys=5, weight=26, prompt=14_200, answer=1_100),
            Application("Intégration continue", ("devstral-small-2:24b",), keys=20, weight=1, prompt=3_000, answer=400),
            Application("Banc d'essai", (CHAT, "qwen3.6:27b", "mistral-small4:119b"), keys=3, weight=3),
        ),
    ),
    DemoProject(
        "École et petite enfance",
        "CC-4100",
        4,
        (
            Application("Aide aux menus", ("gemma4:e4b",), keys=2, weight=3, prompt=600, answer=250),
            Application("Tablette", ("gemma4:e4b",), keys=60, weight=1, prompt=500, answer=200),
        ),
    ),
)


@dataclass(frozen=True)
class MadeKey:
    """A key, its application, and the time in which it was used."""

    key: ApiKey
    application: Application
    since: datetime
    until: datetime
    created_at: datetime
    is_first: bool
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


def has_past() -> bool:
    """Whether the ledger knows the demo's first organisation."""
    tenant = Tenant.objects.get(slug=TENANTS[0].slug)
    return UsageRecord.objects.filter(tenant_id=tenant.pk).exists()


def seed_past(now: datetime | None = None) -> int:
    """Give the demo's first organisation its past, unless it has one. Answers how many requests were written."""
    if has_past():
        return 0
    tenant = Tenant.objects.get(slug=TENANTS[0].slug)
    until = now or timezone.now()
    since = (until - timedelta(days=DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    past = Past(records=RECORDS, since=since, until=until)
    chance = random.Random(SEED)  # noqa: S311  # nothing secret comes of it
    with transaction.atomic():
        demo_history.begin(tenant)
        people = _people(tenant)
        keys = list(_keys(tenant, people, past, chance))
        demo_history.add_sources([source for made in keys for source in _sources(made, people)])
        _date_back(keys)
        _set_bounds(tenant)
    for written in demo_history.write(past):
        records = written
    demo_history.write_refusals(past, REFUSALS)
    demo_history.count_into_budgets(since)
    note_uses(tenant)
    return records


def _people(tenant: Tenant) -> list[Person]:
    """The developers of the organisation, all of whose people are made where they are missing."""
    by = Caller.system("demo", tenant)
    for demo in PEOPLE:
        person = demo_person(demo)
        assert demo.role is not None
        if not Membership.objects.filter(tenant=tenant, person=person).exists():
            add_member(by=by, person=person, role=demo.role)
    members = Membership.objects.filter(tenant=tenant, role=Role.DEVELOPER).select_related("person")
    return [member.person for member in members.order_by("person__email")]


def _keys(tenant: Tenant, people: list[Person], past: Past, chance: random.Random) -> Iterator[MadeKey]:
    known = {project.name: project for project in Project.objects.filter(tenant=tenant)}
    for demo in PROJECTS:
        project = known.get(demo.name) or create_project(tenant, demo.name, actor=ACTOR, cost_centre=demo.cost_centre)
        for application in demo.applications:
            answers = chance.choice(people)
            for number in range(application.keys):
                yield _key(project, application, number, past, chance, responsible=answers)
    playing = Application("", (CHAT,), weight=1, prompt=900, answer=500, reasoning=30)
    project = known.get("Équipe numérique") or Project.objects.get(tenant=tenant, name="Équipe numérique")
    for person in people:
        for place in ("portable", "essais"):
            named = Application(f"{person.name}, {place}", playing.models, keys=1, prompt=playing.prompt)
            yield _key(project, named, 0, past, chance, owner=person)


_ENVIRONMENTS = ("production", "préproduction", "recette", "développement", "secours", "formation")


def _key(
    project: Project,
    application: Application,
    number: int,
    past: Past,
    chance: random.Random,
    owner: Person | None = None,
    responsible: Person | None = None,
) -> MadeKey:
    name = application.name
    if application.keys > len(_ENVIRONMENTS):
        name = f"{name} {number + 1:02}"
    elif application.keys > 1:
        name = f"{name}, {_ENVIRONMENTS[number]}"
    policy = KeyPolicy(
        scopes=INFERENCE,
        allowed_models=application.models if chance.random() < 0.5 else (),
        ip_ranges=("10.20.0.0/16",) if chance.random() < 0.3 else (),
    )
    maker = Caller.system("demo", project.tenant)
    key, _ = mint_api_key(maker=maker, project=project, name=name, policy=policy, owner=owner, responsible=responsible)
    return _life(key, application, number, past, chance)


def _life(key: ApiKey, application: Application, number: int, past: Past, chance: random.Random) -> MadeKey:
    """Most keys are in use; some were revoked, have expired or soon will, or wait for their first request."""
    created = past.since - timedelta(days=chance.randrange(10, 260), hours=chance.randrange(24))
    luck = chance.random() if number else 0.5
    late = past.since + timedelta(days=chance.randrange(5, DAYS - 8), hours=chance.randrange(24))
    if luck < 0.06:
        return MadeKey(
            key, application, past.since, late, created, is_first=False, revoked_at=late + timedelta(hours=2)
        )
    if luck < 0.12:
        return MadeKey(key, application, past.since, late, created, is_first=False, expires_at=late)
    if luck < 0.2:
        soon = past.until + timedelta(days=chance.randrange(2, 13))
        return MadeKey(key, application, past.since, past.until, created, is_first=False, expires_at=soon)
    if luck < 0.3:
        return MadeKey(key, application, past.since, past.since, created, is_first=False)
    ends = past.until + timedelta(days=chance.randrange(60, 360)) if luck < 0.75 else None
    return MadeKey(key, application, past.since, past.until, created, is_first=number == 0, expires_at=ends)


def _sources(made: MadeKey, people: list[Person]) -> Iterable[Source]:
    """As many as the application's weight for the first of its keys, that of production; a few for each other."""
    application, key = made.application, made.key
    weight = application.weight if made.is_first else -(-application.weight // 12)
    owner = next((str(person.pseudonym) for person in people if person.pk == key.owner_id), None)
    models = itertools.islice(itertools.cycle(application.models), max(len(application.models), weight))
    for model in models:
        writes = model not in ENDPOINTS
        yield Source(
            key_id=key.pk,
            project_id=key.project_id,
            owner=owner,
            model=model,
            endpoint=ENDPOINTS.get(model, "/v1/chat/completions"),
            prompt=application.prompt,
            answer=application.answer if writes else 0,
            documents=25 if model == RERANK else 0,
            reasoning=application.reasoning if model == CHAT else 0,
            since=made.since,
            until=made.until,
        )


def _date_back(keys: list[MadeKey]) -> None:
    """No verb makes a key of last spring, nor one that has expired."""
    rows = [(made.created_at, made.expires_at, made.revoked_at, made.key.pk) for made in keys]
    with connection.cursor() as cursor:
        cursor.executemany(
            "update identity_apikey set created_at = %s, expires_at = %s, revoked_at = %s where id = %s", rows
        )


def _set_bounds(tenant: Tenant) -> None:
    """Budgets that a town would give itself, and a few limits."""
    limit = TENANT_BUDGET_EUR * EUR
    # It only alerts: whoever tries the demo with all their strength is not to be refused for a made-up past.
    set_budget(on=tenant, period=Budget.Period.MONTH, limit_nano_eur=limit, is_hard=False, actor=ACTOR)
    projects = {project.name: project for project in Project.objects.filter(tenant=tenant)}
    for demo in PROJECTS:
        set_budget(
            on=projects[demo.name], period=Budget.Period.MONTH, limit_nano_eur=demo.budget_eur * EUR, actor=ACTOR
        )
    busy = ApiKey.objects.get(tenant=tenant, name="Assistant des démarches, production")
    set_budget(on=busy, period=Budget.Period.DAY, limit_nano_eur=5 * EUR, actor=ACTOR)
    set_limit(on=busy, what=Limit.What.REQUESTS, window=Limit.Window.MINUTE, amount=120, actor=ACTOR)
    set_limit(on=busy, what=Limit.What.CONCURRENT, window=Limit.Window.NONE, amount=16, actor=ACTOR)
