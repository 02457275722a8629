"""The probes of a model's last day, as a page shows them: a strip of quarters of an hour, and hours for a chart."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import fmean

from gateway.pools.availability import QUARTER, QUARTERS, Share, day_since
from gateway.pools.models import ModelProbe

HOURS = 24
BAR_HEIGHT = 40


@dataclass(frozen=True, slots=True)
class Cell:
    """A quarter of an hour. `tone`: `good` (every minute answered), `some`, `bad` (none), `unknown` (nothing asked)."""

    starts_at: datetime
    share: Share

    @property
    def tone(self) -> str:
        """See above."""
        if not self.share.probed:
            return "unknown"
        if self.share.answered == self.share.probed:
            return "good"
        return "some" if self.share.answered else "bad"


@dataclass(frozen=True, slots=True)
class HourLine:
    """An hour's figures: means of what answered, None where nothing did."""

    starts_at: datetime
    share: Share
    first_token_ms: float | None
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """An hour as a bar, from 0 to `BAR_HEIGHT` high."""

    hour: HourLine
    height: int

    @property
    def top(self) -> int:
        """Where it begins, from above."""
        return BAR_HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Strip:
    """A day of probes, up to now."""

    cells: list[Cell]
    hours: list[HourLine]
    share: Share
    last: ModelProbe | None

    @property
    def best_ms(self) -> float:
        """Of the hours that answered, the shortest mean time to the first token. Raises `ValueError` without any."""
        return min(self._answered())

    @property
    def worst_ms(self) -> float:
        """The longest. Raises `ValueError` without any."""
        return max(self._answered())

    @property
    def bars(self) -> list[Bar]:
        """The time to the first token by hour, the longest `BAR_HEIGHT` high; empty where nothing answered."""
        if not (known := self._answered()):
            return []
        return [Bar(hour, round(BAR_HEIGHT * (hour.first_token_ms or 0) / max(known))) for hour in self.hours]

    def _answered(self) -> list[float]:
        return [hour.first_token_ms for hour in self.hours if hour.first_token_ms]


def strip_of(probes: Mapping[datetime, ModelProbe], *, now: datetime) -> Strip:
    """The strip of the probes since `day_since(now)`, by minute."""
    since = day_since(now)
    cells = []
    for number in range(QUARTERS):
        starts_at = since + number * QUARTER
        cells.append(Cell(starts_at, _share(_within(probes, starts_at, QUARTER))))
    first_hour = (now.astimezone(UTC) - timedelta(hours=HOURS - 1)).replace(minute=0, second=0, microsecond=0)
    hours = [_hour(probes, first_hour + timedelta(hours=number)) for number in range(HOURS)]
    last = probes[max(probes)] if probes else None
    return Strip(cells, hours, _share(list(probes.values())), last)


def _within(probes: Mapping[datetime, ModelProbe], starts_at: datetime, length: timedelta) -> list[ModelProbe]:
    minutes = (starts_at + timedelta(minutes=number) for number in range(int(length.total_seconds() // 60)))
    return [probes[minute] for minute in minutes if minute in probes]


def _share(probes: list[ModelProbe]) -> Share:
    return Share(sum(probe.outcome == ModelProbe.Outcome.ANSWERED for probe in probes), len(probes))


def _hour(probes: Mapping[datetime, ModelProbe], starts_at: datetime) -> HourLine:
    of_hour = _within(probes, starts_at, timedelta(hours=1))
    first = [probe.first_token_ms for probe in of_hour if probe.first_token_ms is not None]
    pace = [probe.tokens_per_second for probe in of_hour if probe.tokens_per_second is not None]
    return HourLine(starts_at, _share(of_hour), fmean(first) if first else None, fmean(pace) if pace else None)
