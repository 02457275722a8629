"""Secrets that we must be able to read back (engines' keys, providers' secrets), encrypted at rest with AES-256-GCM.

sealed = version (1 byte, 0x01) || key number (2 bytes, big-endian) || nonce (12) || ciphertext || tag (16)

The first three bytes and the context are authenticated too. The context says what the secret is and whose
("pools.replica:12:api_key"), so that a sealed value copied to another row does not open there.
Rotation: add a key with a higher number to BEFFROI_ENCRYPTION_KEYS, restart, `manage.py reseal_secrets`, then take the
old one away.
No Django: the relay decrypts the engines' keys.
"""

import os
import secrets
import struct
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from identity.keyring import Keyring, current, keyring_in

VARIABLE = "BEFFROI_ENCRYPTION_KEYS"
_VERSION = 1
_HEADER = struct.Struct(">BH")
HEADER_BYTES = _HEADER.size
_NONCE_BYTES = 12
_TAG_BYTES = 16


class SecretBoxError(Exception):
    """A sealed secret does not open: unknown key number, other context, or changed bytes. Never says which bytes."""


class SecretBox:
    """Seals with the keyring's highest number, opens with any of its keys."""

    def __init__(self, keys: Keyring) -> None:
        self.number, _ = current(keys)  # of the key in use
        self._ciphers = {number: AESGCM(key) for number, key in keys.items()}

    def seal(self, secret: bytes, context: str) -> bytes:
        """The secret, encrypted for this context: 31 bytes longer than it."""
        header, nonce = _HEADER.pack(_VERSION, self.number), secrets.token_bytes(_NONCE_BYTES)
        ciphertext = self._ciphers[self.number].encrypt(nonce, secret, header + context.encode())
        return header + nonce + ciphertext

    def open_sealed(self, sealed: bytes, context: str) -> bytes:
        """The secret again. Raises `SecretBoxError`."""
        if len(sealed) < _HEADER.size + _NONCE_BYTES + _TAG_BYTES:
            raise SecretBoxError("too short to be a sealed secret")
        version, number = _HEADER.unpack_from(sealed)
        cipher = self._ciphers.get(number)
        if version != _VERSION or cipher is None:
            raise SecretBoxError(f"sealed with version {version}, key {number}: not in {VARIABLE}")
        header, rest = sealed[: _HEADER.size], sealed[_HEADER.size :]
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], header + context.encode())
        except InvalidTag:
            raise SecretBoxError("sealed for another context, or changed") from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed with the key in use now."""
        return sealed[: _HEADER.size] == _HEADER.pack(_VERSION, self.number)

    def reseal(self, sealed: bytes, context: str) -> bytes:
        """The same secret under the key in use now. Raises `SecretBoxError`."""
        return self.seal(self.open_sealed(sealed, context), context)


def key_number(sealed: bytes) -> int:
    """The number of the key that something was sealed with; its first `HEADER_BYTES` suffice. 0: it is no seal."""
    return int(_HEADER.unpack_from(sealed)[1]) if len(sealed) >= _HEADER.size else 0


def seal(secret: bytes, context: str) -> bytes:
    """`SecretBox.seal` with the keys of BEFFROI_ENCRYPTION_KEYS. Raises `KeyringError` where they are missing."""
    return box_of_this_process().seal(secret, context)


def open_sealed(sealed: bytes | memoryview, context: str) -> bytes:
    """`SecretBox.open_sealed` with the keys of BEFFROI_ENCRYPTION_KEYS. Raises `SecretBoxError`, `KeyringError`."""
    return box_of_this_process().open_sealed(bytes(sealed), context)


@lru_cache(maxsize=1)
def box_of_this_process() -> SecretBox:
    """The box with the keys that this process was started with."""
    return SecretBox(keyring_in(os.environ, VARIABLE))
