"""Notices, to whom they went and by which way, and what people chose and answered."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from identity.models.people import Person
from identity.models.tenants import Tenant


class Notice(models.Model):
    """A message to a tenant's members (or, `tenant` empty, to the operator's people); made by `notices.notify()`.

    `kind` names an entry of `identity/notice_kinds`, which words it; `context` has what the wording needs.
    """

    class Level(models.TextChoices):
        INFO = "info", _("information")
        WARNING = "warning", _("warning")
        ALERT = "alert", _("alert")

    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.PROTECT, related_name="notices")
    kind = models.CharField(max_length=64)
    level = models.CharField(max_length=16, choices=Level.choices, default=Level.INFO)
    roles = ArrayField(models.CharField(max_length=16), default=list, blank=True)
    context = models.JSONField(default=dict)
    once_key = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "once_key"],
                condition=~models.Q(once_key=""),
                name="notice_is_sent_once",
                nulls_distinct=False,
            )
        ]


class NoticeReading(models.Model):
    """That a person has read a notice."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="readings")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    read_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["notice", "person"], name="notice_is_read_once_by_a_person")]


class Channel(models.TextChoices):
    """A way by which a notice goes out."""

    INBOX = "inbox", _("inbox")
    EMAIL = "email", _("e-mail")
    WEBHOOK = "webhook", _("webhook")


class NoticeChoice(models.Model):
    """What a person chose instead of the default: whether notices of a kind come by a channel."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="notice_choices")
    kind = models.CharField(max_length=64)
    channel = models.CharField(max_length=8, choices=Channel.choices)
    is_on = models.BooleanField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "kind", "channel"], name="notice_choice_is_one_a_channel")
        ]


class NoticeAnswer(models.Model):
    """What a person answered to a notice that asks; it can be changed, the last one counts."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="answers")
    person = models.ForeignKey(Person, null=True, on_delete=models.SET_NULL, related_name="+")
    is_yes = models.BooleanField()
    comment = models.TextField(blank=True)
    answered_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["notice", "person"], name="notice_is_answered_once_by_a_person")]


class Webhook(models.Model):
    """An address of a tenant's that its notices are posted to, signed (Standard Webhooks 1.0).

    `secret` is sealed for the context `webhook_context(public_id)`. After a rotation both secrets sign until
    `old_secret_until`. `kinds` empty: all.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        GONE = "gone", _("off: the receiver said that it is gone")
        FAILING = "failing", _("off: nothing could be delivered for days")

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="webhooks")
    name = models.CharField(max_length=200)
    url = models.CharField(max_length=2048)
    kinds = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    secret = models.BinaryField()
    old_secret = models.BinaryField(null=True)
    old_secret_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)


class NoticeDelivery(models.Model):
    """A notice on its way to one recipient by one channel: a person, an address of nobody yet, or a webhook.

    The row is unique, so a notice goes out once by our books. To the outside it may arrive twice (the sender was killed
    before it could note the success), always with the same `public_id`.
    `attempts` counts claims; whoever marks an outcome names the attempt, so that an overdue sender marks nothing.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("on its way")
        SENT = "sent", _("delivered")
        FAILED = "failed", _("failed, will be tried again")
        GIVEN_UP = "given_up", _("given up")

    class Fault(models.TextChoices):
        """Why an attempt failed, in words for people."""

        NONE = "", ""
        NO_ANSWER = "unreachable", _("The receiver could not be reached.")
        NO_TLS = "tls", _("The receiver could not prove its name (TLS).")
        TOO_SLOW = "timed_out", _("The receiver took longer than 15 seconds.")
        PRIVATE = "address_refused", _("The address leads into a private network, which is not allowed here.")
        BAD_URL = "url_refused", _("The address is none that we send to.")
        ANSWER_TOO_LARGE = "answer_too_large", _("The receiver's answer was too large.")
        STATUS = "status", _("The receiver did not accept it: its answer was not a success.")
        GONE = "gone", _("The receiver said that it is gone; the webhook was switched off.")
        SECRET = "secret", _("The webhook's secret could not be opened. Rotate it.")
        SWITCHED_OFF = "switched_off", _("The recipient was switched off or left before it could be delivered.")
        NO_MAIL_SERVER = "no_mail_server", _("No mail server is set up.")
        MAIL_REFUSED = "mail_refused", _("The mail server did not accept it.")
        MAIL_SERVER_AWAY = "mail_server_away", _("The mail server could not be reached.")

    public_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=8, choices=Channel.choices)
    person = models.ForeignKey(Person, null=True, on_delete=models.CASCADE, related_name="+")
    webhook = models.ForeignKey(Webhook, null=True, on_delete=models.CASCADE, related_name="deliveries")
    address = models.EmailField(blank=True)
    language = models.CharField(max_length=8, blank=True)
    is_personal = models.BooleanField(default=False)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    fault = models.CharField(max_length=32, blank=True)  # of `Fault`
    fault_status = models.PositiveSmallIntegerField(null=True)
    next_try_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["notice", "channel", "person", "webhook", "address"],
                name="notice_is_delivered_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["sent", "given_up"], next_try_at=None)
                | models.Q(state__in=["pending", "failed"], next_try_at__isnull=False),
                name="delivery_is_over_or_has_a_next_try",
            ),
        ]
        indexes = [
            models.Index(fields=["person", "-notice"], condition=models.Q(channel="inbox"), name="delivery_by_inbox"),
            # The sweep looks here every few seconds: what is over is not in it.
            models.Index(fields=["next_try_at"], condition=models.Q(next_try_at__isnull=False), name="delivery_due"),
        ]
