"""Prompts go where their beginning was read before, in every gateway alike, and never for the price of a crowd."""

import json
import math
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.relay.affinity import AT_EASE, BOUND, RECENT, Affinity, Shares, rendezvous, within_bound
from gateway.relay.fields import Endpoint
from gateway.relay.prefixes import APPLICATION, LEAST, MOST, Beginning, beginning_of
from gateway.relay.request_body import parse_request
from gateway.relay.routing import Replica

MODEL = 7
PLENTY = 10_000


def replicas_numbered(numbers: Sequence[int]) -> list[Replica]:
    return [
        Replica(
            replica_id=number, name=f"r{number}", url="http://127.0.0.1:1", api_key="", served_name="m", pool="p",
            node="", site="",
        )
        for number in numbers
    ]  # fmt: skip


def words(size: int, seed: int) -> str:
    return random.Random(seed).randbytes(size // 2 + 1).hex()[:size]


def chat(*texts: str, salt: str = "salt", **members: object) -> Beginning | None:
    """A conversation: a system's word, then questions and answers in turn."""
    roles = ["system", *["user", "assistant"] * len(texts)]
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    body = json.dumps({"model": "m", "messages": messages, **members}).encode()
    return beginning_of(parse_request(Endpoint.CHAT, body), salt)


def a_chat(*texts: str, salt: str = "salt", **members: object) -> Beginning:
    found = chat(*texts, salt=salt, **members)
    assert found is not None
    return found


# ---- what is looked at


def test_a_short_prompt_has_nothing_to_gain() -> None:
    assert chat("Be brief.", "Hello") is None
    assert chat("Be brief.", words(LEAST, 1)) is not None


def test_each_turn_of_a_conversation_begins_with_the_marks_of_the_turn_before() -> None:
    texts = [words(3_000, 1), words(900, 2), words(1_500, 3), words(700, 4), words(2_000, 5), words(800, 6)]
    before = a_chat(*texts[:2]).marks(MODEL)
    for turn in (4, 6):
        marks = a_chat(*texts[:turn]).marks(MODEL)
        assert marks[: len(before)] == before
        assert len(marks) > len(before)
        before = marks


def test_conversations_that_differ_after_the_first_message_differ() -> None:
    system = words(3_000, 1)
    one, other = a_chat(system, words(2_000, 2)), a_chat(system, words(2_000, 3))
    alike = [first == second for first, second in zip(one.marks(MODEL), other.marks(MODEL), strict=True)]
    assert alike == sorted(alike, reverse=True)
    assert (alike[0], alike[-1]) == (True, False)
    assert one.keys()[0] == other.keys()[0]
    assert one.keys()[1] != other.keys()[1]


def test_what_identifies_a_conversation_stays_as_it_grows() -> None:
    texts = [words(2_500, 1), words(600, 2), words(5_000, 3), words(500, 4)]
    assert a_chat(*texts[:2]).keys() == a_chat(*texts).keys()


def test_tools_are_read_before_the_messages() -> None:
    tools = [{"type": "function", "function": {"name": "look", "description": words(2_000, 1)}}]
    bare, with_tools = a_chat(words(2_000, 2), "Hello"), a_chat(words(2_000, 2), "Hello", tools=tools)
    assert not set(bare.marks(MODEL)) & set(with_tools.marks(MODEL))
    assert chat("Hi", "Hello", tools=tools) is not None


def test_completions_are_known_by_their_text_and_embeddings_by_nothing() -> None:
    def of(endpoint: Endpoint, **members: object) -> Beginning | None:
        return beginning_of(parse_request(endpoint, json.dumps({"model": "m", **members}).encode()), "salt")

    text = words(5_000, 1)
    one = of(Endpoint.COMPLETIONS, prompt=text)
    longer = of(Endpoint.COMPLETIONS, prompt=text + words(5_000, 2))
    assert one is not None
    assert longer is not None
    assert longer.marks(MODEL)[:4] == one.marks(MODEL)[:4]
    assert one.keys() == longer.keys()
    assert of(Endpoint.EMBEDDINGS, input=text) is None
    assert of(Endpoint.RERANK, query=text, documents=[text]) is None


def test_a_huge_prompt_costs_no_more_than_a_long_one() -> None:
    huge = a_chat("s", words(400_000, 1))
    assert len(huge.marks(MODEL)) == len(a_chat("s", words(MOST, 1)).marks(MODEL)) <= 20


@given(
    st.binary(min_size=LEAST, max_size=20_000), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32)
)
@settings(max_examples=50, deadline=None)
def test_equal_prompts_of_two_tenants_have_nothing_in_common(text: bytes, salt: bytes, other: bytes) -> None:
    if salt == other:
        return
    one, two = Beginning(text, salt), Beginning(text, other)
    assert not set(one.marks(MODEL)) & set(two.marks(MODEL))
    assert not set(one.keys()) & set(two.keys())


