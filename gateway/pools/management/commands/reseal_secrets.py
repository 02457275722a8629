"""`manage.py reseal_secrets`: brings every secret at rest under the newest of BEFFROI_ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.pools.sealed_secrets import COLUMNS
from identity.audit import Actor
from identity.sealed_secrets import reseal
from identity.secret_box import box_of_this_process


class Command(BaseCommand):
    """Run again, it changes nothing. Never prints a secret, nor a key."""

    help = (
        "Seal all stored secrets (providers', webhooks', engines', break-glass) with the highest number of"
        " BEFFROI_ENCRYPTION_KEYS. Once it ends well, the lower numbers may be taken away."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError (exit status 1) where a secret does not open with any of the keys."""
        box = box_of_this_process()
        found = reseal(COLUMNS, box=box, actor=Actor.system("reseal_secrets"))
        self.stdout.write(
            f"{found.secrets} secrets; {found.renewed} were sealed anew with encryption key {box.number}.\n"
        )
        if found.closed:
            raise CommandError("sealed with a key that is not in BEFFROI_ENCRYPTION_KEYS: " + ", ".join(found.closed))
        self.stdout.write("Keys of other numbers are needed no more.\n")
