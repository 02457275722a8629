"""Lists of keys are sorted by the hour of their last use: a column of its own, as an index of the exact times would be
written with each use.
"""

from django.db import migrations, models

SQL = """
    create function identity_note_hour_of_use() returns trigger language plpgsql as $$
    begin
        new.used_hour := date_trunc('hour', greatest(new.last_used_at, new.previous_last_used_at), 'UTC');
        return new;
    end $$;
    create trigger hour_of_use_is_noted before insert or update on identity_keyuse
        for each row execute function identity_note_hour_of_use()
"""


class Migration(migrations.Migration):
    dependencies = [("identity", "0012_keys_by_responsible")]
    operations = [
        migrations.AddField("keyuse", "used_hour", models.DateTimeField(editable=False, null=True)),
        migrations.RunSQL(SQL, migrations.RunSQL.noop),
    ]
