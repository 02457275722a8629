"""Django's log says what happened and where, and repeats nothing of a request (I5)."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.files.uploadhandler import load_handler
from django.test import Client, RequestFactory

from gateway.relay.limits import Limits
from identity.log_words import WordlessFormatter
from tests.gateway.simulated_engine.process import eventually
from tests.support.servers import servers

pytestmark = pytest.mark.usefixtures("database")
WORD = "Xanthippe"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged meanwhile, in the form of Django's settings."""
    formatters: Any = settings.LOGGING["formatters"]
    assert formatters["text"]["class"] == f"{WordlessFormatter.__module__}.{WordlessFormatter.__name__}"
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(WordlessFormatter("{levelname} {name} {message}", style="{"))
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def fail() -> None:
    try:
        raise ValueError(WORD)
    except ValueError as error:
        raise RuntimeError(f"about {WORD}") from error


def test_an_exception_is_told_by_kind_and_place(lines: io.StringIO) -> None:
    try:
        fail()
    except RuntimeError:
        logging.getLogger("beffroi.api").exception("a view failed")
    told = lines.getvalue()
    assert told.startswith("ERROR beffroi.api a view failed\nRuntimeError at test_log_lines.py:")
    assert "\n    from ValueError at test_log_lines.py:" in told
    assert WORD not in told


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (f"/api/{WORD}?{WORD}", "Not Found: GET api/<path:rest>"),
        (f"/nowhere/{WORD}", "Not Found: no address of ours"),
        (f"/api/keys/{WORD}", "Unauthorized: GET api/keys/<lookup:key_id>"),
    ],
)
def test_a_refused_request_is_told_by_the_pattern_of_its_address(lines: io.StringIO, path: str, told: str) -> None:
    assert Client(HTTP_HOST="localhost").get(path).status_code >= 400
    assert lines.getvalue() == f"WARNING django.request {told}\n"


def test_a_view_that_fails_is_told_without_what_it_failed_about(lines: io.StringIO) -> None:
    from django.core.handlers.exception import response_for_exception

    try:
        fail()
    except RuntimeError as error:
        response_for_exception(RequestFactory().get(f"/{WORD}", HTTP_HOST="localhost"), error)
    told = lines.getvalue()
    assert told.startswith("ERROR django.request Internal Server Error: no address of ours\nRuntimeError at ")
    assert WORD not in told


def test_a_host_that_is_not_ours_is_not_repeated(lines: io.StringIO) -> None:
    assert Client(HTTP_HOST=f"{WORD}.example").get("/").status_code == 400
    assert "ERROR django.security.DisallowedHost refused a request" in lines.getvalue()
    assert WORD not in lines.getvalue()


def test_what_asyncio_found_is_told_by_its_first_words(lines: io.StringIO) -> None:
    logging.getLogger("asyncio").error("Exception in callback f(%r)\nhandle: <Handle f(%r)>", WORD, WORD)
    assert lines.getvalue() == "ERROR asyncio Exception in callback f\n"


def test_no_body_goes_to_a_temporary_file() -> None:
    """Django keeps a body in memory up to this size, and a file of a form where a handler takes it."""
    assert Limits().page_body_bytes <= settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    handlers = [load_handler(name, RequestFactory().post("/")) for name in settings.FILE_UPLOAD_HANDLERS]
    assert [type(handler).__name__ for handler in handlers] == ["MemoryFileUploadHandler"]


def test_postgres_logs_an_error_without_statement_and_details(owner_database_url: str) -> None:
    log = servers.folder / "postgres.log"
    with psycopg.connect(owner_database_url, autocommit=True) as connection:
        connection.execute("create temp table twice (word text primary key)")
        connection.execute("insert into twice values (%s)", [WORD])
        with pytest.raises(psycopg.errors.UniqueViolation, match=WORD):
            connection.execute("insert into twice values (%s)", [WORD])
        with pytest.raises(psycopg.errors.InvalidTextRepresentation, match=WORD):
            connection.execute("select (%s::text)::json", [f'{{"{WORD}": {WORD}}}'])
    assert eventually(lambda: "twice_pkey" in log.read_text() and "input syntax for type json" in log.read_text())
    assert WORD not in log.read_text()
