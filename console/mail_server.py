"""Where e-mails go, from the environment: BEFFROI_MAIL_URL and BEFFROI_MAIL_FROM."""

import os
from typing import Any
from urllib.parse import unquote, urlsplit

from console import env
from console.env import MisconfiguredError

_EXPECTED = "must look like smtp+starttls://user:password@mail.example.org:587 (or smtps://, or smtp:// without TLS)"
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
# Seconds for each step of the conversation: a mail server that answers at all does so within this.
TIME_OUT_SECONDS = 15


def mail_settings() -> dict[str, Any]:
    """Django's settings for e-mail; empty without an address.

    The address may come from BEFFROI_MAIL_URL_FILE, as it holds a password. Raises MisconfiguredError, which does not
    repeat it.
    """
    address = env.secret_in(os.environ, "BEFFROI_MAIL_URL")
    if not address:
        return {}
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise MisconfiguredError(f"BEFFROI_MAIL_URL {_EXPECTED}.") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise MisconfiguredError(f"BEFFROI_MAIL_URL {_EXPECTED}.")
    sender = env.text("BEFFROI_MAIL_FROM")
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": port or _PORTS[parts.scheme],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp+starttls",
        "EMAIL_TIMEOUT": TIME_OUT_SECONDS,
        "DEFAULT_FROM_EMAIL": sender,
        "SERVER_EMAIL": sender,
    }
