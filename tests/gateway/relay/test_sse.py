"""However the network splits a stream into reads, its events are the same."""

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from gateway.relay import sse
from gateway.relay.sse import EventSplitter, EventTooLarge

LINES = [
    b"data: {}",
    b'data: {"a":"b"}',
    b"data:{}",
    b"data:  two spaces",
    b"data",
    b"data:",
    "data: é\u2028".encode(),
    b"database: no",
    b": ping",
    b":",
    b"event: error",
    b"id: 7",
    b"retry: 10",
    b"",
    b"",
    b"",
]

streams = st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from([b"\n", b"\r\n", b"\r"]))).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def reads_of(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The stream in pieces that end at `cuts` (modulo its length), empty ones included."""
    places = sorted(cut % (len(stream) + 1) for cut in cuts)
    return [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]


def events_of(reads: Iterable[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    return [event for read in reads for event in splitter.feed(read)]


def one_by_one(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


@given(streams, st.lists(st.integers(min_value=0)))
@example(b"data: 1\r\r\ndata: 2\r\n\r\n", [9])
def test_any_split_into_reads_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    whole = events_of([stream])
    assert events_of(reads_of(stream, cuts)) == whole
    assert events_of(one_by_one(stream)) == whole


@given(streams)
def test_the_events_are_those_that_the_official_client_decodes(stream: bytes) -> None:
    """Save those without data, which that client gives out for a lone `event:` or `id:`."""
    ended = stream + b"\n\n"
    decoded = [event.data.encode() for event in SSEDecoder().iter_bytes(iter([ended]))]
    assert [event for event in events_of([ended]) if event] == [data for data in decoded if data]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_three_ways(end: bytes) -> None:
    assert events_of([b"data: 1" + end + end + b"data: 2" + end + end]) == [b"1", b"2"]


def test_an_event_is_given_out_with_the_read_that_ends_it_even_if_its_line_end_may_go_on() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\r\n\r") == [b"1"]
    assert splitter.feed(b"\ndata: 2\r\n\r\n") == [b"2"]


def test_several_whole_events_in_a_read_are_given_out_at_once() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 0\n\n") == [b"0"]
    assert splitter.feed(b"data: 1\n\ndata: 2\n\ndata: 3\n\n") == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("read", "events"),
    [
        (b"data: 1\n\n: ping\n\ndata: 2\n\n", [b"1", b"2"]),
        (b"data: 1\ndata: 2\n\n", [b"1\n2"]),
        (b"data: 1\n\n\n\ndata: 2\n\n", [b"1", b"2"]),
        (b"data: 1\n\ndata:2\n\n", [b"1", b"2"]),
        (b"data: 1\nid: 4\n\ndata: 2\n\n", [b"1", b"2"]),
        (b"data: 1\r\r\n\n", [b"1"]),
        (b"data: \n\n", [b""]),
    ],
)
def test_what_looks_like_the_short_way_but_is_not_gives_the_same_events(read: bytes, events: list[bytes]) -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 0\n\n") == [b"0"]
    assert splitter.feed(read) == events
    assert events_of(one_by_one(read)) == events


def test_a_whole_looking_read_in_the_middle_of_an_event_belongs_to_it() -> None:
    assert events_of([b"data: 0\n\n", b"data: 1\n", b"data: 2\n\n"]) == [b"0", b"1\n2"]
    assert events_of([b"data: 0\n\ndata: 1", b"data: 2\n\n"]) == [b"0", b"1data: 2"]


def test_a_byte_order_mark_is_dropped_at_the_start_and_only_there() -> None:
    stream = b"\xef\xbb\xbfdata: 1\n\n\xef\xbb\xbfdata: 2\n\ndata: 3\n\n"
    assert events_of([stream]) == events_of(one_by_one(stream)) == [b"1", b"3"]


def test_comments_and_other_fields_are_no_events() -> None:
    assert events_of([b": ping\n\nevent: x\nid: 1\nretry: 5\n\n:\n\n"]) == []


def test_what_the_end_of_the_stream_cuts_is_no_event() -> None:
    assert events_of([b'data: 1\n\ndata: {"half":']) == [b"1"]
    assert events_of([b"data: 1\n\ndata: 2\n"]) == [b"1"]


def test_an_event_of_the_largest_size_passes_and_one_byte_more_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 16)
    fits, too_large = b"data: 0123456789\n\n", b"data: 0123456789a\n\n"
    for before in ([], [b"data: 1\n\n"], [b"\n"], [b"data: 1\n\n\n"]):
        for split in (lambda stream: [stream], one_by_one, lambda stream: [stream[:-1], stream[-1:]]):
            assert events_of([*before, *split(fits)])[-1] == b"0123456789"
            with pytest.raises(EventTooLarge):
                events_of([*before, *split(too_large)])
        assert events_of([b"".join(before) + fits])[-1] == b"0123456789"


def test_the_limit_is_for_one_event_and_not_for_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 16)
    assert events_of(one_by_one(b"data: 123\n\n" * 50)) == [b"123"] * 50


def test_events_that_were_whole_before_the_one_that_is_too_large_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 16)
    with pytest.raises(EventTooLarge) as raised:
        EventSplitter().feed(b"data: 1\n\ndata: 2\n\ndata: " + b"x" * 20)
    assert raised.value.events == [b"1", b"2"]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_what_never_ends_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    splitter = EventSplitter()
    with pytest.raises(EventTooLarge):
        [splitter.feed(b": ping" + end) for _ in range(300)]


def test_blank_lines_without_end_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    assert events_of([b"\n"] * 3000 + [b"data: 1\n\n"]) == [b"1"]


def test_a_large_event_in_many_reads_takes_time_in_proportion() -> None:
    splitter = EventSplitter()
    splitter.feed(b"data: ")
    for _ in range(4000):
        assert splitter.feed(b"x" * 2048) == []
    assert [len(event) for event in splitter.feed(b"\n\n")] == [4000 * 2048]
