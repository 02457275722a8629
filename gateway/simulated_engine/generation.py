"""What an answer will be, decided before its first token; pure, so that a stream only has to walk along it."""

from dataclasses import dataclass

from gateway.simulated_engine.text import Script, finite


@dataclass(frozen=True, slots=True)
class Length:
    """What decides how many tokens a choice gets."""

    max_tokens: int
    """Never more than this; already lowered to the window."""
    natural: int
    """An unlimited answer ends with the last sentence within this."""
    exactly: int | None = None
    """Asked for by a fault: the whole answer, its ending token included."""
    min_tokens: int = 0
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()


@dataclass(slots=True)
class Choice:
    """One answer: `thinking` tokens of reasoning, `content` tokens of the script, and, unless cut by a limit, one that
    ends it."""

    index: int
    prompt: int
    """Which of the request's prompts it answers."""
    script: Script
    thinking: int
    content: int
    total: int
    finish: str
    stop_reason: str | None = None
    tool: tuple[str, str] | None = None
    """Id and name of the function that is called; the script then holds its arguments, after one empty token for the
    name."""
    echo: bytes = b""
    """What a completion repeats of its prompt, as the inside of a JSON string."""
    hidden: int = 0
    """Tokens at the beginning that no event is sent for: reasoning that the client does not want to see."""
    made: int = 0
    wire: int = 0

    def advance(self, tokens: int) -> tuple[int, int]:
        """Make the next tokens, at most so many and of one kind; returns their range (first included, last not)."""
        start = self.made
        if start < self.thinking:
            stop = min(start + tokens, self.thinking)
        elif start < self.thinking + self.content:
            stop = min(start + tokens, self.thinking + self.content)
        else:
            stop = self.total
        self.made = stop
        return start, stop

    @property
    def shown(self) -> bool:
        """Whether an event has told of a token: the hidden ones are told with the next, or with the end."""
        return self.made > self.hidden or self.made == self.total

    @property
    def reasoned(self) -> int:
        """Reasoning tokens made so far."""
        return min(self.made, self.thinking)


def plan(script: Script, thinking: int, length: Length, index: int = 0, prompt: int = 0) -> Choice:
    """The choice that these limits leave of a script.

    A finite script (JSON, a tool's arguments) is said to its end or cut by max_tokens; an endless one ends where
    `length` says. The ending token counts, as vLLM counts the end-of-sequence token.
    """
    wanted = _wanted(script, thinking, length)
    cut = wanted > length.max_tokens
    total = min(wanted, length.max_tokens)
    thinking = min(thinking, total if cut else total - 1)
    content = total - thinking - (0 if cut else 1)
    choice = Choice(index, prompt, script, thinking, content, total, "length" if cut else "stop")
    if length.stop and content:
        _stop_early(choice, length)
    return choice


def _wanted(script: Script, thinking: int, length: Length) -> int:
    said = script.finite_length
    if said is not None:
        return thinking + said + 1
    if length.ignore_eos:
        return length.max_tokens + 1
    wanted = length.exactly
    if wanted is None:
        wanted = thinking + script.natural_length(length.natural) + 1
    return max(wanted, length.min_tokens, 1)


def _stop_early(choice: Choice, length: Length) -> None:
    """End the choice before the first stop string; the tokens of that string are not made, but the ending one is."""
    text = choice.script.text(choice.content)
    begin = len(choice.script.text(min(choice.content, max(0, length.min_tokens - choice.thinking))))
    found = [(text.find(stop, begin), stop) for stop in length.stop if stop and stop in text[begin:]]
    if not found:
        return
    at, choice.stop_reason = min(found)
    choice.script = finite(text[:at])
    said = len(choice.script.opening)
    choice.total = min(choice.thinking + said + 1, length.max_tokens)
    choice.content = min(said, choice.total - choice.thinking)
    choice.finish = "stop"
