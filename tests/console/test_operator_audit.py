"""The audit across organisations."""

import pytest
from django.db import transaction
from django.urls import reverse

from identity.audit import Actor, record
from identity.models import AuditEvent, AuditHead, OperatorRole
from identity.projects import change_project
from tests.support.console import page, signed_in
from tests.support.ledger import unique
from tests.support.people import Cast, make_cast, make_operator

pytestmark = pytest.mark.usefixtures("database")
ADDRESS = reverse("operator-audit")


def renamed(cast: Cast) -> str:
    name = unique("Chat")
    change_project(cast.project, name=name, cost_centre="", actor=Actor.person(cast.alice))
    return name


def test_all_chains_the_platforms_own_or_a_tenants_are_shown() -> None:
    one, other = make_cast(), make_cast()
    first, second = renamed(one), renamed(other)
    operator = make_operator()
    client = signed_in(operator)
    everything = page(client.get(ADDRESS))
    assert everything.index(second) < everything.index(first)
    assert f'href="/operator/t/{one.tenant.slug}' not in everything
    of_one = page(client.get(ADDRESS, {"chain": one.tenant.slug}))
    assert first in of_one
    assert second not in of_one
    platform = page(client.get(ADDRESS, {"chain": "platform:"}))
    assert "as an operator" in platform
    assert first not in platform
    assert client.get(ADDRESS, {"chain": "no-such-tenant"}).status_code == 404


def test_who_what_and_when_filter_and_a_wrong_date_filters_nothing() -> None:
    cast = make_cast()
    name = renamed(cast)
    client = signed_in(make_operator())
    chain = {"chain": cast.tenant.slug}
    for given, is_found in (
        ({"actor": cast.alice.email.upper()}, True),
        ({"actor": str(cast.alice.pseudonym)}, True),
        ({"actor": cast.bob.email}, False),
        ({"action": "project"}, True),
        ({"action": "api_key"}, False),
        ({"since": "2020-01-01", "until": "2999-01-01"}, True),
        ({"until": "2020-01-01"}, False),
        ({"since": "never", "after": "nonsense"}, True),
    ):
        assert (name in page(client.get(ADDRESS, chain | given))) == is_found, given


def test_pages_follow_each_other_without_a_gap() -> None:
    cast = make_cast()
    with transaction.atomic():
        for number in range(60):
            detail = {"month": f"number-{number}."}
            actor = Actor.system("tests")
            record(tenant=cast.tenant, actor=actor, action="usage.sealed", target=cast.tenant, detail=detail)
    client = signed_in(make_operator())
    for chain in (cast.tenant.slug, ""):
        first = client.get(ADDRESS, {"chain": chain})
        second = client.get(ADDRESS, {"chain": chain, "after": first.context["next"]})
        text = page(first) + page(second)
        assert [text.count(f"number-{number}.") for number in range(60)] == [1] * 60


def test_a_chain_is_verified_on_the_page() -> None:
    cast, client = make_cast(), signed_in(make_operator())
    verify = reverse("operator-audit-verify")
    links = AuditHead.objects.get(tenant=cast.tenant).sequence
    assert f"The chain holds: {links} links." in page(client.post(verify, {"chain": cast.tenant.slug}, follow=True))
    assert client.post(verify, {"chain": "no-such-tenant"}).status_code == 404


def test_only_who_may_read_the_audit_reads_it() -> None:
    assert AuditEvent.objects.exists()
    for role in (OperatorRole.SUPPORT, OperatorRole.BILLING):
        assert signed_in(make_operator(role)).get(ADDRESS).status_code == 403
