"""Every answer of the relay that is not an engine's: one exception, made by one function for each reason.

    status  type                   code                         function                  tell the client to
    400     invalid_request_error  invalid_json                 invalid_json              fix the body
    400     invalid_request_error  invalid_value, ...           invalid_field             fix the member in `param`
    400     invalid_request_error  context_length_exceeded      context_length_exceeded   shorten prompt or output
    400     invalid_request_error  bad_request                  bad_request               fix the HTTP message
    400     invalid_request_error  rejected_by_engine           from_engine (400, 422)    fix what the engine names
    401     invalid_request_error  invalid_api_key              key_missing, key_invalid  send a valid key
    401     invalid_request_error  api_key_expired, .._revoked  key_expired, key_revoked  make a new key
    401     invalid_request_error  api_key_rotated              key_rotated               use the new secret
    403     permission_error       api_key_blocked              key_blocked               ask its organisation
    403     permission_error       ip_not_allowed, ...          ip_not_allowed, ...       change the key's policy
    403     permission_error       model_not_allowed            model_not_allowed         use another model or key
    403     permission_error       tenant_suspended, ...        account_refused           ask the operator
    404     invalid_request_error  not_found                    not_found                 fix the URL
    404     invalid_request_error  model_not_found, .._retired  model_not_found, ...      list the models
    405     invalid_request_error  method_not_allowed           method_not_allowed        use what `allow` says
    408     invalid_request_error  request_timeout              request_timeout           send faster
    409     invalid_request_error  repeated_request             repeated_request          not repeat it
    413     invalid_request_error  body_too_large               body_too_large            send less
    414     invalid_request_error  uri_too_long                 uri_too_long              send less
    415     invalid_request_error  unsupported_media_type, ...  unsupported_.., content.. send plain JSON
    417     invalid_request_error  expectation_failed           expectation_failed        drop `expect`
    429     insufficient_quota     insufficient_quota           insufficient_quota        raise the budget
    429     requests or tokens     rate_limit_exceeded          rate_limit_exceeded       wait for `retry-after`
    431     invalid_request_error  headers_too_large            headers_too_large         send less
    500     server_error           internal_error               internal_error            tell the operator
    502     server_error           engine_failed                engine_failed             retry
    503     server_error           overloaded, no_replica, ...  overloaded, ...           wait for `retry-after`
    503     server_error           model_starting               still_starting            wait for `retry-after`
    503     server_error           model_without_price          model_without_price       tell the operator
    in-band server_error           settlement_delayed, ...      settlement_delayed, ...   look the request up

Clients decide by the status: openai-python retries 408, 409, 429 and 5xx unless `x-should-retry: false` says otherwise,
which is sent wherever a repetition cannot help. A model without a price is our fault, not the client's, hence 503.
"""

from collections.abc import Mapping
from typing import Any, Literal

from billing.pricing import METERS
from gateway.relay.budget_words import budget_message, credit_message, limit_message
from gateway.relay.engine_message import printable
from gateway.relay.refusal import Header
from gateway.relay.refusal import Refusal as Refusal  # what all of these make

_DO_NOT_RETRY: Header = (b"x-should-retry", b"false")


def _invalid(
    status: int,
    code: str,
    message: str,
    *headers: Header,
    param: str | None = None,
    type_: str = "invalid_request_error",
) -> Refusal:
    return Refusal(status, type_, code, param, message, headers)


