"""Reading generation requests, and the plan of the answer."""

import os
from dataclasses import replace
from typing import Any

import msgspec

from gateway.simulated_engine import schemas, shapes, text, tokenizer
from gateway.simulated_engine.checks import (
    check_choices,
    check_format,
    check_messages,
    check_scheduling,
    check_tools,
    check_window,
)
from gateway.simulated_engine.config import Config, Kind
from gateway.simulated_engine.faults import Faults
from gateway.simulated_engine.generation import Choice, Length, plan
from gateway.simulated_engine.journal import as_received, member_names
from gateway.simulated_engine.members import flag, integer, number
from gateway.simulated_engine.text import Script
from gateway.simulated_engine.work import Refusal, Work

THINKING = {"none": 0, "minimal": 8, "low": 16, "medium": 48, "high": 96}
"""Reasoning tokens for each `reasoning_effort`."""
THINKING_ENABLED = 32
"""Reasoning tokens where the chat template is told to think."""
CACHE_BLOCK = 16
"""vLLM caches whole blocks of this many tokens."""
COMPLETION_TOKENS = 16
"""The limit of a text completion that names none, as in vLLM."""
TOOL_WORDS = ("tool", "function", "outil", "fonction", "herramienta", "función")


def model_of(body: dict[str, Any], kind: Kind, config: Config) -> str:
    """The model asked for, the first one of its kind where none is named.  Raises Refusal (404 for an unknown one)."""
    name = body.get("model") or next((model for model, known in config.models.items() if known is kind), None)
    if not isinstance(name, str) or name not in config.models:
        raise Refusal(404, f"The model `{name}` does not exist.", "NotFoundError", "model")
    if config.models[name] is not kind:
        raise Refusal(400, f"The model does not support this API: `{name}` is of the kind {config.models[name]}.")
    return name


def make_work(
    endpoint: str, prefix: str, body: dict[str, Any], request_id: str | None, faults: Faults, config: Config
) -> Work:
    """The parts that all endpoints share; the caller fills in prompts and answers."""
    work = Work(
        endpoint=endpoint,
        model="",
        id=f"{prefix}-{request_id or os.urandom(16).hex()}",
        request_id=request_id,
        prompt_tokens=[],
        members=member_names(body),
        faults=faults,
        max_tokens=as_received(body.get("max_tokens")),
        max_completion_tokens=as_received(body.get("max_completion_tokens")),
    )
    first = config.first_token_ms if faults.first_token_ms is None else faults.first_token_ms
    speed = config.tokens_per_second if faults.tokens_per_second is None else faults.tokens_per_second
    work.first_token = max(0.0, first) / 1000
    work.period = 1 / speed if speed > 0 else 0.0
    return work


