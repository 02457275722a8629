"""Servers that we are given and do not start: as after a power cut they may come up after us. Then we wait."""

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg

from console.supervisor.terminal import say

PAUSE_SECONDS = 1.0
CONNECT_SECONDS = 5
_PORTS = {"amqp": 5672, "amqps": 5671}
_VALKEY_PORT = 6379


def wait_for_database(url: str, pause: Callable[[float], None]) -> None:
    """Return once the database lets us in, saying what keeps it from that whenever that changes."""
    told = ""
    while why := _why_not(url):
        if why != told:
            say(f"  Waiting for the database of DATABASE_URL: {why}")
            told = why
        pause(PAUSE_SECONDS)
    if told:
        say("  The database answers.")


def _why_not(url: str) -> str:
    try:
        psycopg.connect(url, connect_timeout=CONNECT_SECONDS).close()
    except psycopg.OperationalError as error:
        return " ".join(str(error).split())  # libpq's words, which name no password
    return ""


def tell_of_broker(url: str) -> bool:
    """Say so where the broker is away: nobody waits for it but worker and nodes, which do so by themselves.

    Returns: whether it is there.
    """
    is_there = _listens(url)
    if not is_there:
        say("  Nobody answers at VALKEY_URL: probes, nodes and other background work begin as soon as it does.")
    return is_there


def _listens(url: str) -> bool:
    parts = urlsplit(url.partition(";")[0])
    try:
        if parts.hostname:
            place = (parts.hostname, parts.port or _PORTS.get(parts.scheme, _VALKEY_PORT))
            socket.create_connection(place, timeout=CONNECT_SECONDS).close()
        else:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(CONNECT_SECONDS)
                connection.connect(parts.path)
    except OSError:
        return False
    return True
