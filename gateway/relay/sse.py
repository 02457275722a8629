"""Server-sent events, cut out of a byte stream however the network has split it (HTML Living Standard, 9.2.6).

Pure and bounded. Engines nearly always send one or several whole `data: {...}` events in a read: that way is short.
"""

from collections.abc import Iterator

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""The largest event that is held in memory: a first chunk with a long prompt's log-probabilities has some megabytes."""

_BOM = b"\xef\xbb\xbf"
_LF, _CR = 10, 13  # as integers: `13 in data` takes a tenth of the time of `b"\r" in data`


class EventTooLarge(ValueError):
    """An event larger than MAX_EVENT_BYTES; `events` are those that were whole before it in the same read."""

    def __init__(self, events: list[bytes]) -> None:
        super().__init__(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        self.events = events


class EventSplitter:
    """Turns the reads of one stream into the data of its events: any split of the stream gives the same events.

    Takes \\n, \\r\\n and \\r as line ends, drops a byte order mark, comments and the fields event, id and retry. An
    event that its blank line has not ended yet is kept for the next read; what the stream's end leaves there is none.
    """

    __slots__ = ("_after_cr", "_at_start", "_between_events", "_parts", "_size")

    def __init__(self) -> None:
        self._between_events = False
        self._at_start = True
        self._after_cr = False
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that `data` completes: its data lines without `data: `, joined by \\n.

        Raises EventTooLarge.
        """
        if self._between_events and data[:6] == b"data: " and data[-2:] == b"\n\n" and len(data) <= MAX_EVENT_BYTES:
            payload = data[6:-2]
            if _CR not in payload:
                if _LF not in payload:
                    return [payload]
                lines = data[:-2].split(b"\n")  # a line end is found far faster than two in a row
                if not any(lines[1::2]) and all(line[:6] == b"data: " for line in lines[::2]):
                    return [line[6:] for line in lines[::2]]
        return self._feed_any(data)

    def _feed_any(self, data: bytes) -> list[bytes]:
        text = self._normal(data)
        events: list[bytes] = []
        for block in self._blocks(text):
            if len(block) > MAX_EVENT_BYTES:
                raise EventTooLarge(events)
            found = _data_of(block)
            if found is not None:
                events.append(found)
        if self._size > MAX_EVENT_BYTES + 1:  # the one more is the \n of a line that may be its last
            raise EventTooLarge(events)
        self._between_events = not self._parts
        return events

    def _normal(self, data: bytes) -> bytes:
        """The read without the byte order mark and with \\n as its only line end."""
        if self._at_start:
            data = b"".join(self._parts) + data
            self._parts = []
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._parts = [data]
                return b""
            self._at_start = False
            data = data.removeprefix(_BOM)
        if not data:
            return data
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r") if data else False
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if _CR in data else data

    def _blocks(self, text: bytes) -> Iterator[bytes]:
        """The blocks of lines that a blank line has ended; what follows the last one is kept."""
        if not text or self._at_start:
            return
        if self._parts and not (self._parts[-1].endswith(b"\n") and text.startswith(b"\n")) and b"\n\n" not in text:
            self._keep(text)
            return
        *blocks, rest = (b"".join(self._parts) + text).split(b"\n\n")
        self._parts = []
        self._size = 0
        for block in blocks:
            yield block.lstrip(b"\n")
        self._keep(rest.lstrip(b"\n"))

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._parts.append(rest)
            self._size += len(rest)


def _data_of(block: bytes) -> bytes | None:
    """The data of one block of lines, None where it has no data line (a comment, a lone id)."""
    if _LF not in block and block.startswith(b"data: "):
        return block[6:]
    lines = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines) if lines else None
