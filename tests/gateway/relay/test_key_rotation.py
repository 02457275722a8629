"""Rotation, revocation and blocking at a running gateway: what works goes on, what ended is refused in a second."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.models import BudgetPeriod
from billing.models import Scope as Holder
from gateway.relay import key_use
from identity.access import Caller
from identity.api_keys import revoke_api_key
from identity.key_blocking import block_api_key, unblock_api_key
from identity.key_rotation import Rotation, end_previous_secret, rotate_api_key
from identity.models import ApiKey, KeyUse, OperatorRole
from identity.operators import appoint_operator
from identity.playground import playground_secret
from tests.gateway.relay.bills import records_of
from tests.gateway.relay.conftest import Scene
from tests.support.gateway import error_of
from tests.support.ledger import HeldKey
from tests.support.load import Load, chat
from tests.support.people import TESTS, as_member, make_person

AT_ONCE_S = 1.0
GRACE = timedelta(seconds=4)


def rotate(key: HeldKey, grace: timedelta = timedelta(hours=1)) -> Rotation:
    return rotate_api_key(key.row, by=Caller.system("tests", key.row.tenant), grace=grace)


def clients(scene: Scene, text: str) -> Load:
    """Four that ask on and on with this text, two of them for streams."""
    asks = [chat(scene.model, text, stream=number % 2 == 0) for number in range(4)]
    return Load(scene.gateway.http_connection, asks)


def refused_after(scene: Scene, text: str) -> tuple[float, str]:
    """Seconds until a request with this text is refused, and with what code."""
    began = time.monotonic()
    while (answered := scene.gateway.chat(scene.model, text, max_tokens=1)).status == 200:
        assert time.monotonic() - began < 10
    return time.monotonic() - began, error_of(answered)["code"]


def test_a_rotation_under_load_fails_no_request_and_the_old_secret_ends_in_time(scene: Scene) -> None:
    key = scene.key()
    budget = scene.house.budget(Holder.KEY, key.row.pk, 10**12)
    with clients(scene, key.text) as old:
        old.wait_for_more(20)
        rotated = time.monotonic()
        done = rotate(key, GRACE)
        ends = time.monotonic() + GRACE.total_seconds()
        scene.gateway.await_key(done.text)
        with clients(scene, done.text) as new:
            time.sleep(ends - time.monotonic() - 0.7)
    assert old.failures + new.failures == []
    asked = time.monotonic()
    _, code = refused_after(scene, key.text)
    refused = time.monotonic()
    assert code == "api_key_rotated"
    assert refused > rotated + GRACE.total_seconds() - 0.05
    assert refused - max(asked, ends) < AT_ONCE_S
    assert scene.gateway.chat(scene.model, done.text, max_tokens=1).status == 200
    # One key, whose consumption went on: every answer is on its one budget.
    records = records_of(key.row)
    assert old.answered | new.answered <= {str(record.request_id) for record in records}
    assert min(len(old.answered), len(new.answered)) > 20
    spent = BudgetPeriod.objects.get(budget_id=budget.pk).spent_nano_eur
    assert spent == sum(record.cost_nano_eur for record in records) > 0


@pytest.mark.parametrize("what", ["revoke", "block", "end the old secret", "rotate again", "rotate without a grace"])
def test_what_is_stopped_is_refused_within_a_second(scene: Scene, what: str) -> None:
    key = scene.key()
    operator = make_person("ines")
    appoint_operator(operator, OperatorRole.PLATFORM, actor=TESTS)
    system = Caller.system("tests", key.row.tenant)
    if what in ("end the old secret", "rotate again"):
        scene.gateway.await_key(rotate(key).text)
    stop: dict[str, tuple[Callable[[], Any], str]] = {
        "revoke": (lambda: revoke_api_key(key.row, actor=TESTS), "api_key_revoked"),
        "block": (lambda: block_api_key(key.row.lookup, by=operator, reason="leaked"), "api_key_blocked"),
        "end the old secret": (lambda: end_previous_secret(key.row, by=system), "api_key_rotated"),
        "rotate again": (lambda: rotate(key), "invalid_api_key"),
        "rotate without a grace": (lambda: rotate(key, timedelta()), "api_key_rotated"),
    }
    assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200
    act, code = stop[what]
    act()
    took, told = refused_after(scene, key.text)
    assert (told, took < AT_ONCE_S) == (code, True)
    if what == "block":
        unblock_api_key(key.row.lookup, by=operator, reason="a false alarm")
        time.sleep(0.2)
        assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200


def test_a_kept_connection_does_not_remember_a_secret_that_ended(scene: Scene) -> None:
    key = scene.key()
    connection = scene.gateway.http_connection()

    def status() -> int:
        connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key.text}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    assert status() == 200
    rotate(key, timedelta(seconds=1))
    assert status() == 200
    time.sleep(1.2)
    assert status() == 401
    connection.close()


def test_a_request_from_try_it_is_recorded_as_such(scene: Scene) -> None:
    alice = make_person("alice", scene.house.tenant)
    text = playground_secret(as_member(alice, scene.house.tenant), scene.house.project)
    scene.gateway.await_key(text)
    assert scene.gateway.chat(scene.model, text, max_tokens=1).status == 200
    [record] = records_of(ApiKey.objects.get(owner=alice))
    assert (record.door, record.owner, record.project_id) == ("playground", alice.pseudonym, scene.house.project.pk)


def test_the_last_use_of_each_secret_is_known_within_seconds_and_costs_no_policy_version(scene: Scene) -> None:
    key = scene.key()
    assert scene.gateway.chat(scene.model, key.text, max_tokens=1).status == 200
    version = ApiKey.objects.get(pk=key.row.pk).policy_version
    deadline = time.monotonic() + key_use.EVERY_S + 2
    while not (use := KeyUse.objects.filter(pk=key.row.pk).first()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert use.last_used_at is not None
    assert use.previous_last_used_at is None
    assert ApiKey.objects.get(pk=key.row.pk).policy_version == version
