"""What the worker's clock starts for pools. Plain data: settings read it before Django is set up."""

PROBE_EVERY_SECONDS = 30
# What was not begun when its successor is due is dropped: a worker that was away does not work off the past.
BEAT_SCHEDULE = {
    "probe replicas that are not ready": {
        "task": "pools.probe_replicas",
        "schedule": PROBE_EVERY_SECONDS,
        "options": {"expires": PROBE_EVERY_SECONDS},
    },
}
