"""Notices on their way out: once by our books, however many workers there are and whichever of them is killed."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook as Oracle

from identity import notice_delivery
from identity.access import Caller
from identity.members import remove_member
from identity.models import Channel, Notice, NoticeDelivery, Webhook
from identity.notice_delivery import PAUSES, deliver_due
from identity.notices import inbox, notify
from identity.webhooks import add_webhook, rotate_webhook_secret, send_again, try_webhook
from tests.architecture.sources import ROOT
from tests.identity.rude_server import Server, serving
from tests.support.mail_server import mail_server
from tests.support.people import Cast, as_member, make_quiet_cast

pytestmark = pytest.mark.usefixtures("database")

State, Fault = NoticeDelivery.State, NoticeDelivery.Fault
TAKEN = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
ENDS = {"model": "small", "ends_on": "2027-03-01", "replacement": "large"}


@pytest.fixture(autouse=True)
def private_webhooks(settings: Settings) -> None:
    """Our receivers are on this machine."""
    settings.WEBHOOKS_MAY_BE_PRIVATE = True


@pytest.fixture
def cast() -> Cast:
    """What other tests left unsent is not this one's."""
    NoticeDelivery.objects.filter(next_try_at__isnull=False).update(state=State.GIVEN_UP, next_try_at=None)
    return make_quiet_cast()


def owner(cast: Cast) -> Caller:
    return as_member(cast.alice, cast.tenant)


def hook(cast: Cast, server: Server, **more: Any) -> tuple[Webhook, str]:
    return add_webhook(by=owner(cast), name="ours", url=f"http://127.0.0.1:{server.port}/hook", **more)


def tell(cast: Cast) -> NoticeDelivery:
    """A notice, as it is on its way to the tenant's webhook."""
    notice = notify(cast.tenant, "model.deprecated", context=ENDS)
    return NoticeDelivery.objects.get(notice=notice, channel=Channel.WEBHOOK)


def taken_apart(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    pairs = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value for name, _, value in pairs}, body


def verified(request: bytes, secret: str) -> Any:
    headers, body = taken_apart(request)
    return Oracle(secret).verify(body, headers)


def make_due(delivery: NoticeDelivery) -> None:
    NoticeDelivery.objects.filter(pk=delivery.pk).update(next_try_at=timezone.now() - timedelta(seconds=1))


def test_a_webhook_gets_a_signed_message(cast: Cast) -> None:
    with serving(TAKEN) as server:
        _, secret = hook(cast, server)
        delivery = tell(cast)
        assert deliver_due() == 1
        assert deliver_due() == 0
    [request] = server.asked
    message = verified(request, secret)
    assert message["type"] == "model.deprecated"
    assert message["data"]["title"] == "small ends on 1 March 2027"
    assert message["data"]["context"] == ENDS
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.fault_status) == (State.SENT, 1, 204)


def test_a_webhook_gets_only_the_kinds_it_asked_for(cast: Cast) -> None:
    with serving(TAKEN) as server:
        hook(cast, server, kinds=["api_key.blocked"])
        notice = notify(cast.tenant, "model.deprecated", context=ENDS)
    assert not notice.deliveries.filter(channel=Channel.WEBHOOK).exists()


def test_after_a_rotation_both_secrets_verify_for_a_day(cast: Cast) -> None:
    with serving(TAKEN) as server:
        webhook, old = hook(cast, server)
        _, new = rotate_webhook_secret(by=owner(cast), public_id=webhook.public_id)
        tell(cast)
        deliver_due()
        Webhook.objects.filter(pk=webhook.pk).update(old_secret_until=timezone.now())
        tell(cast)
        deliver_due()
    during, after = server.asked
    assert verified(during, old) == verified(during, new)
    verified(after, new)
    with pytest.raises(Exception, match="No matching signature"):
        verified(after, old)


def test_a_failure_is_tried_again_later_with_the_same_id(cast: Cast) -> None:
    answers = iter([BROKEN, TAKEN])
    with serving(lambda connection: connection.sendall(next(answers))) as server:
        hook(cast, server)
        delivery = tell(cast)
        deliver_due()
        delivery.refresh_from_db()
        assert (delivery.state, delivery.fault, delivery.fault_status) == (State.FAILED, Fault.STATUS, 500)
        assert delivery.next_try_at is not None
        pause = delivery.next_try_at - timezone.now()
        assert PAUSES[0] - timedelta(seconds=5) < pause < 1.2 * PAUSES[0]
        assert deliver_due() == 0
        make_due(delivery)
        assert deliver_due() == 1
    first, second = (taken_apart(request) for request in server.asked)
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    assert first[1] == second[1]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.fault, delivery.attempts) == (State.SENT, Fault.NONE, 2)


