"""What `make up` says to the person in front of it."""

import os
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


class Terminal:
    """The terminal that we were started in, if any."""

    def __init__(self) -> None:
        self._descriptors = [number for number in (0, 1, 2) if os.isatty(number)]

    def was_closed(self) -> bool:
        """Whether there was one and it is gone; what is said from then on is said to nobody."""
        if not self._descriptors or any(os.isatty(number) for number in self._descriptors):
            return False
        nobody = os.open(os.devnull, os.O_RDWR)
        for number in self._descriptors:
            os.dup2(nobody, number)
        os.close(nobody)
        return True
