"""The operator's first page and the set-up list."""

import os
from datetime import datetime, timedelta

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from billing.limits.budgets import set_budget
from billing.models import BudgetPeriod
from billing.usage.platform_pulse import platform_pulse, tenants_near_cap
from console.celery import scheduled_tasks
from console.operator_jobs import TITLES, jobs
from console.release import pending_migrations
from console.set_up_list import State, set_up_lines
from gateway.pools.health import models_health
from gateway.pools.models import Pool, Replica
from identity.jobs import note_run
from identity.models import IdentityProvider, JobRun, OperatorRole, Tenant
from tests.console.sign_in.conftest import switch_platform_providers_off, use_platform_provider
from tests.support.console import page, signed_in
from tests.support.ledger import LedgerGateway, house_of, ledger_gateway, make_model, unique
from tests.support.people import TESTS, make_cast, make_key, make_operator
from tests.support.rude_provider import rude_provider

pytestmark = pytest.mark.usefixtures("database")
JOB = "identity.deliver_notices"


def serve(*states: Replica.State) -> str:
    model = make_model()
    pool = Pool.objects.create(name=unique("pool"), model=model, served_name="m")
    for number, state in enumerate(states):
        Replica.objects.create(pool=pool, name=f"r{number}", url=f"http://127.0.0.1:{number + 1}", state=state)
    return model.name


def test_a_model_answers_is_short_of_a_replica_or_is_away() -> None:
    ready, failed = Replica.State.READY, Replica.State.FAILED
    make_cast()
    whole, short, away = serve(ready, ready), serve(ready, failed), serve(failed)
    found = {one.name: one.state for one in models_health(timezone.now())}
    assert (found[whole], found[short], found[away]) == ("answers", "degraded", "away")
    shown = page(signed_in(make_operator()).get(reverse("operator-overview")))
    assert shown.index(away) < shown.index(whole)
    assert "does not answer" in shown


def counted(gateway: LedgerGateway, now: datetime) -> tuple[int, int]:
    """How many requests more the pulse tells after one of a client's, and after its account was the platform's own."""
    cast = make_cast()
    house, (key, _) = house_of(cast.tenant), make_key(cast.tenant)
    before = platform_pulse(now).requests
    gateway.complete(house, key)
    after = platform_pulse(now).requests
    Tenant.objects.filter(pk=house.tenant.pk).update(is_platform=True)
    try:  # what probes ask is nobody's request
        of_platform = platform_pulse(now).requests
    finally:
        Tenant.objects.filter(pk=house.tenant.pk).update(is_platform=False)
    return after - before, of_platform - before


def test_the_pulse_counts_what_was_answered_just_now() -> None:
    now = timezone.now()
    with ledger_gateway(os.environ["DATABASE_GATEWAY_URL"]) as gateway:
        # What other tests left running may end meanwhile: of some tries one is undisturbed.
        assert (1, 0) in (counted(gateway, now) for _ in range(10))
    after = platform_pulse(now)
    assert after.requests_a_second == after.requests / after.seconds
    assert platform_pulse(now + timedelta(days=3650)).requests == 0  # other tests answer in a future that is nearer


def test_a_tenant_near_its_cap_is_named_and_one_that_is_not_is_not() -> None:
    near, far = make_cast(), make_cast()
    with ledger_gateway(os.environ["DATABASE_GATEWAY_URL"]) as gateway:
        for cast, limit in ((near, None), (far, 10**15)):
            key, _ = make_key(cast.tenant)
            budget = set_budget(on=cast.tenant, period="month", limit_nano_eur=limit or 10**12, actor=TESTS)
            gateway.complete(house_of(cast.tenant), key)
            if limit is None:
                spent = BudgetPeriod.objects.get(budget_id=budget.pk).spent_nano_eur
                set_budget(on=cast.tenant, period="month", limit_nano_eur=spent + 1, actor=TESTS)
    slugs = [one.slug for one in tenants_near_cap()[0]]
    assert near.tenant.slug in slugs
    assert far.tenant.slug not in slugs


