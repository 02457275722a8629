"""What one simulated engine is told on its command line."""

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a model can do; a real vLLM process serves one kind."""

    CHAT = "chat"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    TRANSCRIPTION = "transcription"


_dice = random.Random()  # noqa: S311 - chooses which requests fail, nothing secret


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one engine process.  Lengths are tokens."""

    models: dict[str, Kind]
    api_key: str | None = None
    tokens_per_second: float = 60.0
    """0 is as fast as possible."""
    first_token_ms: float = 120.0
    output_tokens: int = 96
    """An answer that nobody limits ends with the last sentence within this."""
    max_model_len: int = 32_768
    reasoning_tokens: int = 0
    """How long every chat answer thinks first; 0: only where the request asks for it."""
    cached_fraction: float | None = None
    """Share of a prompt that is reported as cached; None: nothing is reported, as vLLM does by default."""
    embedding_dimensions: int = 384
    journal: str | None = None
    faults: dict[str, Any] = field(default_factory=dict)
    fault_rate: float = 1.0

    def faults_of_next_request(self) -> dict[str, Any]:
        """The flags' faults, for the share of the requests that they apply to."""
        if self.faults and (self.fault_rate >= 1 or _dice.random() < self.fault_rate):
            return self.faults
        return {}
