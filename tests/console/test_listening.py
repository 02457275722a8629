"""A port that cannot be had is told with what to do."""

import socket
from collections.abc import Iterator

import pytest

from console.supervisor import listening
from console.supervisor.listening import PortError
from tests.support.ports import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("0.0.0.0", 0)) as other:
        yield other.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_told_with_the_next_one_to_try(taken: int, host: str) -> None:
    with pytest.raises(PortError, match=f"Port {taken} is taken.*BEFFROI_PORT={taken + 1} make up"):
        listening.reserve(host, taken)


def test_clients_are_refused_until_the_gateways_run_and_then_let_in() -> None:
    port = free_port()
    with listening.reserve("127.0.0.1", port) as reserved:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        listening.listen(reserved)
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(PortError, match="BEFFROI_LISTEN"):
        listening.reserve("192.0.2.1", free_port())
