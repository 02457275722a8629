"""`/api/nodes/join`: how the agent of a GPU machine joins. It shows a token and has no key of this API."""

import threading
import time
from dataclasses import asdict
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from gateway.api.queries import StrictSerializer, TextField
from gateway.api.view import ApiView
from gateway.pools.fleet.joining import join

TRIES_A_MINUTE = 60  # of everybody, in this process: a token cannot be guessed, and a fleet joins one by one
_MINUTE_S = 60

_lock = threading.Lock()
_counted = [0, 0]  # the minute, and how many in it


class JoinThrottle(BaseThrottle):
    """429 for the rest of the minute."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Whether one more may be tried."""
        minute = int(time.time()) // _MINUTE_S
        with _lock:
            _counted[:] = [minute, _counted[1] + 1 if _counted[0] == minute else 1]
            return _counted[1] <= TRIES_A_MINUTE

    def wait(self) -> float:
        """Seconds to the next minute."""
        return _MINUTE_S - time.time() % _MINUTE_S


class JoinSerializer(StrictSerializer):
    """What an agent sends."""

    token = TextField(max_length=100)
    public_key = TextField(max_length=100)
    version = TextField(max_length=40, allow_blank=True)  # of no release yet


class JoinView(ApiView):
    """`/api/nodes/join`. For agents alone, so the description of the API leaves it out (docs/nodes.md has it)."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = [JoinThrottle]
    schema = None

    def post(self, request: Request) -> Response:
        """Who the node is and where it hears from us; 404 for a token that is wrong, over or used."""
        asked = JoinSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(asdict(join(**asked.validated_data)), headers={"Cache-Control": "no-store"})
