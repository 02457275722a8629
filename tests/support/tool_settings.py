"""Django's settings for tools that only look at the code (mypy, makemigrations): made up, no server is reached."""

import os

_made_up = {
    "BEFFROI_SECRET_KEY": "only for tools, which sign nothing with it",
    "BEFFROI_KEY_PEPPERS": "1:" + "0" * 64,
    "BEFFROI_ENCRYPTION_KEYS": "1:" + "0" * 64,
    "BEFFROI_AUDIT_KEYS": "1:" + "0" * 64,
    "DATABASE_URL": "postgresql:///nowhere?host=/nonexistent",
    "VALKEY_URL": "redis+socket:///nonexistent",
}
for _name, _value in _made_up.items():
    os.environ.setdefault(_name, _value)

from console.settings import *  # noqa: E402, F403
