"""What of Apache Thrift's compact protocol the headers and the footer of a Parquet file are written in."""

from collections.abc import Sequence

_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Struct:
    """A struct: its fields, in the order of their numbers."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._last = 0

    def i32(self, number: int, value: int) -> "Struct":
        """A 32-bit field."""
        return self._field(number, _I32, _zigzag(value))

    def i64(self, number: int, value: int) -> "Struct":
        """A 64-bit field."""
        return self._field(number, _I64, _zigzag(value))

    def text(self, number: int, value: str) -> "Struct":
        """A text field."""
        return self._field(number, _BINARY, _binary(value))

    def struct(self, number: int, value: "Struct") -> "Struct":
        """A struct in a field."""
        return self._field(number, _STRUCT, value.encoded())

    def i32s(self, number: int, values: Sequence[int]) -> "Struct":
        """A list of 32-bit numbers."""
        return self._list(number, _I32, [_zigzag(value) for value in values])

    def texts(self, number: int, values: Sequence[str]) -> "Struct":
        """A list of texts."""
        return self._list(number, _BINARY, [_binary(value) for value in values])

    def structs(self, number: int, values: Sequence["Struct"]) -> "Struct":
        """A list of structs."""
        return self._list(number, _STRUCT, [value.encoded() for value in values])

    def encoded(self) -> bytes:
        """The struct with its end."""
        return bytes(self._out) + b"\0"

    def _list(self, number: int, kind: int, values: Sequence[bytes]) -> "Struct":
        size = len(values)
        head = bytes([size << 4 | kind]) if size < 15 else bytes([0xF0 | kind]) + varint(size)
        return self._field(number, _LIST, head + b"".join(values))

    def _field(self, number: int, kind: int, value: bytes) -> "Struct":
        assert 0 < number - self._last <= 15, "fields come in order"
        self._out += bytes([(number - self._last) << 4 | kind]) + value
        self._last = number
        return self


def _zigzag(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _binary(value: str) -> bytes:
    data = value.encode()
    return varint(len(data)) + data
