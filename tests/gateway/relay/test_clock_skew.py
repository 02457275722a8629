"""A gateway whose clock is wrong takes no requests: prices, periods and keys end by the clock."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from tests.gateway.relay.bills import house_served_by
from tests.gateway.simulated_engine.process import EngineProcess, eventually
from tests.support.gateway import GatewayProcess, error_of
from tests.support.outage import OwnPostgres

LIMITS = "heartbeat_s=0.3,checkpoint_s=0.3"
# The gateway in a process whose clock is off by as many seconds as a file says.
PROGRAM = """
import runpy, sys, time
file, real = sys.argv.pop(1), time.time
def skewed():
    with open(file) as skew:
        return real() + float(skew.read())
time.time = skewed
runpy.run_module("gateway.relay", run_name="__main__", alter_sys=True)
"""


class SkewedGateway(GatewayProcess):
    """Its clock follows `set_clock`."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._skew = folder / "skew"
        self.set_clock(0)
        self.program = ("-c", PROGRAM, str(self._skew))
        super().__init__(folder, LIMITS, **environment)

    def set_clock(self, ahead_s: float) -> None:
        new = self._skew.with_suffix(".new")
        new.write_text(str(ahead_s))
        new.replace(self._skew)

    def readiness(self) -> tuple[int, str]:
        answered = self.get("/health/ready")
        return answered.status, answered.body.decode().strip()


@pytest.fixture
def gateway(own_postgres: OwnPostgres, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[SkewedGateway]:
    with (
        django_db_blocker.unblock(),
        own_postgres.used_by_django(),
        SkewedGateway(tmp_path, **own_postgres.environment) as gateway,
    ):
        yield gateway


@pytest.mark.parametrize("ahead_s", [3, -3])
def test_a_clock_that_is_off_is_not_ready_says_why_and_is_ready_once_cured(
    gateway: SkewedGateway, ahead_s: float
) -> None:
    reason = "this machine's clock and the database's differ by 3.0 s (at most 2)"
    gateway.set_clock(ahead_s)
    assert eventually(lambda: gateway.readiness() == (503, reason), 10), gateway.readiness()
    assert gateway.get("/health/live").status == 200
    assert eventually(lambda: f"not ready: {reason}" in gateway.log.read_text(), 5)
    gateway.set_clock(0)
    assert eventually(lambda: gateway.readiness() == (200, "ready"), 10)
    assert eventually(lambda: "ready again" in gateway.log.read_text(), 5)


def test_a_clock_that_is_a_little_off_is_corrected(gateway: SkewedGateway, relay_engine: EngineProcess) -> None:
    """A key ends by the database's clock, not a second and a half later."""
    gateway.set_clock(-1.5)
    house = house_served_by(gateway, relay_engine)
    ends_at = timezone.now() + timedelta(seconds=3)
    key = house.key(expires_at=ends_at)
    gateway.await_key(key.text)
    while timezone.now() < ends_at:
        time.sleep(0.05)
    answered = gateway.chat(house.model.name, key.text)
    assert (answered.status, error_of(answered)["code"]) == (401, "api_key_expired")
    assert gateway.readiness() == (200, "ready")


def test_a_database_that_answers_late_is_no_wrong_clock(gateway: SkewedGateway, own_postgres: OwnPostgres) -> None:
    own_postgres.freeze()
    try:
        assert eventually(lambda: gateway.readiness() == (503, "the database does not answer"), 5)
        time.sleep(3)
    finally:
        own_postgres.thaw()
    assert eventually(lambda: gateway.readiness() == (200, "ready"), 10)
    assert "clock" not in gateway.log.read_text()
