"""`manage.py roles`: which role may do what."""

from typing import Any

from django.core.management.base import BaseCommand

from identity.role_tables import roles_document


class Command(BaseCommand):
    """Prints docs/roles.md."""

    help = "Print which role may do what, as docs/roles.md has it."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        self.stdout.write(roles_document(), ending="")
