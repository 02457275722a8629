"""`manage.py key_peppers`: how far the rotation of peppers is (see identity/api_keys.py)."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from identity.api_keys import live_keys_by_pepper
from identity.keyring import current


class Command(BaseCommand):
    """One line a pepper, those that keys name but the environment lacks too."""

    help = "Tell how many live keys name each pepper, so that you know which one may be taken away."

    def handle(self, *args: Any, **options: Any) -> None:
        """Never prints a pepper, only its number."""
        keys = live_keys_by_pepper(timezone.now())
        in_use, _ = current(settings.KEY_PEPPERS)
        for number in sorted(keys.keys() | settings.KEY_PEPPERS.keys()):
            self.stdout.write(f"pepper {number}: {keys.get(number, 0)} live keys, {_state(number, in_use, keys)}")


def _state(number: int, in_use: int, keys: dict[int, int]) -> str:
    if number == in_use:
        return "new keys take it"
    if number not in settings.KEY_PEPPERS:
        return "MISSING from BEFFROI_KEY_PEPPERS: these keys are refused"
    return "still needed" if number in keys else "may be taken away"
