"""Plain words for how a request ended: each status of a usage record, each code of a refusal, each reason to stop.

A test reads the statuses from the database's rule and the codes from the relay's source: none may be without words.
"""

from dataclasses import dataclass, replace

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Words:
    """A word or two, a sentence on what happened, and what to do about it ("" where there is nothing to do)."""

    title: Promise
    what: Promise
    advice: Promise | str = ""
    tone: str = "secondary"


STATUSES: dict[str, Words] = {
    "completed": Words(_("completed"), _("The answer arrived whole."), tone="green"),
    "client_left": Words(
        _("client left"),
        _("The client closed the connection before the answer was whole. What it had got until then is charged."),
        _("Look at the time limit of the client if this was not on purpose."),
        tone="yellow",
    ),
    "client_left_early": Words(
        _("client left early"),
        _("The client closed the connection before there was an answer. Nothing is charged."),
        _("Look at the time limit of the client if this was not on purpose."),
        tone="yellow",
    ),
    "engine_died": Words(
        _("engine broke off"),
        _("The engine broke off in the middle of its answer. What had arrived until then is charged."),
        _("Ask again. If it happens often, tell the support contact."),
        tone="red",
    ),
    "engine_failed": Words(
        _("engine failed"),
        _("No engine gave an answer. Nothing is charged."),
        _("Ask again. If it happens often, tell the support contact."),
        tone="red",
    ),
    "engine_refused": Words(
        _("rejected"),
        _("The engine rejected the request as it was. Nothing is charged."),
        _("The error that the client got names what is wrong with the request."),
        tone="yellow",
    ),
    "gateway_lost": Words(
        _("cut off"),
        _("The gateway that carried the answer stopped. What it had last reported is charged, and nothing beyond it."),
        _("Ask again."),
        tone="red",
    ),
    "unmetered": Words(
        _("not metered"),
        _("The engine did not say how many tokens it used. Nothing is charged, and the operator was told."),
        tone="yellow",
    ),
    "zero_usage": Words(
        _("nothing used"),
        _("The engine reported that it used no tokens. Nothing is charged, and the operator was told."),
        tone="yellow",
    ),
    "clamped": Words(
        _("capped"),
        _("The engine reported more than this request can have used. Only what was reserved is charged."),
        tone="yellow",
    ),
    "undelivered": Words(
        _("not delivered"),
        _("The answer was ready, but withheld, as its charge was not confirmed in time. Nothing is charged."),
        _("Ask again."),
        tone="red",
    ),
}
UNDER_WAY = Words(
    _("under way"), _("The answer is being produced. The most that it can cost is reserved meanwhile."), tone="blue"
)

_KEY = _("Create another key, and replace this one where it is used.")
_POLICY = _("Whoever manages this key can change it.")
_OPERATOR = _("Ask the operator of this platform.")
_AGAIN = _("Ask again in a moment.")
_FIX = _("The error that the client got names what to correct.")

