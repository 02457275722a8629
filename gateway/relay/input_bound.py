"""How many tokens a request's prompts have at most, by construction (I3), and which media an engine may fetch.

A bound is never too low: it is what the ledger holds. It may be high where only the model's own template knows; it is
never more than the window for each prompt, because no engine reads more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.relay.errors import invalid_field
from gateway.relay.prompts import Prompt
from gateway.relay.request_body import InferenceRequest
from gateway.relay.text_bound import token_bound

_DEFAULT_PORTS = {"http": "80", "https": "443"}
# Strict on purpose: whatever two URL parsers could read differently (user info, backslashes, blanks, other letters)
# is no host.
_REMOTE = re.compile(r"(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::([0-9]{1,5}))?(?:[/?#][!-\[\]-~]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the catalog knows of a model that bounds its prompts, in tokens; media by kind (`image`, `audio`,
    `video`).
    """

    context_window: int
    template_overhead_tokens: int
    template_overhead_tokens_per_message: int
    media_max_tokens: Mapping[str, int] = field(default_factory=dict)


def input_bound(request: InferenceRequest, facts: ModelFacts) -> int:
    """At least the tokens that an engine will report for all prompts of the request together; at most the window
    times prompts.
    """
    if request.is_unbounded:
        return facts.context_window * request.prompts
    bound = 0
    for prompt in request.inputs:
        bound += _prompt_bound(prompt, facts)
    return bound


def check_media(request: InferenceRequest, allowed_hosts: frozenset[str]) -> None:
    """Raises Refusal where a part is neither data nor at an allowed host (`host`, or `host:port` for an unusual port;
    lower case).
    """
    for prompt in request.inputs:
        for media in prompt.media:
            if media.url is not None and not _is_allowed(media.url, allowed_hosts):
                why = "must be a data: URI: this platform fetches nothing from elsewhere"
                if allowed_hosts:
                    why += f", except from {', '.join(sorted(allowed_hosts))}"
                raise invalid_field(media.param, f"{why}.", "remote_media_refused")


def _prompt_bound(prompt: Prompt, facts: ModelFacts) -> int:
    window = facts.context_window
    if prompt.is_unbounded or len(prompt.text) >= window:
        return window
    tokens = prompt.tokens + token_bound(prompt.text)
    if prompt.messages:
        tokens += facts.template_overhead_tokens + prompt.messages * facts.template_overhead_tokens_per_message
    for media in prompt.media:
        tokens += facts.media_max_tokens.get(media.kind, window)
    return min(tokens, window)


def _is_allowed(url: str, allowed_hosts: frozenset[str]) -> bool:
    match = _REMOTE.fullmatch(url)
    if match is None:
        return False
    scheme, host, port = match.groups()
    if port is None or port == _DEFAULT_PORTS[scheme]:
        return host in allowed_hosts
    return f"{host}:{port}" in allowed_hosts