def _retry_after(seconds: float) -> Header:
    return (b"retry-after", b"%d" % max(1, -int(-seconds // 1)))


# What is wrong with the request itself


def invalid_json(why: str) -> Refusal:
    """400: the body is not one JSON object in UTF-8."""
    return _invalid(400, "invalid_json", f"The body must be one JSON object in UTF-8: {why}.")


def invalid_field(param: str, why: str, code: str = "invalid_value") -> Refusal:
    """400: the member `param` (a path such as `messages[0].content`) cannot be accepted; `why` ends the sentence."""
    return _invalid(400, code, f"'{param}' {why}", param=param)


def context_length_exceeded(window: int, prompt_tokens: int, output_tokens: int, *, param: str = "messages") -> Refusal:
    """400: prompt and output limit together do not fit the model's context window (tokens)."""
    message = (
        f"This model's maximum context length is {window} tokens, but the prompt has {prompt_tokens} "
        f"and the output limit is {output_tokens}. Shorten the prompt or lower max_completion_tokens."
    )
    return _invalid(400, "context_length_exceeded", message, param=param)


def bad_request(why: str) -> Refusal:
    """400: the HTTP message itself is broken."""
    return _invalid(400, "bad_request", f"The HTTP request cannot be understood: {why}.")


def request_timeout(seconds: float) -> Refusal:
    """408: the head or the body did not arrive in time."""
    return _invalid(
        408, "request_timeout", f"The request did not arrive within {seconds:g} seconds.", (b"connection", b"close")
    )


def body_too_large(limit: int) -> Refusal:
    """413: the body has more than `limit` bytes."""
    return _invalid(
        413, "body_too_large", f"The body is larger than this gateway's limit of {limit} bytes. Send less at once."
    )


def uri_too_long(limit: int) -> Refusal:
    """414: the request target has more than `limit` bytes."""
    return _invalid(414, "uri_too_long", f"The URL is longer than this gateway's limit of {limit} bytes.")


def unsupported_media_type() -> Refusal:
    """415: the body is declared as something else than JSON."""
    return _invalid(415, "unsupported_media_type", "Send the body as JSON, with 'content-type: application/json'.")


def content_encoding_refused() -> Refusal:
    """415: the body is compressed."""
    message = "Compressed bodies are not accepted: send the JSON as it is, without 'content-encoding'."
    return _invalid(415, "content_encoding_refused", message, (b"accept-encoding", b"identity"))


def expectation_failed() -> Refusal:
    """417: an `expect` header other than 100-continue."""
    return _invalid(417, "expectation_failed", "Only 'expect: 100-continue' is understood.")


def headers_too_large(limit: int) -> Refusal:
    """431: the request's head has more than `limit` bytes (or fields)."""
    return _invalid(431, "headers_too_large", f"The request headers exceed this gateway's limit of {limit}.")


def not_found(path: str) -> Refusal:
    """404: there is no such route; `path` is shown cut and printable."""
    shown = printable(path, 100)
    return _invalid(404, "not_found", f"There is nothing at {shown}. The inference routes are described at /api/docs.")


def method_not_allowed(method: str, allowed: str) -> Refusal:
    """405: the route exists, for the methods in `allowed` (as the `allow` header has them)."""
    message = f"This route does not take {printable(method, 20)}, only {allowed}."
    return _invalid(405, "method_not_allowed", message, (b"allow", allowed.encode("ascii")))


def repeated_request(first_id: str) -> Refusal:
    """409: the Idempotency-Key was used before; answers are not kept, so the first request's id is all that can be
    told.
    """
    message = (
        f"A request with this Idempotency-Key was already admitted as {first_id}. Answers are not stored; "
        f"GET /api/usage/records?request_id={first_id} tells what became of it. Use a new key to ask again."
    )
    return _invalid(409, "repeated_request", message, _DO_NOT_RETRY)


# Who asks, and what they may


def key_missing() -> Refusal:
    """401: no key was sent."""
    message = "You sent no API key. Send it as 'Authorization: Bearer <key>'."
    return _invalid(401, "invalid_api_key", message, (b"www-authenticate", b"Bearer"))


def key_invalid() -> Refusal:
    """401: no such key; whether it is mistyped or unknown is not told."""
    message = "This API key is not valid. Check that it was copied whole; whoever manages keys can make a new one."
    return _invalid(401, "invalid_api_key", message, (b"www-authenticate", b'Bearer error="invalid_token"'))


def key_expired() -> Refusal:
    """401: the key's time is over."""
    return _invalid(
        401, "api_key_expired", "This API key has expired. Make a new one.", (b"www-authenticate", b"Bearer")
    )


def key_revoked() -> Refusal:
    """401: the key was revoked."""
    return _invalid(
        401, "api_key_revoked", "This API key was revoked. Make a new one.", (b"www-authenticate", b"Bearer")
    )


def key_rotated() -> Refusal:
    """401: the secret was replaced by a rotation, and its grace is over."""
    message = "This secret of the API key was replaced and has ended. Use the new one."
    return _invalid(401, "api_key_rotated", message, (b"www-authenticate", b"Bearer"))


def key_blocked() -> Refusal:
    """403: the operator stopped the key in an emergency."""
    return _forbidden(
        "api_key_blocked",
        "The operator of this platform blocked this API key in an emergency. Your organisation was told why.",
    )


def _forbidden(code: str, message: str, param: str | None = None) -> Refusal:
    return _invalid(403, code, message, _DO_NOT_RETRY, param=param, type_="permission_error")


def ip_not_allowed(address: str) -> Refusal:
    """403: the key may not be used from this address."""
    return _forbidden(
        "ip_not_allowed", f"This API key may not be used from {address}. Its IP ranges are part of its policy."
    )


def origin_not_allowed() -> Refusal:
    """403: a browser's origin that the key does not list."""
    return _forbidden(
        "origin_not_allowed", "This API key may not be used from this web origin. Its origins are part of its policy."
    )


def scope_missing(scope: str) -> Refusal:
    """403: the key lacks a scope."""
    return _forbidden("scope_missing", f"This API key lacks the scope '{scope}'. Make a key that has it.")


def model_not_allowed(name: str, *, whose: Literal["key", "project"] = "key") -> Refusal:
    """403: the key, or its project, lists the models that may be called, and this one is not among them."""
    shown = printable(name, 100)
    who = "This API key" if whose == "key" else "The project of this API key"
    return _forbidden(
        "model_not_allowed", f"{who} may not call '{shown}'. GET /v1/models lists what it may call.", "model"
    )


_ACCOUNT_REFUSALS = {
    "project_archived": "This key's project is archived. Use a key of an active project.",
    "tenant_suspended": "Your organisation is suspended. Ask the operator of this platform.",
    "no_contract": "Your organisation has no contract in force. Ask the operator of this platform.",
}


def account_refused(reason: str) -> Refusal:
    """403: the ledger's `project_archived`, `tenant_suspended` or `no_contract`."""
    return _forbidden(reason, _ACCOUNT_REFUSALS[reason])


def model_not_found(name: str) -> Refusal:
    """404: no such model, or none that this tenant may know of."""
    message = (
        f"The model '{printable(name, 100)}' does not exist or is not served. GET /v1/models lists those that are."
    )
    return _invalid(404, "model_not_found", message, param="model")


def model_retired(name: str, retired_on: str, successor: str = "") -> Refusal:
    """404: the model's life is over since `retired_on` (an ISO date)."""
    instead = f" Use '{successor}' instead." if successor else " GET /v1/models lists those that are served."
    message = f"The model '{printable(name, 100)}' was retired on {retired_on}.{instead}"
    return _invalid(404, "model_retired", message, param="model")


def wrong_kind_of_model(name: str, kind: str, path: str) -> Refusal:
    """400: the model exists, but not for this route."""
    message = f"is '{printable(name, 100)}', a model of the kind {kind}, which {path} does not take."
    return invalid_field("model", message, "model_not_supported")


# What the ledger says


def insufficient_quota(detail: Mapping[str, Any], *, comes_free: bool = False) -> Refusal:
    """429: a budget does not cover the most that the request can cost (`detail`: the ledger's `budget`), or not yet.

    Prepaid credit is a budget too, with a code of its own.
    """
    headers = (_retry_after(5) if comes_free else _DO_NOT_RETRY,)
    if detail.get("source") == "credit":
        refusal = Refusal(429, "insufficient_quota", "insufficient_credit", None, credit_message(detail), headers)
        refusal.limit_name = f"credit/{detail['scope']}"
        return refusal
    refusal = Refusal(429, "insufficient_quota", "insufficient_quota", None, budget_message(detail), headers)
    refusal.limit_name = f"budget/{detail['period']}/{detail['scope']}"
    return refusal


def rate_limit_exceeded(detail: Mapping[str, Any], seconds: float | None = None) -> Refusal:
    """429: a limit is used up; `detail` is that of the ledger's `limit`, whose `seconds` count unless others are given.

    A request that takes more than the limit allows at all is told not to come back.
    """
    wait = detail["seconds"] if seconds is None else seconds
    hopeless = detail["asked"] > detail["amount"]
    kind = "tokens" if "tokens" in detail["what"] else "requests"
    header = _DO_NOT_RETRY if hopeless else _retry_after(wait)
    refusal = Refusal(429, kind, "rate_limit_exceeded", None, limit_message(detail, wait), (header,))
    refusal.limit_name = f"{detail['what']}/{detail['window']}/{detail['scope']}"
    return refusal


def model_without_price(name: str, meter: str | None = None) -> Refusal:
    """503: nothing is free by accident; the operator has to set a price."""
    of = f" for {meter}" if meter in METERS else ""
    message = (
        f"The model '{printable(name, 100)}' has no price{of} in your price list. Ask the operator of this platform."
    )
    return Refusal(503, "server_error", "model_without_price", "model", message, (_DO_NOT_RETRY,))


# What is wrong with us


def _unavailable(code: str, message: str, seconds: float) -> Refusal:
    return Refusal(503, "server_error", code, None, message, (_retry_after(seconds),))


def overloaded(seconds: float = 1) -> Refusal:
    """503: this gateway holds as many request bytes as it may."""
    return _unavailable("overloaded", "The gateway is overloaded. Try again shortly.", seconds)


def engines_busy(name: str, seconds: float = 5) -> Refusal:
    """503: all places at the model's engines are taken, and the line before them is too long."""
    return _unavailable("overloaded", f"All engines of '{printable(name, 100)}' are busy. Try again shortly.", seconds)


def ledger_unavailable(seconds: float = 5) -> Refusal:
    """503: the request could not be admitted in time. An engine never saw it."""
    return _unavailable("ledger_unavailable", "Billing is unavailable for a moment. Nothing was charged.", seconds)


def starting(seconds: float = 1) -> Refusal:
    """503: this gateway has not read its keys and models yet."""
    return _unavailable("starting", "The gateway is starting. Try again shortly.", seconds)


def stopping(seconds: float = 1) -> Refusal:
    """503, or in-band: this gateway ends and could not wait for the end of the answer."""
    return _unavailable("stopping", "This gateway stops before the answer is whole. What left is charged.", seconds)


def no_replica(name: str, seconds: float = 5) -> Refusal:
    """503: every engine that serves the model is away or sick."""
    message = f"No engine can serve '{printable(name, 100)}' right now. Try again shortly. Nothing was charged."
    return _unavailable("no_replica", message, seconds)


def no_room(name: str, seconds: float = 60) -> Refusal:
    """503: the model has no engine, and none can be started now: GPUs are taken, or it failed too often."""
    shown = printable(name, 100)
    message = f"No engine of '{shown}' runs, and there is no room to start one now. Nothing was charged."
    return _unavailable("no_replica", message, seconds)


def still_starting(name: str, seconds: float = 30) -> Refusal:
    """503: the model had no engine, one was started for this request, and it was not ready in time."""
    message = f"An engine of '{printable(name, 100)}' is starting. Try again when it is ready. Nothing was charged."
    return _unavailable("model_starting", message, seconds)


def engine_failed() -> Refusal:
    """502: the engine broke off, was silent for too long, or answered what no engine may."""
    return Refusal(
        502, "server_error", "engine_failed", None, "The engine failed before it answered. Nothing was charged."
    )


def internal_error() -> Refusal:
    """500: a defect of the gateway."""
    return Refusal(
        500, "server_error", "internal_error", None, "The gateway failed. The operator can find it by the request id."
    )


def settlement_delayed(request_id: str, seconds: float = 5) -> Refusal:
    """In-band, or 503 for an answer in one piece, which is then kept back and free: a charge that became durable all
    the same, its word being late or lost, is given back.
    """
    message = "The charge of this answer was not confirmed in time; if it was not streamed, it is free."
    found = f"GET /api/usage/records?request_id={request_id} will show what was charged and given back."
    return _unavailable("settlement_delayed", f"{message} {found}", seconds)


def stream_broken() -> Refusal:
    """In-band: the engine broke off in the middle of a stream."""
    return Refusal(502, "server_error", "engine_failed", None, "The engine failed in the middle of its answer.")
