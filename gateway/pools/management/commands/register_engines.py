"""`manage.py register_engines [--engine MODEL=URL ...]`: the engines that serve. Runs at every start."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway.pools.environment import register_engines, wanted_engines
from identity.errors import IdentityError

WAIT_SECONDS = 300.0  # a large model needs minutes from its engine's start to the first answer


class Command(BaseCommand):
    help = "Register and probe the engines of --engine, or else of BEFFROI_ENGINES (model=url[,model=url...])."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--engine", action="append", default=[], dest="engines", metavar="MODEL=URL")
        parser.add_argument("--wait", type=float, default=WAIT_SECONDS, help="seconds to wait for engines that start")

    def handle(self, *args: Any, **options: Any) -> None:
        named = options["engines"] or [text.strip() for text in os.environ.get("BEFFROI_ENGINES", "").split(",")]
        try:
            wanted = wanted_engines(filter(None, named))
        except IdentityError as error:
            raise CommandError(f"BEFFROI_ENGINES or --engine: {error}") from None
        ready = register_engines(wanted, wait_seconds=options["wait"], tell=self._tell)
        if not wanted:
            self._tell("No engine is named in BEFFROI_ENGINES. The operator's console adds them too, under Models.")
        elif not ready:
            raise CommandError("None of the engines became ready. What each lacks is said above.")

    def _tell(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
