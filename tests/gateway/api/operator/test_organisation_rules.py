"""Organisation rules through the operator's API."""

from collections.abc import Iterator

import pytest

from identity.models import AuditEvent, GroupFeed, Tenant
from identity.scopes import OperatorScope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.group_rules import Directory, directory
from tests.support.ledger import unique
from tests.support.operators import HeldOperatorKey, held_operator_key

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def house(database: None) -> Iterator[Directory]:
    with directory() as house:
        yield house


@pytest.fixture
def script(database: None) -> HeldOperatorKey:
    return held_operator_key(OperatorScope.TENANTS_WRITE)


def test_a_put_makes_then_does_nothing_then_changes_and_it_goes(
    api: Api, script: HeldOperatorKey, house: Directory
) -> None:
    code = unique("r").lower()
    address = f"/api/operator/organisation-rules/{code}"
    body = {"pattern": house.group("*"), "role": "developer", "makes": True, "tier": house.tier}
    made = api.ask("PUT", address, script, body)
    assert (made.status_code, made.json()) == (
        201,
        body
        | {
            "code": code,
            "time_zone": "Europe/Paris",
            "name_pattern": "*",
            "id_pattern": "*",
            "joins": "",
            "made_max": 300,
            "made": 0,
        },
    )
    assert (api.ask("PUT", address, script, body).status_code, api.get(address, script).json()) == (200, made.json())
    changed = api.ask("PUT", address, script, body | {"role": "auditor", "made_max": 5}).json()
    assert (changed["role"], changed["made_max"]) == ("auditor", 5)
    listed, following = [], "/api/operator/organisation-rules?limit=1"
    while following:
        page = api.get(following, script).json()
        listed += [one["code"] for one in page["results"]]
        following = page["next"]
    assert code in listed
    twin = api.ask("PUT", f"{address}-twin", script, body)
    assert (twin.status_code, problem_of(twin)["code"]) == (409, "conflict")
    assert [api.ask("DELETE", address, script).status_code for _ in range(2)] == [204, 404]
    assert api.get(address, script).status_code == 404
    told = AuditEvent.objects.filter(tenant=None, target_kind="organisation_rule", target=code)
    assert {event.actor_kind for event in told} == {"operator_key"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "developer"}, "pattern"),
        ({"pattern": "llm-*"}, "role"),
        ({"pattern": "llm-*", "role": "platform"}, "role"),
        ({"pattern": "llm", "role": "developer"}, "pattern"),
        ({"pattern": "llm-*", "role": "developer", "makes": True}, "tier"),
        ({"pattern": "llm-*", "role": "developer", "made_max": 10**9}, "made_max"),
        ({"pattern": "llm-*", "role": "developer", "is_operator": True}, "is_operator"),
    ],
)
def test_a_rule_that_makes_no_sense_says_where(
    api: Api, script: HeldOperatorKey, body: dict[str, object], field: str
) -> None:
    response = api.ask("PUT", "/api/operator/organisation-rules/x", script, body)
    assert (response.status_code, [one["field"] for one in problem_of(response)["errors"]]) == (400, [field])


def test_groups_are_looked_at_then_made_then_there(api: Api, script: HeldOperatorKey, house: Directory) -> None:
    house.rule("*")
    word = unique("w").lower().replace("_", "-")
    groups = [house.group(f"{word}-{number:03}") for number in range(20)] + ["elsewhere", house.group("é")]

    def outcomes(**more: object) -> list[str]:
        answer = api.ask("POST", "/api/operator/group-imports", script, {"groups": groups, **more}).json()
        assert [line["group"] for line in answer["lines"]] == groups
        return [*(line["outcome"] for line in answer["lines"][-3:]), str(answer["is_done"])]

    assert outcomes() == ["made", "ignored", "refused", "False"]
    assert not Tenant.objects.filter(external_id__startswith=word).exists()
    assert outcomes(dry_run=False) == ["made", "ignored", "refused", "True"]
    assert Tenant.objects.filter(external_id__startswith=word).count() == 20
    assert outcomes(dry_run=False) == ["there", "ignored", "refused", "False"]
    [line, *_rest] = api.ask("POST", "/api/operator/group-imports", script, {"groups": groups}).json()["lines"]
    assert (line["external_id"], line["role"], line["rule"]) == (f"{word}-000", "developer", house.root)
    assert api.ask("POST", "/api/operator/group-imports", script, {"groups": ["a"] * 1_001}).status_code == 400


def test_an_organisation_that_is_there_is_fed_when_it_is_said(
    api: Api, script: HeldOperatorKey, house: Directory
) -> None:
    word = unique("w").lower().replace("_", "-")
    address = f"/api/operator/tenants/{word}"
    api.ask("PUT", address, script, {"name": "Team", "tier": house.tier})
    assert api.get(f"{address}/group-feed", script).status_code == 404
    rule = {"rule": house.rule("*").code}
    fed = api.ask("PUT", f"{address}/group-feed", script, rule)
    assert (fed.status_code, fed.json()["word"], fed.json()["gives_administrators"]) == (201, word, True)
    assert (fed.json()["rule"], fed.json()["is_made"]) == (rule["rule"], False)
    assert api.ask("PUT", f"{address}/group-feed", script, rule).status_code == 200
    assert api.ask("PUT", f"{address}/group-feed", script, {"rule": "nobody"}).status_code == 404
    assert api.get(f"{address}/group-feed", script).json() == fed.json()
    assert [api.ask("DELETE", f"{address}/group-feed", script).status_code for _ in range(2)] == [204, 404]
    assert not GroupFeed.objects.filter(word=word).exists()
    odd = f"{word}:1"
    api.ask("PUT", f"/api/operator/tenants/{odd}", script, {"name": "Team", "tier": house.tier})
    assert api.ask("PUT", f"/api/operator/tenants/{odd}/group-feed", script, rule).status_code == 400
    reads = held_operator_key(OperatorScope.TENANTS_READ)
    assert api.ask("PUT", f"{address}/group-feed", reads).status_code == 403
