"""`manage.py seed_scale`: a past for the demo, or an organisation as large as they come. `make seed` runs it."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from console.demo_past import seed_past
from console.scale import seed_scale
from identity.errors import IdentityError


class Command(BaseCommand):
    """Runs as the owner of the tables."""

    help = "Make an organisation with many keys and many usage records; with --small, the past of the demo's first one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How much to make."""
        parser.add_argument("--small", action="store_true", help="two months of the demo's first organisation")
        parser.add_argument("--keys", type=int, default=500_000)
        parser.add_argument("--records", type=int, default=10_000_000)

    def handle(self, *args: object, small: bool, keys: int, records: int, **options: object) -> None:
        """Tells how far it is."""
        try:
            if small:
                self._tell(f"{seed_past():,} requests of the demo's past")
            else:
                tenant = seed_scale(keys=keys, records=records, tell=self._tell)
                self._tell(f"{tenant.name} is ready: /t/{tenant.slug}/")
        except IdentityError as error:
            raise CommandError(str(error)) from None

    def _tell(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
