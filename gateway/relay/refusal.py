"""What a request gets instead of an answer: OpenAI's error object, and the headers that go with it."""

import msgspec

Header = tuple[bytes, bytes]


class Refusal(Exception):  # a refusal is an answer, not a fault
    """A request that gets no answer of a model. `headers` go out beside those that every response has."""

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002  # OpenAI's name
        code: str | None,
        param: str | None,
        message: str,
        headers: tuple[Header, ...] = (),
    ) -> None:
        super().__init__(status, code, param)
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.message = message
        self.headers = headers
        self.limit_name = ""  # of a budget or a limit: what/window/scope

    def body(self) -> bytes:
        """The JSON of OpenAI's error object; all four members are always there."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return msgspec.json.encode({"error": error})

    def event(self) -> bytes:
        """The same as a server-sent event, for a stream whose status is already out."""
        return b"data: " + self.body() + b"\n\n"
