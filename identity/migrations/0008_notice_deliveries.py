"""Deliveries of notices, people's choices and answers, webhooks; how pages look to a person."""

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0007_audit_side_table"),
    ]

    operations = [
        migrations.AddField(
            model_name="person",
            name="theme",
            field=models.CharField(
                choices=[("light", "light"), ("dark", "dark"), ("system", "as the system")],
                db_default="system",
                default="system",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="person",
            name="time_zone",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.CreateModel(
            name="Webhook",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=200)),
                ("url", models.CharField(max_length=2048)),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), blank=True, default=list, size=None
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("active", "active"),
                            ("gone", "off: the receiver said that it is gone"),
                            ("failing", "off: nothing could be delivered for days"),
                        ],
                        default="active",
                        max_length=16,
                    ),
                ),
                ("secret", models.BinaryField()),
                ("old_secret", models.BinaryField(null=True)),
                ("old_secret_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="webhooks", to="identity.tenant"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="NoticeAnswer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("is_yes", models.BooleanField()),
                ("comment", models.TextField(blank=True)),
                ("answered_at", models.DateTimeField(auto_now=True)),
                (
                    "notice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="answers", to="identity.notice"
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("notice", "person"), name="notice_is_answered_once_by_a_person")
                ],
            },
        ),
        migrations.CreateModel(
            name="NoticeChoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=64)),
                (
                    "channel",
                    models.CharField(
                        choices=[("inbox", "inbox"), ("email", "e-mail"), ("webhook", "webhook")], max_length=8
                    ),
                ),
                ("is_on", models.BooleanField()),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notice_choices",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("person", "kind", "channel"), name="notice_choice_is_one_a_channel")
                ],
            },
        ),
        migrations.CreateModel(
            name="NoticeDelivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "channel",
                    models.CharField(
                        choices=[("inbox", "inbox"), ("email", "e-mail"), ("webhook", "webhook")], max_length=8
                    ),
                ),
                ("address", models.EmailField(blank=True, max_length=254)),
                ("language", models.CharField(blank=True, max_length=8)),
                ("is_personal", models.BooleanField(default=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "on its way"),
                            ("sent", "delivered"),
                            ("failed", "failed, will be tried again"),
                            ("given_up", "given up"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("fault", models.CharField(blank=True, max_length=32)),
                ("fault_status", models.PositiveSmallIntegerField(null=True)),
                ("next_try_at", models.DateTimeField(null=True)),
                ("sent_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "notice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="deliveries", to="identity.notice"
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "webhook",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="identity.webhook",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("channel", "inbox")), fields=["person", "-notice"], name="delivery_by_inbox"
                    ),
                    models.Index(
                        condition=models.Q(("next_try_at__isnull", False)), fields=["next_try_at"], name="delivery_due"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("notice", "channel", "person", "webhook", "address"),
                        name="notice_is_delivered_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("next_try_at", None), ("state__in", ["sent", "given_up"])),
                            models.Q(("next_try_at__isnull", False), ("state__in", ["pending", "failed"])),
                            _connector="OR",
                        ),
                        name="delivery_is_over_or_has_a_next_try",
                    ),
                ],
            },
        ),
    ]
