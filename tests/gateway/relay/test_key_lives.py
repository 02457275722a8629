"""The lives of a key's secrets, at random, at both doors: each text opens exactly while the model says that it may.

The model knows two secrets, their ends, and what refuses a key. The doors are the management API's `authenticate` and
the relay's, on a snapshot that is read as gateways read it; both on a clock that the test moves.
"""

import asyncio
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway.relay import authenticate as relay
from gateway.relay.config import config_from_environment
from gateway.relay.errors import Refusal as RelayRefusal
from gateway.relay.http_message import HttpRequest
from gateway.relay.snapshot import Snapshot
from gateway.relay.snapshot_reader import SnapshotReader
from identity import api_keys
from identity.access import Caller, caller_for_key
from identity.errors import KeyRefused, Refusal
from identity.key_blocking import block_api_key, unblock_api_key
from identity.key_rotation import end_previous_secret, rotate_api_key
from identity.models import ApiKey, OperatorRole, Person
from identity.operators import appoint_operator
from identity.scopes import Scope
from tests.support.people import TESTS, make_key, make_person, make_tenant

pytestmark = pytest.mark.usefixtures("database")
EXAMPLES = int(os.environ.get("KEY_EXAMPLES", "12"))
CODES = {
    Refusal.UNKNOWN: "invalid_api_key",
    Refusal.REVOKED: "api_key_revoked",
    Refusal.BLOCKED: "api_key_blocked",
    Refusal.ROTATED: "api_key_rotated",
}
graces = st.sampled_from([timedelta(), timedelta(minutes=1), timedelta(hours=1)])


class KeyMachine(RuleBasedStateMachine):
    """One key and everybody who has, or had, a text of it."""

    operator: Person
    clock: "Clock"

    def __init__(self) -> None:
        super().__init__()
        self.clock.ahead = timedelta()
        self.key, text = make_key(make_tenant(), scopes=(Scope.INFERENCE, Scope.KEYS_MANAGE))
        self.system = Caller.system("tests", self.key.tenant)
        self.texts, self.current, self.previous = [text], text, ""
        self.ends: datetime | None = None
        self.asked = ""
        self.stopped: Refusal | None = None
        self.snapshot = Snapshot()
        self.reader = SnapshotReader(
            config_from_environment(os.environ | {"BEFFROI_DJANGO_SOCKET": "/none"}), self.snapshot
        )
        self.verifier = relay.Verifier()

    def teardown(self) -> None:
        self.clock.ahead = timedelta()
        self.clock.loop.run_until_complete(self.reader.close())

    @precondition(lambda self: self.stopped != Refusal.REVOKED)
    @rule(grace=graces, request=st.sampled_from(["", "", "a", "b"]))
    def rotate(self, grace: timedelta, request: str) -> None:
        is_repeat = bool(self.previous and request and request == self.asked)
        self._rotated(rotate_api_key(self.key, by=self.system, grace=grace, request=request), grace, is_repeat)
        self.asked = request

    @precondition(lambda self: self.previous and self.stopped is None and self.clock.now() < self.ends)
    @rule(grace=graces)
    def rotate_itself_with_the_secret_before(self, grace: timedelta) -> None:
        me = api_keys.authenticate(self.previous, client_ip=None, origin=None, now=self.clock.now())
        self._rotated(rotate_api_key(me, by=caller_for_key(me), grace=grace), grace, is_repeat=True)

    def _rotated(self, done: Any, grace: timedelta, is_repeat: bool) -> None:
        assert done.is_repeat == is_repeat
        if not is_repeat:
            self.previous, self.ends = self.current, done.key.previous_ends_at
            assert self.ends is not None
            assert abs(self.ends - self.clock.now() - grace) < timedelta(seconds=5)
        assert done.key.previous_ends_at == self.ends
        self.current = done.text
        self.texts.append(done.text)

    @rule()
    def end_the_secret_before(self) -> None:
        lives = self.ends is not None and self.clock.now() < self.ends
        assert end_previous_secret(self.key, by=self.system) == lives
        if lives:
            self.ends = ApiKey.objects.get(pk=self.key.pk).previous_ends_at
            assert self.ends is not None
            assert abs(self.ends - self.clock.now()) < timedelta(seconds=5)

    @precondition(lambda self: self.stopped is None)
    @rule()
    def block(self) -> None:
        assert block_api_key(self.key.lookup, by=self.operator, reason="leaked")
        self.stopped = Refusal.BLOCKED

    @precondition(lambda self: self.stopped == Refusal.BLOCKED)
    @rule()
    def unblock(self) -> None:
        assert unblock_api_key(self.key.lookup, by=self.operator, reason="a false alarm")
        self.stopped = None

    @precondition(lambda self: len(self.texts) > 4)
    @rule()
    def revoke(self) -> None:
        assert api_keys.revoke_api_key(self.key, actor=TESTS) == (self.stopped != Refusal.REVOKED)
        self.stopped = Refusal.REVOKED

    @rule(span=st.sampled_from([timedelta(seconds=20), timedelta(minutes=2), timedelta(hours=2)]))
    def pass_time(self, span: timedelta) -> None:
        self.clock.ahead += span

    @invariant()
    def each_text_opens_both_doors_exactly_while_it_may(self) -> None:
        self.clock.loop.run_until_complete(self.reader.read_key(self.key.pk))
        now = self.clock.now()
        for text in self.texts:
            expected = self._expected(text, now)
            assert self._at_the_api(text, now) == expected
            assert self._at_the_relay(text, now) == (CODES[expected] if expected else None)

    def _expected(self, text: str, now: datetime) -> Refusal | None:
        if text not in (self.current, self.previous):
            return Refusal.UNKNOWN
        if self.stopped is not None:
            return self.stopped
        if text == self.previous and self.ends is not None and self.ends <= now:
            return Refusal.ROTATED
        return None

    def _at_the_api(self, text: str, now: datetime) -> Refusal | None:
        try:
            api_keys.authenticate(text, client_ip=None, origin=None, now=now)
        except KeyRefused as refused:
            return refused.reason
        return None

    def _at_the_relay(self, text: str, now: datetime) -> str | None:
        """On a connection that remembers the text before."""
        request = HttpRequest(fields={b"authorization": f"Bearer {text}".encode()})
        config = self.reader._config
        try:
            relay.authenticate(request, "192.0.2.1", self.verifier, self.snapshot, config, now.timestamp())
        except RelayRefusal as refused:
            return refused.code
        return None


class Clock:
    """The time that the verbs see."""

    def __init__(self, real: Callable[[], datetime]) -> None:
        self._real, self.ahead = real, timedelta()
        self.loop = asyncio.new_event_loop()

    def now(self) -> datetime:
        """As far ahead as the test went."""
        return self._real() + self.ahead


def test_EXACT_old_and_new_secret_open_exactly_while_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    operator, clock = make_person("ines"), Clock(timezone.now)
    appoint_operator(operator, OperatorRole.PLATFORM, actor=TESTS)
    monkeypatch.setattr(timezone, "now", clock.now)
    machine = type("Machine", (KeyMachine,), {"operator": operator, "clock": clock})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate),
        ),
    )
    clock.loop.close()
