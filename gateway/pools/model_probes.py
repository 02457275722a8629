"""A token a minute of each published model, on the operator's account, kept for 13 months: does it answer, how fast?
One that has no engine because nobody asks for it is left asleep.

A minute is claimed by writing its rows, before anything is asked: of two workers that begin the same minute one probes
each model. A row without an outcome is a minute that was begun and never seen to its end; it counts for nobody.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime

from django.conf import settings
from django.db import connection, connections
from django.db.models import Q

from billing.clock import database_now
from billing.models import RateCard
from gateway.pools.models import ModelProbe
from gateway.pools.probe_account import probe_secret
from gateway.pools.probe_call import PROBE_SECONDS, Outcome, Seen, probe
from gateway.pools.probes import take_out_the_gone
from gateway.pools.serving import models_at_rest
from models_catalog.lifecycle import months_later
from models_catalog.models import LanguageModel

MONTHS_KEPT = 13
FORGOTTEN_AT_ONCE = 20_000  # rows a statement: two days of seven models
_CLAIM = """
    insert into pools_modelprobe (model_id, minute, outcome, code)
    select id, date_trunc('minute', statement_timestamp(), 'UTC'), '', '' from unnest(%s::bigint[]) id order by id
    on conflict (model_id, minute) do nothing returning model_id, id
"""
_FORGET = """
    delete from pools_modelprobe where id in (select id from pools_modelprobe where minute < %s limit %s)
"""


def published_models(today: date | None = None) -> Q:
    """The models that are to answer on that day (None: today, UTC), as a condition on `LanguageModel`."""
    day = today or datetime.now(UTC).date()
    lives = Q(retired_on=None) | Q(retired_on__gt=day)
    return Q(published_at__isnull=False) & ~Q(visibility=LanguageModel.Visibility.NOBODY) & lives


def probe_published_models(*, seconds: float = PROBE_SECONDS) -> int:
    """Probe the published models that nobody probed in this minute yet, all at once; gives how many.

    Where one fails or is late, its engines that cannot be reached any more are taken out of service.

    Takes `seconds` at most, and little more: a model that hangs holds up no other.
    """
    resting = models_at_rest()
    models = {model.pk: model for model in LanguageModel.objects.filter(published_models()) if model.pk not in resting}
    rows = _claimed(list(models))
    if not rows:
        return 0
    claimed = {model_id: models[model_id] for model_id in rows}
    try:
        secret = probe_secret()
    except RateCard.DoesNotExist:
        seen = dict.fromkeys(claimed, Seen(Outcome.REFUSED, "model_without_price"))
    else:
        connections.close_all()  # answers take their time and need none of the few connections
        seen = asyncio.run(_probe_all(claimed, secret, seconds))
    for model_id, one in seen.items():
        ModelProbe.objects.filter(pk=rows[model_id]).update(
            outcome=one.outcome,
            code=one.code,
            first_token_ms=one.first_token_ms,
            duration_ms=one.duration_ms,
            tokens=one.tokens,
        )
    # A machine that is switched off can make its model late: only who looks knows whether it is gone or busy.
    take_out_the_gone([models[pk] for pk, one in seen.items() if one.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)])
    return len(seen)


def forget_probes() -> int:
    """Remove the probes that are older than they are kept; gives how many."""
    oldest = months_later(database_now().astimezone(UTC).date(), -MONTHS_KEPT)
    before = datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC)
    removed = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_FORGET, [before, FORGOTTEN_AT_ONCE])
            gone: int = cursor.rowcount
        removed += gone
        if gone < FORGOTTEN_AT_ONCE:
            return removed


def _claimed(model_ids: list[int]) -> dict[int, int]:
    """By model, the row of this minute that is ours to fill."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [model_ids])
        return dict(cursor.fetchall())


async def _probe_all(models: Mapping[int, LanguageModel], secret: str, seconds: float) -> dict[int, Seen]:
    asked = [probe(settings.GATEWAY_URL, one.name, one.kind, secret, seconds=seconds) for one in models.values()]
    return dict(zip(models, await asyncio.gather(*asked), strict=True))
