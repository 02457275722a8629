"""How long a model lives and what an answer's headers say about it. Pure: the gateway uses it without Django.

Rules (M2): a stable version is fixed for six months from its release, and a model is taken away no sooner than three
months after that was announced. A date begins at midnight UTC.
"""

from calendar import monthrange
from datetime import UTC, date, datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import Protocol

STABLE_MONTHS = 6
NOTICE_MONTHS = 3


class Lifecycle(StrEnum):
    """Where a model stands on a day. Evaluation: experimental, or not released yet."""

    EVALUATION = "evaluation"
    PRODUCTION = "production"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


class Dated(Protocol):
    """What decides on the life of a model."""

    @property
    def channel(self) -> str: ...
    @property
    def released_on(self) -> date | None: ...
    @property
    def deprecated_on(self) -> date | None: ...
    @property
    def retired_on(self) -> date | None: ...


def lifecycle_of(model: Dated, today: date) -> Lifecycle:
    """Where the model stands on `today` (UTC). The last date that has come wins."""
    if model.retired_on is not None and model.retired_on <= today:
        return Lifecycle.RETIRED
    if model.deprecated_on is not None and model.deprecated_on <= today:
        return Lifecycle.DEPRECATED
    if model.channel == "experimental" or (model.released_on is not None and model.released_on > today):
        return Lifecycle.EVALUATION
    return Lifecycle.PRODUCTION


def months_later(day: date, months: int) -> date:
    """The same day `months` later, or the last one of a shorter month."""
    year, month_index = divmod(day.year * 12 + day.month - 1 + months, 12)
    month = month_index + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def deprecation_headers(
    deprecated_on: date | None, retired_on: date | None, policy_url: str, successor_url: str = ""
) -> list[tuple[str, str]]:
    """Headers of an answer of a model that is on its way out; none for another.

    `Deprecation: @<Unix seconds>` (RFC 9745, may lie ahead), `Sunset: <HTTP date>` (RFC 8594) and `Link` to the page
    that explains (rel="deprecation") and to the successor (rel="successor-version", RFC 5829). URLs are ASCII and
    hold no `<`, `>` nor controls.
    """
    if deprecated_on is None:
        return []
    headers = [("Deprecation", f"@{int(_midnight(deprecated_on).timestamp())}")]
    if retired_on is not None:
        headers.append(("Sunset", format_datetime(_midnight(retired_on), usegmt=True)))
    links = [f'<{policy_url}>; rel="deprecation"; type="text/html"']
    if successor_url:
        links.append(f'<{successor_url}>; rel="successor-version"')
    headers.append(("Link", ", ".join(links)))
    return headers


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
