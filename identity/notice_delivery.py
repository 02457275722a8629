"""Deliveries on their way: claimed, sent, marked; again later where it failed.

A claim is a lease: it raises `attempts` and sets the next try behind the slowest attempt, and is committed before
anything is sent. Two workers never claim the same row (SKIP LOCKED); when one is killed, the lease runs out and another
sends again, with the same id. Only the holder of the last claim marks what became of it. The clock is the database's.
"""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from identity.models import Channel, Membership, Notice, NoticeDelivery, Webhook
from identity.notice_mail import mail_of
from identity.notice_outcome import Fault, Outcome
from identity.notices import notify
from identity.webhook_post import post_of

State = NoticeDelivery.State

BATCH = 20  # sent at the same time, in threads that wait for the network
# Longer than an e-mail or a webhook can take, a connection and a slow machine included.
LEASE = timedelta(seconds=90)
# After the first, second, ... failure: the pauses that Standard Webhooks recommends, some three days in all.
PAUSES = (
    timedelta(seconds=15),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
JITTER = 0.2  # each pause is up to so much longer, lest all come back at once to a receiver that was away
KEPT = timedelta(days=400)  # more than a year: what was announced, and when, is asked for at yearly reviews

Job = Callable[[], Outcome]


def deliver_due(limit: int = BATCH) -> int:
    """Send up to `limit` deliveries that are due, in as many workers as you like. Returns how many were tried."""
    return _deliver(_claim(Q(next_try_at__lte=Now()), limit))


def deliver_now(delivery: NoticeDelivery) -> NoticeDelivery:
    """Send one that is not over, without waiting for its turn; as it is afterwards."""
    _deliver(_claim(Q(pk=delivery.pk, next_try_at__isnull=False), 1))
    delivery.refresh_from_db()
    return delivery


def forget_old_notices() -> int:
    """Remove notices, with all that hangs on them, that are older than `KEPT`. Returns how many."""
    old = Notice.objects.filter(created_at__lt=timezone.now() - KEPT)
    count = old.count()
    old.delete()
    return count


def _claim(which: Q, limit: int) -> list[NoticeDelivery]:
    with transaction.atomic():
        rows = NoticeDelivery.objects.select_for_update(skip_locked=True, of=("self",)).filter(which)
        due = list(rows.select_related("notice__tenant", "person", "webhook").order_by("next_try_at")[:limit])
        claimed = NoticeDelivery.objects.filter(pk__in=[delivery.pk for delivery in due])
        claimed.update(attempts=F("attempts") + 1, next_try_at=Now() + LEASE)
    for delivery in due:
        delivery.attempts += 1
    return due


def _deliver(claimed: list[NoticeDelivery]) -> int:
    if not claimed:
        return 0
    # The worker may be told to stop meanwhile: what is under way ends first, it takes 15 seconds at most.
    with ThreadPoolExecutor(len(claimed), thread_name_prefix="deliver") as pool:
        running = {pool.submit(_job(delivery)): delivery for delivery in claimed}
        for done in as_completed(running):
            _mark(running[done], done.result())
    return len(claimed)


def _job(delivery: NoticeDelivery) -> Job:
    """What sends it; the database is read here, in the caller's thread, and nowhere later."""
    if delivery.channel == Channel.WEBHOOK:
        return post_of(delivery)
    if not _is_still_wanted(delivery):
        return lambda: Outcome(Fault.SWITCHED_OFF, is_final=True)
    return mail_of(delivery)


def _is_still_wanted(delivery: NoticeDelivery) -> bool:
    """Whether the recipient is still one: an e-mail may wait for days, and people leave."""
    person, notice = delivery.person, delivery.notice
    if person is None or delivery.is_personal:
        return person is None or person.is_active
    if notice.tenant_id is None:
        return person.is_active and person.is_operator
    return person.is_active and Membership.objects.filter(person=person, tenant=notice.tenant_id).exists()


def _mark(delivery: NoticeDelivery, outcome: Outcome) -> None:
    """Note what became of the attempt, unless its lease ran out and somebody else claimed it."""
    now = timezone.now()
    values: dict[str, Any] = {"fault": outcome.fault.value, "fault_status": outcome.status, "next_try_at": None}
    is_over = outcome.is_final or delivery.attempts > len(PAUSES)
    if outcome.is_delivered:
        values |= {"state": State.SENT, "sent_at": now}
    elif is_over:
        values |= {"state": State.GIVEN_UP}
    else:
        values |= {"state": State.FAILED, "next_try_at": now + _pause(delivery.attempts)}
    with transaction.atomic():
        mine = NoticeDelivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts, next_try_at__isnull=False)
        if mine.update(**values) and is_over and not outcome.is_delivered and delivery.webhook is not None:
            _give_webhook_up(delivery.webhook, outcome, since=delivery)


def _pause(attempts: int) -> timedelta:
    pause = PAUSES[attempts - 1]
    return pause * (1 + JITTER * random.random())  # noqa: S311  # nobody gains by guessing it


def _give_webhook_up(webhook: Webhook, outcome: Outcome, *, since: NoticeDelivery) -> None:
    """Switch a webhook off that is gone, or to which nothing could be delivered while this was tried."""
    if outcome.fault == Fault.GONE:
        status = Webhook.Status.GONE
    elif NoticeDelivery.objects.filter(webhook=webhook, sent_at__gt=since.created_at).exists():
        return
    else:
        status = Webhook.Status.FAILING
    if Webhook.objects.filter(pk=webhook.pk, status=Webhook.Status.ACTIVE).update(status=status):
        notify(webhook.tenant, "webhook.disabled", context={"name": webhook.name, "url": webhook.url})
