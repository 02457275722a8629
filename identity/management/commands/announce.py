"""`manage.py announce`: tell every organisation, such as

    manage.py announce platform.work_planned what="new switches" starts_at=2026-12-01T20:00+01:00 \\
        ends_at=2026-12-01T22:00+01:00 effect="Streams may be cut once."
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from identity.announcements import ANNOUNCED, announce
from identity.audit import Actor
from identity.errors import Invalid
from identity.models import Tenant
from identity.notice_kinds import KINDS


class Command(BaseCommand):
    """Tells."""

    help = "Tell every organisation (or some) of planned work, an incident, a change of models or prices."

    def add_arguments(self, parser: CommandParser) -> None:
        """What, and to whom."""
        parser.add_argument("kind", choices=ANNOUNCED, metavar="kind", help=", ".join(ANNOUNCED))
        parser.add_argument("values", nargs="*", metavar="name=value", help="what the wording needs")
        parser.add_argument("--tenant", action="append", default=[], metavar="slug", help="only this one; repeatable")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError and says what is missing."""
        context = dict(pair.partition("=")[::2] for pair in options["values"])
        counted = {name: int(value) for name, value in context.items() if name == "count" and value.isdigit()}
        slugs = options["tenant"]
        tenants = list(Tenant.objects.filter(slug__in=slugs).order_by("pk")) if slugs else None
        if tenants is not None and len(tenants) != len(set(slugs)):
            raise CommandError("There is no such organisation.")
        try:
            count = announce(options["kind"], context | counted, actor=Actor.system("announce"), tenants=tenants)
        except Invalid as error:
            needs = ", ".join(sorted(KINDS[options["kind"]].placeholders))
            raise CommandError(f"{error.message}. It needs: {needs}.") from None
        self.stdout.write(f"Told {count} organisations.")
