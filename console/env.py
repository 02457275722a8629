"""Reads the environment: each value has a type; a wrong or missing one stops the start and says what to do."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from identity.client_address import Network, parse_networks
from identity.keyring import Keyring, KeyringError, parse_keyring


class MisconfiguredError(ImproperlyConfigured):
    """An environment variable is missing or makes no sense; the message names it and never repeats a secret."""


def text(name: str, default: str | None = None) -> str:
    """The variable as it is; without a default it must be set and not be empty."""
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise MisconfiguredError(f"{name} is not set. Set it, or start everything with `make up`, which makes it.")
    return default


def secret(name: str) -> str:
    """A value not to be guessed: from `name`, or from the file that `name`_FILE names (Docker and systemd do so)."""
    return secret_in(os.environ, name) or text(name)


def secret_in(environment: Mapping[str, str], name: str) -> str:
    """As `secret`, from any environment; empty when neither variable is set."""
    value = environment.get(name, "").strip()
    file_name = environment.get(f"{name}_FILE", "").strip()
    if not file_name:
        return value
    if value:
        raise MisconfiguredError(f"{name} and {name}_FILE are both set. Keep one.")
    try:
        value = Path(file_name).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise MisconfiguredError(f"{name}_FILE: cannot read {file_name}: {error.strerror}.") from error
    if not value:
        raise MisconfiguredError(f"{name}_FILE: {file_name} is empty.")
    return value


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    """A whole number within its bounds."""
    value = text(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,18}", value) or not minimum <= int(value) <= maximum:
        raise MisconfiguredError(f"{name}={value!r} must be a whole number from {minimum} to {maximum}.")
    return int(value)


def switch(name: str, *, default: bool) -> bool:
    """0 or 1, nothing else: `false` or `no` would be read as "on" by a laxer reader."""
    value = text(name, "1" if default else "0")
    if value not in ("0", "1"):
        raise MisconfiguredError(f"{name}={value!r} must be 0 or 1.")
    return value == "1"


def choice(name: str, default: str, *, among: tuple[str, ...]) -> str:
    """One of a few words."""
    value = text(name, default)
    if value not in among:
        raise MisconfiguredError(f"{name}={value!r} must be one of: {', '.join(among)}.")
    return value


def words(name: str) -> list[str]:
    """A list separated by commas; empty when the variable is not set."""
    return [word.strip() for word in text(name, "").split(",") if word.strip()]


def networks(name: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas."""
    try:
        return parse_networks(words(name))
    except ValueError as error:
        raise MisconfiguredError(f"{name}: {error}. Expected networks such as 10.0.0.0/8, 2001:db8::/32.") from error


def web_address(name: str, default: str) -> str:
    """Where browsers reach us: scheme and host, with no path and no slash at the end."""
    value = text(name, default).rstrip("/")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise MisconfiguredError(f"{name}={value!r} must look like https://models.example.org (no path).")
    return value


def own_address() -> str:
    """Where the gateways of this machine listen, as one of its own programs reaches them."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen := text("BEFFROI_LISTEN", "127.0.0.1"), listen)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{text('BEFFROI_PORT', '8000')}"


def keyring(name: str) -> Keyring:
    """Keys that rotate, by number; the highest is the one in use."""
    try:
        return parse_keyring(secret(name))
    except KeyringError as error:
        raise MisconfiguredError(f"{name} {error}") from error
