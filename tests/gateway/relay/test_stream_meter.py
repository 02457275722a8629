"""The relay meters the engine's chunks and passes them byte by byte, less the usage that the client did not ask for."""

import json
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.stream_meter import DONE, StreamMeter
from gateway.relay.usage import Usage, UsageTally
from tests.gateway.relay.streams import Chunk, chat_chunk, decoded, event, final_chunk, usage_of, without_usage

TRAPS = [
    '],"usage":{"prompt_tokens":1,"total_tokens":2,"completion_tokens":1}}',
    ',"usage":null}',
    '"usage":{',
    "data: [DONE]\n\n",
    "\r\n\r\ndata: x",
    '\\"usage\\":{}}',
    '{"error":{"message":"no"}}',
    '"finish_reason":"stop"',
    "\u2028\x00é🙂",
    "",
]
texts = st.sampled_from(TRAPS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@dataclass(frozen=True)
class Stream:
    """A stream as vLLM makes it, and what must come of it."""

    chunks: list[Chunk]
    final: Chunk
    sequences: int
    prompts: int

    def meter(self, **asked: bool) -> StreamMeter:
        return StreamMeter(**({"hide_usage": True} | asked), sequences=self.sequences, prompts=self.prompts)

    def payload(self) -> bytes:
        return b"".join(map(event, self.chunks)) + event(self.final) + event("[DONE]")


@st.composite
def engine_streams(draw: st.DrawFn) -> Stream:
    """Interleaved choices of one or more prompts; the usage last, in the middle or not in every chunk."""
    prompts, per_prompt = draw(st.sampled_from([(1, 1), (1, 3), (2, 1), (2, 2)]))
    sequences = prompts * per_prompt
    made = [0] * sequences
    chunks = []
    for index in draw(st.lists(st.integers(0, sequences - 1), max_size=8)):
        made[index] += draw(st.integers(1, 3))
        chunk = chat_chunk(draw(texts), index, draw(st.sampled_from([None, None, "stop", "length"])))
        if prompts > 1:
            chunk["choices"][0]["text"] = chunk["choices"][0].pop("delta")["content"]
        layout = draw(st.sampled_from(["last", "last", "middle", "first", "null", "absent"]))
        usage = None if layout == "null" else usage_of(10 + index // per_prompt, made[index])
        if layout == "first":
            chunk = {"usage": usage} | chunk
        elif layout != "absent":
            chunk["usage"] = usage
        if layout == "middle":
            chunk["prompt_token_ids"] = None
        chunks.append(chunk)
    prompt = sum(10 + number for number in range(prompts))
    return Stream(chunks, final_chunk(usage_of(prompt, sum(made), 2)), sequences, prompts)


asked = st.sampled_from(
    [{"hide_usage": True}, {"hide_usage": False}, {"hide_usage": False, "continuous": True}]
)  # what a client can ask for


@given(engine_streams(), asked, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, 2000), max_size=8))
def test_any_split_into_reads_gives_the_same_bytes_and_the_same_tally(
    stream: Stream, asked: dict[str, bool], end: bytes, cuts: list[int]
) -> None:
    payload = stream.payload().replace(b"\n", end)
    whole, parted, single = (stream.meter(**asked) for _ in range(3))
    places = [0, *sorted(cut % (len(payload) + 1) for cut in cuts), len(payload)]
    expected = whole.feed(payload)
    assert b"".join(parted.feed(payload[i:j]) for i, j in pairwise(places)) == expected
    assert b"".join(single.feed(payload[i : i + 1]) for i in range(len(payload))) == expected
    for meter in (parted, single):
        assert meter.tally.total() == whole.tally.total() == Usage(*_sums(stream))
        assert (meter.finish_reason, meter.chunks, meter.first_content) == (
            whole.finish_reason,
            whole.chunks,
            whole.first_content,
        )
        assert meter.finished
        assert meter.ending(7) == whole.ending(7)


def _sums(stream: Stream) -> tuple[int, int, int, int]:
    usage = stream.final["usage"]
    return usage["prompt_tokens"], 2, usage["completion_tokens"], 0


@given(engine_streams())
def test_hidden_usage_leaves_the_bytes_of_a_stream_that_never_had_any(stream: Stream) -> None:
    """Content that looks like a usage, an error or an end included."""
    meter = stream.meter(hide_usage=True)
    assert meter.feed(stream.payload()) == b"".join(event(without_usage(chunk)) for chunk in stream.chunks)
    assert meter.ending(7) == DONE


@given(engine_streams())
def test_who_asked_for_usage_sees_what_openai_sends(stream: Stream) -> None:
    """null in each chunk, then one event without choices, with the cost beside the engine's figures."""
    meter = stream.meter(hide_usage=False)
    *chunks, final, done = decoded(meter.feed(stream.payload()) + meter.ending(123_456_789_012_345_678))
    assert chunks == [chunk | {"usage": None} for chunk in stream.chunks]
    assert final == stream.final | {"usage": stream.final["usage"] | {"cost_nano_eur": 123_456_789_012_345_678}}
    assert done == "[DONE]"


