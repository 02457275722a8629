"""A connection to Django's database beside Django's own, for what is heard there (LISTEN)."""

from typing import Any

from django.db import connection

_CONNECT_S = 5


def line_options(application_name: str) -> dict[str, Any]:
    """Where the database is and who we are, as `psycopg.connect` takes it."""
    settings = connection.settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    given = {name: settings[key] for name, key in names.items() if settings[key]}
    options = {name: value for name, value in settings["OPTIONS"].items() if name != "pool"}
    return {**options, **given, "connect_timeout": _CONNECT_S, "application_name": application_name}
