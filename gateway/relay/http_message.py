"""Requests as read and heads as written: HTTP/1.1 (RFC 9112). No I/O."""

from dataclasses import dataclass, field
from http import HTTPStatus
from uuid import UUID

from gateway.relay.errors import Refusal
from gateway.relay.memory import Memory
from gateway.relay.snapshot import Caller

Header = tuple[bytes, bytes]

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
END_OF_CHUNKS = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# RFC 9110, 7.6.1: they belong to one connection and are never passed on.
HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip


@dataclass(slots=True)
class HttpRequest:
    """One request. Header names are in lower case; `fields` has the first of each name; `target` is in origin form,
    `path` is it without the query, decoded. Whoever asks and why it may not be answered are known once its head is
    complete (`Gateway.examine`). `began_at` in monotonic seconds; `held` bytes of it are counted against `memory`."""

    began_at: float = 0
    method: str = ""
    target: bytes = b""
    path: str = ""
    headers: list[Header] = field(default_factory=list)
    fields: dict[bytes, bytes] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    has_body: bool = False
    announced_size: int = 0  # what its content-length says; 0 without one
    expects_continue: bool = False
    body_limit: int = 0
    body_size: int = 0
    held: int = 0
    memory: Memory | None = None
    keeps_alive: bool = True
    is_http_10: bool = False
    is_upgrade: bool = False
    caller: Caller | None = None
    refusal: Refusal | None = None
    request_id: UUID | None = (
        None  # of a request that was refused: the client and the list of refusals are told the same
    )

    @property
    def body(self) -> bytes:
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header of that name (lower case)."""
        return self.fields.get(name)

    def count(self, name: bytes) -> int:
        """How many headers have that name (lower case)."""
        return [key for key, _ in self.headers].count(name)

    def all_of(self, name: bytes) -> list[str]:
        """The values of every header of that name, in order."""
        return [value.decode("latin-1") for key, value in self.headers if key == name]


def head(status: int, headers: "list[Header] | tuple[Header, ...]") -> bytes:
    """A response head."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return b"%b%b\r\n" % (line, b"".join([b"%b: %b\r\n" % header for header in headers]))


def chunk(data: bytes) -> bytes:
    """Data framed as one chunk (RFC 9112, 7.1); nothing for no data, as an empty chunk is the end."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