def test_nothing_of_a_prompt_is_remembered() -> None:
    affinity = Affinity(PLENTY)
    for seed in range(20):
        affinity.choose(MODEL, Shares(), replicas_numbered([1, 2]), a_chat(words(3_000, seed), "secret " * 500))
    assert affinity._known  # the claim is about what is inside
    assert all(type(each) is int for pair in affinity._known.items() for each in pair)


# ---- the choice


def test_a_conversation_stays_where_it_was() -> None:
    affinity, shares, replicas = Affinity(PLENTY), Shares(), replicas_numbered(range(1, 13))
    system = words(3_000, 0)
    conversations = [[system, words(30_000, seed)] for seed in range(1, 60)]
    for texts in conversations:  # until it is known how large the application is
        Affinity(0).choose(MODEL, shares, replicas, a_chat(*texts))
    places = [affinity.choose(MODEL, shares, replicas, a_chat(*texts)) for texts in conversations]
    for turn in range(3):
        for texts, place in zip(conversations, places, strict=True):
            texts += [words(900, turn), words(400, turn + 100)]
            assert affinity.choose(MODEL, shares, replicas, a_chat(*texts)) is place
    assert len(set(places)) > 1


def test_who_knows_more_of_a_prompt_is_preferred_to_who_knows_less() -> None:
    affinity, shares, replicas = Affinity(PLENTY), Shares(), replicas_numbered([1, 2])
    first, second = replicas
    texts = [words(4_000, 1), words(2_000, 2), words(1_000, 3), words(1_000, 4)]
    affinity._remember(a_chat(*texts[:2]).marks(MODEL), first.id)
    assert affinity.choose(MODEL, shares, replicas, a_chat(*texts[:2])) is first
    affinity._remember(a_chat(*texts).marks(MODEL)[-2:], second.id)
    assert affinity.choose(MODEL, shares, replicas, a_chat(*texts)) is second


def test_a_document_is_read_by_few_and_a_common_instruction_by_all() -> None:
    """An application is spread as far as its share of the requests goes."""
    small, large, replicas = Shares(), Shares(), replicas_numbered(range(1, 13))
    document, instruction = words(20_000, 1), words(3_000, 2)
    for seed in range(500):
        small.note(seed)
    asked = {Affinity(0).choose(MODEL, small, replicas, a_chat(document, words(200, seed))).id for seed in range(30)}
    chats = {
        Affinity(0).choose(MODEL, large, replicas, a_chat(instruction, words(900, each))).id for each in range(500)
    }
    assert len(asked) <= 3
    assert len(chats) == 12


CHOICES = """
import json, sys
from tests.gateway.relay.test_affinity import choices
print(json.dumps(choices()))
"""


def choices() -> list[int]:
    """What a process chooses that has seen nothing."""
    replicas = replicas_numbered(range(1, 13))
    return [
        Affinity(0).choose(MODEL, Shares(), replicas, a_chat(words(2_500, seed % 10), words(500, seed))).id
        for seed in range(200)
    ]


