"""The bench believes an answer only when it is the engine's, whole and without what nobody asked for."""

import pytest

from bench import mock, mock_stream, script
from bench.answers import Wrong, check_stream, check_whole, dechunk

TOKENS = 9
PLAIN, WITH_USAGE = (False, False), (True, True)


def stream(options: tuple[bool, bool] = PLAIN, variant: int = 3) -> bytes:
    """A stream as the engine sends it, its chunks taken off."""
    body = dechunk(b"".join(mock_stream.writes(variant, TOKENS, options)))
    assert body is not None
    return body


def whole(variant: int = 3) -> bytes:
    """An answer that is not streamed, its head taken off."""
    return mock.completion(variant, script.WHOLE_TOKENS).partition(b"\r\n\r\n")[2]


def test_what_the_engine_says_is_right() -> None:
    check_stream(stream(), 3, TOKENS)
    check_whole(whole(), 3, script.WHOLE_TOKENS)


def test_the_second_of_two_equal_streams_is_looked_at_too() -> None:
    check_stream(stream(), 3, TOKENS)
    with pytest.raises(Wrong, match="another text"):
        check_stream(stream().replace(b"token", b"tokem"), 3, TOKENS)


def test_a_stream_of_a_gateway_that_writes_its_events_anew_is_right() -> None:
    check_stream(stream().replace(mock_stream.ANSWER_ID.encode(), b"another"), 3, TOKENS)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (stream().replace(b"data: [DONE]\n\n", b""), "DONE"),
        (stream() + b": comment\n\n", "DONE"),
        (stream().split(b"\n\n", 1)[1], "data events instead of"),
        (stream() * 2, "data events instead of"),
        (stream().replace(b" token", b" tokem"), "another text"),
        (stream(variant=4), "another text"),
        (stream().replace(b"data: {", b"dota: {", 1), "no data events"),
        (stream().replace(b'"choices":[{', b'"choices":[{[', 1), "no chunk"),
        (stream((True, False)), "data events instead of"),
        (stream().replace(b'"choices"', b'"usage":null,"choices"', 1), "did not ask for"),
    ],
)
def test_another_stream_is_wrong(body: bytes, why: str) -> None:
    with pytest.raises(Wrong, match=why):
        check_stream(body, 3, TOKENS)


def test_usage_in_each_event_is_wrong_where_nobody_asked() -> None:
    events = stream(WITH_USAGE).split(b"\n\n")
    without_the_last = b"\n\n".join([*events[:-3], *events[-2:]])
    with pytest.raises(Wrong, match="did not ask for"):
        check_stream(without_the_last, 3, TOKENS)


@pytest.mark.parametrize(
    "body",
    [
        whole(variant=4),
        whole().replace(b'"completion_tokens":68', b'"completion_tokens":67'),
        whole().replace(b'"prompt_tokens":27', b'"prompt_tokens":28'),
        whole()[:-1],
        b"",
    ],
)
def test_another_whole_answer_is_wrong(body: bytes) -> None:
    with pytest.raises(Wrong):
        check_whole(body, 3, script.WHOLE_TOKENS)


def test_chunks_are_taken_strictly() -> None:
    assert dechunk(b"3\r\nabc\r\n") is None, "the last chunk is missing"
    for broken in (b"x\r\nabc\r\n0\r\n\r\n", b"2\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\nmore"):
        with pytest.raises(Wrong):
            dechunk(broken)
