"""The addresses of sockets. Any other is refused as if nothing were there."""

from typing import Any

from channels.routing import URLRouter
from django.urls import path, re_path

from console.live.socket import LiveSocket


async def nowhere(_scope: Any, _receive: Any, send: Any) -> None:
    """There is no such socket: the handshake is answered 403."""
    await send({"type": "websocket.close", "code": 1000})


sockets = URLRouter(
    [
        path("live/t/<slug:slug>", LiveSocket.as_asgi()),
        path("operator/live/t/<slug:slug>", LiveSocket.as_asgi()),
        re_path("", nowhere),  # type: ignore[arg-type]
    ]
)
