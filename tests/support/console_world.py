"""An organisation in which every page has something to show, and a value for each part of an address."""

import os
from dataclasses import dataclass, replace
from datetime import date, timedelta

from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from billing.contracts.agreements import AgreementWish, put_agreement
from billing.contracts.contracts import contract_in_force
from billing.contracts.terms import TermWish, add_term, this_month
from billing.credit.moves import Payment, correct_credit, record_payment
from billing.exports.of_all import schedule_export_of_all, schedules_of_all
from billing.exports.schedules import schedule_export
from billing.limits.budgets import set_budget
from billing.limits.limits import set_limit
from billing.models import Agreement, Contract, ContractTerm, CreditOrder, Export, ExportSchedule
from billing.tenants.organisation_rules import RuleWish, put_rule
from gateway.pools.fleet.events import note_node
from gateway.pools.fleet.managed_pools import Count, Wish, manage_pool
from gateway.pools.fleet.nodes import add_node
from gateway.pools.fleet_tables import EngineLog, Node, Setback
from gateway.pools.models import Pool, Replica
from gateway.pools.registry import register_pool
from identity.access_reviews import start_review
from identity.invitations import invite
from identity.log_exports import ExportSettings, Protocol, add_export
from identity.models import (
    AccessRequest,
    LogExport,
    NoticeDelivery,
    OperatorRole,
    OrganisationRule,
    Person,
    Role,
)
from identity.notices import notify
from identity.operators import appoint_operator
from identity.support_sessions import open_session
from identity.webhooks import add_webhook
from tests.support import exported
from tests.support.invoices import filed
from tests.support.ledger import house_of, ledger_gateway, make_model, unique
from tests.support.operators import RUNS
from tests.support.payers import paying
from tests.support.people import TESTS, Cast, as_member, make_cast, make_key, make_operator, make_person


@dataclass(frozen=True)
class ConsoleWorld:
    """The cast, and what the addresses of its tenant's pages are made with."""

    cast: Cast
    values: dict[str, object]
    operator: Person

    def reader(self, route: "Route") -> Person:
        """Who may see a page: alice, or who runs the platform in every role."""
        return self.operator if route.is_of_operators else self.cast.alice

    def address(self, route: "Route") -> str:
        """The address of a page here. Fails where a part of it has no value yet: add one to `make_console_world`."""
        missing = set(route.parts) - self.values.keys()
        assert not missing, f"{route.name}: no value for {missing} in tests/support/console_world.py"
        from django.urls import reverse

        return reverse(route.name, kwargs={part: self.values[part] for part in route.parts})


@dataclass(frozen=True)
class Route:
    """An address of the console: its name, the names of its parts, and the view."""

    name: str
    parts: tuple[str, ...]
    view: object

    @property
    def is_of_tenant(self) -> bool:
        """Whether it lies under `/t/<slug>/`."""
        return hasattr(self.view, "permission")

    @property
    def is_of_operators(self) -> bool:
        """Whether it is a page of the operator's console."""
        return hasattr(self.view, "operator_permission")

    @property
    def methods(self) -> tuple[str, ...]:
        """What the view takes, as its `require_...` decorators say."""
        return getattr(self.view, "methods", ("GET",))


def make_console_world() -> ConsoleWorld:
    """alice's tenant, with a key and a request; its names are as wide as one word can be."""
    cast = make_cast()
    _widen_names(cast)
    key, _ = make_key(cast.tenant)
    house = house_of(cast.tenant)
    with ledger_gateway(os.environ["DATABASE_GATEWAY_URL"]) as gateway:
        request_id = gateway.complete(house, key)
    budget = set_budget(on=cast.project, period="month", limit_nano_eur=10**12, actor=TESTS)
    limit = set_limit(on=cast.project, what="requests", window="minute", amount=1_000, actor=TESTS)
    agreement, term = _agreed(cast)
    values: dict[str, object] = {
        "agreement_id": agreement.pk,
        "term_id": term.pk,
        "slug": cast.tenant.slug,
        "lookup": key.lookup,
        "code": contract_of(cast).tier.code,
        "project_id": cast.project.pk,
        "pseudonym": cast.bob.pseudonym,
        "request_id": request_id,
        "rule_id": 1,
        "token_id": 1,
        "model": house.model.name,
        "model_id": house.model.pk,
        "replica_id": 0,
        "pool_id": register_pool(model=house.model, served_name="m", actor=TESTS).pk,
        "act": "drain",
        "budget_id": budget.pk,
        "limit_id": limit.pk,
        "sequence": 1,
        "kind": "csv",
        "line": "model",
        "role": "support",
        "job": "pools.probe_replicas",
        "part": "names",
        "digest": "0" * 64,
        "export_id": _collector().pk,
        "rule": _rule().code,
        "list_id": contract_of(cast).rate_card_id,
        "file_id": exported.finish(exported.ask_of_all(RUNS, "days")).export.public_id,
        "public_id": exported.finish(exported.ask(house)).export.public_id,
        "schedule_id": _monthly(cast).pk,
        "monthly_id": _monthly_of_all().pk,
        "month": "2026-10",
        "subject": "bank",
        "version_id": house.price_version.pk,
        **_paid(cast),
        "invoice_id": filed(cast.tenant).public_id,
        "order_id": _order(cast).pk,
    }
    values["name"] = _wide_node()
    values["log_id"] = EngineLog.objects.get(pool=values["name"]).pk
    operator = make_operator()
    for role in OperatorRole:
        appoint_operator(operator, role, actor=TESTS)
    return ConsoleWorld(cast, values | _told(cast) | _of_people(cast), operator)


