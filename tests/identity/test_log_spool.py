"""What the processes log, in the spool: whole, in order, bounded, with nothing that a request said and no secret."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from identity import log_spool
from identity.log_spool import Position, SpoolHandler, bytes_behind, identity_of, read

PROMPT = "Xanthippe"
KEY = "bfr_0123456789_012345678901234567890123456789012_abcdef"


def logger_to(folder: Path, name: str = "beffroi.tests") -> logging.Logger:
    """A logger of its own, which speaks to the spool alone."""
    logger = logging.Logger(name, logging.INFO)  # noqa: LOG001  of this test alone
    logger.addHandler(SpoolHandler(folder=folder, process="tests"))
    return logger


def all_of(folder: Path, position: Position | None = None) -> list[dict[str, Any]]:
    """Everything that there is to read, in small parts."""
    found, position = [], position or Position()
    while (reading := read(folder, position, lines_max=7, bytes_max=10_000)).position != position:
        found += reading.lines
        position = reading.position
    return found


def rested(folder: Path) -> None:
    """Nobody has written to the segments for a while."""
    for segment in folder.glob("*.jsonl"):
        os.utime(segment, (time.time() - 60, time.time() - 60))


def test_lines_of_several_processes_come_whole_and_each_ones_in_order(tmp_path: Path) -> None:
    program = (
        "import logging, sys; from identity.log_spool import SpoolHandler;"
        "logger = logging.Logger('beffroi.x');"
        "logger.addHandler(SpoolHandler(folder=sys.argv[1], process=sys.argv[2]));"
        "[logger.warning('line %d of many: %s', number, 'x' * 300) for number in range(4000)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), f"p{n}"]) for n in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(list(tmp_path.glob("*.jsonl"))) > 3
    rested(tmp_path)
    lines = all_of(tmp_path)
    for process in ("p0", "p1", "p2"):
        told = [line["text"].partition(":")[0] for line in lines if line["process"] == process]
        assert told == [f"line {number} of many" for number in range(4000)]


def test_the_spool_never_grows_beyond_its_bound_and_says_how_many_lines_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_spool, "SEGMENT_BYTES", 2_000)
    monkeypatch.setattr(log_spool, "SEGMENTS_MAX", 4)
    logger = logger_to(tmp_path)
    for number in range(5):
        logger.warning("line %d", number)
    first = read(tmp_path, Position(), lines_max=3, bytes_max=10_000)
    for number in range(5, 200):
        logger.warning("line %d", number)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 5 * 2_300
    rested(tmp_path)
    reading = read(tmp_path, first.position, lines_max=500, bytes_max=100_000)
    following = all_of(tmp_path, reading.position)
    numbers = [int(line["text"].split()[1]) for line in [*reading.lines, *following]]
    assert numbers == list(range(3 + reading.dropped, 200))
    assert reading.dropped > 100
    assert bytes_behind(tmp_path, first.position) > bytes_behind(tmp_path, reading.position) > 0


def test_a_segment_is_left_only_when_nobody_writes_to_it_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_spool, "SEGMENT_BYTES", 10)
    logger = logger_to(tmp_path)
    logger.warning("first")
    logger.warning("second")
    begun = read(tmp_path, Position(), lines_max=9, bytes_max=10_000)
    assert [line["text"] for line in begun.lines] == ["first"]
    assert read(tmp_path, begun.position, lines_max=9, bytes_max=10_000).lines == []
    rested(tmp_path)
    assert [line["text"] for line in read(tmp_path, begun.position, lines_max=9, bytes_max=10_000).lines] == ["second"]


def test_a_line_that_a_killed_process_began_keeps_nobody_from_the_next(tmp_path: Path) -> None:
    logger_to(tmp_path).warning("whole")
    with (tmp_path / "000000000001.jsonl").open("ab") as file:
        file.write(b'{"type":"log","te')
    reading = read(tmp_path, Position(), lines_max=9, bytes_max=10_000)
    assert [line["text"] for line in reading.lines] == ["whole"]
    with (tmp_path / "000000000001.jsonl").open("ab") as file:
        file.write(b"\n")
    logger_to(tmp_path).warning("after")
    reading = read(tmp_path, reading.position, lines_max=9, bytes_max=10_000)
    assert ([line["text"] for line in reading.lines], reading.dropped) == (["after"], 1)


def test_a_spool_that_cannot_be_written_ends_nobody_and_is_told_of_later(tmp_path: Path) -> None:
    blocked = tmp_path / "spool"
    blocked.write_text("a file where a folder should be")
    logger = logger_to(blocked)
    for _ in range(3):
        logger.error("lost")
    blocked.unlink()
    logger.error("back")
    assert [line["text"] for line in all_of(blocked)] == ["3 lines could not be written", "back"]


def test_a_spool_that_is_emptied_begins_anew_as_another(tmp_path: Path) -> None:
    logger = logger_to(tmp_path)
    logger.warning("before")
    known = identity_of(tmp_path)
    assert identity_of(tmp_path) == known
    for file in tmp_path.iterdir():
        file.unlink()
    logger.warning("after")
    assert identity_of(tmp_path) != known
    assert [line["text"] for line in all_of(tmp_path)] == ["after"]


def fail() -> None:
    try:
        raise ValueError(f"cannot read {PROMPT}")
    except ValueError as error:
        raise RuntimeError(f"about {PROMPT} {KEY}") from error


def test_I5_no_prompt_and_no_secret_is_in_what_may_leave(tmp_path: Path) -> None:
    try:
        fail()
    except RuntimeError:
        logger_to(tmp_path).exception("a view failed")
        task = {"name": "identity.ship", "description": "raised unexpected", "exc": PROMPT, "id": "7"}
        logger_to(tmp_path, "celery.app.trace").error("Task %(name)s[%(id)s] raised: %(exc)s\n", task, exc_info=True)
    logger_to(tmp_path).warning("refused %s, Bearer %s and https://ann:%s@example.org", KEY, PROMPT, PROMPT)
    logger_to(tmp_path, "psycopg.pool").warning("error connecting in %r: %s", "pool-1", PROMPT)
    logger_to(tmp_path, "uvicorn.error").info("Started server process [%d]", 4711)
    logger_to(tmp_path, "kombu").error("%.20s of %d\nin %s", PROMPT, 3, PROMPT)
    logger_to(tmp_path, "asyncio").error(f"Exception in callback f({PROMPT})\nhandle: <Handle f({PROMPT})>")
    logger_to(tmp_path, "django.security.DisallowedHost").error("Invalid HTTP_HOST header: %r", PROMPT)
    lines = all_of(tmp_path)
    assert PROMPT not in json.dumps(lines)
    assert KEY not in json.dumps(lines)
    assert lines[0]["errors"].startswith("RuntimeError at test_log_spool.py:")
    assert "\nValueError at test_log_spool.py:" in lines[0]["errors"]
    assert [line["text"] for line in lines[1:5:2]] == [
        "task identity.ship: raised unexpected",
        "error connecting in …: …",
    ]
    assert lines[2]["text"] == "refused …, Bearer … and https://…@example.org"
    assert lines[4]["text"] == "Started server process [4711]"
    assert lines[5]["text"] == "… of 3"
    assert lines[6]["text"].startswith("at test_log_spool.py:")
    assert lines[7]["text"] == "refused a request"


@pytest.mark.parametrize("text", ["[bfr_x]", "https://example.org/a@b", "the bearer left"])
def test_what_is_no_secret_stays(tmp_path: Path, text: str) -> None:
    logger_to(tmp_path).warning("%s", text)
    assert all_of(tmp_path)[0]["text"] in (text, "the bearer …")
