"""The life of a tenant's webhook: added, tested, its secret rotated, switched on again, deleted."""

from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from identity import audit
from identity.access import Caller, webhook_for
from identity.egress import URL_LENGTH_MAX
from identity.errors import Conflict, Invalid, NotFound
from identity.models import Channel, Notice, NoticeDelivery, Tenant, Webhook
from identity.notice_delivery import deliver_now
from identity.notice_kinds import KINDS
from identity.permissions import Permission
from identity.secret_box import seal
from identity.webhook_post import secret_context
from identity.webhook_signature import new_secret, secret_text
from identity.wording import clean_name

WEBHOOKS_MAX = 10  # a tenant: each notice is sent to all of them
# So long the secret before signs too: receivers are changed one after the other.
OLD_SECRET_WORKS = timedelta(hours=24)

State = NoticeDelivery.State


def add_webhook(*, by: Caller, name: str, url: str, kinds: Iterable[str] = ()) -> tuple[Webhook, str]:
    """Have the tenant's notices (of some kinds, or all) posted to an address.

    Returns the webhook and its secret, which can be read here only. Raises `Forbidden`, `Invalid`, `Conflict`.
    """
    by.require(Permission.WEBHOOK_UPDATE)
    webhook = Webhook(tenant=by.tenant, name=clean_name(name), url=_clean_url(url), kinds=_clean_kinds(kinds))
    secret = new_secret()
    webhook.secret = seal(secret, secret_context(webhook))
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=by.tenant.pk)  # one after the other, for the count
        if Webhook.objects.filter(tenant=by.tenant).count() >= WEBHOOKS_MAX:
            raise Conflict(_("an organisation has at most %(count)s webhooks") % {"count": WEBHOOKS_MAX})
        webhook.save(force_insert=True)
        _record(by, webhook, "added", kinds=webhook.kinds)
    return webhook, secret_text(secret)


def change_webhook(*, by: Caller, public_id: UUID, name: str, url: str, kinds: Iterable[str] = ()) -> Webhook:
    """Another name, address or choice of kinds; and on again if it was off. Raises as `add_webhook`, and `NotFound`."""
    webhook = webhook_for(by, public_id, Permission.WEBHOOK_UPDATE)
    webhook.name, webhook.url, webhook.kinds = clean_name(name), _clean_url(url), _clean_kinds(kinds)
    webhook.status = Webhook.Status.ACTIVE
    with transaction.atomic():
        webhook.save(update_fields=["name", "url", "kinds", "status"])
        _record(by, webhook, "changed", kinds=webhook.kinds)
    return webhook


def rotate_webhook_secret(*, by: Caller, public_id: UUID) -> tuple[Webhook, str]:
    """A new secret; the one before signs too for `OLD_SECRET_WORKS`, the one before that no more.

    Returns the webhook and the new secret. Raises `NotFound`, `Forbidden`.
    """
    webhook = webhook_for(by, public_id, Permission.WEBHOOK_UPDATE)
    secret = new_secret()
    with transaction.atomic():
        webhook = Webhook.objects.select_for_update().get(pk=webhook.pk)
        webhook.old_secret, webhook.old_secret_until = webhook.secret, timezone.now() + OLD_SECRET_WORKS
        webhook.secret = seal(secret, secret_context(webhook))
        webhook.save(update_fields=["secret", "old_secret", "old_secret_until"])
        _record(by, webhook, "secret_rotated")
    return webhook, secret_text(secret)


def delete_webhook(*, by: Caller, public_id: UUID) -> None:
    """Delete it with its list of deliveries; what is on its way is not sent. Raises `NotFound`, `Forbidden`."""
    webhook = webhook_for(by, public_id, Permission.WEBHOOK_UPDATE)
    with transaction.atomic():
        _record(by, webhook, "deleted")
        webhook.delete()


def try_webhook(*, by: Caller, public_id: UUID) -> NoticeDelivery:
    """Send it a test now, and to nobody else. Returns what became of it; takes up to 15 seconds.

    Raises `NotFound`, `Forbidden`, `Conflict` (it is off).
    """
    webhook = webhook_for(by, public_id, Permission.WEBHOOK_UPDATE)
    if webhook.status != Webhook.Status.ACTIVE:
        raise Conflict(_("the webhook is off"))
    with transaction.atomic():
        kind = KINDS["webhook.tested"]
        test = Notice.objects.create(tenant=by.tenant, kind=kind.name, level=kind.level, context={"name": webhook.name})
        delivery = NoticeDelivery.objects.create(
            notice=test, channel=Channel.WEBHOOK, webhook=webhook, next_try_at=timezone.now()
        )
        _record(by, webhook, "tested")
    delivery = deliver_now(delivery)
    if delivery.next_try_at is not None:  # a person looks at the outcome: nobody waits for a second try
        NoticeDelivery.objects.filter(pk=delivery.pk).update(state=State.GIVEN_UP, next_try_at=None)
        delivery.refresh_from_db()
    return delivery


def send_again(*, by: Caller, public_id: UUID, delivery_id: UUID) -> NoticeDelivery:
    """Send a delivery of the webhook again now, with the same id, whether it arrived or not.

    Raises `NotFound`, `Forbidden`, `Conflict` (the webhook is off).
    """
    webhook = webhook_for(by, public_id, Permission.WEBHOOK_UPDATE)
    if webhook.status != Webhook.Status.ACTIVE:
        raise Conflict(_("the webhook is off"))
    with transaction.atomic():
        delivery = NoticeDelivery.objects.select_for_update().filter(webhook=webhook, public_id=delivery_id).first()
        if delivery is None:
            raise NotFound("delivery")
        NoticeDelivery.objects.filter(pk=delivery.pk).update(
            state=State.PENDING, sent_at=None, next_try_at=timezone.now()
        )
        _record(by, webhook, "sent_again")
    return deliver_now(delivery)


def deliveries_of(webhook: Webhook, count: int = 50) -> list[NoticeDelivery]:
    """The newest deliveries of a webhook that came through the funnel."""
    return list(webhook.deliveries.select_related("notice__tenant").order_by("-id")[:count])


def _clean_url(url: str) -> str:
    """What egress would refuse anyway is refused where a person can correct it."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        _port = parts.port
    except ValueError:
        raise Invalid("url", _("must look like https://host/path")) from None
    schemes = ("https", "http") if settings.WEBHOOKS_MAY_BE_PRIVATE else ("https",)
    if parts.scheme not in schemes or not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid("url", _("must look like https://host/path"))
    if parts.username is not None or parts.password is not None or len(url) > URL_LENGTH_MAX:
        raise Invalid("url", _("must have no credentials and at most %(count)s characters") % {"count": URL_LENGTH_MAX})
    return url


def _clean_kinds(kinds: Iterable[str]) -> list[str]:
    wanted = sorted(set(kinds))
    if any(kind not in KINDS for kind in wanted):
        raise Invalid("kinds", _("names a kind of notice that there is not"))
    return wanted


def _record(by: Caller, webhook: Webhook, what: str, **detail: object) -> None:
    # The host alone: the rest of an address may be a secret of the receiver's.
    told = {"name": webhook.name, "host": str(urlsplit(webhook.url).hostname), **detail}
    target = audit.Target("webhook", str(webhook.public_id))
    audit.record(tenant=by.tenant, actor=by.actor, action=f"webhook.{what}", target=target, detail=told)
