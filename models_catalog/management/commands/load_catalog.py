"""`manage.py load_catalog [FILE]`: put the offer, or your own catalog, into the database. Runs at every start."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from identity.audit import Actor
from models_catalog.loading import OFFER, CatalogError, load_catalog


class Command(BaseCommand):
    help = "Load the catalog of models; what did not change stays as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, default=OFFER, help="a catalog file (default: the offer)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            loaded = load_catalog(options["file"], actor=Actor.system("load_catalog"))
        except CatalogError as error:
            raise CommandError(f"The catalog was not loaded:\n{error}") from None
        except OSError as error:
            raise CommandError(f"Cannot read {options['file']}: {error.strerror}") from None
        for outcome in ("created", "changed"):
            for name in getattr(loaded, outcome):
                self.stdout.write(f"{outcome} {name}")
        counts = f"{len(loaded.created)} created, {len(loaded.changed)} changed, {len(loaded.unchanged)} unchanged"
        self.stdout.write(f"Catalog: {counts}.")
