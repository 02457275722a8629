"""One request as the engine sees it, whatever the endpoint."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.simulated_engine.faults import NO_FAULTS, Faults
from gateway.simulated_engine.generation import Choice


class Refusal(Exception):
    """An answer with an error status, shaped as vLLM's: `{"error": {"message", "type", "param", "code"}}`."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError", param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param = status, message, kind, param


@dataclass(slots=True)
class Work:
    """A checked request: what it cost to read, what will be answered, and how."""

    endpoint: str
    model: str
    id: str
    """Id in the answer, for example `chatcmpl-<X-Request-Id>`."""
    request_id: str | None
    """The X-Request-Id header as received."""
    prompt_tokens: list[int]
    """A prompt each."""
    members: list[str]
    choices: list[Choice] = field(default_factory=list)
    render: "Callable[[Work], bytes]" = lambda work: b""
    """Makes the body of a whole answer."""
    content_type: bytes = b"application/json"
    generates: bool = True
    """Its usage tells completion tokens (0 included) and cached ones; that of a reranking only its prompts."""
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    continuous: bool = False
    cached: int | None = None
    """Prompt tokens reported as cached; None: not reported."""
    reasons: bool = False
    """Reasoning tokens are reported, also where there are none."""
    max_tokens: object = None
    max_completion_tokens: object = None
    faults: Faults = NO_FAULTS
    first_token: float = 0.0
    """Seconds to the first token."""
    period: float = 0.0
    """Seconds a token; 0 is as fast as possible."""
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def all_prompt_tokens(self) -> int:
        return sum(self.prompt_tokens)

    @property
    def running(self) -> int:
        """The requests that a real engine would have running now: a choice of a prompt each."""
        return sum(choice.made < choice.total for choice in self.choices) if self.choices else self.parts

    @property
    def parts(self) -> int:
        """The requests that a real engine would run in all."""
        return len(self.choices) or len(self.prompt_tokens) or 1