@given(engine_streams())
def test_who_asked_for_the_usage_of_each_chunk_gets_the_engines_bytes(stream: Stream) -> None:
    meter = stream.meter(hide_usage=False, continuous=True)
    assert meter.feed(stream.payload()) == b"".join(map(event, stream.chunks))


@given(engine_streams())
def test_each_chunk_leaves_with_the_read_that_completes_it(stream: Stream) -> None:
    meter = stream.meter()
    for number, chunk in enumerate(stream.chunks, start=1):
        assert meter.feed(event(chunk)) == event(without_usage(chunk))
        assert meter.chunks == number
    assert meter.feed(event(stream.final)) == b""


@given(engine_streams(), st.integers(0, 8))
def test_a_stream_cut_anywhere_is_tallied_by_what_each_choice_last_reported(stream: Stream, length: int) -> None:
    """I2, rule (b)."""
    meter, by_choice = stream.meter(), dict[int, Usage]()
    for chunk in stream.chunks[:length]:
        meter.feed(event(chunk))
        if chunk.get("usage"):
            counts = chunk["usage"]
            by_choice[chunk["choices"][0]["index"]] = Usage(counts["prompt_tokens"], 0, counts["completion_tokens"], 0)
    per_prompt = stream.sequences // stream.prompts
    prompts = {index // per_prompt: usage.prompt for index, usage in by_choice.items()}
    completion = sum(usage.completion for usage in by_choice.values())
    assert meter.tally.total() == Usage(sum(prompts.values()), 0, completion, 0)
    assert not meter.tally.has_final
    assert meter.tally.seen == bool(by_choice)


REAL_CHUNKS = {
    "openai": (
        '{"id":"chatcmpl-B9","object":"chat.completion.chunk","created":1741570283,"model":"gpt-4o-mini-2024-07-18",'
        '"service_tier":"default","system_fingerprint":"fp_44","choices":[{"index":0,"delta":{"content":"Hi"},'
        '"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"Xq3"}'
    ),
    "vllm, first": (
        '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763700000,"model":"m","choices":[{"index":0,'
        '"delta":{"role":"assistant","content":"Hi"},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":9,'
        '"total_tokens":9,"completion_tokens":0},"prompt_token_ids":null,"prompt_text":null}'
    ),
    "vllm, tools": (
        '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763700000,"model":"m","choices":[{"index":0,'
        '"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"usage\\":{}}"}}]},"logprobs":null,'
        '"finish_reason":null,"token_ids":null}],"usage":{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3}}'
    ),
    "vllm, text": (
        '{"id":"cmpl-1","object":"text_completion","created":1763700000,"model":"m","choices":[{"index":0,"text":" a",'
        '"logprobs":null,"finish_reason":null,"stop_reason":null,"token_ids":null}],"usage":{"prompt_tokens":9,'
        '"total_tokens":12,"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":1}}}'
    ),
    "sglang": (
        '{"id":"0a","object":"chat.completion.chunk","created":1763700000,"model":"m","choices":[{"index":0,"delta":'
        '{"role":null,"content":null,"reasoning_content":"So","tool_calls":null},"logprobs":null,"finish_reason":null,'
        '"matched_stop":null}],"usage":{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3,'
        '"prompt_tokens_details":null,"reasoning_tokens":2}}'
    ),
    "spaced": '{"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": {"prompt_tokens": 9}, "model": "m"} ',
}


@pytest.mark.parametrize("chunk", REAL_CHUNKS.values(), ids=REAL_CHUNKS)
def test_chunks_of_known_engines_decode_to_the_same_less_their_usage(chunk: str) -> None:
    hiding, showing = (StreamMeter(hide_usage=hide, sequences=1) for hide in (True, False))
    assert decoded(hiding.feed(event(chunk))) == [without_usage(json.loads(chunk))]
    assert decoded(showing.feed(event(chunk))) == [json.loads(chunk) | {"usage": None}]
    assert hiding.first_content


def test_an_event_of_several_data_lines_is_relayed_as_one() -> None:
    meter = StreamMeter(hide_usage=False, sequences=1)
    relayed = meter.feed(b'data: {"choices":[{"delta":{}}],\ndata: "usage":\ndata: {"prompt_tokens":\ndata: 1}}\n\n')
    relayed += meter.feed(
        b'data: {"choices":[],\ndata: "usage":{"prompt_tokens":\ndata: 2},\ndata: "x":[\ndata: 1]}\n\n'
    )
    chunk, final, done = decoded(relayed + meter.ending(5))
    assert chunk == {"choices": [{"delta": {}}], "usage": None}
    assert final == {"choices": [], "usage": {"prompt_tokens": 2, "cost_nano_eur": 5}, "x": [1]}
    assert done == "[DONE]"
    hiding = StreamMeter(hide_usage=True, sequences=1)
    assert hiding.feed(b'data: {"choices":\ndata: [{}]}\n\n') == b'data: {"choices": [{}]}\n\n'


def test_who_asked_for_usage_sees_null_where_the_engine_sends_none() -> None:
    meter = StreamMeter(hide_usage=False, sequences=1)
    assert meter.feed(b'data: {"choices":[{}]} \n\n') == b'data: {"choices":[{}],"usage":null}\n\n'


def test_hiding_wins_over_the_usage_of_each_chunk() -> None:
    meter = StreamMeter(hide_usage=True, sequences=1, continuous=True)
    assert meter.feed(event(chat_chunk(usage=usage_of(9, 1)))) == event(chat_chunk())


def test_comments_and_empty_events_of_the_engine_are_dropped() -> None:
    meter = StreamMeter(hide_usage=True, sequences=1)
    assert meter.feed(b": ping\n\ndata:\n\nevent: message\nid: 7\n" + event("{}\n: x").replace(b"{}", b"")) == b""
    assert meter.error is None
    assert meter.chunks == 0


def test_the_end_mark_is_held_back_and_nothing_after_it_counts() -> None:
    meter = StreamMeter(hide_usage=True, sequences=1)
    late = event(chat_chunk(usage=usage_of(9, 9)))
    assert meter.feed(event(chat_chunk(usage=usage_of(9, 1))) + event("[DONE]") + late) == event(chat_chunk())
    assert meter.finished
    assert meter.feed(late) == b""
    assert meter.tally.total() == Usage(9, 0, 1, 0)
    assert meter.ending(0) == DONE


def test_a_stream_that_the_engine_breaks_off_is_not_finished_and_its_half_event_is_not_sent() -> None:
    meter = StreamMeter(hide_usage=True, sequences=1)
    assert meter.feed(event(chat_chunk()) + event(chat_chunk("lost"))[:-2]) == event(chat_chunk())
    assert not meter.finished
    assert meter.error is None


def test_usage_only_in_the_last_chunk_with_content_is_the_final_one() -> None:
    meter = StreamMeter(hide_usage=False, sequences=1)
    meter.feed(event(chat_chunk()) + event(chat_chunk(finish="stop", usage=usage_of(9, 2))) + event("[DONE]"))
    assert meter.tally.has_final
    final, done = decoded(meter.ending(5))
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1763700000, "model": "m"}
    assert final == head | {"choices": [], "usage": usage_of(9, 2) | {"cost_nano_eur": 5}}
    assert done == "[DONE]"


