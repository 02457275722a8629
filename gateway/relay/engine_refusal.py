"""What an engine's answer that is not 200 becomes for the client."""

from gateway.relay.engine_message import cleaned, engine_message, is_about_length
from gateway.relay.errors import Refusal, engine_failed


def from_engine(status: int, body: bytes) -> Refusal:
    """What an engine's answer that is not 200 becomes.

    Only a complaint about the request itself is the client's business, in the engine's words as far as they are
    harmless. A 401, 403 or 404 means that we called the engine wrongly, and is never told.
    """
    if status in (400, 413, 422):
        return _engine_objection(body)
    if status == 429:
        return _unavailable("overloaded", "The engine is overloaded. Try again shortly.", 1)
    if status in (401, 403, 404, 405):
        return _unavailable("engine_misconfigured", "The engine is not set up correctly. The operator can see why.", 30)
    if status == 503:
        return _unavailable("engine_unavailable", "The engine is not ready. Try again shortly.", 5)
    return engine_failed()


def _engine_objection(body: bytes) -> Refusal:
    message, param = engine_message(body)
    shown = cleaned(message)
    if is_about_length(message):
        return _invalid("context_length_exceeded", shown or "The prompt is longer than this model's window.", param)
    return _invalid("rejected_by_engine", shown or "The engine rejected the request without saying why.", param)


def _invalid(code: str, message: str, param: str | None) -> Refusal:
    return Refusal(400, "invalid_request_error", code, param, message)


def _unavailable(code: str, message: str, seconds: int) -> Refusal:
    return Refusal(503, "server_error", code, None, message, ((b"retry-after", b"%d" % seconds),))
