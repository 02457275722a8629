"""Which replica takes a request: the one with the fewest under way; a sick one rests, and is tried again. Pure."""

from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from gateway.relay.limits import Limits


class Replica:
    """One engine endpoint as this process sees it. Times are monotonic seconds; `place` is host, port, whether TLS;
    `head` what every request to it says."""

    __slots__ = (
        "api_key",
        "failures",
        "head",
        "id",
        "is_ejected",
        "name",
        "node",
        "outstanding",
        "place",
        "pool",
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
        self.outstanding = self.turns = self.failures = self.unmetered = 0
        self.rests_until = self.shut_until = 0.0
        self.is_ejected = False

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
        self.rests_until = 0.0

    def failed(self, now: float, limits: Limits) -> None:
        """It did not answer as an engine should: it rests, twice as long each time."""
        self.failures += 1
        self.rests_until = now + min(limits.ejected_s * 2 ** min(self.failures - 1, 16), limits.ejected_most_s)

    def left_out_usage(self, now: float, limits: Limits) -> None:
        """It answered without usage; after three times it is shut for long, and again each further time (I2 e)."""
        self.unmetered += 1
        if self.unmetered >= UNMETERED_MOST:
            self.shut_until = now + limits.ejected_most_s

    def reported_usage(self) -> None:
        """It answered with usage: what was missing before was no habit."""
        self.unmetered = 0


UNMETERED_MOST = 3


def choose(replicas: Sequence[Replica], tried: Collection[Replica], now: float) -> Replica | None:
    """The replica with the fewest requests under way, then the fewest turns, among those not tried and not resting.

    Where all rest, the one that may come back first is tried: a request is worth a probe. Not so one that is shut,
    because what it answers cannot be billed. None when none is left.
    """
    left = [replica for replica in replicas if replica.shut_until <= now and replica not in tried]
    return min(
        left,
        key=lambda replica: (max(0.0, replica.rests_until - now), replica.outstanding, replica.turns),
        default=None,
    )
