"""A client's body, taken apart once: what was decided on it, and the body that an engine gets instead.

The top level is decoded into raw values, which reach the engine byte for byte; member names are written anew. So
nothing that was not looked at under its own name can reach an engine under another (duplicates, escaped names,
trailing bytes).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from gateway.relay.errors import invalid_field, invalid_json
from gateway.relay.fields import FIELDS, FORBIDDEN_TEMPLATE_KWARGS, Action, Endpoint, Field
from gateway.relay.json_walk import BadJson, check_text, members_of
from gateway.relay.prompts import MAX_INPUTS, MAX_PROMPTS, Prompt, check_depth, conversation, pairs, text_prompts

__all__ = ["Endpoint", "InferenceRequest", "parse_request"]

MAX_CHOICES = 128
"""Answers of one request (`n`), as OpenAI has it."""
MAX_OUTPUT = 2**31 - 1
"""The largest output limit that is a number and not a mistake."""
MAX_MODEL_NAME = 200
"""Characters of a model's name, as the catalog has it."""
LARGE = 64 * 1024
"""Bytes of a body from which copying it costs more than sending it in parts."""
MAX_NUMBER = 64
"""Characters of a number: longer ones are no request's and break parsers."""

_STREAM_OPTIONS = b'{"include_usage":true,"continuous_usage_stats":true}'
_PASS, _WINDOW, _READ, _REFUSE = Action.PASS, Action.WINDOW, Action.READ, Action.REFUSE  # looked up once
_WHITESPACE = b" \t\n\r"
_STRING = msgspec.json.Decoder(str)
_INTEGER = re.compile(rb"-?[0-9]{1,10}")
# What /tokenize of an engine takes of a chat request, and what it would have to take for its count to be the prompt's.
_TOKENIZED = ("tools", "add_generation_prompt", "continue_final_message", "add_special_tokens")
_NOT_TOKENIZED = frozenset({"documents", "functions", "response_format", "suffix", "truncate_prompt_tokens"})


@dataclass(slots=True)
class InferenceRequest:
    """A request that may be admitted.

    `endpoint` is the engine's: /v1/completions with `messages` is CHAT. `sequences` are those generated, over all
    prompts (1 where nothing is generated); `documents` are those billed; `max_output_asked` is in tokens a sequence;
    `members` pass as they are.
    """

    endpoint: Endpoint
    model: str
    stream: bool
    include_usage: bool
    max_output_asked: int | None
    sequences: int
    documents: int
    members: dict[str, bytes]
    choices: int = 1
    continuous_usage: bool = False
    is_unbounded: bool = False
    inputs: list[Prompt] = field(default_factory=list)

    @property
    def prompts(self) -> int:
        """How many sequences of input there are (documents of a rerank request: each is read with the query)."""
        return len(self.inputs)

    @property
    def is_generating(self) -> bool:
        """Whether the answer is made of output tokens."""
        return self.endpoint.is_generating

    def engine_body(self, *, served_name: str, max_output: int | None, cache_salt: str | None) -> list[bytes]:
        """The body for an engine, in parts: a large one is not put together.

        `max_output` (tokens a sequence) is what is held: needed where something is generated.
        """
        parts = [b'{"model":', msgspec.json.encode(served_name)]
        for name, value in self.members.items():
            parts.append(b',"%b":' % name.encode())
            parts.append(value)
        if self.endpoint.is_generating:
            if max_output is None or max_output < 1:
                raise ValueError("an output limit is needed: it is what the ledger holds")
            parts.append(b',"max_tokens":%d' % max_output)
            if self.endpoint is Endpoint.CHAT:
                parts.append(b',"max_completion_tokens":%d' % max_output)
            if self.choices > 1:
                parts.append(b',"n":%d' % self.choices)
        if self.stream:
            parts += (b',"stream":true,"stream_options":', _STREAM_OPTIONS)
        if cache_salt:
            parts += (b',"cache_salt":', msgspec.json.encode(cache_salt))
        parts.append(b"}")
        return parts if sum(map(len, parts)) > LARGE else [b"".join(parts)]

    def tokenize_body(self, served_name: str) -> bytes | None:
        """The body for an engine's /tokenize; None where that would count something else than the prompt.

        The template's overhead is worth adding: some engines write a chat out in another way than /tokenize does.
        """
        if self.prompts != 1 or self.inputs[0].media or self.members.keys() & _NOT_TOKENIZED:
            return None
        body = {"model": msgspec.Raw(msgspec.json.encode(served_name))}
        if self.endpoint is Endpoint.CHAT:
            body["messages"] = msgspec.Raw(self.members["messages"])
            body |= {name: msgspec.Raw(self.members[name]) for name in _TOKENIZED if name in self.members}
            kwargs = _template_kwargs(self.members)
            if kwargs:
                body["chat_template_kwargs"] = msgspec.Raw(msgspec.json.encode(kwargs))
            return msgspec.json.encode(body)
        text = self.members.get("prompt") or self.members.get("input", b"")
        if self.endpoint is Endpoint.RERANK or text[:1] != b'"':
            return None
        body["prompt"] = msgspec.Raw(text)
        if "add_special_tokens" in self.members:
            body["add_special_tokens"] = msgspec.Raw(self.members["add_special_tokens"])
        return msgspec.json.encode(body)


