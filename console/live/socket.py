"""`/live/t/<slug>`: says `new` when something is new, at most every two seconds, while session and membership last."""

import asyncio

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error

from console.live.access_news import AccessNews
from console.live.audience import (
    SIGNED_OUT,
    TOO_MANY,
    Audience,
    Refused,
    audience,
    is_own_origin,
    is_served_here,
    session_key_of,
)
from console.live.watch import Watcher
from console.operator_site import PREFIX

# Windows of one person in this process; the next one is refused and asks every 15 s instead.
SOCKETS_A_PERSON_MAX = 8
# So long may a socket outlive its session or membership where the news of their end is missed.
CHECK_EVERY_S = 15.0
COME_BACK = 1012  # "service restart" (IANA): the page opens another socket

watcher = Watcher()
access_news = AccessNews()
_open: dict[int, int] = {}


class LiveSocket(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One window. Whatever it sends is ignored."""

    _audience: Audience | None = None
    _checks: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept, so that the browser learns the code of a refusal; then watch or close."""
        if not is_own_origin(self.scope["headers"]) or not is_served_here(self.scope["headers"], self.scope["path"]):
            await self.close()  # 403: it is no page of ours, and is told nothing
            return
        found = await self._ask()
        await self.accept()
        if isinstance(found, Audience) and _open.get(found.person_id, 0) >= SOCKETS_A_PERSON_MAX:
            found = TOO_MANY
        if isinstance(found, Refused):
            await self.close(code=found.code)
            return
        self._audience = found
        _open[found.person_id] = _open.get(found.person_id, 0) + 1
        watcher.add(found.reader, self._tell)
        self._checks = asyncio.create_task(self._check_often())
        access_news.add(found.person_id, self._check)

    async def disconnect(self, code: int) -> None:
        """The window was closed, or we closed it."""
        self._leave()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """There is nothing to say to us."""

    async def _tell(self) -> None:
        await self.send(text_data="new")

    async def _ask(self) -> Audience | Refused:
        of_operators = self.scope["path"].startswith(PREFIX)
        key = session_key_of(self.scope["headers"], of_operators=of_operators)
        slug: str = self.scope["url_route"]["kwargs"]["slug"]
        return await database_sync_to_async(audience)(key, slug, of_operators=of_operators) if key else SIGNED_OUT

    async def _check_often(self) -> None:
        while self._audience is not None:
            await asyncio.sleep(CHECK_EVERY_S)
            await self._check()

    async def _check(self) -> None:
        """A session that ends elsewhere, a member who is removed or moved: the socket must not outlive them."""
        found: Audience | Refused | None
        try:
            found = await self._ask()
        except Error:  # who cannot be asked for is not trusted: the page comes back
            found = None
        if self._audience is not None and found != self._audience:
            self._leave()
            await self.close(code=found.code if isinstance(found, Refused) else COME_BACK)

    def _leave(self) -> None:
        gone, self._audience = self._audience, None
        if gone is None:
            return
        watcher.remove(gone.reader, self._tell)
        access_news.remove(gone.person_id, self._check)
        _open[gone.person_id] -= 1
        if not _open[gone.person_id]:
            del _open[gone.person_id]
        if self._checks is not None and self._checks is not asyncio.current_task():
            self._checks.cancel()


def sockets_of(person_id: int) -> int:
    """How many windows of a person listen in this process."""
    return _open.get(person_id, 0)
