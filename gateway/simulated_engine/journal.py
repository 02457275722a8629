"""The journal: what this engine really did, for tests that kill things and then compare bills.

An append-only file of JSON lines.  Each line is one unbuffered write to a file opened with O_APPEND, so what was
written survives `kill -9` of this process and of any other (not of the machine: nothing is fsynced).  Prompts and
answers never appear in it.

`e` says what a line is, `s` which request of this journal it belongs to (unique over restarts of the engine), `t` is
the Unix time in seconds.

boot     A process began.  pid, models; `s` is the part that its requests' `s` begin with.
refused  A request for tokens was answered with an error, or by a fault, before anything ran.  id, endpoint, status
         (0: a fault that sends no status).
start    The engine begins to work.  id (the X-Request-Id header or null), endpoint, model, stream, n (choices a
         prompt), prompts, prompt_tokens, cached_tokens, reasoning_tokens (planned, a choice), max_tokens and
         max_completion_tokens (as received; a word where that is no number), members (the names at the top level of
         the body).
k        Tokens of a choice go on the wire.  c (index of the choice), k (tokens of that choice on the wire, those of
         this event included).  Reasoning that the client does not want to see has no line of its own: it is on the wire
         with the first event that counts it.
usage    The final usage goes on the wire.  prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens: the
         true ones, even where a fault makes the answer report others; told: false where it is not reported.
end      The engine is done with the request.  reason (stop, length, tool_calls, abort, fault), fault (its name),
         wire (tokens on the wire, a choice each), generated (tokens made, all choices together).

Order.  `k` and `usage` are written just before their bytes are handed to the kernel, by the same thread and with
nothing in between.  So nobody can have received a token that is not in the journal; and when this process is killed, at
most the very last line of the journal stands for bytes that were not sent.  Exceptions: with the faults `split` and
`slow_headers` bytes leave later than their lines; where a client does not read, its last event may wait in memory; and
where a client has just left, the kernel may refuse the last event of its stream.
A whole (not streamed) answer has no `k` lines: its `usage` line is followed by the one write of the response, and
`wire` is 0 for each choice where the client left before, or where a fault cut the answer.
"""

import os
import secrets
import time
from typing import Any

import msgspec

NAME_LENGTH = 64
NAMES = 64
"""Member names are journalled, at most so many and so long: a name is the client's text."""


class Journal:
    """The open journal file."""

    def __init__(self, path: str, models: list[str]) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._boot = secrets.token_hex(4)
        self._serial = 0
        self.write({"e": "boot", "t": time.time(), "s": self._boot, "pid": os.getpid(), "models": models})

    def next_serial(self) -> str:
        """A name for the next request, unique in this file."""
        self._serial += 1
        return f"{self._boot}-{self._serial}"

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        os.write(self._file, msgspec.json.encode(line) + b"\n")

    def tokens(self, serial: str, choice: int, so_far: int) -> None:
        """A `k` line; the hot one."""
        os.write(self._file, b'{"e":"k","s":"%b","c":%d,"k":%d}\n' % (serial.encode(), choice, so_far))

    def refused(self, request_id: str | None, endpoint: str, status: int) -> None:
        """A `refused` line."""
        self.write({"e": "refused", "t": time.time(), "id": request_id, "endpoint": endpoint, "status": status})


def as_received(value: object) -> object:
    """A limit as the journal shows it: numbers, booleans and null as they are, of anything else only its type."""
    if isinstance(value, int) and abs(value) >= 2**63:
        return "huge"
    return value if value is None or isinstance(value, bool | int | float) else type(value).__name__


def member_names(body: dict[str, Any]) -> list[str]:
    """The names at the top level of a body, bounded."""
    return [name[:NAME_LENGTH] for name in list(body)[:NAMES]]
