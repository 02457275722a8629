"""What the worker's clock starts for identity. Plain data: settings read it before Django is set up."""

from typing import Any

CHECKPOINT_EVERY_SECONDS = 900  # each chain is signed at most once an hour
BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sign audit chains": {
        "task": "identity.checkpoint_audit_chains",
        "schedule": CHECKPOINT_EVERY_SECONDS,
        "options": {"expires": CHECKPOINT_EVERY_SECONDS},
    },
}