REFUSALS: dict[str, Words] = {
    "invalid_api_key": Words(_("invalid key"), _("The key was not accepted."), _KEY),
    "api_key_expired": Words(_("key expired"), _("The key's time is over."), _KEY),
    "api_key_revoked": Words(_("key revoked"), _("The key was revoked."), _KEY),
    "api_key_rotated": Words(
        _("old secret"),
        _("The key was rotated, and the time in which its old secret worked too is over."),
        _("Use the key's new secret."),
    ),
    "api_key_blocked": Words(_("key blocked"), _("The key is blocked for the time being."), _POLICY),
    "ip_not_allowed": Words(
        _("address not allowed"), _("The request came from an address outside of the key's IP ranges."), _POLICY
    ),
    "origin_not_allowed": Words(
        _("origin not allowed"), _("A browser sent the request from a site that the key does not list."), _POLICY
    ),
    "scope_missing": Words(_("scope missing"), _("The key lacks the scope that this call needs."), _KEY),
    "model_not_allowed": Words(_("model not allowed"), _("The key or its project may not call this model."), _POLICY),
    "project_archived": Words(
        _("project archived"), _("The key's project is archived."), _("Use a key of an active project.")
    ),
    "tenant_suspended": Words(_("suspended"), _("The organisation is suspended."), _OPERATOR),
    "no_contract": Words(_("no contract"), _("The organisation has no contract in force."), _OPERATOR),
    "insufficient_credit": Words(
        _("credit used up"),
        _("What is left of the prepaid credit does not cover the most that the request could have cost."),
        _("Order a top-up under Billing, or ask for a lower max_completion_tokens."),
    ),
    "insufficient_quota": Words(
        _("budget used up"),
        _("What is left of a budget does not cover the most that the request could have cost."),
        _("Raise the budget, wait for its next period, or ask for a lower max_completion_tokens."),
    ),
    "rate_limit_exceeded": Words(
        _("limit reached"),
        _("A limit on requests or tokens was reached."),
        _("Send fewer requests at once, or raise the limit."),
    ),
    "repeated_request": Words(
        _("repeated"), _("A request with the same Idempotency-Key had been admitted before. It was not run twice.")
    ),
    "model_not_found": Words(
        _("unknown model"),
        _("The request names a model that does not exist or is not served."),
        _("The page Models lists those that are."),
    ),
    "model_retired": Words(
        _("model retired"), _("The model is no longer served."), _("Its page names the model that follows it.")
    ),
    "model_not_supported": Words(
        _("wrong kind of model"), _("The model does not take requests of this kind."), _("Choose a model that does.")
    ),
    "model_without_price": Words(_("no price"), _("The model has no price in the price list."), _OPERATOR),
    "no_replica": Words(_("no engine"), _("No engine could serve the model at that moment."), _AGAIN),
    "model_starting": Words(
        _("engine starting"), _("The model had no engine, and the one that was started was not ready in time."), _AGAIN
    ),
    "overloaded": Words(_("overloaded"), _("The gateway or the engine had as much to do as it can take."), _AGAIN),
    "ledger_unavailable": Words(_("billing away"), _("The request could not be admitted in time."), _AGAIN),
    "starting": Words(_("starting"), _("The gateway had just started."), _AGAIN),
    "stopping": Words(_("stopping"), _("The gateway was about to stop."), _AGAIN),
    "settlement_delayed": Words(
        _("charge delayed"), _("The charge of the answer was not confirmed in time, so it was withheld."), _AGAIN
    ),
    "engine_failed": Words(_("engine failed"), _("The engine failed before it answered."), _AGAIN),
    "engine_unavailable": Words(_("engine not ready"), _("The engine was not ready."), _AGAIN),
    "engine_misconfigured": Words(_("engine not set up"), _("The engine is not set up correctly."), _OPERATOR),
    "internal_error": Words(_("our fault"), _("The gateway failed."), _("Tell the support contact the request id.")),
    "context_length_exceeded": Words(
        _("too long"),
        _("Prompt and output limit together do not fit the model's context window."),
        _("Shorten the prompt or lower max_completion_tokens."),
    ),
    "rejected_by_engine": Words(_("rejected"), _("The engine rejected the request as it was."), _FIX),
    "invalid_json": Words(_("invalid JSON"), _("The body was not one JSON object in UTF-8."), _FIX),
    "invalid_value": Words(_("invalid value"), _("A member of the request has a value that cannot be accepted."), _FIX),
    "invalid_type": Words(_("wrong type"), _("A member of the request has the wrong type."), _FIX),
    "integer_out_of_range": Words(_("out of range"), _("A number in the request is too small or too large."), _FIX),
    "missing_required_parameter": Words(_("incomplete"), _("A member that the request needs is missing."), _FIX),
    "unsupported_parameter": Words(_("not supported"), _("The request has a member that is not supported here."), _FIX),
    "remote_media_refused": Words(
        _("remote media"),
        _("The request names an image or a recording at another address, which is not fetched."),
        _("Send the media itself, in base64."),
    ),
    "bad_request": Words(_("not understood"), _("The HTTP request could not be understood."), _FIX),
    "request_timeout": Words(_("too slow"), _("The request did not arrive in time."), _AGAIN),
    "body_too_large": Words(_("too large"), _("The body was larger than the gateway takes."), _("Send less at once.")),
    "headers_too_large": Words(_("headers too large"), _("The headers were larger than the gateway takes."), _FIX),
    "uri_too_long": Words(_("address too long"), _("The address was longer than the gateway takes."), _FIX),
    "unsupported_media_type": Words(_("not JSON"), _("The body was declared as something else than JSON."), _FIX),
    "content_encoding_refused": Words(
        _("compressed"), _("The body was compressed, which is not accepted."), _("Send the JSON as it is.")
    ),
    "expectation_failed": Words(_("expectation"), _("The request had an Expect header that is not understood."), _FIX),
    "not_found": Words(_("no such address"), _("There is nothing at the address that was called."), _FIX),
    "method_not_allowed": Words(_("wrong method"), _("The address does not take this HTTP method."), _FIX),
}

FINISHES: dict[str, Promise] = {
    "stop": _("The model came to its end."),
    "length": _("The answer reached its output limit."),
    "tool_calls": _("The model called a tool."),
    "function_call": _("The model called a function."),
    "content_filter": _("A filter of the engine stopped the answer."),
    "abort": _("The engine broke the answer off."),
    "other": _("The engine gave a reason of its own."),
}


def words_of_status(status: str) -> Words:
    """How an admitted request ended; a status that a later release wrote is shown as it is."""
    return STATUSES.get(status) or _as_it_is(status)


def words_of_code(code: str) -> Words:
    """Why a request was refused; likewise."""
    return replace(REFUSALS.get(code) or _as_it_is(code), tone="yellow")


def _as_it_is(name: str) -> Words:
    word = name.replace("_", " ")
    return Words(word, "")  # type: ignore[arg-type]