def parse_request(endpoint: Endpoint, body: bytes) -> InferenceRequest:
    """Decide on a body. Raises Refusal (400)."""
    try:
        check_text(body)
        found = members_of(body)
    except BadJson as error:
        raise invalid_json(str(error)) from None
    given = {name: value for name, value in found.items() if value != b"null"}
    if endpoint is Endpoint.COMPLETIONS and "messages" in given:
        endpoint = Endpoint.CHAT
    kept, is_unbounded = _sorted_out(given, FIELDS[endpoint])
    request = InferenceRequest(endpoint, _model(given), False, False, None, 1, 0, kept, is_unbounded=is_unbounded)  # noqa: FBT003
    if endpoint.is_generating:
        _read_generation(request, given)
    _read_prompts(request)
    return request


def _sorted_out(given: Mapping[str, bytes], fields: Mapping[str, Field]) -> tuple[dict[str, bytes], bool]:
    """The members that pass, and whether one of them may fill the window."""
    kept: dict[str, bytes] = {}
    is_unbounded = False
    for name, value in given.items():
        row = fields.get(name)
        action = _PASS if row is None else row.action
        if action is _READ:
            kept[name] = value
        elif action is _PASS or action is _WINDOW:
            _check_value(name, value)
            kept[name] = value
            if row is not None and action is _WINDOW and not _is_harmless(value, row):
                is_unbounded = True
        elif action is _REFUSE and row is not None and not _is_harmless(value, row):
            raise invalid_field(name, f"{row.reason}.", "unsupported_parameter")
    if "chat_template_kwargs" in kept:
        _check_template_kwargs(kept["chat_template_kwargs"])
    return kept, is_unbounded


def _is_harmless(value: bytes, row: Field) -> bool:
    return len(value) < MAX_NUMBER and value.translate(None, _WHITESPACE) in row.harmless


def _check_value(name: str, value: bytes) -> None:
    check_depth(value, name)
    if len(value) > MAX_NUMBER and value[0] not in b'"[{':
        raise invalid_field(name, f"is a number of more than {MAX_NUMBER} characters.")


def _check_template_kwargs(raw: bytes) -> None:
    try:
        names = members_of(raw).keys()
    except BadJson as error:
        raise invalid_field("chat_template_kwargs", f"cannot be read: {error}.") from None
    for name in sorted(names & FORBIDDEN_TEMPLATE_KWARGS):
        raise invalid_field(
            f"chat_template_kwargs.{name}", "is refused: it would replace what was checked.", "unsupported_parameter"
        )


