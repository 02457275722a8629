"""An address that swallows packets, as a machine that is switched off does: nobody takes or refuses a connection."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def silent_machine() -> Iterator[int]:
    """The port of a listener whose queue is full: the kernel drops who knocks."""
    with ExitStack() as kept:
        listener = kept.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        for _ in range(4):
            waiting = kept.enter_context(socket.socket())
            waiting.settimeout(0.2)
            assert waiting.connect_ex(("127.0.0.1", port)) in (0, errno.EAGAIN, errno.EINPROGRESS)
        yield port
