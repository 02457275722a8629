"""`manage.py texts`: bring locale/ to what the code says, and compile it; `--compile` only does the latter."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from console import texts


class Command(BaseCommand):
    """See the module."""

    help = "Update and compile the French and Spanish texts."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--compile`."""
        parser.add_argument("--compile", action="store_true", help="only compile what is there")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Tell of each language how many texts are missing."""
        if not options["compile"]:
            for language in texts.LANGUAGES:
                self.stdout.write(f"{language}: {texts.update(language)} texts have no translation")
        texts.compile_all()
