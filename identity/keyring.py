"""Numbered secret keys that rotate, as the environment writes them: `1:<64 hex digits>[,2:<64 hex digits>]`.

The highest number is the key in use; the others still open what was made with them. No Django: the relay reads them
too.
"""

import re
from collections.abc import Mapping
from pathlib import Path

Keyring = dict[int, bytes]

# What a `smallint` holds: the number stands beside every digest in the database.
HIGHEST_NUMBER = 32_767
_ENTRY = re.compile(r"([1-9][0-9]{0,4}):([0-9a-fA-F]{64})")


class KeyringError(ValueError):
    """The text is no list of numbered keys. The message never repeats it: it is a secret."""


def parse_keyring(text: str) -> Keyring:
    """Number -> 32 bytes, at least one. Raises `KeyringError`."""
    keys: Keyring = {}
    for item in text.split(","):
        match = _ENTRY.fullmatch(item.strip())
        if match is None or int(match[1]) in keys or int(match[1]) > HIGHEST_NUMBER:
            raise KeyringError(
                f"must be `1:<64 hex digits>[,2:<64 hex digits>]`, each number once, none above {HIGHEST_NUMBER}"
            )
        keys[int(match[1])] = bytes.fromhex(match[2])
    return keys


def keyring_in(environment: Mapping[str, str], name: str) -> Keyring:
    """The keys in the variable `name`, or in the file that `<name>_FILE` names. Raises `KeyringError` naming the
    variable.
    """
    file_name = environment.get(f"{name}_FILE", "").strip()
    try:
        text = Path(file_name).read_text(encoding="ascii") if file_name else environment.get(name, "")
        return parse_keyring(text.strip())
    except (OSError, ValueError) as error:
        raise KeyringError(f"{name}: {error}") from None


def current(keys: Keyring) -> tuple[int, bytes]:
    """The key that new things are made with: the highest number."""
    number = max(keys)
    return number, keys[number]
