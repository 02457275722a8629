"""The JSON that vLLM sends, as bytes: usage objects, stream events and whole answers of chat and text completions.

Written out by hand because a load test makes millions of them; `tests/gateway/simulated_engine` parses each kind.
"""

import msgspec

from gateway.simulated_engine import text
from gateway.simulated_engine.engine import VERSION
from gateway.simulated_engine.faults import Faults
from gateway.simulated_engine.generation import Choice
from gateway.simulated_engine.work import Work

NONSENSE = {
    "huge": b"1000000000000000000",
    "negative": b"-7",
    "strings": b'"many"',
    "nulls": b"null",
    "list": b"[1]",
    "float": b"3.5",
}
DONE = b"[DONE]"
FINGERPRINT = b'"system_fingerprint":"vllm-%s"' % VERSION.encode()
UNASKED = b',"prompt_token_ids":null,"prompt_text":null'
"""What vLLM's first chunk of a chat ends with, behind the usage."""


def usage(faults: Faults, prompt: int, completion: int | None, cached: int | None, reasoning: int | None) -> bytes:
    """A usage object; completion tokens and details appear only where they are not None."""
    if faults.zero_usage:
        prompt, completion = 0, None if completion is None else 0
        cached = reasoning = None
    if faults.nonsense_usage:
        odd = NONSENSE[faults.nonsense_usage]
        return b'{"prompt_tokens":%b,"total_tokens":%b,"completion_tokens":%b}' % (odd, odd, odd)
    found = b'{"prompt_tokens":%d,"total_tokens":%d' % (prompt, prompt + (completion or 0))
    if completion is not None:
        found += b',"completion_tokens":%d' % completion
    if cached is not None:
        found += b',"prompt_tokens_details":{"cached_tokens":%d}' % cached
    if reasoning is not None:
        found += b',"completion_tokens_details":{"reasoning_tokens":%d}' % reasoning
    return found + b"}"


def final_usage(work: Work) -> bytes:
    """The usage of the whole request: every prompt once, the sum over its choices."""
    if not work.generates:
        return usage(work.faults, work.all_prompt_tokens, None, None, None)
    completion = sum([choice.made for choice in work.choices])
    reasoning = sum([choice.reasoned for choice in work.choices]) if work.reasons else None
    return usage(work.faults, work.all_prompt_tokens, completion, work.cached, reasoning)


def error(status: int, message: str, kind: str, param: str | None) -> bytes:
    """vLLM's error body."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": status}})


def text_of(choice: Choice, start: int, stop: int) -> bytes:
    """What tokens `start` to `stop` of a choice say (reasoning or content; the ending token says nothing), escaped for
    JSON."""
    if start < choice.thinking:
        return text.reasoning().escaped(start, stop)
    if start >= choice.thinking + choice.content:
        return b""
    return choice.script.escaped(start - choice.thinking, stop - choice.thinking)


class EventShape:
    """The events of one stream.  Each returned payload is what comes between `data: ` and the empty line."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._chat = work.endpoint == "/v1/chat/completions"
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        self._begin = b'{"id":%b,"object":"%b","created":%d,"model":%b,"choices":[' % (
            msgspec.json.encode(work.id),
            kind.encode(),
            work.created,
            msgspec.json.encode(work.model),
        )
        self._ending = b"" if work.include_usage else b"," + FINGERPRINT
        self._counted = work.continuous and work.faults.no_usage not in (True, "continuous")

    def roles(self) -> list[bytes]:
        """The first event of each choice of a chat; none of a text completion."""
        if not self._chat:
            return []
        delta = b'{"index":%d,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        return [
            b"".join((self._begin, delta % choice.index, self._so_far(choice), UNASKED, b"}"))
            for choice in self._work.choices
        ]

    def tokens(self, choice: Choice, start: int, stop: int) -> bytes:
        """The event that carries tokens `start` to `stop`; the last one carries the finish reason."""
        said = text_of(choice, start, stop)
        if not self._chat:
            return self._completion(choice, said, start, stop)
        if start < choice.thinking:
            delta = b"{}" if choice.hidden else b'{"reasoning":"%b"}' % said
        elif choice.tool and start < choice.thinking + choice.content:
            delta = _tool_delta(choice, said, start)
        else:
            delta = b'{"content":"%b"}' % said
        if stop == choice.total:
            finish = b'"%b","stop_reason":%b' % (choice.finish.encode(), msgspec.json.encode(choice.stop_reason))
            ending = self._ending + b"}"
        else:
            finish, ending = b"null", b"}"
        body = b'{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b,"token_ids":null}]' % (
            choice.index,
            delta,
            finish,
        )
        return b"".join((self._begin, body, self._so_far(choice), ending))

    def usage(self) -> bytes:
        """The event after the last token: no choices, the usage of the request."""
        return b'%b],"usage":%b,%b}' % (self._begin, final_usage(self._work), FINGERPRINT)

    def _completion(self, choice: Choice, said: bytes, start: int, stop: int) -> bytes:
        finish, reason, ending = b"null", b"null", b"}"
        if stop == choice.total:
            finish, reason = b'"%b"' % choice.finish.encode(), msgspec.json.encode(choice.stop_reason)
            ending = self._ending + b"}"
        layout = (
            b'{"index":%d,"text":"%b","logprobs":null,"finish_reason":%b,"stop_reason":%b,"prompt_token_ids":null,'
            b'"token_ids":null}]'
        )
        body = layout % (choice.index, choice.echo + said if start == 0 else said, finish, reason)
        return b"".join((self._begin, body, self._so_far(choice), ending))

    def _so_far(self, choice: Choice) -> bytes:
        """vLLM's continuous usage: of this choice alone, without what was cached."""
        if not self._counted:
            return b""
        work = self._work
        reasoning = choice.reasoned if work.reasons else None
        return b',"usage":' + usage(work.faults, work.prompt_tokens[choice.prompt], choice.made, None, reasoning)