def _read_generation(request: InferenceRequest, given: Mapping[str, bytes]) -> None:
    request.stream = _boolean(given, "stream")
    if "stream_options" in given:
        _read_stream_options(request, given["stream_options"])
    limits = [_integer(given, name, 1, MAX_OUTPUT) for name in ("max_tokens", "max_completion_tokens") if name in given]
    # Who sends both means both: the lower binds.
    request.max_output_asked = min(limits) if limits else None
    if "n" in given:
        request.choices = _integer(given, "n", 1, MAX_CHOICES)


def _read_stream_options(request: InferenceRequest, raw: bytes) -> None:
    """Two options count; others (include_obfuscation) change nothing here and are not sent."""
    try:
        options = {name: value for name, value in members_of(raw).items() if value != b"null"}
    except BadJson as error:
        raise invalid_field("stream_options", f"cannot be read: {error}.") from None
    if options and not request.stream:
        raise invalid_field("stream_options", "is only allowed when 'stream' is true.")
    request.include_usage = _boolean(options, "include_usage", "stream_options.")
    request.continuous_usage = request.include_usage and _boolean(options, "continuous_usage_stats", "stream_options.")


def _read_prompts(request: InferenceRequest) -> None:
    members = request.members
    if request.endpoint is Endpoint.CHAT:
        request.inputs = [conversation(_required(members, "messages"))]
    elif request.endpoint is Endpoint.COMPLETIONS:
        request.inputs = text_prompts(_required(members, "prompt"), "prompt", MAX_PROMPTS)
    elif request.endpoint is Endpoint.EMBEDDINGS:
        if members.get("encoding_format", b'"float"') not in (b'"float"', b'"base64"'):
            raise invalid_field("encoding_format", "must be float or base64.")
        request.inputs = text_prompts(_required(members, "input"), "input", MAX_INPUTS)
    else:
        request.inputs = pairs(_required(members, "query"), _required(members, "documents"))
        request.documents = request.prompts
    if request.endpoint.is_generating:
        request.sequences = request.choices * request.prompts


def _required(members: Mapping[str, bytes], name: str) -> bytes:
    value = members.get(name)
    if value is None:
        raise invalid_field(name, "is missing.", "missing_required_parameter")
    return value


def _model(given: Mapping[str, bytes]) -> str:
    raw = _required(given, "model")
    if raw[:1] != b'"':
        raise invalid_field("model", "must be a string.", "invalid_type")
    name = _STRING.decode(raw)
    if not 0 < len(name) <= MAX_MODEL_NAME:
        raise invalid_field("model", f"must have 1 to {MAX_MODEL_NAME} characters.")
    return name


def _boolean(members: Mapping[str, bytes], name: str, where: str = "") -> bool:
    value = members.get(name, b"false")
    if value not in (b"true", b"false"):
        raise invalid_field(where + name, "must be true or false.", "invalid_type")
    return value == b"true"


def _integer(members: Mapping[str, bytes], name: str, low: int, high: int) -> int:
    """A whole number; also one that a client's language wrote as 5.0 or 1e3, since we write it anew."""
    raw = members[name]
    if _INTEGER.fullmatch(raw):
        number = int(raw)
    elif raw[:1] in b"-0123456789" and len(raw) <= MAX_NUMBER and (real := float(raw)).is_integer():
        number = int(real)
    else:
        raise invalid_field(name, "must be a whole number.", "invalid_type")
    if not low <= number <= high:
        raise invalid_field(name, f"must be from {low} to {high}.", "integer_out_of_range")
    return number


def _template_kwargs(members: Mapping[str, bytes]) -> dict[str, msgspec.Raw]:
    """What the chat template gets besides the messages, as vLLM puts it together for a chat request."""
    given = members_of(members.get("chat_template_kwargs", b"{}"))
    kwargs = {name: msgspec.Raw(value) for name, value in given.items()}
    effort = members.get("reasoning_effort")
    if effort is not None:
        kwargs["reasoning_effort"] = msgspec.Raw(effort)
        kwargs.setdefault("enable_thinking", msgspec.Raw(b"false" if effort == b'"none"' else b"true"))
    return kwargs
