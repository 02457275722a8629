"""Names in the order in which people look for them: "Écoles" before "Voirie", "ada" beside "Ada".

Not by a collation of ICU, which the embedded PostgreSQL has not: by the letters without their marks, in small ones.
"""

import unicodedata

from django.db.models import CharField, F, Func

_MARKS = "[\u0300-\u036f]"
# For SQL of ours: `BY_NAME_SQL.format("t.name")`. The same for everybody, whatever the database's own order.
BY_NAME_SQL = f"lower(regexp_replace(normalize({{0}}, NFD), '{_MARKS}', '', 'g')) collate \"C\""


class _ByName(Func):
    template = f"(lower(regexp_replace(normalize(%(expressions)s, NFD), '{_MARKS}', '', 'g')) collate \"C\")"
    output_field = CharField()


def by_name(field: str = "name") -> Func:
    """What to order rows by; a key goes behind it, as names may be the same."""
    return _ByName(F(field))


def name_key(name: str) -> str:
    """The same order for `sorted`."""
    return "".join(letter for letter in unicodedata.normalize("NFD", name) if not unicodedata.combining(letter)).lower()
