"""From a request to its answer: keys, JSON, faults that come before any work, and the table of routes."""

import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec

from gateway.simulated_engine import faults as faults_module
from gateway.simulated_engine import others, requests, shapes
from gateway.simulated_engine.answers import StreamedAnswer, WholeAnswer
from gateway.simulated_engine.engine import Engine
from gateway.simulated_engine.faults import Faults
from gateway.simulated_engine.protocol import Connection, Request
from gateway.simulated_engine.work import Refusal, Work

GUARDED = (b"/v1/", b"/v2/")
"""What an API key protects: as in vLLM only these, so /tokenize, /rerank and /metrics stay open."""
KINDS = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError", 429: "RateLimitError"}
PHRASES = {int(status): status.phrase for status in HTTPStatus}

Reader = Callable[[dict[str, Any], str | None, Faults, Any], Work]

GENERATING: dict[bytes, Reader] = {
    b"/v1/chat/completions": requests.chat,
    b"/v1/completions": requests.completion,
    b"/v1/embeddings": others.embeddings,
    b"/rerank": others.rerank,
    b"/v1/rerank": others.rerank,
    b"/v2/rerank": others.rerank,
    b"/v1/audio/transcriptions": others.transcription,
}
TOKENS: dict[bytes, Callable[[dict[str, Any], Any], bytes]] = {
    b"/tokenize": others.tokenize,
    b"/detokenize": others.detokenize,
}
STATE: dict[bytes, tuple[bytes, Callable[[Engine], tuple[bytes, bytes]]]] = {
    b"/v1/models": (b"GET", others.models),
    b"/health": (b"GET", others.health),
    b"/version": (b"GET", others.version),
    b"/metrics": (b"GET", others.metrics),
    b"/sleep": (b"POST", others.sleep),
    b"/wake_up": (b"POST", others.wake_up),
    b"/is_sleeping": (b"GET", others.is_sleeping),
}


def handle(engine: Engine, connection: Connection, request: Request) -> None:
    """Answer one request: at once, or by an answer that the connection then holds."""
    try:
        _dispatch(engine, connection, request)
    except Refusal as refusal:
        if engine.journal and request.path in GENERATING:
            engine.journal.refused(request.headers.get(b"x-request-id"), request.path.decode("latin-1"), refusal.status)
        body = shapes.error(refusal.status, refusal.message, refusal.kind, refusal.param)
        reply(connection, refusal.status, body)


def reply(
    connection: Connection, status: int, body: bytes, kind: bytes = b"application/json", fields: bytes = b""
) -> None:
    """A complete response."""
    line = f"{status} {PHRASES.get(status, 'Unknown')}".encode()
    fields += b"content-type: %b\r\ncontent-length: %d\r\n%b" % (kind, len(body), connection.closing_field)
    connection.send(connection.engine.head(line, fields) + body)
    connection.finish()


def _dispatch(engine: Engine, connection: Connection, request: Request) -> None:
    path = request.path
    if path.startswith(GUARDED) and not _authorized(engine, request):
        reply(connection, 401, b'{"error":"Unauthorized"}')
    elif request.too_large:
        raise Refusal(413, "The request is too large.", "RequestEntityTooLarge")
    elif path in STATE:
        method, state = STATE[path]
        if request.method != method:
            reply(connection, 405, b'{"detail":"Method Not Allowed"}')
        else:
            body, kind = state(engine)
            reply(connection, 200, body, kind)
    elif path not in GENERATING and path not in TOKENS:
        reply(connection, 404, b'{"detail":"Not Found"}')
    elif request.method != b"POST":
        reply(connection, 405, b'{"detail":"Method Not Allowed"}')
    else:
        _work(engine, connection, request)


def _work(engine: Engine, connection: Connection, request: Request) -> None:
    """A request that a model would have to think about."""
    body = _body(request)
    faults = _faults(engine, request, body)
    if faults.split or faults.slow_headers:
        connection.dribble(faults.split, (faults.slow_headers or 0) / 1000)
    if _fails_early(engine, connection, request, faults):
        return
    if request.path in TOKENS:
        reply(connection, 200, TOKENS[request.path](body, engine.config))
        return
    if engine.sleeping:
        raise Refusal(503, "The engine is sleeping; POST /wake_up first.", "ServiceUnavailableError")
    work = GENERATING[request.path](body, request.headers.get(b"x-request-id"), faults, engine.config)
    work.endpoint = request.path.decode("latin-1")
    answer = (StreamedAnswer if work.stream else WholeAnswer)(work, connection, engine)
    connection.answer = answer
    answer.start()


def _authorized(engine: Engine, request: Request) -> bool:
    key = engine.config.api_key
    given = request.headers.get(b"authorization", "")
    return key is None or hmac.compare_digest(given.encode("latin-1"), f"Bearer {key}".encode())


def _body(request: Request) -> dict[str, Any]:
    """The body as a JSON object (or the fields of a form).  Raises Refusal."""
    if request.path == b"/v1/audio/transcriptions":
        return others.form(request.body, request.headers.get(b"content-type", ""))
    kind = request.headers.get(b"content-type", "")
    if kind != "application/json" and kind.partition(";")[0].strip().lower() != "application/json":
        raise Refusal(400, "Unsupported Media Type: Only 'application/json' is allowed")
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal(400, f"JSON decode error: {error}") from error
    if not isinstance(body, dict):
        raise Refusal(400, "body: Input should be a valid dictionary")
    return body


def _faults(engine: Engine, request: Request, body: dict[str, Any]) -> Faults:
    header = request.headers.get(b"x-simulate")
    member = body.get("simulate")
    if header is None and member is None and not engine.config.faults:
        return faults_module.NO_FAULTS
    if isinstance(member, str):
        member = faults_module.parse_pairs(member.split(","))
    if member is not None and not isinstance(member, dict):
        raise Refusal(400, "simulate: Input should be an object", param="simulate")
    steered = faults_module.parse_pairs(header.split(",")) if header else {}
    try:
        return faults_module.make(engine.config.faults_of_next_request(), steered, member or {})
    except faults_module.UnusableFault as error:
        raise Refusal(400, str(error), param="simulate") from error


def _fails_early(engine: Engine, connection: Connection, request: Request, faults: Faults) -> bool:
    """Do the faults that come instead of any work; says whether one did."""
    name = next((name for name in ("status", "close_before", "hang_before") if getattr(faults, name)), None)
    if name is None and faults.garbage not in ("http", "empty"):
        return False
    if engine.journal:
        identity = request.headers.get(b"x-request-id")
        engine.journal.refused(identity, request.path.decode("latin-1"), faults.status or 0)
    if faults.status:
        fields = b"" if faults.retry_after is None else b"retry-after: %d\r\n" % faults.retry_after
        message = "The simulated engine was asked to answer with an error."
        body = shapes.error(faults.status, message, KINDS.get(faults.status, "InternalServerError"), None)
        reply(connection, faults.status, body, fields=fields)
    elif faults.close_before:
        connection.hang_up(reset=faults.reset)
    elif faults.garbage == "http":
        connection.send(b"\x00\x01\x02 this is no HTTP \xff\xfe\r\n\r\n")
        connection.hang_up(reset=faults.reset)
    elif faults.garbage == "empty":
        reply(connection, 200, b"")
    return True
