"""Every page of the console for the organisation with the most usage: `python -m bench.console_pages`, beside a running
`make up` that was seeded (`make seed`).

Asked as its owner, in this process and without a socket: what is timed is Django's server time, all of the page
included. A page of which one part is chosen by the address is asked for in several ways. `--over MS` prints of the
slower ones what their queries took.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ROUNDS = 5
AIM_MS, AIM_QUERIES = 100, 10
# Ways to ask for a page beside the plain one; {name} is a value of the world's.
WAYS: Mapping[str, tuple[str, ...]] = {
    "billing": ("?month={month_before}",),
    "keys": ("?q=Assistant", "?q=12345", "?state=expiring", "?state=unused", "?project={project_id}"),
    "models": ("?show=all",),
    "requests": ("?ended=trouble", "?model={model}", "?project={project_id}"),
    "search": ("?q=Guichet",),
    "usage": ("?by=project", "?by=key", "?span=90", "?span=90&by=project", "?span={month_before}&measure=tokens"),
}
_WORLD = """
    select t.slug, t.id, owner.person_id, key.lookup, key.project_id, key.model, request.request_id, person.pseudonym,
        event.sequence, to_char(date_trunc('month', now()) - interval '1 day', 'YYYY-MM')
    from identity_tenant t
    cross join lateral (
        select person_id from identity_membership where tenant_id = t.id and role = 'owner' order by id limit 1
    ) owner
    cross join lateral (
        select k.lookup, k.project_id, m.name as model from billing_usage_hour u
        join identity_apikey k on k.id = u.key_id join models_catalog_languagemodel m on m.id = u.model_id
        where u.tenant_id = t.id and u.hour > now() - interval '2 days' order by u.requests desc limit 1
    ) key
    cross join lateral (
        select request_id from billing_usage_record where tenant_id = t.id order by request_id desc limit 1
    ) request
    cross join lateral (
        select p.pseudonym from identity_membership m join identity_person p on p.id = m.person_id
        where m.tenant_id = t.id and m.role = 'developer' order by m.id desc limit 1
    ) person
    left join lateral (select sequence from identity_auditevent where tenant_id = t.id order by 1 limit 1) event on true
    where t.id = (select tenant_id from billing_usage_day group by 1 order by sum(requests) desc limit 1)
"""
_NAMES = [
    "slug",
    "tenant_id",
    "owner",
    "lookup",
    "project_id",
    "model",
    "request_id",
    "pseudonym",
    "sequence",
    "month_before",
]
_SIZE = """
    select (select count(*) from identity_apikey where tenant_id = t.id), sum(requests)::bigint,
        (select count(*) from identity_project where tenant_id = t.id),
        (select count(*) from billing_usage_hour where tenant_id = t.id), count(*)
    from identity_tenant t join billing_usage_day d on d.tenant_id = t.id where t.id = %s group by t.id
"""


@dataclass(frozen=True)
class Seen:
    """One way to ask for a page: milliseconds, the median and the least of the rounds after a first one; `slow`: ms and
    query. Others who use the machine change the least of them least.
    """

    address: str
    status: int
    ms: float
    least_ms: float
    queries: int
    kilobytes: float
    slow: list[tuple[float, str]] = field(default_factory=list)

    @property
    def is_missed(self) -> bool:
        """Whether the aim was."""
        return self.ms >= AIM_MS or self.queries > AIM_QUERIES

    def line(self) -> str:
        """Of the table."""
        missed = " MISSED" if self.is_missed else ""
        times = f"{self.ms:.0f}{missed} | {self.least_ms:.0f}"
        return f"| {self.address} | {self.status} | {times} | {self.queries} | {self.kilobytes:.0f} |"


def world() -> dict[str, Any]:
    """The values that addresses are made with, of the organisation with the most usage."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(_WORLD)
        row = cursor.fetchone()
        if row is None:
            sys.exit("There is no usage of the last two days: `make seed` makes some.")
        values = dict(zip(_NAMES, row, strict=True))
        cursor.execute(_SIZE, [values["tenant_id"]])
        keys, requests, projects, hours, days = cursor.fetchone()
    say(f"{values['slug']}: {keys:,} keys, {projects:,} projects, {requests:,} requests")
    say(f"in {hours:,} hourly sums of keys and {days:,} daily sums\n")
    return values


def addresses(values: Mapping[str, Any]) -> Iterator[str]:
    """Every page of the organisation that can be looked at."""
    from django.urls import reverse

    from tests.support.console_world import console_routes

    for route in console_routes():
        if not route.is_of_tenant or "GET" not in route.methods or not set(route.parts) <= values.keys():
            continue
        address = reverse(route.name, kwargs={part: values[part] for part in route.parts})
        yield address
        for way in WAYS.get(route.name, ()):
            yield address + way.format(**values)


def measured(client: Any, address: str) -> Seen | None:
    """None where there is no page to be seen: it takes posts only, leads elsewhere or is a file."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    took: list[float] = []
    for _ in range(1 + ROUNDS):
        began = time.perf_counter()
        response = client.get(address)
        took.append(1000 * (time.perf_counter() - began))
        if response.status_code != 200 or not response["Content-Type"].startswith("text/html"):
            return None
    with CaptureQueriesContext(connection) as queries:
        client.get(address)
    slow = sorted(((1000 * float(one["time"]), " ".join(one["sql"].split())[:160]) for one in queries), reverse=True)
    size = len(response.content) / 1000
    return Seen(address, response.status_code, statistics.median(took[1:]), min(took[1:]), len(queries), size, slow)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.console_pages", description=__doc__)
    parser.add_argument("--over", type=float, default=AIM_MS, help="of pages slower than this many ms, the queries")
    arguments = parser.parse_args()
    begin_django()
    from identity.models import Person
    from tests.support.console import signed_in

    values = world()
    client = signed_in(Person.objects.get(pk=values["owner"]))
    say("| page | status | ms | least | queries | kB |\n|---|---:|---:|---:|---:|---:|")
    seen = []
    for address in addresses(values):
        one = measured(client, address)
        if one:
            say(one.line())
            seen.append(one)
    for one in seen:
        if one.ms > arguments.over:
            say(f"\n{one.address}")
            say("\n".join(f"  {ms:6.1f} ms  {query}" for ms, query in one.slow[:4]))


def begin_django() -> None:
    """In the environment of the installation beside."""
    import os

    import django

    from console.supervisor.environment import adopt

    adopt(os.environ, make=False)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    django.setup()


def say(line: str) -> None:
    """At once, as it takes a while."""
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
