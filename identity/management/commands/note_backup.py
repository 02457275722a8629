"""`manage.py note_backup --size BYTES`: the last line of the operator's backup script."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from identity.backups import note_backup
from identity.errors import Invalid
from identity.operators import Operator


class Command(BaseCommand):
    """Notes it. The set-up list and the overview show when it was, and when it is late."""

    help = "Note that a backup was made, so that the operator's console shows it and sees when the next one is late."

    def add_arguments(self, parser: CommandParser) -> None:
        """How large, and when."""
        parser.add_argument("--size", type=int, required=True, metavar="BYTES", help="how large it is")
        parser.add_argument("--made-at", default="", help="when it was whole, such as 2026-11-21T03:00Z (now)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for a size or a time that makes no sense."""
        try:
            made_at = datetime.fromisoformat(options["made_at"]) if options["made_at"] else timezone.now()
        except ValueError:
            raise CommandError("--made-at must look like 2026-11-21T03:00Z.") from None
        if timezone.is_naive(made_at):
            raise CommandError("--made-at needs its offset from UTC, such as Z or +01:00.")
        try:
            backup = note_backup(by=Operator.system("note_backup"), made_at=made_at, size_bytes=options["size"])
        except Invalid as error:
            raise CommandError(f"{error.field} {error.message}.") from None
        self.stdout.write(f"Noted: {backup.size_bytes} bytes, {backup.made_at.isoformat()}.\n")
