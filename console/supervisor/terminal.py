"""What `make up` says to the person in front of it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str = "") -> None:
    """One line, at once: the terminal may be a pipe."""
    print(text, flush=True)


def complain(text: str) -> None:
    """One line about what went wrong."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Tell that something begins, and how long it took."""
    began = time.monotonic()
    print(f"  {what} ... ", end="", flush=True)
    try:
        yield
    except BaseException:
        say()
        raise
    say(f"done ({time.monotonic() - began:.1f} s)")