def test_usage_that_stopped_before_the_last_chunk_is_not_final() -> None:
    meter = StreamMeter(hide_usage=True, sequences=1)
    meter.feed(event(chat_chunk(usage=usage_of(9, 0))) + event(chat_chunk(finish="stop")) + event("[DONE]"))
    assert (meter.tally.seen, meter.tally.has_final) == (True, False)


def test_without_any_usage_there_is_no_usage_event_to_send() -> None:
    meter = StreamMeter(hide_usage=False, sequences=1)
    meter.feed(event(chat_chunk()) + event("[DONE]"))
    assert not meter.tally.seen
    assert meter.ending(0) == DONE


def test_empty_choices_in_the_middle_are_relayed_like_any_chunk() -> None:
    news: Chunk = {"choices": [], "prompt_filter_results": [], "usage": None}
    meter = StreamMeter(hide_usage=True, sequences=1)
    assert meter.feed(event(news)) == event(without_usage(news))
    assert not meter.tally.seen


def test_the_last_finish_reason_of_any_choice_counts_and_content_cannot_fake_one() -> None:
    meter = StreamMeter(hide_usage=True, sequences=2)
    meter.feed(event(chat_chunk('"finish_reason":"stop"')))
    assert meter.finish_reason == ""
    meter.feed(event(chat_chunk(index=1, finish="length")) + event(chat_chunk(index=0, finish="tool_calls")))
    assert meter.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("delta", "has_content"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"role": "assistant", "content": None, "tool_calls": []}, False),
        ({}, False),
        ({"content": "a"}, True),
        ({"reasoning": "a"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
    ],
)
def test_the_first_content_is_not_the_chunk_that_only_names_the_role(delta: Chunk, has_content: bool) -> None:
    meter = StreamMeter(hide_usage=True, sequences=1)
    meter.feed(event({"choices": [{"index": 0, "delta": delta}]}))
    assert meter.first_content == has_content


def test_the_tally_of_a_stream_is_there_from_its_start() -> None:
    meter = StreamMeter(hide_usage=True, sequences=1)
    assert isinstance(meter.tally, UsageTally)
    assert meter.tally.total() == Usage(0, 0, 0, 0)
