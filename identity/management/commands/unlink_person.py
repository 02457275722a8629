"""`manage.py unlink_person EMAIL PROVIDER`: for somebody whose account at a provider was made anew."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from identity.audit import Actor
from identity.errors import NotFound
from identity.models import Person
from identity.providers import version_by_handle
from identity.unlinking import unlink_person


class Command(BaseCommand):
    """Find out first that the address still belongs to the same person."""

    help = "Unlink a person from their account at an identity provider, so that the next sign-in there links anew."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whom, and from which provider."""
        parser.add_argument("email")
        parser.add_argument("provider", help="shared, operators, or tenant-<slug>")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError where there is no such person, provider or link."""
        person = Person.objects.filter(email=options["email"].strip().lower()).first()
        version = version_by_handle(options["provider"])
        if person is None or version is None:
            raise CommandError("Nobody has this address." if person is None else "There is no such provider in use.")
        try:
            unlink_person(person, version.provider, actor=Actor.system("unlink_person"), now=timezone.now())
        except NotFound:
            raise CommandError("The person is not linked to an account of this provider.") from None
        self.stdout.write("Unlinked. The next sign-in with the person's verified address links again.")