def count_cached(work: Work, config: Config) -> None:
    """Decide how much of the prompts counts as cached: a fault's number, or whole blocks of the configured share."""
    if work.faults.cached_tokens is not None:
        work.cached = min(work.faults.cached_tokens, work.all_prompt_tokens)
    elif config.cached_fraction is not None:
        blocks = [int(tokens * config.cached_fraction) // CACHE_BLOCK for tokens in work.prompt_tokens]
        work.cached = sum(blocks) * CACHE_BLOCK


def chat(body: dict[str, Any], request_id: str | None, faults: Faults, config: Config) -> Work:
    """A chat completion.  Raises Refusal."""
    work = make_work("/v1/chat/completions", "chatcmpl", body, request_id, faults, config)
    work.model = model_of(body, Kind.CHAT, config)
    check_messages(body)
    check_tools(body)
    work.prompt_tokens = [tokenizer.count_chat(body)]
    _read_common(work, body, config)
    work.reasons = True
    thinking = _thinking(body, faults, config)
    length = _length(work, body, work.prompt_tokens[0], config, config.max_model_len)
    called = _called_tool(body)
    scripted = _chat_script(body, faults, called)
    question = "" if scripted else _question(body["messages"])
    work.choices = [
        plan(scripted or text.answer_to(question, index), thinking, length, index) for index in range(work.n)
    ]
    if thinking and not flag(body, "include_reasoning", default=True):
        for choice in work.choices:
            choice.hidden = choice.thinking
    if called:
        for choice in work.choices:
            _call(choice, called, body)
    work.render = shapes.whole_chat
    return work


def completion(body: dict[str, Any], request_id: str | None, faults: Faults, config: Config) -> Work:
    """A text completion, of one prompt or several.  Raises Refusal."""
    work = make_work("/v1/completions", "cmpl", body, request_id, faults, config)
    work.model = model_of(body, Kind.CHAT, config)
    prompts = prompts_of(body.get("prompt"), "prompt")
    work.prompt_tokens = [count for _, count in prompts]
    _read_common(work, body, config)
    echo = flag(body, "echo")
    said = text.repeated(faults.chunk_text) if faults.chunk_text else None
    for index, (prompt, tokens) in enumerate(prompts):
        length = _length(work, body, tokens, config, COMPLETION_TOKENS, least=0 if echo else 1)
        if length.max_tokens == 0:  # vLLM makes a token that it counts and does not show
            length, said = replace(length, max_tokens=1), text.repeated("")
        for turn in range(work.n):
            script = said or text.answer_to(prompt[-300:], turn)
            choice = plan(script, 0, length, index * work.n + turn, index)
            choice.echo = text.escape(prompt) if echo else b""
            work.choices.append(choice)
    work.render = shapes.whole_completion
    return work


def prompts_of(given: object, name: str) -> list[tuple[str, int]]:
    """Text and tokens of each prompt: a string, a list of strings, token ids, or a list of lists of ids.  Raises
    Refusal."""
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given:
        raise Refusal(400, f"{name}: Input should be a non-empty string or list", param=name)
    if all(isinstance(item, int | float) for item in given):
        given = [given]
    found = []
    for item in given:
        if isinstance(item, str) and item:
            found.append((item, tokenizer.count(item)))
        elif isinstance(item, list) and item:
            found.append((tokenizer.detokenize(_token_ids(item, name)), len(item)))
        else:
            raise Refusal(400, f"{name}: each prompt must be a non-empty string or list of token ids", param=name)
    return found


def _token_ids(given: list[Any], name: str) -> list[int]:
    found = [token for token in map(integer, given) if token is not None]
    if len(found) < len(given):
        raise Refusal(400, f"{name}: each token id must be an integer", param=name)
    if not all(map(tokenizer.is_token, found)):
        raise Refusal(400, f"{name}: a token id is out of vocabulary", param=name)
    return found


def _read_common(work: Work, body: dict[str, Any], config: Config) -> None:
    for tokens in work.prompt_tokens:
        check_window(tokens, config)
    count_cached(work, config)
    work.n = number(body, "n", 1, 1)
    check_choices(body, work.n, len(work.prompt_tokens))
    check_scheduling(body)
    check_format(body)
    work.stream = flag(body, "stream")
    options = body.get("stream_options")
    if options is not None:
        if options and not work.stream:
            raise Refusal(400, "Stream options can only be defined when `stream=True`.", param="stream_options")
        if not isinstance(options, dict):
            raise Refusal(400, "stream_options: Input should be a valid dictionary", param="stream_options")
        work.include_usage = flag(options, "include_usage")
        work.continuous = work.include_usage and flag(options, "continuous_usage_stats")


def _length(work: Work, body: dict[str, Any], prompt: int, config: Config, unlimited: int, least: int = 1) -> Length:
    room = config.max_model_len - prompt
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    asked = number(body, name, unlimited, least)
    if asked > config.max_model_len or room < 1:
        raise Refusal(
            400,
            f"'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum context length is "
            f"{config.max_model_len} tokens and your request has {prompt} input tokens.",
            param=name,
        )
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(word, str) for word in stops):
        raise Refusal(400, "stop: Input should be a string or a list of strings", param="stop")
    return Length(
        max_tokens=min(asked, room),
        natural=config.output_tokens,
        exactly=work.faults.output_tokens,
        min_tokens=number(body, "min_tokens", 0, 0),
        ignore_eos=flag(body, "ignore_eos"),
        stop=tuple(stops),
    )


