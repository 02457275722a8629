"""What a pod of `front` does: Django makes its socket, two gateways share a port before it, their counts are one."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from identity.scopes import OperatorScope
from tests.deploy.helm import ROOT
from tests.gateway.simulated_engine.process import eventually
from tests.support.operators import held_operator_key
from tests.support.ports import free_port

STARTS_WITHIN_S = 60


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Status and body; 0 where nobody listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


@pytest.fixture
def pod(database: None, tmp_path: Path) -> Iterator[int]:
    """Its port."""
    port, run = free_port(), tmp_path / "run"
    run.mkdir()
    environment = os.environ | {
        "BEFFROI_DJANGO_SOCKET": str(run / "django.sock"),
        "BEFFROI_METRICS_FOLDER": str(run / "metrics"),
    }
    gateway = ("gateway.relay", "--host", "127.0.0.1", "--port", str(port))
    commands = (("console.server", "--socket", str(run / "django.sock")), gateway, gateway)
    processes = [subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environment) for command in commands]
    try:
        assert eventually(lambda: get(port, "/health/ready")[0] == 200, STARTS_WITHIN_S)
        assert eventually(lambda: get(port, "/sign-in")[0] == 200, STARTS_WITHIN_S)
        yield port
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


@pytest.mark.slow
def test_a_pod_answers_pages_and_adds_up_its_gateways_counts(pod: int) -> None:
    reader = held_operator_key(OperatorScope.METRICS_READ)
    for _ in range(20):
        assert get(pod, "/v1/models", Authorization="Bearer nonsense")[0] == 401

    def told() -> list[str]:
        return get(pod, "/metrics", **reader.header)[1].splitlines()

    assert eventually(lambda: 'beffroi_gateway_refusals_total{reason="invalid_api_key"} 20' in told(), 10)
    assert "beffroi_gateway_processes 2" in told()
    assert "beffroi_gateway_ready_processes 2" in told()
