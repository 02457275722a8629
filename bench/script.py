"""What the mock engine says and the load client expects: both sides read it here, so no wrong answer looks right.

A request tells the engine how to behave in the one member that every gateway passes on untouched: its `seed` is
1000 x (pause between two events in ms) + the variant of the text. Connections use different variants, so an answer that
reached another client is a wrong answer.
"""

from functools import cache

import msgspec

MODEL = "mock-model"
VARIANTS = 16
PROMPT_TOKENS = 27
"""What every prompt is said to have, whatever its length."""
WHOLE_TOKENS = 68
"""Completion tokens of an answer that is not streamed."""
MOST_PAUSE_MS = 60_000
_WORDS = (
    "the",
    "engine",
    "answers",
    "with",
    "one",
    "short",
    "token",
    "at",
    "a",
    "time",
    "and",
    "stops",
    "at",
    "its",
    "end",
)
_SENTENCE = "A gateway checks the key, holds the money, forwards the request and writes down what was used. "


class StreamOptions(msgspec.Struct):
    """The two that decide which usage a stream reports."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class Asked(msgspec.Struct):
    """What the engine reads of a request; msgspec skips the rest, 400 KB of prompt included."""

    stream: bool = False
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream_options: StreamOptions = msgspec.field(default_factory=StreamOptions)

    @property
    def limit(self) -> int:
        """The most tokens the answer may have."""
        return self.max_tokens or self.max_completion_tokens or WHOLE_TOKENS


def seed(pause_ms: int, connection: int) -> int:
    """The `seed` member of a request."""
    return 1000 * pause_ms + connection % VARIANTS


def pause_ms(asked: Asked) -> int:
    """Milliseconds between two events; 0: as fast as the client reads."""
    return min((asked.seed or 0) // 1000, MOST_PAUSE_MS)


def variant(asked: Asked) -> int:
    """Which of the texts is said."""
    return (asked.seed or 0) % 1000 % VARIANTS


@cache
def pieces(variant: int, tokens: int) -> tuple[str, ...]:
    """The content of each data event of a stream: one with the role and no content, as vLLM's, then a token each."""
    words = (f" {_WORDS[(i + variant) % len(_WORDS)]}{variant}" for i in range(tokens))
    return ("", *words)


@cache
def whole(variant: int) -> str:
    """The content of an answer that is not streamed, about 300 bytes."""
    return f"({variant}) {_SENTENCE * 3}"