def _thinking(body: dict[str, Any], faults: Faults, config: Config) -> int:
    """Reasoning tokens a choice."""
    if faults.reasoning_tokens is not None:
        return faults.reasoning_tokens
    template = body.get("chat_template_kwargs")
    enabled = template.get("enable_thinking") if isinstance(template, dict) else None
    effort = body.get("reasoning_effort")
    if enabled is False or effort == "none":
        return 0
    if effort is not None:
        return config.reasoning_tokens or THINKING.get(effort if isinstance(effort, str) else "", THINKING_ENABLED)
    if enabled:
        return config.reasoning_tokens or THINKING_ENABLED
    return config.reasoning_tokens


def _question(messages: list[dict[str, Any]]) -> str:
    asked = [message for message in messages if message["role"] == "user"] or messages
    return tokenizer.render_message(asked[-1])[0]


def _called_tool(body: dict[str, Any]) -> dict[str, Any] | None:
    """The function to call: the one named, the first where a call is required, or one that the last user message speaks
    of."""
    tools = [tool["function"] for tool in body.get("tools") or () if isinstance(tool, dict) and "function" in tool]
    wanted = body.get("tool_choice", "auto")
    if isinstance(wanted, dict):
        name = (wanted.get("function") or {}).get("name")
        named = [tool for tool in tools if tool.get("name") == name]
        if not named:
            raise Refusal(400, f"Tool {name} has not been passed in `tools`.", param="tool_choice")
        return _function(named[0])
    if not tools or wanted == "none":
        return None
    if wanted == "required":
        return _function(tools[0])
    last = body["messages"][-1]
    said = tokenizer.render_message(last)[0].lower() if last["role"] == "user" else ""
    spoken_of = [tool for tool in tools if _speaks_of(said, str(tool.get("name", "")))]
    if spoken_of:
        return _function(spoken_of[0])
    return _function(tools[0]) if any(word in said for word in TOOL_WORDS) else None


def _function(tool: object) -> dict[str, Any]:
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise Refusal(400, "tools: each function must have a name", param="tools")
    return tool


def _speaks_of(said: str, name: str) -> bool:
    words = [word for word in name.lower().split("_") if len(word) > 3]
    return bool(name) and (name.lower() in said or any(word in said for word in words))


def _call(choice: Choice, tool: dict[str, Any], body: dict[str, Any]) -> None:
    """Make the choice a call; as in vLLM a function that the client named leaves the finish reason `stop`."""
    choice.tool = (f"chatcmpl-tool-{os.urandom(16).hex()}", str(tool["name"]))
    if choice.finish == "stop" and not isinstance(body.get("tool_choice"), dict):
        choice.finish = "tool_calls"


def _chat_script(body: dict[str, Any], faults: Faults, called: dict[str, Any] | None) -> Script | None:
    """A script that the request forces (a call's arguments, JSON, a chosen text); None where prose will do."""
    if called:
        arguments = msgspec.json.encode(schemas.instance(called.get("parameters") or {"type": "object"})).decode()
        return Script(["", *tokenizer.pieces(arguments)], [], [])
    if faults.chunk_text:
        return text.repeated(faults.chunk_text)
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_object", "json_schema"):
        return None
    schema = (wanted.get("json_schema") or {}).get("schema")
    value = schemas.instance(schema) if schema else {"simulated": True, "answer": text.OPENINGS["en"]}
    return text.finite(msgspec.json.encode(value).decode())