def test_who_is_gone_is_not_asked_again(cast: Cast) -> None:
    with serving(GONE) as server:
        webhook, _ = hook(cast, server)
        delivery, waiting = tell(cast), tell(cast)
        make_due(delivery)
        deliver_due(limit=1)
        deliver_due()
    delivery.refresh_from_db()
    webhook.refresh_from_db()
    waiting.refresh_from_db()
    assert (delivery.state, delivery.fault, webhook.status) == (State.GIVEN_UP, Fault.GONE, Webhook.Status.GONE)
    assert waiting.state == State.GIVEN_UP
    assert len(server.asked) == 1
    assert "webhook.disabled" in [entry.notice.kind for entry in inbox(cast.alice)]
    assert "webhook.disabled" not in [entry.notice.kind for entry in inbox(cast.bob)]


def test_after_days_of_failures_a_webhook_is_given_up(cast: Cast) -> None:
    with serving(BROKEN) as server:
        webhook, _ = hook(cast, server)
        delivery = tell(cast)
        for _ in range(len(PAUSES) + 1):
            make_due(delivery)
            assert deliver_due() == 1
    delivery.refresh_from_db()
    webhook.refresh_from_db()
    assert (delivery.state, delivery.attempts, webhook.status) == (State.GIVEN_UP, 10, Webhook.Status.FAILING)
    assert timedelta(days=3) < sum(PAUSES, timedelta()) < timedelta(days=4)


def test_I8_a_private_target_is_refused_unless_the_operator_allows_it(cast: Cast, settings: Settings) -> None:
    with serving(TAKEN) as server:
        webhook, _ = hook(cast, server)
        settings.WEBHOOKS_MAY_BE_PRIVATE = False
        delivery = try_webhook(by=owner(cast), public_id=webhook.public_id)
    assert server.asked == []
    assert (delivery.state, delivery.fault) == (State.GIVEN_UP, Fault.PRIVATE)


def test_a_test_goes_to_one_webhook_and_to_no_inbox(cast: Cast) -> None:
    with serving(TAKEN) as server, serving(TAKEN) as other:
        webhook, secret = hook(cast, server)
        hook(cast, other)
        delivery = try_webhook(by=owner(cast), public_id=webhook.public_id)
        again = send_again(by=owner(cast), public_id=webhook.public_id, delivery_id=delivery.public_id)
    assert delivery.state == again.state == State.SENT
    assert [verified(request, secret)["type"] for request in server.asked] == ["webhook.tested"] * 2
    assert other.asked == []
    assert inbox(cast.alice) == []


def test_two_workers_send_each_notice_once(cast: Cast) -> None:
    def work(_: int) -> int:
        try:
            return deliver_due(limit=3) + deliver_due(limit=3) + deliver_due(limit=3)
        finally:
            connection.close()

    with serving(TAKEN) as server:
        hook(cast, server)
        deliveries = [tell(cast) for _ in range(12)]
        with ThreadPoolExecutor(4) as workers:
            assert sum(workers.map(work, range(4))) == 12
    ids = [taken_apart(request)[0]["webhook-id"] for request in server.asked]
    assert sorted(ids) == sorted(f"msg_{delivery.public_id.hex}" for delivery in deliveries)


def test_a_worker_killed_after_sending_is_made_up_for(cast: Cast) -> None:
    """At least once to the outside, always with one id; exactly once in the inbox and in the books."""
    program = "import django; django.setup(); from identity.notice_delivery import deliver_due; deliver_due()"
    environment = os.environ | {"BEFFROI_PRIVATE_WEBHOOKS": "1", "DJANGO_SETTINGS_MODULE": "console.settings"}
    is_killed = threading.Event()

    def take_and_kill(connection: Any) -> None:
        if not is_killed.is_set():
            worker.send_signal(signal.SIGKILL)
            worker.wait(timeout=10)
            is_killed.set()
        connection.sendall(TAKEN)

    with serving(take_and_kill) as server:
        hook(cast, server)
        delivery = tell(cast)
        worker = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment)
        assert is_killed.wait(30)
        delivery.refresh_from_db()
        assert (delivery.state, delivery.attempts) == (State.PENDING, 1)
        assert deliver_due() == 0  # its lease runs
        make_due(delivery)
        assert deliver_due() == 1
    first, second = (taken_apart(request)[0]["webhook-id"] for request in server.asked)
    assert first == second
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (State.SENT, 2)
    assert [entry.notice for entry in inbox(cast.bob)] == [delivery.notice]
    assert NoticeDelivery.objects.filter(notice=delivery.notice, channel=Channel.WEBHOOK).count() == 1


