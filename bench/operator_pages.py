"""Every page of the operator's console, with all of an installation's data: `python -m bench.operator_pages`, beside a
running `make up` that was seeded (`make seed`). As `bench.console_pages`, asked as who runs the platform in every role.
"""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from bench.console_pages import AIM_MS, begin_django, measured, say

# Ways to ask for a page beside the plain one.
WAYS: Mapping[str, tuple[str, ...]] = {
    "operator-audit": ("?action=api_key.made",),
    "operator-billing": ("?month={month_before}",),
    "operator-tenants": ("?q=ville", "?status=active", "?after={middle}"),
}
_WORLD = """
    select t.slug, i.code, m.id, card.id, to_char(date_trunc('month', now()) - interval '1 day', 'YYYY-MM'),
        (select id from identity_tenant order by name offset (select count(*) / 2 from identity_tenant) limit 1)
    from (select tenant_id from billing_usage_day group by 1 order by sum(requests) desc limit 1) most
    join identity_tenant t on t.id = most.tenant_id
    join billing_contract c on c.tenant_id = t.id and c.ends_at is null
    join billing_tier i on i.id = c.tier_id
    cross join lateral (
        select model_id as id from billing_usage_day where tenant_id = t.id group by 1 order by sum(requests) desc limit 1
    ) m
    cross join lateral (select id from billing_ratecard order by id limit 1) card
"""  # noqa: E501
_NAMES = ("slug", "code", "model_id", "list_id", "month_before", "middle")
_SIZE = """
    select (select count(*) from identity_tenant where not is_platform), (select count(*) from identity_apikey),
        (select sum(requests) from billing_usage_day), (select count(*) from billing_usage_day),
        (select count(*) from identity_auditevent)
"""


def world() -> dict[str, Any]:
    """The values that addresses are made with."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(_SIZE)
        tenants, keys, requests, days, events = cursor.fetchone()
        say(
            f"{tenants:,} organisations, {keys:,} keys, {requests:,} requests, {days:,} daily sums, {events:,} events\n"
        )
        cursor.execute(_WORLD)
        return dict(zip(_NAMES, cursor.fetchone(), strict=True))


def addresses(values: Mapping[str, Any]) -> Iterator[str]:
    """Every page that can be looked at."""
    from django.urls import reverse

    from tests.support.console_world import console_routes

    for route in console_routes():
        if not route.is_of_operators or "GET" not in route.methods or not set(route.parts) <= values.keys():
            continue
        address = reverse(route.name, kwargs={part: values[part] for part in route.parts})
        yield address
        for way in WAYS.get(route.name, ()):
            yield address + way.format(**values)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.operator_pages", description=__doc__)
    parser.add_argument("--over", type=float, default=AIM_MS, help="of pages slower than this many ms, the queries")
    arguments = parser.parse_args()
    begin_django()
    from identity.audit import Actor
    from identity.models import OperatorRole, Person
    from identity.operators import appoint_operator
    from tests.support.console import signed_in

    values = world()
    operator = Person.objects.filter(is_operator=True).order_by("pk")[0]
    for role in OperatorRole:
        appoint_operator(operator, role, actor=Actor.system("bench"))
    client = signed_in(operator)
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


if __name__ == "__main__":
    main()
