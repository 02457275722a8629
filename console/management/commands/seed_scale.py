"""`manage.py seed_scale`: a past for the demo, or an organisation as large as they come. `make seed` runs it."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from console.demo_past import seed_past


class Command(BaseCommand):
    """Runs as the owner of the tables."""

    help = "Make an organisation with many keys and many usage records; with --small, the past of the demo's first one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How much to make."""
        parser.add_argument("--small", action="store_true", help="two months of the demo's first organisation")

    def handle(self, *args: object, small: bool, **options: object) -> None:
        """Tells how much it made."""
        self.stdout.write(f"{seed_past():,} requests of the demo's past")
