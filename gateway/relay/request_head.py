"""What a request's head has to be before anybody looks at it: RFC 9110 and 9112, the strict reading. No I/O.

llhttp has already refused what two readers of a message could split differently (folded lines, bare CR or LF, two
lengths). This refuses what it lets pass.
"""

from urllib.parse import unquote

from gateway.relay.errors import bad_request, expectation_failed, method_not_allowed
from gateway.relay.http_message import HttpRequest
from gateway.relay.routes import METHODS, is_inference

# Of an offer to go on in another protocol, which whoever does not speak it ignores (RFC 9110, 7.8).
_UPGRADE_HEADERS = (b"connection", b"upgrade", b"http2-settings")


def check_head(request: HttpRequest, version: str) -> None:
    """Complete the request from its head. Raises Refusal; then nothing more can be read from the connection."""
    if version not in ("1.0", "1.1"):
        raise bad_request("its version is neither HTTP/1.1 nor HTTP/1.0")
    if request.method == "CONNECT":
        raise method_not_allowed("CONNECT", ", ".join(METHODS))
    fields = request.fields
    host = fields.get(b"host")
    if not (host is None and request.is_http_10) and request.count(b"host") != 1:
        raise bad_request("it needs exactly one 'host' header")
    if b"content-length" in fields:
        request.announced_size = int(fields[b"content-length"])  # llhttp let pass one, of digits
    if b"transfer-encoding" in fields:
        _check_coding(request)
    if b"expect" in fields and not request.is_http_10:
        _expect(request, fields[b"expect"])
    request.has_body = bool(request.announced_size) or b"transfer-encoding" in fields
    target = request.target
    if target[:1] != b"/" or b"#" in target:
        request.target = target = _origin_form(target, host)
    path = target.split(b"?", 1)[0].decode("latin-1")
    request.path = unquote(path) if "%" in path else path


def _check_coding(request: HttpRequest) -> None:
    coding = request.fields[b"transfer-encoding"]
    if request.is_http_10 or request.count(b"transfer-encoding") != 1 or coding.lower() != b"chunked":
        raise bad_request("'chunked' is the only transfer-encoding that is understood, and only in HTTP/1.1")


def _expect(request: HttpRequest, expected: bytes) -> None:
    if expected.strip().lower() != b"100-continue":
        raise expectation_failed()
    request.expects_continue = True


def is_websocket(request: HttpRequest) -> bool:
    """Whether an offer to change the protocol is passed on to Django. Any other is ignored, its request answered."""
    protocol = request.header(b"upgrade") or b""
    return (
        protocol.lower() == b"websocket"
        and request.method == "GET"
        and not request.has_body
        and not request.is_http_10
        and not is_inference(request.path)
    )


def without_upgrade(request: HttpRequest) -> bytes:
    """The head once more, as if its sender had not offered to change the protocol."""
    lines = [
        request.method.encode(),
        b" ",
        request.target,
        b" HTTP/1.0\r\n" if request.is_http_10 else b" HTTP/1.1\r\n",
    ]
    for name, value in request.headers:
        if name not in _UPGRADE_HEADERS:
            lines += (name, b": ", value, b"\r\n")
    if not request.keeps_alive:
        lines.append(b"connection: close\r\n")
    return b"".join(lines) + b"\r\n"


def _origin_form(target: bytes, host: bytes | None) -> bytes:
    """The target as a path and query; an absolute one (RFC 9112, 3.2.2) has to name the host that the head names."""
    if not target.startswith(b"/"):
        scheme, _, rest = target.partition(b"://")
        authority, slash, path = rest.partition(b"/")
        if scheme.lower() not in (b"http", b"https") or host != authority:
            raise bad_request("its target is neither a path nor an address of the host that it names")
        target = slash + path or b"/"
    if b"#" in target:
        raise bad_request("its target has a fragment")
    return target
