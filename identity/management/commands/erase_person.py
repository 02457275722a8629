"""`manage.py erase_person EMAIL`: what an operator runs when somebody asked to be erased."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from identity.audit import Actor
from identity.erasure import erase_person
from identity.errors import Conflict
from identity.models import Person


class Command(BaseCommand):
    """There is no way back."""

    help = "Forget who a person is: their keys are revoked, ledger and audit chain keep the pseudonym and still hold."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whom."""
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for an address that nobody has, and for the last owner of an organisation."""
        person = Person.objects.filter(email=options["email"].strip().lower()).first()
        if person is None:
            raise CommandError("Nobody has this address.")
        try:
            erase_person(person, actor=Actor.system("erase_person"))
        except Conflict as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Erased. Ledger and audit name the person as {person.pseudonym} only.")
