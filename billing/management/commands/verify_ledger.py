"""`manage.py verify_ledger`: adds the whole ledger up again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.checks.verification import verify


class Command(BaseCommand):
    """A line a step, and one a difference; fails where there is one."""

    help = "Add up records, rollups, budgets, holds and entries again, and name whatever does not agree."

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError (exit status 1) when something does not add up."""
        found = verify(self._tell)
        for difference in found:
            self._tell(str(difference))
        if found:
            raise CommandError(f"The ledger does not add up: {len(found)} differences.")
        self._tell("The ledger adds up.")

    def _tell(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