def _tool_delta(choice: Choice, said: bytes, start: int) -> bytes:
    if choice.tool and start == choice.thinking:
        call_id, name = choice.tool
        return b'{"tool_calls":[{"id":%b,"type":"function","index":0,"function":{"name":%b,"arguments":"%b"}}]}' % (
            msgspec.json.encode(call_id),
            msgspec.json.encode(name),
            said,
        )
    return b'{"tool_calls":[{"index":0,"function":{"arguments":"%b"}}]}' % said


def _message(choice: Choice) -> bytes:
    said = choice.script.escaped_text(choice.content)
    shown = choice.thinking and not choice.hidden
    thought = b'"%b"' % text.reasoning().escaped_text(choice.thinking) if shown else b"null"
    content, calls = b'"%b"' % said if choice.content or not choice.thinking else b"null", b""
    if choice.tool and choice.content:
        call_id, name = (msgspec.json.encode(part) for part in choice.tool)
        content = b"null"
        calls = b'{"id":%b,"type":"function","function":{"name":%b,"arguments":"%b"}}' % (call_id, name, said)
    return (
        b'{"role":"assistant","content":%b,"refusal":null,"annotations":null,"audio":null,"function_call":null,'
        b'"tool_calls":[%b],"reasoning":%b}' % (content, calls, thought)
    )


def whole_chat(work: Work) -> bytes:
    """The body of a chat completion that is not streamed."""
    choices = [
        b'{"index":%d,"message":%b,"logprobs":null,"finish_reason":"%b","stop_reason":%b,"token_ids":null}'
        % (choice.index, _message(choice), choice.finish.encode(), msgspec.json.encode(choice.stop_reason))
        for choice in work.choices
    ]
    whole = _whole(work, b"chat.completion", choices)
    return whole + b',"prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null}'


def whole_completion(work: Work) -> bytes:
    """The body of a text completion that is not streamed."""
    choices = [
        b'{"index":%d,"text":"%b","logprobs":null,"finish_reason":"%b","stop_reason":%b,"token_ids":null,"prompt_logprobs":null}'
        % (
            choice.index,
            choice.echo + choice.script.escaped_text(choice.content),
            choice.finish.encode(),
            msgspec.json.encode(choice.stop_reason),
        )
        for choice in work.choices
    ]
    return _whole(work, b"text_completion", choices) + b"}"


def _whole(work: Work, kind: bytes, choices: list[bytes]) -> bytes:
    layout = b'{"id":%b,"object":"%b","created":%d,"model":%b,"choices":[%b],"service_tier":null,%b%b'
    return layout % (
        msgspec.json.encode(work.id),
        kind,
        work.created,
        msgspec.json.encode(work.model),
        b",".join(choices),
        FINGERPRINT,
        told(work),
    )


def told(work: Work) -> bytes:
    """The member `usage` of a whole answer with its comma, or nothing where a fault leaves it out."""
    return b"" if work.faults.no_usage in (True, "final") else b',"usage":' + final_usage(work)
