"""What clients ask for here."""

import random

from tests.crash.clients import CHAT, Wish


def chat(tokens: int, rate: float, *, stream: bool, **simulate: object) -> Wish:
    """An answer of so many tokens, so many a second; `simulate` as the simulated engine takes it."""
    pace = {"output_tokens": tokens, "tokens_per_second": rate, **simulate}
    asked = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": tokens, "simulate": pace}
    return Wish(CHAT, asked, stream)


def usual(dice: random.Random) -> Wish:
    """A short answer of a third of a second to a second, streamed or not."""
    return chat(dice.randint(10, 30), 30, stream=dice.random() < 0.5)
