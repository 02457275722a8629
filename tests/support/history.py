"""Requests of other times, written as the owner of the tables: the ledger's own functions know only now."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

from billing.usage.records import lowest_request_id
from identity.models import ApiKey
from models_catalog.models import LanguageModel
from tests.support.ledger import House

_RECORD = """
    insert into billing_usage_record
    select %(id)s, null, %(tenant)s, %(project)s, %(key)s, null, %(model)s, %(name)s, %(name)s, 'pool', 'replica-1',
        'node-1', '', '/v1/chat/completions', 'api', 'standard', 1, %(prices)s, 100, 0, 50, 0, 0, 0, 0,
        %(cost)s, 0, 0, 0, 0, 0, 0, %(cost)s, 0, null, %(status)s, %(http_status)s, 'stop', false, null, 1024, '', '',
        %(ttft)s, 2000, %(at)s, %(at)s + interval '2 seconds'
"""
_HOUR = """
    insert into billing_usage_hour as u
    values (date_trunc('hour', %(at)s, 'UTC'), %(tenant)s, %(project)s, %(key)s, %(model)s, 'standard', 1,
        (%(http_status)s >= 400)::int, 100, 0, 50, 0, 0, 0, 0, %(cost)s, 0)
    on conflict (tenant_id, hour, project_id, key_id, model_id, mode) do update set
        requests = u.requests + 1, failed_requests = u.failed_requests + excluded.failed_requests,
        input_quantity = u.input_quantity + 100, output_quantity = u.output_quantity + 50,
        cost_nano_eur = u.cost_nano_eur + excluded.cost_nano_eur
"""
_DAY = """
    insert into billing_usage_day as u
    values (date_trunc('day', %(at)s, 'UTC'), %(tenant)s, %(project)s, %(model)s, 'standard', 1,
        (%(http_status)s >= 400)::int, 100, 0, 50, 0, 0, 0, 0, %(cost)s, 0)
    on conflict (tenant_id, day, project_id, model_id, mode) do update set
        requests = u.requests + 1, failed_requests = u.failed_requests + excluded.failed_requests,
        input_quantity = u.input_quantity + 100, output_quantity = u.output_quantity + 50,
        cost_nano_eur = u.cost_nano_eur + excluded.cost_nano_eur
"""
_REFUSAL = """
    insert into billing_refusal values (%(id)s, %(tenant)s, %(project)s, %(key)s, %(at)s, %(code)s, '', %(name)s)
"""
_COUNT = """
    insert into billing_refusal_count as c
    values (date_trunc('minute', %(at)s, 'UTC'), %(tenant)s, %(project)s, %(key)s, %(code)s, 1)
    on conflict (minute, tenant_id, project_id, key_id, code) do update set refusals = c.refusals + 1
"""


@dataclass(frozen=True)
class History:
    """Writes what a house's requests left, with their sums."""

    house: House
    owner: psycopg.Connection[Any]

    def record(
        self,
        key: ApiKey,
        at: datetime,
        *,
        waited: int = 0,
        model: LanguageModel | None = None,
        cost: int = 45_000,
        status: str = "completed",
        http_status: int = 200,
        ttft: int = 120,
    ) -> UUID:
        """A usage record admitted at `at`; its id was made `waited` milliseconds before. Answers the id."""
        model = model or self.house.model
        made = UUID(int=(lowest_request_id(at).int - (waited << 80)) | uuid4().int >> 48)
        values = self._values(key, at, made) | {"model": model.pk, "name": model.name, "cost": cost, "status": status}
        values |= {"http_status": http_status, "ttft": ttft, "prices": self.house.price_version.pk}
        self.owner.execute(_RECORD, values)
        self.owner.execute(_HOUR, values)
        self.owner.execute(_DAY, values)
        return made

    def refusal(self, key: ApiKey, at: datetime, code: str = "rate_limit_exceeded", *, is_listed: bool = True) -> UUID:
        """A refused request; not listed: counted only, as those are that are no longer kept one by one."""
        made = UUID(int=lowest_request_id(at).int | uuid4().int >> 48)
        values = self._values(key, at, made) | {"code": code, "name": self.house.model.name}
        if is_listed:
            self.owner.execute(_REFUSAL, values)
        self.owner.execute(_COUNT, values)
        return made

    def _values(self, key: ApiKey, at: datetime, made: UUID) -> dict[str, Any]:
        return {"id": made, "tenant": self.house.tenant.pk, "project": key.project_id, "key": key.pk, "at": at}


@contextmanager
def history_of(house: House, owner_database_url: str) -> Iterator[History]:
    """For as long as the test writes."""
    with psycopg.connect(owner_database_url, autocommit=True) as owner:
        yield History(house, owner)
