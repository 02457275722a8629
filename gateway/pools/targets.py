"""What the operator aims at with a model, and whether the probes of the last 24 hours met it.

Two targets, each of which may be missing: the share of the minutes that answered, in hundredths of a percent (9990 is
99.9 %), and the time to the first token, in milliseconds, that 95 of 100 answers keep. A minute that nobody probed
counts for neither.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Self

from django.db import connection, transaction
from django.utils.translation import gettext as _

from gateway.pools.availability import Share, day_since
from gateway.pools.models import ModelProbe
from identity import audit
from identity.errors import Invalid
from identity.operators import Operator
from identity.permissions import OperatorPermission
from models_catalog.models import LanguageModel

WHOLE = 10_000  # hundredths of a percent: every minute
LONGEST_FIRST_TOKEN_MS = 600_000
_LAST_DAY = """
    select model_id, count(*) filter (where outcome = 'answered'), count(*),
        percentile_disc(0.95) within group (order by first_token_ms) filter (where outcome = 'answered')
    from pools_modelprobe where model_id = any(%s) and minute >= %s and minute <= %s and outcome <> '' group by model_id
"""


@dataclass(frozen=True, slots=True)
class Targets:
    """What is aimed at; None: nothing."""

    answered: int | None = None
    first_token_ms: int | None = None

    @classmethod
    def of(cls, model: LanguageModel) -> Self:
        """The model's."""
        return cls(model.target_answered, model.target_first_token_ms)

    @property
    def answered_percent(self) -> float | None:
        """From 0 to 100."""
        return None if self.answered is None else self.answered * 100 / WHOLE


@dataclass(frozen=True, slots=True)
class Day:
    """The probes of the last 24 hours: minutes that answered, and the time to the first token that 95 of 100 kept."""

    share: Share
    first_token_ms: int | None

    def met_answered(self, targets: Targets) -> bool | None:
        """Whether the share is what was aimed at; None without a target, or without a probe."""
        if targets.answered is None or not self.share.probed:
            return None
        return self.share.answered * WHOLE >= targets.answered * self.share.probed

    def met_first_token(self, targets: Targets) -> bool | None:
        """Whether the first token came in time; None without a target, or where nothing answered."""
        if targets.first_token_ms is None or self.first_token_ms is None:
            return None
        return self.first_token_ms <= targets.first_token_ms

    def met(self, targets: Targets) -> bool | None:
        """Whether all is met that can be told; None where nothing can."""
        told = [one for one in (self.met_answered(targets), self.met_first_token(targets)) if one is not None]
        return all(told) if told else None


def last_day(model_ids: Collection[int], *, now: datetime) -> dict[int, Day]:
    """By model, its last 24 hours; in one query."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST_DAY, [list(model_ids), day_since(now), now])
        found = {row[0]: Day(Share(row[1], row[2]), row[3]) for row in cursor.fetchall()}
    return {model_id: found.get(model_id, Day(Share(0, 0), None)) for model_id in model_ids}


def day_of(probes: Iterable[ModelProbe]) -> Day:
    """The same of probes with an outcome that are known already."""
    known = list(probes)
    answered = [probe for probe in known if probe.outcome == ModelProbe.Outcome.ANSWERED]
    first = sorted(probe.first_token_ms for probe in answered if probe.first_token_ms is not None)
    share = Share(len(answered), len(known))
    return Day(share, first[ceil(len(first) * 0.95) - 1] if first else None)


def set_targets(model: LanguageModel, *, targets: Targets, by: Operator) -> bool:
    """Aim at these from now on; False where it was so before. Raises `Forbidden`, `Invalid`."""
    by.require(OperatorPermission.CATALOGUE_UPDATE)
    if targets.answered is not None and not 0 < targets.answered <= WHOLE:
        raise Invalid("target_answered", _("More than 0 and at most 100 percent."))
    if targets.first_token_ms is not None and not 0 < targets.first_token_ms <= LONGEST_FIRST_TOKEN_MS:
        text = _("More than 0 and at most %(most)s milliseconds.")
        raise Invalid("target_first_token_ms", text % {"most": LONGEST_FIRST_TOKEN_MS})
    with transaction.atomic():
        fresh = LanguageModel.objects.select_for_update(no_key=True).get(pk=model.pk)
        before = Targets.of(fresh)
        if before == targets:
            return False
        fresh.target_answered, fresh.target_first_token_ms = targets.answered, targets.first_token_ms
        fresh.save(update_fields=["target_answered", "target_first_token_ms"])
        target = audit.Target("languagemodel", str(model.pk), model.name)
        audit.record(
            actor=by.actor,
            action="model.targets_changed",
            target=target,
            detail={"model": model.name},
            before=_told(before),
            after=_told(targets),
        )
    model.refresh_from_db(fields=["target_answered", "target_first_token_ms"])
    return True


def _told(targets: Targets) -> dict[str, int | None]:
    return {"target_answered": targets.answered, "target_first_token_ms": targets.first_token_ms}
