"""A model's life, and the headers that tell of its end (M2, X3)."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

import pytest

from models_catalog.lifecycle import Lifecycle, deprecation_headers, lifecycle_of, months_later

TODAY = date(2026, 11, 21)
YESTERDAY, TOMORROW = date(2026, 11, 20), date(2026, 11, 22)


@dataclass(frozen=True)
class Model:
    """What decides on a life, without a database."""

    channel: str = "stable"
    released_on: date | None = None
    deprecated_on: date | None = None
    retired_on: date | None = None


@pytest.mark.parametrize(
    ("model", "stands"),
    [
        (Model(), Lifecycle.PRODUCTION),
        (Model(released_on=TODAY), Lifecycle.PRODUCTION),
        (Model(released_on=TOMORROW), Lifecycle.EVALUATION),
        (Model(channel="experimental", released_on=YESTERDAY), Lifecycle.EVALUATION),
        (Model(deprecated_on=TOMORROW), Lifecycle.PRODUCTION),
        (Model(deprecated_on=TODAY, retired_on=TOMORROW), Lifecycle.DEPRECATED),
        (Model(channel="experimental", deprecated_on=TODAY), Lifecycle.DEPRECATED),
        (Model(deprecated_on=YESTERDAY, retired_on=TODAY), Lifecycle.RETIRED),
    ],
)
def test_a_model_stands_where_its_last_date_put_it(model: Model, stands: Lifecycle) -> None:
    assert lifecycle_of(model, TODAY) is stands


def test_a_month_later_is_the_same_day_or_the_last_of_a_shorter_month() -> None:
    assert months_later(date(2026, 8, 31), 6) == date(2027, 2, 28)
    assert months_later(date(2026, 12, 5), 1) == date(2027, 1, 5)


def test_a_model_without_an_end_has_no_deprecation_headers() -> None:
    assert deprecation_headers(None, None, "https://models.example/lifecycle") == []


def test_a_model_on_its_way_out_says_when_and_where_to_go() -> None:
    headers = deprecation_headers(
        date(2026, 9, 30), date(2026, 12, 31), "https://models.example/lifecycle", "https://models.example/v1/models/b"
    )
    assert headers == [
        ("Deprecation", "@1790726400"),
        ("Sunset", "Thu, 31 Dec 2026 00:00:00 GMT"),
        (
            "Link",
            (
                '<https://models.example/lifecycle>; rel="deprecation"; type="text/html", '
                '<https://models.example/v1/models/b>; rel="successor-version"'
            ),
        ),
    ]
    assert datetime.fromtimestamp(int(headers[0][1][1:]), UTC) == datetime(2026, 9, 30, tzinfo=UTC)
    assert parsedate_to_datetime(headers[1][1]) == datetime(2026, 12, 31, tzinfo=UTC)


def test_without_a_retirement_or_a_successor_they_are_not_made_up() -> None:
    headers = dict(deprecation_headers(date(2026, 9, 30), None, "https://models.example/lifecycle"))
    assert headers.keys() == {"Deprecation", "Link"}
    assert "successor" not in headers["Link"]


def test_the_gateway_can_use_it_without_django() -> None:
    code = "import sys, models_catalog.lifecycle; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