def test_all_processes_choose_alike_without_talking() -> None:
    ours = choices()
    for seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", CHOICES], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        assert json.loads(told.stdout) == ours
    assert len(set(ours)) > 5


def orders(numbers: Sequence[int], spread: int) -> list[int]:
    replicas = replicas_numbered(numbers)
    beginnings = [a_chat(words(2_500, 0), words(500, seed)) for seed in range(300)]
    return [rendezvous(replicas, replicas, beginning, spread).id for beginning in beginnings]


@given(st.sets(st.integers(1, 10_000), min_size=3, max_size=24), st.data())
@settings(max_examples=25, deadline=None)
def test_a_replica_that_goes_moves_only_its_own_conversations(numbers: set[int], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(numbers)))
    before, after = orders(sorted(numbers), len(numbers)), orders(sorted(numbers - {gone}), len(numbers))
    assert all(now == then for then, now in zip(before, after, strict=True) if then != gone)


@given(st.sets(st.integers(1, 10_000), min_size=6, max_size=24), st.integers(1, 5), st.data())
@settings(max_examples=25, deadline=None)
def test_of_a_small_application_a_replica_that_goes_moves_what_its_heir_takes(
    numbers: set[int], spread: int, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(sorted(numbers)))
    before, after = orders(sorted(numbers), spread), orders(sorted(numbers - {gone}), spread)
    heirs = set(after) - set(before)
    assert len(heirs) <= 1
    assert all(now == then or now in heirs for then, now in zip(before, after, strict=True) if then != gone)


def test_conversations_are_spread_evenly() -> None:
    counts = Counter(orders(range(1, 13), 12))
    assert len(counts) == 12
    assert max(counts.values()) < 2 * 300 / 12


Step = tuple[int, int, bool]


@given(
    st.integers(1, 16),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.booleans()), min_size=20, max_size=150),
)
@settings(max_examples=40, deadline=None)
def test_no_cache_is_worth_more_than_the_bound(count: int, steps: list[Step]) -> None:
    affinity, shares, replicas = Affinity(PLENTY), Shares(), replicas_numbered(range(1, count + 1))
    for application, conversation, does_end in steps:
        beginning = a_chat(words(2_500, application), words(200, conversation))
        replica = affinity.choose(MODEL, shares, replicas, beginning)
        replica.began()
        mean = sum(each.outstanding for each in replicas) / count
        assert replica.outstanding <= max(AT_EASE, math.ceil(BOUND * mean))
        if does_end:
            replica.ended()


@given(st.lists(st.integers(0, 500), min_size=1, max_size=48))
def test_somebody_is_always_within_the_bound(outstanding: list[int]) -> None:
    replicas = replicas_numbered(range(1, len(outstanding) + 1))
    for replica, count in zip(replicas, outstanding, strict=True):
        replica.outstanding = count
    assert within_bound(replicas)


def test_memory_is_bounded() -> None:
    affinity, shares, replicas = Affinity(100), Shares(), replicas_numbered([1, 2, 3])
    for seed in range(3 * RECENT):
        affinity.choose(MODEL, shares, replicas, Beginning(words(APPLICATION, seed).encode(), b"salt"))
        assert len(affinity) <= 100
        assert len(shares) <= RECENT


def test_what_was_used_last_is_remembered_longest() -> None:
    affinity, shares, replicas = Affinity(10), Shares(), replicas_numbered([1, 2, 3])
    kept = Beginning(words(APPLICATION, 0).encode(), b"salt")
    for seed in range(1, 50):
        affinity.choose(MODEL, shares, replicas, kept)
        affinity.choose(MODEL, shares, replicas, Beginning(words(APPLICATION, seed).encode(), b"salt"))
    assert set(kept.marks(MODEL)) <= set(affinity._known)
