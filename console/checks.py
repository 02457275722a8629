"""What an installation may not start with. Run by every command that checks the system, so by each start."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

SHORTEST_SECRET = 32  # characters; hexadecimal ones are then 128 bits
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@checks.register
def refuse_debug(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Django's debug page shows the variables of a failed request: a prompt could be among them."""
    if not settings.DEBUG:
        return []
    return [
        checks.Error("DEBUG is on.", hint="It would show prompts; there is no safe use for it here.", id="beffroi.E001")
    ]


@checks.register
def refuse_a_guessable_secret(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Sessions are signed with it: whoever guesses it signs in as anybody."""
    if len(settings.SECRET_KEY) >= SHORTEST_SECRET and len(set(settings.SECRET_KEY)) > 4:
        return []
    hint = f"Set at least {SHORTEST_SECRET} random characters: openssl rand -hex 32"
    return [checks.Error("BEFFROI_SECRET_KEY can be guessed.", hint=hint, id="beffroi.E002")]


@checks.register
def warn_of_plain_http(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """On another machine's network, keys and cookies would travel readable."""
    address = urlsplit(settings.PUBLIC_URL)
    if address.scheme == "https" or address.hostname in _THIS_MACHINE:
        return []
    hint = "Put a proxy with TLS in front and set BEFFROI_PUBLIC_URL to its https:// address."
    return [checks.Warning("API keys and sessions cross the network unencrypted.", hint=hint, id="beffroi.W001")]