def test_who_comes_back_after_its_lease_marks_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(BROKEN) as server:
        hook(cast, server)
        delivery = tell(cast)
        marked = notice_delivery._mark
        stale: list[Any] = []
        monkeypatch.setattr(notice_delivery, "_mark", lambda *arguments: stale.append(arguments))
        deliver_due()
        make_due(delivery)
        monkeypatch.setattr(notice_delivery, "_mark", marked)
        deliver_due()
    delivery.refresh_from_db()
    before = delivery.next_try_at
    marked(*stale[0])
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.next_try_at) == (2, before)


def test_what_is_rolled_back_is_told_to_nobody(cast: Cast) -> None:
    with serving(TAKEN) as server:
        hook(cast, server)
        with transaction.atomic():
            tell(cast)
            transaction.set_rollback(True)
        assert deliver_due() == 0
    assert not Notice.objects.filter(tenant=cast.tenant).exists()


@pytest.fixture
def mailing(settings: Settings) -> Settings:
    settings.MAIL_IS_SET_UP = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.DEFAULT_FROM_EMAIL = "Beffroi <beffroi@example.org>"
    settings.PUBLIC_URL = "https://models.example.org"
    return settings


def test_an_e_mail_speaks_its_readers_language(cast: Cast, mailing: Settings) -> None:
    type(cast.bob).objects.filter(pk=cast.bob.pk).update(language="fr")
    with mail_server() as server:
        mailing.EMAIL_PORT = server.port
        notify(cast.tenant, "model.deprecated", context=ENDS)
        assert deliver_due() == 2
    by_reader = dict(zip((to for [to] in server.recipients), server.mails, strict=True))
    mail, french = by_reader[cast.alice.email], by_reader[cast.bob.email]
    assert mail["Subject"] == "A tenant: small ends on 1 March 2027"
    assert "1 mars 2027" in french["Subject"]
    assert mail["From"] == "Beffroi <beffroi@example.org>"
    text = mail.get_body(("plain",))
    assert text is not None
    assert f"https://models.example.org/t/{cast.tenant.slug}/models/small" in text.get_content()
    delivery = NoticeDelivery.objects.get(person=cast.alice, channel=Channel.EMAIL)
    assert mail["Message-ID"] == f"<{delivery.public_id}@models.example.org>"


def test_a_mail_server_that_refuses_or_is_away(cast: Cast, mailing: Settings) -> None:
    with mail_server(lambda line: "550 nobody" if cast.bob.email in line else "250 ok") as server:
        mailing.EMAIL_PORT = server.port
        notify(cast.tenant, "model.deprecated", context=ENDS)
        deliver_due()
    by_mail = NoticeDelivery.objects.filter(notice__tenant=cast.tenant, channel=Channel.EMAIL)
    assert by_mail.get(person=cast.alice).state == State.SENT
    bobs = by_mail.get(person=cast.bob)
    assert (bobs.state, bobs.fault, bobs.fault_status) == (State.GIVEN_UP, Fault.MAIL_REFUSED, 550)
    notify(cast.tenant, "model.deprecated", context=ENDS, people=[cast.alice])
    deliver_due()
    away = by_mail.filter(person=cast.alice).latest("id")
    assert (away.state, away.fault) == (State.FAILED, Fault.MAIL_SERVER_AWAY)


def test_who_left_meanwhile_gets_no_mail(cast: Cast, mailing: Settings) -> None:
    with mail_server() as server:
        mailing.EMAIL_PORT = server.port
        notify(cast.tenant, "model.deprecated", context=ENDS)
        remove_member(by=owner(cast), person=cast.bob)
        deliver_due()
    assert [cast.alice.email] in server.recipients
    assert [cast.bob.email] not in server.recipients


def test_without_a_mail_server_no_e_mail_is_made(cast: Cast) -> None:
    notice = notify(cast.tenant, "model.deprecated", context=ENDS)
    assert set(notice.deliveries.values_list("channel", flat=True)) == {Channel.INBOX}
