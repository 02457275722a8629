"""What the worker's clock starts for pools. Plain data: settings read it before Django is set up."""

PROBE_EVERY_SECONDS = 30
SAMPLE_EVERY_SECONDS = 60
RECONCILE_EVERY_SECONDS = 600  # an hour is reconciled once, ten minutes after it ended at the latest
# Twice a minute, so that none is left out where the worker's clock is a little late; the second finds nothing to do.
PROBE_MODELS_EVERY_SECONDS = 30
FORGET_EVERY_SECONDS = 6 * 3600
LOOK_EVERY_SECONDS = 3600
FLEET_EVERY_SECONDS = 5
# What was not begun when its successor is due is dropped: a worker that was away does not work off the past.
BEAT_SCHEDULE = {
    "probe replicas that are not ready": {
        "task": "pools.probe_replicas",
        "schedule": PROBE_EVERY_SECONDS,
        "options": {"expires": PROBE_EVERY_SECONDS},
    },
    "probe the published models": {
        "task": "pools.probe_models",
        "schedule": PROBE_MODELS_EVERY_SECONDS,
        "options": {"expires": PROBE_MODELS_EVERY_SECONDS},
    },
    "forget old probes": {
        "task": "pools.forget_probes",
        "schedule": FORGET_EVERY_SECONDS,
        "options": {"expires": FORGET_EVERY_SECONDS},
    },
    "sample the counters of engines": {
        "task": "pools.sample_replicas",
        "schedule": SAMPLE_EVERY_SECONDS,
        "options": {"expires": SAMPLE_EVERY_SECONDS},
    },
    "reconcile hours that are over": {
        "task": "pools.reconcile_hours",
        "schedule": RECONCILE_EVERY_SECONDS,
        "options": {"expires": RECONCILE_EVERY_SECONDS},
    },
    "move the fleet towards what is wanted": {
        "task": "pools.reconcile_fleet",
        "schedule": FLEET_EVERY_SECONDS,
        "options": {"expires": FLEET_EVERY_SECONDS},
    },
    "look at certificates": {
        "task": "pools.look_at_certificates",
        "schedule": LOOK_EVERY_SECONDS,
        "options": {"expires": LOOK_EVERY_SECONDS},
    },
}
