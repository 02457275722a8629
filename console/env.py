"""Reads the environment: each value has a type; a wrong or missing one stops the start and says what to do."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured


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
    file_name = os.environ.get(f"{name}_FILE", "").strip()
    if not file_name:
        return text(name)
    if os.environ.get(name, "").strip():
        raise MisconfiguredError(f"{name} and {name}_FILE are both set. Keep one.")
    try:
        value = Path(file_name).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise MisconfiguredError(f"{name}_FILE: cannot read {file_name}: {error.strerror}.") from error
    if not value:
        raise MisconfiguredError(f"{name}_FILE: {file_name} is empty.")
    return value


def optional_secret(name: str, default: Callable[[], str]) -> str:
    """As `secret`, with what to take instead when neither variable is set."""
    if os.environ.get(name, "").strip() or os.environ.get(f"{name}_FILE", "").strip():
        return secret(name)
    return default()


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


def words(name: str) -> list[str]:
    """A list separated by commas; empty when the variable is not set."""
    return [word.strip() for word in text(name, "").split(",") if word.strip()]


def web_address(name: str, default: str) -> str:
    """Where browsers reach us: scheme and host, with no path and no slash at the end."""
    value = text(name, default).rstrip("/")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise MisconfiguredError(f"{name}={value!r} must look like https://models.example.org (no path).")
    return value


def numbered_keys(name: str) -> dict[int, bytes]:
    """Keys that rotate, written `1:<64 hex digits>[,2:<64 hex digits>]`; the highest number is the one in use.

    Returns: number -> 32 bytes, at least one.
    """
    keys: dict[int, bytes] = {}
    for item in secret(name).split(","):
        match = re.fullmatch(r"([1-9][0-9]{0,4}):([0-9a-fA-F]{64})", item.strip())
        if match is None or int(match[1]) in keys:
            raise MisconfiguredError(f"{name} must be `1:<64 hex digits>[,2:<64 hex digits>]`, each number once.")
        keys[int(match[1])] = bytes.fromhex(match[2])
    return keys
