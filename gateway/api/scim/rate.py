"""How often a directory may ask: enough to bring ten thousand people within the hour, and no more.

Counted in this process's memory, where a token's count is one number; two processes at once, as while one replaces the
other, let twice as many by.
"""

import threading
import time
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from identity.models import ScimToken

REQUESTS_A_MINUTE = 1_200  # of a token; Microsoft Entra ID sends some 25 a second at most, in bursts
_MINUTE_S = 60

_lock = threading.Lock()
_counted: dict[int, tuple[int, int]] = {}  # token -> the minute, and how many in it; a row a token at most


class TokenThrottle(BaseThrottle):
    """429 for the rest of the minute."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Whether the token may ask once more."""
        if not isinstance(request.auth, ScimToken):
            return True
        minute = int(time.time()) // _MINUTE_S
        with _lock:
            counted_in, count = _counted.get(request.auth.pk, (minute, 0))
            count = count + 1 if counted_in == minute else 1
            _counted[request.auth.pk] = (minute, count)
        return count <= REQUESTS_A_MINUTE

    def wait(self) -> float:
        """Seconds to the next minute."""
        return _MINUTE_S - time.time() % _MINUTE_S