def _wide_node() -> str:
    """A node and a managed pool of one name: a replica that failed there, one that runs, and what happened."""
    name = unique("m" * 30)[:60]
    node, _ = add_node(name=name, labels={"site": "m" * 40}, by=RUNS)
    wish = Wish(gpu_memory_mb=40_000, labels={"site": "n" * 40}, weights={"source": "path", "location": "/" + "w" * 60})
    pool = manage_pool(model=make_model(), wish=wish, count=Count(0, 4, 3), by=RUNS)
    Pool.objects.filter(pk=pool.pk).update(name=name)
    gpus = [{"index": index, "memory_mb": 143_771, "used_mb": 900, "name": "NVIDIA H200"} for index in range(2)]
    Node.objects.filter(pk=node.pk).update(observed={"address": "10.0.0.5", "gpus": gpus}, reported_at=timezone.now())
    Replica.objects.create(
        pool_id=pool.pk, name=f"{name}/1", url=f"node://{name}/1", node=name, machine=node, gpus=[0], generation=1,
        source=Replica.Source.FLEET, state=Replica.State.STARTING, state_since=timezone.now(),
        observed={"state": "fetching", "percent": 40},
    )  # fmt: skip
    Setback.objects.create(
        pool_id=pool.pk, generation=1, node=node, failures=2, last_at=timezone.now(), reason="W" * 120
    )
    note_node(node, "reports")
    EngineLog.objects.create(pool=name, replica=f"{name}/1", node=name, at=timezone.now(), text=f"{'w' * 200}\n" * 200)
    return name


def _widen_names(cast: Cast) -> None:
    """Words of many wide letters, that no line breaks by itself: a page has to hold them on a narrow screen."""
    wide = "m" * 32
    cast.tenant.slug = f"{wide}-{cast.tenant.pk}"
    cast.tenant.name = f"Rindfleischetikettierungsüberwachungs{wide}"
    cast.tenant.save(update_fields=["slug", "name"])
    cast.project.cost_centre = wide.upper()
    cast.project.save(update_fields=["cost_centre"])


def _order(cast: Cast) -> CreditOrder:
    """An order of credit that is open, beside credit that came in and that was taken back."""
    payment = Payment(500 * 10**9, date(2026, 11, 20), "m" * 32, "M" * 32)
    record_payment(by=RUNS, tenant=cast.tenant, payment=payment)
    correct_credit(by=RUNS, tenant=cast.tenant, amount_nano_eur=-(10**9), reason="m" * 32, idempotency_key="a")
    return CreditOrder.objects.create(
        tenant=cast.tenant, amount_nano_eur=200 * 10**9, purchase_order="M" * 32, ordered_by=cast.alice
    )


def _agreed(cast: Cast) -> tuple[Agreement, ContractTerm]:
    """What is agreed on its contract and its bill, one of each kind."""
    limits = [{"what": "requests", "window": "minute", "amount": 999_999_999}]
    paper = AgreementWish(
        reference="W" * 60, document_url=f"https://example.org/{'w' * 80}", support_class="Day and night"
    )
    wish = replace(paper, limits=limits, is_cap_agreed=True, availability_millionths=999_000)
    agreement, _ = put_agreement(by=RUNS, tenant=cast.tenant, wish=wish)
    first = this_month(cast.tenant)
    last = first.replace(year=first.year + 1)
    steps = [
        {"above_nano_eur": 10**15, "share_millionths": 50_000},
        {"above_nano_eur": 10**16, "share_millionths": 125_000},
    ]
    commitment = TermWish("commitment", first, last, "M" * 60, amount_nano_eur=10**15, share_millionths=100_000)
    add_term(by=RUNS, tenant=cast.tenant, wish=TermWish("steps", first, steps=steps))
    add_term(by=RUNS, tenant=cast.tenant, wish=commitment)
    add_term(by=RUNS, tenant=cast.tenant, wish=TermWish("fee", first, description="Support", amount_nano_eur=10**11))
    return agreement, add_term(by=RUNS, tenant=cast.tenant, wish=TermWish("percent", first, share_millionths=20_000))[0]


