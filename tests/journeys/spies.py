"""What the two servers of an installation are told and hold: statements, rows, what the broker carries."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from console.supervisor.home import Home, load_secrets
from console.supervisor.postgres import DATABASE, SUPERUSER, database_url
from tests.journeys.canaries import Written

LOOK_S = 0.05


def superuser(home: Home) -> psycopg.Connection:
    """A connection that sees everything."""
    password = load_secrets(home).database_passwords[SUPERUSER]
    url = database_url(home.sockets / "postgres", SUPERUSER, password, DATABASE)
    return psycopg.connect(url, autocommit=True, connect_timeout=5)


def rows_of(home: Home) -> Iterator[Written]:
    """Every row of every table, the catalogs and statistics too: long values are compressed in the files."""
    with superuser(home) as connection:
        tables = connection.execute(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'm') and n.nspname not like 'pg\\_toast%'"
        ).fetchall()
        for schema, table in tables:
            copy = sql.SQL("copy (select * from {}) to stdout").format(sql.Identifier(schema, table))
            with connection.cursor().copy(copy) as data:
                yield "rows", f"{schema}.{table}", b"".join(data)


class Statements(threading.Thread):
    """Looks again and again at what PostgreSQL shows of its sessions."""

    def __init__(self, home: Home) -> None:
        super().__init__(daemon=True)
        self._home, self._seen, self.is_over = home, set[str](), False
        self.start()

    def run(self) -> None:
        while not self.is_over:
            with contextlib.suppress(psycopg.Error), superuser(self._home) as connection:
                self._look(connection)
            time.sleep(LOOK_S)  # PostgreSQL is away

    def _look(self, connection: psycopg.Connection) -> None:
        while not self.is_over:
            found = connection.execute("select concat_ws(' ', application_name, query) from pg_stat_activity")
            self._seen.update(row[0] for row in found)
            time.sleep(LOOK_S)

    def written(self) -> Iterator[Written]:
        """Each statement that was seen."""
        yield "statements", "pg_stat_activity", "\n".join(self._seen).encode()


class Bystander(threading.Thread):
    """Another organisation that calls models and reads what there is to read, and keeps every answer."""

    def __init__(self, port: int, key: str, model: str, word: str) -> None:
        super().__init__(daemon=True)
        self._port, self._headers = port, {"authorization": f"Bearer {key}", "content-type": "application/json"}
        chat = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
        chat["simulate"] = {"chunk_text": word, "tokens_per_second": 0, "first_token_ms": 0}
        self._asked: list[tuple[str, str, object]] = [
            ("POST", "/v1/chat/completions", chat),
            ("POST", "/v1/chat/completions", chat | {"stream": True}),
            ("POST", "/v1/chat/completions", {"model": model}),
            ("POST", "/v1/estimate", chat),
            *[("GET", path, None) for path in ("/v1/models", "/api/key", "/api/usage/records", "/", "/nowhere")],
        ]
        self._told: list[bytes] = []
        self.is_over = False
        self.start()

    def run(self) -> None:
        while not self.is_over:
            for method, path, body in self._asked:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self._ask(method, path, json.dumps(body) if body else None)

    def _ask(self, method: str, path: str, body: str | None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            self._told.append(str(response.getheaders()).encode())
            self._told.append(response.read())
        finally:
            connection.close()

    def written(self) -> Iterator[Written]:
        """All that it was told."""
        yield "answers to others", "the bystander", b"".join(self._told)


class Broker(threading.Thread):
    """Listens to every command that Valkey gets."""

    def __init__(self, home: Home) -> None:
        super().__init__(daemon=True)
        self._path = home.sockets / "valkey.sock"
        self._heard: list[bytes] = []
        self._connection = connected(self._path)
        self._connection.sendall(b"MONITOR\r\n")
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._connection.recv(1 << 20):
                self._heard.append(data)

    def close(self) -> None:
        """Listen no more."""
        self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def written(self) -> Iterator[Written]:
        """All that it heard, and what Valkey holds now."""
        yield "broker traffic", "MONITOR", b"".join(self._heard)
        yield "broker", "SYNC", dump(self._path)


def connected(path: Path) -> socket.socket:
    """A connection to Valkey."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


def tell(path: Path, *words: str) -> bytes:
    """A command's answer."""
    with connected(path) as connection:
        connection.settimeout(10)
        parts = [f"*{len(words)}", *(part for word in words for part in (f"${len(word.encode())}", word)), ""]
        connection.sendall("\r\n".join(parts).encode())
        return connection.recv(1 << 20)


def dump(path: Path) -> bytes:
    """All keys as a replica would get them, in the form of SAVE, nothing compressed."""
    tell(path, "CONFIG", "SET", "rdbcompression", "no", "repl-diskless-sync-delay", "0")
    with connected(path) as replica:
        replica.settimeout(30)
        replica.sendall(b"REPLCONF capa eof\r\n")  # a replica that knows this gets no file, but a stream
        assert replica.recv(100) == b"+OK\r\n"
        replica.sendall(b"SYNC\r\n")
        received = b""
        while not _is_whole(received.lstrip(b"\n")):
            data = replica.recv(1 << 20)
            assert data, "Valkey closed the connection"
            received += data
        return received


def _is_whole(received: bytes) -> bool:
    """`$EOF:` and a mark of 40 bytes, data, and the mark again; or `$` and a length, and the data."""
    head, separator, data = received.partition(b"\r\n")
    if not separator:
        return False
    if head.startswith(b"$EOF:"):
        return data.endswith(head[5:])
    return len(data) >= int(head[1:])
