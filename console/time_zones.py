"""Time zones to choose from."""

from functools import cache
from zoneinfo import available_timezones

# Without the abbreviations and the zones of single offsets, which nobody lives in.
_REGIONS = (
    "Africa/", "America/", "Antarctica/", "Arctic/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/",
    "Pacific/",
)  # fmt: skip


@cache
def time_zone_choices() -> list[tuple[str, str]]:
    """Value and words, by name; UTC first."""
    names = sorted(name for name in available_timezones() if name.startswith(_REGIONS))
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]