def _paid(cast: Cast) -> dict[str, object]:
    """alice's firm pays for another organisation too."""
    payer = paying(cast.strangers, cast.charlie, cast.alice)
    return {"payer_id": payer.pk, "paid_id": filed(cast.strangers).public_id, "ending": "pdf"}


def _monthly(cast: Cast) -> ExportSchedule:
    """An export of every month."""
    by = as_member(cast.alice, cast.tenant)
    return schedule_export(by=by, kind=Export.Kind.DAYS, file_format=Export.Format.XLSX)


def _monthly_of_all() -> ExportSchedule:
    """One of all organisations; the only one, however many worlds there are."""
    known = schedules_of_all(RUNS).first()
    return known or schedule_export_of_all(by=RUNS, content=Export.Kind.FOCUS, file_format=Export.Format.PARQUET)


def _rule() -> OrganisationRule:
    """A rule about groups that nobody is in; the only one, however many worlds there are."""
    wide = "m" * 32
    wish = RuleWish(pattern=f"{wide}-*", role=Role.DEVELOPER)
    return put_rule(by=RUNS, code="wide", wish=wish)[0]


def _collector() -> LogExport:
    """A collector of the audit that nobody listens at; the only one, however many worlds there are."""
    address = "127.0.0.1:9"
    found = LogExport.objects.filter(address=address).first()
    settings = ExportSettings("Archive", Protocol.SYSLOG_TCP, address)
    return found or add_export(by=RUNS, settings=settings, from_beginning=False)


def _told(cast: Cast) -> dict[str, object]:
    """Notices to alice, one of which asks, and a webhook that one of them is on its way to; a session to end."""
    webhook, _ = add_webhook(by=as_member(cast.alice, cast.tenant), name="Alarms", url="https://hooks.example.org/in")
    context = {"model": "small", "ends_on": "2027-03-01", "replacement": "large", "answer_by_on": "2027-01-15"}
    notify(cast.tenant, "model.deprecated", context=context)
    asking = notify(cast.tenant, "model.withdrawal_proposed", context=context)
    delivery = NoticeDelivery.objects.get(notice=asking, webhook=webhook)
    NoticeDelivery.objects.filter(webhook=webhook).update(state="given_up", fault="timed_out", next_try_at=None)
    return {
        "notice_id": asking.pk,
        "webhook_id": webhook.public_id,
        "delivery_id": delivery.public_id,
        "session_id": 0,
    }


def _of_people(cast: Cast) -> dict[str, object]:
    """Somebody invited, somebody who asks, an operator who looks in, and a review under way."""
    alice = as_member(cast.alice, cast.tenant)
    invitation = invite(by=alice, email=f"erin-{cast.tenant.pk}@example.org", role=Role.DEVELOPER)
    asked = AccessRequest.objects.create(person=make_person("frank"), tenant=cast.tenant, message="I am new here")
    session = open_session(
        operator=make_operator(), slug=cast.tenant.slug, reason="Ticket 4711", duration=timedelta(hours=1)
    )
    review = start_review(by=alice)
    return {
        "invitation_id": invitation.pk,
        "asked_id": asked.pk,
        "support_id": session.pk,
        "review_id": review.pk,
        "line_id": review.lines.get(person=cast.bob).pk,
    }


def contract_of(cast: Cast) -> Contract:
    """The contract of the cast's tenant."""
    found = contract_in_force(cast.tenant)
    assert found is not None
    return found


def console_routes() -> list[Route]:
    """Every address of the console that has a name, by name; those of the API are not among them."""
    found = {route.name: route for route in _routes(get_resolver().url_patterns, ()) if "console." in _home(route.view)}
    return [found[name] for name in sorted(found)]


def _routes(patterns: list[URLPattern | URLResolver], above: tuple[str, ...]) -> list[Route]:
    routes = []
    for pattern in patterns:
        parts = above + tuple(pattern.pattern.converters)
        if isinstance(pattern, URLResolver):
            routes += _routes(pattern.url_patterns, parts)
        elif pattern.name:
            routes.append(Route(pattern.name, parts, pattern.callback))
    return routes


def _home(view: object) -> str:
    return f"{getattr(view, '__module__', '')}."
