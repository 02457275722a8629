"""What vLLM refuses with 400 before it works on a request, in its words as far as clients read them."""

from typing import Any

from gateway.simulated_engine.config import Config
from gateway.simulated_engine.members import decimal, number
from gateway.simulated_engine.work import Refusal

GREEDY = 1e-5
"""Below this temperature vLLM always takes the likeliest token."""
HOTTEST = 2.0
MAX_CHOICES = 1_024
FORMATS = ("text", "json_object", "json_schema", "structural_tag")


def check_window(tokens: int, config: Config) -> None:
    """Raises Refusal where a prompt alone is longer than the window."""
    if tokens > config.max_model_len:
        raise Refusal(
            400,
            f"This model's maximum context length is {config.max_model_len} tokens. However, your request has {tokens} "
            "input tokens. Please reduce the length of the input messages.",
        )


def check_messages(body: dict[str, Any]) -> None:
    """Raises Refusal unless `messages` is a list of objects that have a role."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "messages: Field required, a non-empty list", param="messages")
    if not all(isinstance(message, dict) and isinstance(message.get("role"), str) for message in messages):
        raise Refusal(400, "messages: each message must be an object with a role", param="messages")


def check_choices(body: dict[str, Any], n: int, prompts: int) -> None:
    """Raises Refusal for a temperature out of range, for too many choices, and for several choices that would be the
    same."""
    if n * prompts > MAX_CHOICES:
        raise Refusal(400, f"n must be at most {MAX_CHOICES}, got {n}.", param="n")
    temperature = decimal(body, "temperature", 1.0)
    if temperature < 0:
        raise Refusal(400, f"temperature must be non-negative, got {temperature}.", param="temperature")
    if temperature > HOTTEST:
        raise Refusal(400, f"temperature must be in [0, 2], got {temperature}.", param="temperature")
    if n > 1 and temperature < GREEDY:
        raise Refusal(400, f"n must be 1 when using greedy sampling, got {n}.")


def check_scheduling(body: dict[str, Any]) -> None:
    """Raises Refusal unless `cache_salt` is a non-empty string and `priority` an integer, where they are given."""
    salt = body.get("cache_salt")
    if salt is not None and (not isinstance(salt, str) or not salt):
        raise Refusal(400, "Parameter 'cache_salt' must be a non-empty string if provided.", param="cache_salt")
    if "priority" in body:
        number(body, "priority", 0, None)


def check_format(body: dict[str, Any]) -> None:
    """Raises Refusal unless `response_format` is missing, null or of a known type."""
    wanted = body.get("response_format")
    if wanted is None:
        return
    if not isinstance(wanted, dict) or wanted.get("type") not in FORMATS:
        raise Refusal(400, f"response_format: Input should have a type of {FORMATS}", param="response_format")
    if wanted["type"] == "json_schema" and not isinstance(wanted.get("json_schema"), dict):
        message = "When response_format type is 'json_schema', the 'json_schema' field must be provided."
        raise Refusal(400, message, param="response_format")


def check_tools(body: dict[str, Any]) -> None:
    """Raises Refusal for an empty list of tools, a choice without tools, and a choice that is none."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools == []:
        raise Refusal(400, "`tools` must not be an empty array. Provide a tool or omit the field.", param="tools")
    if tools is not None and not isinstance(tools, list):
        raise Refusal(400, "tools: Input should be a valid list", param="tools")
    if choice is None or choice == "none":
        return
    if tools is None:
        raise Refusal(400, "When using `tool_choice`, `tools` must be set.", param="tool_choice")
    if choice not in ("auto", "required") and not isinstance(choice, dict):
        message = 'Invalid value for `tool_choice`: only named tools, "none", "auto" or "required" are supported.'
        raise Refusal(400, message, param="tool_choice")
