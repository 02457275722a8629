"""`manage.py make_operator_key NAME SCOPE...`: a key for `/api/operator/`, for the first script of an installation."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from identity.errors import IdentityError
from identity.operator_keys import LIFE_MAX, USUAL_LIFE_DAYS, make_operator_key
from identity.operators import Operator
from identity.scopes import OperatorScope


class Command(BaseCommand):
    """Prints the key alone, so that a script can take it."""

    help = "Make a key for /api/operator/ and print it. It is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        """What it is called, what it may do, for how long."""
        parser.add_argument("name", help="what uses it")
        parser.add_argument("scopes", nargs="+", choices=[scope.value for scope in OperatorScope], metavar="scope",
                            help=", ".join(OperatorScope))  # fmt: skip
        parser.add_argument("--days", type=int, default=USUAL_LIFE_DAYS, help="until it expires (%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for a name or a life that makes no sense."""
        expires_at = timezone.now() + timedelta(days=max(0, min(options["days"], LIFE_MAX.days + 1)))
        scopes = [OperatorScope(scope) for scope in options["scopes"]]
        by = Operator.system("make_operator_key")
        try:
            _, text = make_operator_key(by=by, name=options["name"], scopes=scopes, expires_at=expires_at)
        except IdentityError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(text)
