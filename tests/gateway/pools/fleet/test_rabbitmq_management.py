"""Where RabbitMQ's management is, and what is told where it is not."""

import subprocess
import sys

import pytest
from pytest_django import Settings

from console.connections import Kind, connections
from gateway.pools.fleet.broker import BrokerUnfit
from gateway.pools.fleet.broker_users import url_for
from gateway.pools.fleet.rabbitmq_users import RabbitMqUsers, management
from tests.support.ports import free_port
from tests.support.rabbitmq import ROOT


@pytest.mark.parametrize(
    ("broker", "told", "address", "credentials"),
    [
        ("amqp://u:p@rabbit:5672//", "", "http://rabbit:15672", "u:p"),
        ("amqps://u:p%40ss@rabbit/llm", "", "https://rabbit:15671", "u:p@ss"),
        ("amqp://u:p@[fd00::2]//;amqp://u:p@other//", "", "http://[fd00::2]:15672", "u:p"),
        ("amqp://rabbit//", "", "http://rabbit:15672", "guest:guest"),
        ("amqps://u:p@rabbit//", "https://m:q@[fd00::3]:8443/rabbit/", "https://[fd00::3]:8443/rabbit", "m:q"),
        ("amqps://u:p@rabbit//", "https://elsewhere", "https://elsewhere", "u:p"),
    ],
)
def test_it_is_beside_the_broker_unless_told_otherwise(
    settings: Settings, broker: str, told: str, address: str, credentials: str
) -> None:
    settings.VALKEY_URL, settings.RABBITMQ_MANAGEMENT_URL = broker, told
    assert management() == (address, credentials)


def test_it_is_among_the_connections_that_the_installation_makes(database: None, settings: Settings) -> None:
    settings.VALKEY_URL, settings.RABBITMQ_MANAGEMENT_URL = "amqps://u:p@10.0.0.1//", ""
    line = next(one for one in connections() if one.kind == Kind.BROKER)
    assert [str(one) for one in line.destinations] == ["10.0.0.1:5671", "10.0.0.1:15671"]


def test_where_nobody_answers_that_is_told_without_the_password(settings: Settings) -> None:
    settings.VALKEY_URL = "amqp://u:word@127.0.0.1//"
    settings.RABBITMQ_MANAGEMENT_URL = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnfit, match="management does not answer at http://127.0.0.1.*nothing listens") as told:
        RabbitMqUsers().drop("gpu-1")
    assert "word" not in str(told.value)


def test_a_node_gets_its_user_in_every_address_of_the_broker(settings: Settings) -> None:
    settings.VALKEY_URL = "amqp://u:p@rabbit//"
    settings.NODE_BROKER_URL = "amqps://u:p@one/llm;amqps://two:5671/llm"
    assert url_for("gpu-1", "word") == "amqps://node-gpu-1:word@one/llm;amqps://node-gpu-1:word@two:5671/llm"
    settings.NODE_BROKER_URL = "redis://valkey"
    with pytest.raises(BrokerUnfit, match="redis has no users of ours"):
        url_for("gpu-1", "word")


def test_the_command_that_fetches_rabbitmq_begins_without_a_configured_django() -> None:
    """A build machine that could not begin it would skip the tests of a real one for ever."""
    command = [sys.executable, "-m", "tests.support.rabbitmq"]
    subprocess.run(command, cwd=ROOT, env={}, check=True, timeout=60)
