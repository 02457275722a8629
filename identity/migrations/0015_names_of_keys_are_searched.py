"""A word of a key's name is found by its trigrams. Where PostgreSQL does not have that extension, or the owner may not
make it, the search is the same, and reads the tenant's keys one by one.
"""

from django.db import DatabaseError, migrations

EXTENSION = "create extension if not exists pg_trgm"
INDEX = """
    create index concurrently if not exists api_key_by_words
    on identity_apikey using gin (upper(name::text) gin_trgm_ops)
"""


def build(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        try:
            cursor.execute(EXTENSION)
        except DatabaseError:
            return
        cursor.execute(INDEX)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("identity", "0014_keys_are_searched")]
    operations = [migrations.RunPython(build, migrations.RunPython.noop)]
