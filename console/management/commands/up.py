"""`manage.py up`, which `make up` runs."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from console.supervisor import installation


class Command(BaseCommand):
    """Starts all of Beffroi on this machine."""

    help = "Start all of Beffroi on this machine and keep it running until Ctrl-C."
    requires_system_checks = []  # the servers that checks may ask do not run yet

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends with the installation's exit status."""
        sys.exit(installation.run())
