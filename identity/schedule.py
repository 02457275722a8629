"""What the worker's clock starts for identity. Plain data: settings read it before Django is set up."""

from typing import Any

CHECKPOINT_EVERY_SECONDS = 900  # each chain is signed at most once an hour
# A notice leaves within this. Asking for what is due reads an index that is empty when nothing is.
DELIVER_EVERY_SECONDS = 15
FORGET_EVERY_SECONDS = 24 * 3600
REMIND_EVERY_SECONDS = 3600
SHIP_EVERY_SECONDS = 5  # an event or a log line is with the operator's collectors within seconds
BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sign audit chains": {
        "task": "identity.checkpoint_audit_chains",
        "schedule": CHECKPOINT_EVERY_SECONDS,
        "options": {"expires": CHECKPOINT_EVERY_SECONDS},
    },
    "deliver notices": {
        "task": "identity.deliver_notices",
        "schedule": DELIVER_EVERY_SECONDS,
        "options": {"expires": DELIVER_EVERY_SECONDS},
    },
    "forget old notices": {
        "task": "identity.forget_notices",
        "schedule": FORGET_EVERY_SECONDS,
        "options": {"expires": FORGET_EVERY_SECONDS},
    },
    "remind of keys that expire": {
        "task": "identity.remind_of_keys",
        "schedule": REMIND_EVERY_SECONDS,
        "options": {"expires": REMIND_EVERY_SECONDS},
    },
    "send audit and logs to the operator's collectors": {
        "task": "identity.ship_audit",
        "schedule": SHIP_EVERY_SECONDS,
        "options": {"expires": SHIP_EVERY_SECONDS},
    },
}
