"""The replicas of a model: who may take a request, who has least to do; a sick one rests, and is tried again. Pure."""

import math
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from gateway.relay.limits import Limits

NO_BOUND = 2**31


class Replica:
    """One engine endpoint as this process sees it. Times are monotonic seconds; `place` is host, port, whether TLS;
    `head` what every request to it says; `most` how many requests this process may have under way there;
    `queued` this process's part of those that waited in the engine when the worker last looked; `away_since` when it
    stopped to answer at all, None where it does; `looked_at` when it was last asked (both: `looks.py`).
    """

    __slots__ = (
        "api_key",
        "away_since",
        "failures",
        "head",
        "id",
        "is_ejected",
        "looked_at",
        "most",
        "name",
        "node",
        "outstanding",
        "place",
        "pool",
        "queued",
        "rests_until",
        "served_name",
        "shut_until",
        "site",
        "turns",
        "unmetered",
        "url",
    )

    def __init__(
        self, *, replica_id: int, name: str, url: str, api_key: str, served_name: str, pool: str, node: str, site: str
    ) -> None:
        self.id, self.name, self.url, self.api_key = replica_id, name, url, api_key
        self.served_name, self.pool, self.node, self.site = served_name, pool, node, site
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        self.place = (parts.hostname or "", parts.port or (443 if is_tls else 80), is_tls)
        credential = f"authorization: Bearer {api_key}\r\n" if api_key else ""
        self.head = f"host: {parts.netloc}\r\ncontent-type: application/json\r\n{credential}".encode()
        self.outstanding = self.queued = self.turns = self.failures = self.unmetered = 0
        self.rests_until = self.shut_until = self.looked_at = 0.0
        self.away_since: float | None = None
        self.is_ejected = False
        self.most = NO_BOUND

    def patience(self, limits: Limits, *, is_relayed: bool) -> float:
        """Seconds that it may be silent, once bytes of it were relayed or before; none for one that was ejected."""
        if self.is_ejected:
            return -1.0
        return limits.silence_s if is_relayed else limits.first_byte_s

    def began(self) -> None:
        """A request was sent to it."""
        self.outstanding += 1
        self.turns += 1

    def ended(self) -> None:
        """A request that was sent to it is over."""
        self.outstanding -= 1

    def succeeded(self) -> None:
        """It answered: whatever was wrong is over."""
        self.failures = 0
        self.came_back()

    def failed(self, now: float, limits: Limits) -> None:
        """It did not answer as an engine should: it rests, twice as long each time.

        What fails while it rests was under way before, or had nobody else to go to: that says nothing new.
        """
        if now < self.rests_until:
            return
        self.failures += 1
        self.rests_until = now + min(limits.ejected_s * 2 ** min(self.failures - 1, 16), limits.ejected_most_s)

    def went_away(self, since: float) -> None:
        """It does not answer at all: it rests until it does."""
        self.away_since, self.rests_until = since, math.inf

    def came_back(self) -> None:
        """It answers again."""
        self.away_since, self.rests_until = None, 0.0

    def left_out_usage(self, now: float, limits: Limits) -> None:
        """It answered without usage; after three times it is shut for long, and again each further time (I2 e)."""
        self.unmetered += 1
        if self.unmetered >= UNMETERED_MOST:
            self.shut_until = now + limits.ejected_most_s

    def reported_usage(self) -> None:
        """It answered with usage: what was missing before was no habit."""
        self.unmetered = 0


UNMETERED_MOST = 3


def places_of(at_once: int | None, gateways: int) -> int:
    """One gateway's share of the requests that an engine gets at once, None for any number: together they never send
    more, unless there are more gateways than places, as each has one.
    """
    return NO_BOUND if at_once is None else max(1, at_once // max(1, gateways))


def usable(replicas: Sequence[Replica], tried: Collection[Replica], now: float) -> list[Replica]:
    """Those that may be sent a request: neither tried nor shut, because what those answer cannot be billed. One that
    rests is among them only where all do: a request is worth a probe.
    """
    left = [replica for replica in replicas if replica.shut_until <= now and replica not in tried]
    return [replica for replica in left if replica.rests_until <= now] or left


def with_room(replicas: Sequence[Replica]) -> list[Replica]:
    """Those that may take one more."""
    return [replica for replica in replicas if replica.outstanding < replica.most]


def least_busy(replicas: Sequence[Replica], now: float) -> Replica | None:
    """The one that may come back first, then the one with the least to do, then the fewest turns."""
    return min(
        replicas,
        key=lambda replica: (max(0.0, replica.rests_until - now), replica.outstanding + replica.queued, replica.turns),
        default=None,
    )


def choose(replicas: Sequence[Replica], tried: Collection[Replica], now: float) -> Replica | None:
    """The replica that has the least to do, for a question that nobody waits in line for. None when none is left."""
    return least_busy(usable(replicas, tried, now), now)
