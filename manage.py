#!/usr/bin/env python
"""Runs a command: `python manage.py help` lists them."""

import os
import sys
from pathlib import Path

# The owner of the tables alters them and seals what they hold; every other command works as the role that may not.
OWNER_COMMANDS = frozenset({"migrate", "makemigrations", "showmigrations", "sqlmigrate", "seal_usage", "seed_scale"})


def use_the_owners_login(command: str) -> None:
    """Point Django at DATABASE_OWNER_URL for the commands that only the owner may run, and only for those."""
    owner_url = os.environ.get("DATABASE_OWNER_URL")
    if command in OWNER_COMMANDS and owner_url:
        os.environ["DATABASE_URL"] = owner_url


def become_the_node_agent() -> None:
    """Become a program without Django, which needs none of it and none of an installation's secrets."""
    root = str(Path(__file__).resolve().parent)
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    arguments = [sys.executable, "-m", "gateway.node_agent", *sys.argv[2:]]
    os.execve(sys.executable, arguments, environment | {"PYTHONPATH": root})  # noqa: S606  no shell: that is the point


def main() -> None:
    """Run one command, in the environment that `make up` made where there is one."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "node":
        become_the_node_agent()
    from django.core.management import execute_from_command_line

    from console.env import MisconfiguredError
    from console.supervisor.environment import adopt
    from console.supervisor.home import HomeError

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    try:
        adopt(os.environ, make=command == "up")
    except (HomeError, MisconfiguredError) as error:
        sys.exit(str(error))
    use_the_owners_login(command)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
