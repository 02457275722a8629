"""A gateway whose clock is wrong takes no requests: prices, periods and keys end by the clock."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.gateway.relay.bills import house_served_by, key_with_budget, only_record_of
from tests.gateway.simulated_engine.process import EngineProcess, eventually
from tests.support.gateway import GatewayProcess
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
    gateway.set_clock(-1.5)
    time.sleep(1)
    assert gateway.readiness() == (200, "ready")
    house = house_served_by(gateway, relay_engine)
    key = key_with_budget(house, gateway)
    assert gateway.chat(house.model.name, key.text, max_tokens=2).status == 200
    record = only_record_of(key.row)
    assert abs((record.admitted_at - record.settled_at).total_seconds()) < 1
    gateway.set_clock(0)


def test_a_database_that_answers_late_is_no_wrong_clock(gateway: SkewedGateway, own_postgres: OwnPostgres) -> None:
    own_postgres.freeze()
    try:
        assert eventually(lambda: gateway.readiness() == (503, "the database does not answer"), 5)
        time.sleep(3)
    finally:
        own_postgres.thaw()
    assert eventually(lambda: gateway.readiness() == (200, "ready"), 10)
    assert "clock" not in gateway.log.read_text()
