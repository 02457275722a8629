"""Where a gateway's log goes: to stderr, and to the spool of the machine where there is one."""

import logging
import sys
from collections.abc import Mapping

from identity.log_spool import SpoolHandler
from identity.log_words import JsonFormatter, WordlessFormatter


def log_handlers(environment: Mapping[str, str]) -> list[logging.Handler]:
    """What the environment asks for; Django's side has the same in its settings."""
    process = environment.get("BEFFROI_PROCESS") or "gateway"
    stderr: logging.Handler = logging.StreamHandler(sys.stderr)
    if environment.get("BEFFROI_LOG_FORMAT") == "json":
        stderr.setFormatter(JsonFormatter(process=process))
    else:
        stderr.setFormatter(WordlessFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    folder = environment.get("BEFFROI_LOG_SPOOL")
    return [stderr, SpoolHandler(folder=folder, process=process)] if folder else [stderr]
