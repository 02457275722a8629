"""The tokenizer's promises: nothing lost, never more tokens than bytes, one way to count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulated_engine import tokenizer

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT)
def test_pieces_put_together_are_the_text(text: str) -> None:
    assert "".join(tokenizer.pieces(text)) == text


@given(TEXT)
def test_a_text_never_has_more_tokens_than_bytes(text: str) -> None:
    assert tokenizer.count(text) <= len(text.encode())


@given(TEXT)
def test_ids_give_the_text_back(text: str) -> None:
    ids = [tokenizer.token_id(piece) for piece in tokenizer.pieces(text)]
    assert tokenizer.detokenize(ids) == text
    assert all(0 < number < 2**63 for number in ids)
    assert all(map(tokenizer.is_token, ids))


@pytest.mark.parametrize("number", [0, -1, 1, 2, 255, 2**80])
def test_numbers_that_are_no_ids_do_no_harm(number: int) -> None:
    assert tokenizer.token_text(number) in ("", "\ufffd")


def test_ids_of_usual_vocabularies_are_taken_and_others_refused() -> None:
    assert all(map(tokenizer.is_token, (0, 20, 100_256, 199_999)))
    assert not any(map(tokenizer.is_token, (-1, -(2**70), 10**9, 2**80, 0x01 << 64)))


def test_a_long_text_counts_as_its_pieces_and_again_from_memory() -> None:
    text = "Une phrase assez longue, with 12345 words… " * 200
    assert tokenizer.count(text) == len(tokenizer.pieces(text)) == tokenizer.count(text)


def test_the_chat_overhead_is_four_a_message_and_three_for_the_reply() -> None:
    body = {"messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello there"}]}
    assert tokenizer.count_chat(body) == 2 * 4 + 3 + tokenizer.count("Be brief") + tokenizer.count("Hello there")


def test_chat_pieces_are_as_many_as_the_count_says() -> None:
    body = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    assert len(tokenizer.chat_pieces(body)) == tokenizer.count_chat(body) > tokenizer.MEDIA_PART_TOKENS
