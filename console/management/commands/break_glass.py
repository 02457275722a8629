"""`manage.py break_glass`: makes the one local administrator, or gives it new secrets."""

from typing import Any

import segno
from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from identity.audit import Actor
from identity.break_glass import make


class Command(BaseCommand):
    """Prints a password and the secret of the one-time codes, also as a QR code. They are shown this once."""

    help = "Make the break-glass administrator; run again, it gets a new password and code, and its sessions end."

    def handle(self, *args: Any, **options: Any) -> None:
        made = make(actor=Actor.system("break_glass"), now=timezone.now())
        self.stdout.write("The break-glass administrator. These secrets are shown once: put them in a safe.\n\n")
        self.stdout.write(f"  address    {settings.OPERATOR_URL}/operator/break-glass\n")
        self.stdout.write(f"  password   {made.password}\n")
        self.stdout.write(f"  code       {made.totp_secret}   (TOTP, 6 digits, 30 seconds)\n")
        self.stdout.write(f"  uri        {made.uri}\n\n")
        if self.stdout.isatty():
            segno.make(made.uri, micro=False).terminal(compact=True)
        self.stdout.write("Every try is in the platform's audit chain and in the operators' inboxes.\n")
