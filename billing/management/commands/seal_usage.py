"""`manage.py seal_usage 2026-10 [--detach]`: seals a closed month's totals, or takes a sealed one out of the ledger."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.checks.sealing import Month, detach, seal
from identity.audit import Actor
from identity.errors import IdentityError

ACTOR = Actor.system("seal_usage")


class Command(BaseCommand):
    """Runs as the owner of the tables."""

    help = "Seal the totals of a month's usage records; with --detach, take a sealed month's records out of the ledger."

    def add_arguments(self, parser: CommandParser) -> None:
        """A month, and what to do with it."""
        parser.add_argument("month", metavar="YYYY-MM")
        parser.add_argument("--detach", action="store_true", help="once its retention is over")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when the month cannot be sealed, or detached, now."""
        try:
            month = Month.parse(options["month"])
            if options["detach"]:
                detach(month, actor=ACTOR)
                self.stdout.write(f"{month}: its records are in {month.partition}, out of the ledger.")
            else:
                sealed = seal(month, actor=ACTOR)
                self.stdout.write(f"{month}: {sealed.requests} requests sealed, {bytes(sealed.digest).hex()}")
        except IdentityError as error:
            raise CommandError(str(error)) from None
