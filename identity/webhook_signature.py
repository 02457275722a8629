"""Standard Webhooks 1.0: how a message is signed. Pure.

    webhook-id: the same for every try of a message     webhook-timestamp: seconds since 1970, of this try
    webhook-signature: `v1,<base64 of HMAC-SHA256(secret, id.timestamp.body)>`, one a valid secret, separated by spaces

A secret is written `whsec_<base64 of 24 to 64 bytes>`.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> bytes:
    """A secret that nobody guesses."""
    return secrets.token_bytes(SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """The secret as its owner copies it."""
    return _PREFIX + base64.b64encode(secret).decode()


def signed_headers(message_id: str, timestamp: int, body: bytes, valid_secrets: Iterable[bytes]) -> dict[str, str]:
    """The three headers of a message, signed with each of the secrets. timestamp: seconds since 1970."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [
        f"v1,{base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()}" for secret in valid_secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