def test_a_job_that_fails_is_told_by_its_errors_class_until_it_goes_well() -> None:
    JobRun.objects.filter(name=JOB).delete()
    make_cast()
    serve(Replica.State.READY)
    note_run(JOB, began_at=timezone.now(), error=ValueError("the secret is 1234"))
    operator = signed_in(make_operator())
    shown = page(operator.get(reverse("operator-overview")))
    assert "ValueError" in shown
    assert "1234" not in shown
    note_run(JOB, began_at=timezone.now())
    assert next(job for job in jobs() if job.name == JOB).state == "well"
    JobRun.objects.filter(name=JOB).update(began_at=timezone.now() - timedelta(minutes=10))
    assert next(job for job in jobs() if job.name == JOB).state == "late"
    JobRun.objects.filter(name=JOB).delete()


def test_a_job_is_run_now_by_who_operates_and_no_other_task_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("console.operator_jobs.app.send_task", lambda name, **options: asked.append(name))
    run, client = reverse("operator-job-run", kwargs={"job": JOB}), signed_in(make_operator())
    shown = page(client.post(run, follow=True))
    assert "Deliver notices" in shown
    assert asked == [JOB]
    assert client.post(run.replace(JOB, "identity.verify_audit_chain")).status_code == 404
    assert signed_in(make_operator(OperatorRole.SUPPORT)).post(run).status_code == 403
    assert asked == [JOB]


def test_the_schema_is_in_place() -> None:
    assert pending_migrations() == []


class TestSetUp:
    def states(self) -> dict[str, State]:
        return {line.key: line.state for line in set_up_lines()}

    def test_a_line_says_what_is_done_missing_or_broken(self, settings: Settings) -> None:
        settings.PUBLIC_URL, settings.MAIL_IS_SET_UP = "http://127.0.0.1:8000", False
        assert (self.states()["address"], self.states()["mail"]) == (State.MISSING, State.MISSING)
        settings.PUBLIC_URL = "http://models.example.org"
        assert self.states()["address"] == State.BROKEN
        settings.PUBLIC_URL = "https://models.example.org"
        assert self.states()["address"] == State.DONE
        make_cast()
        assert self.states()["tenant"] == State.DONE
        assert self.states()["backup"] == State.MISSING
        settings.OPERATOR_URL = settings.PUBLIC_URL
        page(signed_in(make_operator()).get(reverse("operator-set-up")))

    def test_a_providers_test_says_what_is_wrong(self, settings: Settings) -> None:
        settings.PRIVATE_PROVIDER_HOSTS = frozenset({"127.0.0.1"})
        operator = signed_in(make_operator())
        address = reverse("operator-set-up-try", kwargs={"line": "operators"})
        assert operator.post(address).status_code == 404
        with rude_provider() as provider:
            use_platform_provider(IdentityProvider.Audience.OPERATORS, provider.issuer)
            provider.status = 503
            shown = page(operator.post(address, follow=True))
        switch_platform_providers_off()
        assert "The provider&#x27;s metadata" in shown

    def test_a_test_mail_goes_to_who_asked(self, settings: Settings) -> None:
        settings.MAIL_IS_SET_UP, settings.EMAIL_HOST = True, "mail.example.org"
        operator = make_operator()
        shown = page(signed_in(operator).post(reverse("operator-set-up-try", kwargs={"line": "mail"}), follow=True))
        assert operator.email in shown
        assert [message.to for message in mail.outbox] == [[operator.email]]

    def test_only_who_operates_the_platform_tries(self) -> None:
        address = reverse("operator-set-up-try", kwargs={"line": "mail"})
        assert signed_in(make_operator(OperatorRole.SUPPORT)).post(address).status_code == 403

    def test_an_empty_installation_begins_with_the_list(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("console.views.operator.overview.models_health", lambda _: [])
        assert "Nobody can be served yet" in page(signed_in(make_operator()).get(reverse("operator-overview")))
        monkeypatch.undo()
        serve(Replica.State.FAILED)
        make_cast()
        assert "Nobody can be served" not in page(signed_in(make_operator()).get(reverse("operator-overview")))


def test_every_job_has_a_title_that_people_read() -> None:
    assert scheduled_tasks().keys() == TITLES.keys()
