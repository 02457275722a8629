"""What of an engine's log the platform is told."""

from pathlib import Path

import pytest

from gateway.node_agent.engine_logs import LENGTH_TOLD, LINES_TOLD, aside, told


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("", ""),
        ("one\ntwo\n", "one\ntwo"),
        ("\x1b[1;32mINFO\x1b[0m ready\x07\n", "INFO ready"),
        ("Loading: 10%\rLoading: 20%\rLoading: 100%\nDone\r\n", "Loading: 100%\nDone"),
        ("█████ vLLM für alle\n", " vLLM fr alle"),
    ],
)
def test_it_is_plain_text_and_of_a_progress_bar_the_end(tmp_path: Path, printed: str, expected: str) -> None:
    log = tmp_path / "17.log"
    log.write_text(printed)
    assert told(log) == expected


def test_it_is_bounded_by_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "17.log"
    assert told(log) == ""
    log.write_text("".join(f"line {number}\n" for number in range(1_000)))
    lines = told(log).splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("line 800", "line 999", LINES_TOLD)
    log.write_text("x" * 1_000 + "\n" + "y" * 10 + "\n")
    assert told(log, 100) == "y" * 10
    log.write_text(("z" * 500 + "\n") * 100)
    assert LENGTH_TOLD - 501 <= len(told(log)) <= LENGTH_TOLD
    aside(log).write_text("before\n")
    log.write_text("after\n")
    assert told(log) == "before\nafter"
