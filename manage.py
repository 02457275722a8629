#!/usr/bin/env python
"""Runs a command: `python manage.py help` lists them."""

import os
import sys

# The owner of the tables alters them; every other command works as the role that may not.
OWNER_COMMANDS = frozenset({"migrate", "makemigrations", "showmigrations", "sqlmigrate"})


def use_the_owners_login(command: str) -> None:
    """Point Django at DATABASE_OWNER_URL for the commands that change the schema, and only for those."""
    owner_url = os.environ.get("DATABASE_OWNER_URL")
    if command in OWNER_COMMANDS and owner_url:
        os.environ["DATABASE_URL"] = owner_url


def main() -> None:
    """Run one command in the process's environment."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    use_the_owners_login(sys.argv[1] if len(sys.argv) > 1 else "")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
