"""An engine's words about a request, as far as its client may read them."""

import re

import msgspec

MAX_SHOWN = 300
"""Characters of an engine's message that a client is shown."""

_MAX_READ = 65536  # bytes of a body
_MAX_CLEANED = 2000  # characters of a message: it may repeat whatever the client sent

_ABOUT_LENGTH = re.compile(
    r"maximum (?:context|model|input) length|context length|max_model_len|longer than the maximum", re.IGNORECASE
)
_UNFIT = re.compile(
    r"""
    [a-z][a-z0-9+.-]{0,20}://\S*                # URLs
    | (?<![\w.])(?:/[\w.+@-]+){2,}              # paths
    | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b      # addresses
    | <[^<>]{0,200}\bat\ 0x[0-9a-f]+>           # Python objects
    | \b(?:hf|sk|bfr)[_-]\w{8,}                 # credentials
    """,
    re.IGNORECASE | re.VERBOSE,
)
# What validators append: the request itself, and where in the engine they stood.
_ECHO = re.compile(r"[\s,\[({]*['\"]?(?:input_value|input_type|input|ctx|Traceback)['\"]?\s*[=:(].*", re.DOTALL)
_PARAM = re.compile(r"[A-Za-z_][\w.\[\]]{0,99}")


def engine_message(body: bytes) -> tuple[str, str | None]:
    """The message and the param in an engine's error body, whatever its shape; ("", None) when there is none."""
    try:
        answer = msgspec.json.decode(body[:_MAX_READ])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", None
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    if isinstance(error, str):
        return error, None
    if not isinstance(error, dict):
        return "", None
    message, param = error.get("message"), error.get("param")
    is_name = isinstance(param, str) and _PARAM.fullmatch(param) is not None
    return (message if isinstance(message, str) else ""), (param if is_name else None)


def is_about_length(message: str) -> bool:
    """Whether an engine says that a request does not fit its context window."""
    return _ABOUT_LENGTH.search(message) is not None


def cleaned(message: str) -> str:
    """The message without what it repeats of the request, without the engine's insides, on one line and short."""
    message = _ECHO.sub("", " ".join(message[:_MAX_CLEANED].split()))
    return printable(_UNFIT.sub("[...]", message).strip(), MAX_SHOWN)


def printable(text: str, most: int) -> str:
    """At most that many characters of the text, every control character replaced."""
    shown = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[: most + 1]
    )
    return shown if len(shown) <= most else shown[: most - 3] + "..."
