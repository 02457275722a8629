"""Settings that tell how it stands: mail, identity, retention."""

from datetime import datetime, timedelta

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from console.retention import kept_rows
from identity import providers
from identity.jobs import note_run
from identity.mail_deliveries import recent_mail
from identity.models import JobRun, Notice, NoticeDelivery, OperatorRole
from identity.notice_delivery import forget_old_notices
from identity.notices import notify
from identity.provider_list import platform_doors, tenants_doors
from identity.providers import ProviderSettings
from identity.service import KnownService, read_service
from tests.support.console import page, signed_in
from tests.support.operators import RUNS
from tests.support.people import Cast, as_member, make_cast, make_operator
from tests.support.service import service_said

pytestmark = pytest.mark.usefixtures("database")
FORGETS = "identity.forget_notices"


class TestMail:
    def test_the_server_is_told_but_never_its_password(self, settings: Settings) -> None:
        shown = page(signed_in(make_operator()).get(reverse("operator-mail")))
        assert "BEFFROI_MAIL_URL" in shown
        assert "Send me a test mail" not in shown
        settings.MAIL_IS_SET_UP, settings.EMAIL_HOST, settings.EMAIL_PORT = True, "mail.example.org", 587
        settings.EMAIL_USE_TLS, settings.DEFAULT_FROM_EMAIL = True, "noreply@example.org"
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "beffroi", "hunter2-secret"
        shown = page(signed_in(make_operator()).get(reverse("operator-mail")))
        for told in ("mail.example.org:587", "STARTTLS", "noreply@example.org", ">beffroi<"):
            assert told in shown
        assert "hunter2-secret" not in shown

    def test_a_mail_that_did_not_leave_is_told_without_its_recipient(self, settings: Settings) -> None:
        cast, settings.MAIL_IS_SET_UP, settings.EMAIL_HOST = make_cast(), True, "mail.example.org"
        context = {"model": "m", "ends_on": "2027-03-01", "replacement": "large"}
        notice = notify(cast.tenant, "model.deprecated", context=context)
        late = NoticeDelivery.objects.filter(notice=notice, channel="email", person=cast.alice)
        late.update(state="given_up", fault="mail_refused", fault_status=550, attempts=10, next_try_at=None)
        assert late.get() in recent_mail().failures
        shown = page(signed_in(make_operator()).get(reverse("operator-mail")))
        assert "The mail server did not accept it." in shown
        assert "550" in shown
        assert cast.alice.email not in shown
        assert cast.tenant.slug not in shown
        late.update(state="sent", sent_at=timezone.now(), fault="", fault_status=None)
        assert late.get() not in recent_mail().failures

    def test_the_try_comes_back_to_the_page_that_asked_and_nowhere_else(self, settings: Settings) -> None:
        settings.MAIL_IS_SET_UP, settings.EMAIL_HOST = True, "mail.example.org"
        operator = make_operator()
        address, client = reverse("operator-set-up-try", kwargs={"line": "mail"}), signed_in(operator)
        assert client.post(address, {"back": "operator-mail"})["Location"] == reverse("operator-mail")
        assert client.post(address, {"back": "//evil.example"})["Location"] == reverse("operator-set-up")
        assert [message.to for message in mail.outbox] == [[operator.email]] * 2


class TestIdentity:
    def test_an_organisations_provider_is_told_with_its_state(self) -> None:
        cast = make_cast()
        issuer = f"https://{cast.tenant.slug}.example/realm"
        settings = ProviderSettings(issuer=issuer, client_id="beffroi", client_secret="s")
        version = providers.prepare_version(by=as_member(cast.alice, cast.tenant), settings=settings)
        assert self.door(cast) == ("draft", None)
        providers.mark_tried(version, person=cast.alice, now=timezone.now())
        assert self.door(cast) == ("tried", None)
        providers.activate(version, by=as_member(cast.alice, cast.tenant), now=timezone.now())
        assert self.door(cast) == ("active", None)
        after = version.provider_id - 1
        shown = page(signed_in(make_operator()).get(reverse("operator-identity"), {"after": after}))
        assert issuer in shown
        assert reverse("operator-tenant", kwargs={"slug": cast.tenant.slug}) in shown
        version.provider.versions.update(state="off")
        assert self.door(cast) == ("off", None)

    def door(self, cast: Cast) -> tuple[str, datetime | None]:
        provider = providers.provider_of(cast.tenant)
        assert provider is not None
        doors, _further = tenants_doors(RUNS, after=provider.pk - 1)
        assert doors[0].provider == provider
        return doors[0].state, doors[0].used_at

    def test_the_platforms_doors_are_told_or_told_to_be_missing(self) -> None:
        shown = page(signed_in(make_operator(OperatorRole.SUPPORT)).get(reverse("operator-identity")))
        assert "manage.py set_up_provider operators" in shown
        assert "manage.py set_up_provider shared" in shown
        assert platform_doors(RUNS).keys() <= {"operators", "shared"}


class TestRetention:
    def test_each_kind_says_how_long_it_is_kept_and_what_sees_to_it(self) -> None:
        before = JobRun.objects.filter(name=FORGETS).values().first()
        note_run(FORGETS, began_at=timezone.now())
        rows = {str(row.title): row for row in kept_rows(KnownService(usage_months=24))}
        assert str(rows["Usage records"].kept) == "24 months after their own"
        assert rows["Audit"].oldest is not None
        job = rows["Notices and their mails"].job
        assert job is not None
        assert job.state == "well"
        assert [str(row.title) for row in rows.values() if row.is_settable] == ["Usage records"]
        JobRun.objects.filter(name=FORGETS).delete()
        if before:
            JobRun.objects.create(**before)
        page(signed_in(make_operator()).get(reverse("operator-retention")))

    def test_a_notice_that_is_older_than_the_page_says_is_removed(self) -> None:
        cast = make_cast()
        context = {"model": "m", "ends_on": "2027-03-01", "replacement": "large"}
        notice = notify(cast.tenant, "model.deprecated", context=context)
        for days, is_there in ((399, True), (401, False)):
            Notice.objects.filter(pk=notice.pk).update(created_at=timezone.now() - timedelta(days=days))
            forget_old_notices()
            assert Notice.objects.filter(pk=notice.pk).exists() is is_there
        assert str(next(row.kept for row in kept_rows(KnownService()) if "Notices" in str(row.title))) == "400 days"

    def test_usage_records_stay_within_bounds(self) -> None:
        operator, change = signed_in(make_operator()), reverse("operator-retention-change")
        with service_said():
            shown = page(operator.post(change, {"usage_months": "36"}, follow=True))
            assert "36 months after their own" in shown
            assert "greater than or equal to 13" in page(operator.post(change, {"usage_months": "12"}))
            assert read_service().usage_months == 36
            assert (
                signed_in(make_operator(OperatorRole.SUPPORT)).post(change, {"usage_months": "40"}).status_code == 403
            )
