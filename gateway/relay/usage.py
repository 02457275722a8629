"""What an engine says that a request used, and what a whole stream used (I2).

Pure. A usage is read from bytes that an engine wrote: nothing of it is trusted, and nothing of it raises.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

MAX_TOKENS = 2**53
"""The largest count that is believed: above it JSON's numbers stop being exact in half of the world's parsers."""


class Usage(Struct, frozen=True, gc=False):
    """Tokens of a request. `cached` is part of `prompt`, `reasoning` part of `completion`.

    As read, 0 <= part <= whole <= MAX_TOKENS. Where the engine said otherwise (negative, no integer, a part above its
    whole), `is_sane` is false and the counts are what could be read, clamped (I2, rule g).
    """

    prompt: int
    cached: int
    completion: int
    reasoning: int
    is_sane: bool = True


class _PromptDetails(Struct, gc=False):
    cached_tokens: int | None = None


class _CompletionDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class _WireUsage(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    reasoning_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


_decode_wire = msgspec.json.Decoder(_WireUsage | None).decode


def read_usage(raw: bytes | Raw) -> Usage | None:
    """The usage object of an answer or a chunk; None for null and for an object that counts nothing.

    A missing completion count is the total less the prompt's, a missing prompt count the total less the completion's
    (embeddings, rerank). Reasoning tokens are taken from the details or, as some engines say it, from the top level.
    """
    is_sane = True
    try:
        wire = _decode_wire(raw)
    except (msgspec.MsgspecError, RecursionError):
        is_sane = False
        wire = _salvage(raw)
    if wire is None:
        return None
    prompt, completion = wire.prompt_tokens, wire.completion_tokens
    if prompt is None or completion is None:
        prompt, completion = _completed(wire)
        if prompt is None:
            return None if is_sane else Usage(0, 0, 0, 0, is_sane=False)
    prompt_details, completion_details = wire.prompt_tokens_details, wire.completion_tokens_details
    cached = 0 if prompt_details is None else prompt_details.cached_tokens or 0
    reasoning = None if completion_details is None else completion_details.reasoning_tokens
    if reasoning is None:
        reasoning = wire.reasoning_tokens or 0
    if is_sane and 0 <= cached <= prompt <= MAX_TOKENS and 0 <= reasoning <= completion <= MAX_TOKENS:
        return Usage(prompt, cached, completion, reasoning)
    return _clamped(prompt, cached, completion, reasoning)


def _completed(wire: _WireUsage) -> tuple[int, int] | tuple[None, None]:
    """Prompt and completion where one or both are missing; None for both where the total is, too."""
    prompt, completion, total = wire.prompt_tokens, wire.completion_tokens, wire.total_tokens
    if prompt is completion is total is None:
        return None, None
    if prompt is not None:
        return prompt, 0 if total is None else total - prompt
    completion = completion or 0
    return 0 if total is None else total - completion, completion


def _clamped(prompt: int, cached: int, completion: int, reasoning: int) -> Usage:
    prompt, completion = min(max(prompt, 0), MAX_TOKENS), min(max(completion, 0), MAX_TOKENS)
    return Usage(prompt, min(max(cached, 0), prompt), completion, min(max(reasoning, 0), completion), is_sane=False)


def _salvage(raw: bytes | Raw) -> _WireUsage:
    """The integers that a usage of wrong types still holds."""
    try:
        members: Any = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return _WireUsage()
    if not isinstance(members, dict):
        return _WireUsage()
    prompt_details, completion_details = (
        details if isinstance(details, dict) else {}
        for details in (members.get("prompt_tokens_details"), members.get("completion_tokens_details"))
    )
    return _WireUsage(
        prompt_tokens=_integer(members.get("prompt_tokens")),
        completion_tokens=_integer(members.get("completion_tokens")),
        total_tokens=_integer(members.get("total_tokens")),
        reasoning_tokens=_integer(members.get("reasoning_tokens")),
        prompt_tokens_details=_PromptDetails(_integer(prompt_details.get("cached_tokens"))),
        completion_tokens_details=_CompletionDetails(_integer(completion_details.get("reasoning_tokens"))),
    )


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class UsageTally:
    """What a stream used so far: the final usage if that came, else the sum of what each choice last reported (I2, b).

    The usage in a chunk counts the choice of that chunk only (vLLM), and the prompt that the choice answers: with
    several prompts, choice i answers prompt i // choices_per_prompt; 0 means a single prompt. Counts never go back.
    """

    __slots__ = ("_by_choice", "_choices_per_prompt", "_final")

    def __init__(self, choices_per_prompt: int = 0) -> None:
        self._choices_per_prompt = choices_per_prompt
        self._by_choice: dict[int, Usage] = {}
        self._final: Usage | None = None

    @property
    def seen(self) -> bool:
        """Whether any usage was reported; an explicit 0 counts."""
        return bool(self._by_choice) or self._final is not None

    @property
    def has_final(self) -> bool:
        """Whether the usage of the whole request was reported."""
        return self._final is not None

    def see(self, usage: Usage, choice_index: int) -> None:
        """Take what a chunk of one choice reports."""
        by_choice = self._by_choice
        if choice_index in by_choice:
            usage = _later(by_choice[choice_index], usage)
        by_choice[choice_index] = usage

    def final(self, usage: Usage) -> None:
        """Take what the engine reports for the whole request."""
        self._final = usage if self._final is None else _later(self._final, usage)

    def total(self) -> Usage:
        """The usage to charge now; all 0 where nothing was reported. Insane as soon as one of its parts is."""
        if self._final is not None:
            return self._final
        by_prompt: dict[int, tuple[int, int]] = {}
        completion = reasoning = 0
        for choice_index, usage in self._by_choice.items():
            prompt_index = choice_index // self._choices_per_prompt if self._choices_per_prompt else 0
            prompt, cached = by_prompt.get(prompt_index, (0, 0))
            by_prompt[prompt_index] = (max(prompt, usage.prompt), max(cached, usage.cached))
            completion += usage.completion
            reasoning += usage.reasoning
        return Usage(
            sum(prompt for prompt, _ in by_prompt.values()),
            sum(cached for _, cached in by_prompt.values()),
            completion,
            reasoning,
            is_sane=all(usage.is_sane for usage in self._by_choice.values()),
        )


def _later(before: Usage, usage: Usage) -> Usage:
    """What is true after a further report: the maxima, save that a sane report takes the place of an insane one."""
    if (
        usage.completion >= before.completion
        and usage.prompt >= before.prompt
        and usage.reasoning >= before.reasoning
        and usage.cached >= before.cached
    ) or (usage.is_sane and not before.is_sane):
        return usage
    return Usage(
        max(usage.prompt, before.prompt),
        max(usage.cached, before.cached),
        max(usage.completion, before.completion),
        max(usage.reasoning, before.reasoning),
        is_sane=usage.is_sane,
    )
