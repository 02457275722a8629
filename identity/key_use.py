"""When keys were last used, as the management API tells it; gateways tell their own (`gateway/relay/key_use.py`)."""

import json
from datetime import datetime, timedelta

from django.db import connection

from identity.models import ApiKey, KeyUse

# A use is written at most so often a key and process: a minute is exact enough for people.
EVERY = timedelta(seconds=60)
# Digits of a digest that say which secret it was: 64 bits. `touch_keys_v1` compares as many.
SECRET_DIGITS = 16


def note_use(key: ApiKey, now: datetime) -> None:
    """Remember that a key which `authenticate` let in was used. Never waits for somebody else who writes the same."""
    use: KeyUse | None = getattr(key, "use", None)
    is_previous = key.asked_with_previous_secret
    last = (use.previous_last_used_at if is_previous else use.last_used_at) if use is not None else None
    if last is not None and now - last < EVERY:
        return
    digest = bytes(key.previous_digest or b"") if is_previous else bytes(key.digest)
    used = [{"key_id": key.pk, "secret": digest.hex()[:SECRET_DIGITS], "at": now.timestamp()}]
    with connection.cursor() as cursor:
        cursor.execute("select touch_keys_v1(%s::jsonb)", [json.dumps(used)])


def last_used_at(key: ApiKey) -> datetime | None:
    """When the key was last used, by either secret; None: never."""
    use: KeyUse | None = getattr(key, "use", None)
    if use is None:
        return None
    return max(filter(None, (use.last_used_at, use.previous_last_used_at)), default=None)
