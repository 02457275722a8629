"""Names and addresses beside the chain, checkpoints, what was verified and refused."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models


def _tenant():
    return models.ForeignKey(
        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="identity.tenant"
    )


def _id():
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


def _unique(name, *fields):
    return models.UniqueConstraint(fields=fields, name=name, nulls_distinct=False)


class Migration(migrations.Migration):
    dependencies = [("identity", "0006_key_rotation")]
    operations = [
        migrations.AddField("auditevent", "door", models.CharField(db_default="", max_length=16)),
        migrations.AddField("auditevent", "names", models.JSONField(null=True)),
        migrations.AddField("auditevent", "version", models.PositiveSmallIntegerField(db_default=1)),
        migrations.AddField("person", "erased_at", models.DateTimeField(blank=True, editable=False, null=True)),
        migrations.CreateModel(
            name="AuditName",
            fields=[
                ("id", _id()),
                ("part", models.CharField(max_length=16)),
                ("person", models.UUIDField(null=True)),
                ("salt", models.BinaryField(max_length=32)),
                ("content", models.JSONField()),
                (
                    "event",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="known_as",
                        to="identity.auditevent",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["person"], name="audit_name_by_person")],
                "constraints": [models.UniqueConstraint(fields=("event", "part"), name="audit_name_is_one_a_part")],
            },
        ),
        migrations.CreateModel(
            name="AuditCheckpoint",
            fields=[
                ("id", _id()),
                ("sequence", models.BigIntegerField()),
                ("hash", models.BinaryField(max_length=32)),
                ("at", models.DateTimeField()),
                ("public_key", models.BinaryField(max_length=32)),
                ("signature", models.BinaryField(max_length=64)),
                ("tenant", _tenant()),
            ],
            options={"constraints": [_unique("audit_checkpoint_is_one_a_link", "tenant", "sequence")]},
        ),
        migrations.CreateModel(
            name="AuditVerification",
            fields=[
                ("id", _id()),
                ("at", models.DateTimeField()),
                ("links", models.BigIntegerField()),
                ("broken_sequence", models.BigIntegerField(null=True)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("tenant", _tenant()),
            ],
            options={"constraints": [_unique("audit_verification_is_one_a_chain", "tenant")]},
        ),
        migrations.CreateModel(
            name="AuditRefusalCount",
            fields=[
                ("id", _id()),
                ("actor_kind", models.CharField(max_length=16)),
                ("actor", models.CharField(max_length=64)),
                ("hour", models.DateTimeField()),
                ("count", models.IntegerField()),
                ("tenant", _tenant()),
            ],
            options={
                "constraints": [
                    _unique("audit_refusals_are_counted_once", "tenant", "actor_kind", "actor", "hour"),
                ]
            },
        ),
        migrations.RunSQL((Path(__file__).parent / "sql/0007_audit.sql").read_text(), migrations.RunSQL.noop),
    ]
