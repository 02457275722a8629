"""The database's clock seen from here: what it shows, and by how much ours is off for sure."""

import time


class DatabaseClock:
    """`ahead_s`: the database's clock less ours in seconds, at most half a round trip wrong."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._doubt_s = float("inf")

    def compare(self, database_now: float, round_trip_s: float) -> None:
        """Learn from an answer that has just come. `database_now`: Unix seconds, read at some time of the round trip.

        A slow answer says little: it counts only where it contradicts what a faster one said.
        """
        doubt_s = round_trip_s / 2
        ahead_s = database_now - (time.time() - doubt_s)
        if doubt_s <= self._doubt_s or abs(ahead_s - self.ahead_s) > doubt_s:
            self.ahead_s, self._doubt_s = ahead_s, doubt_s

    @property
    def off_s(self) -> float:
        """The seconds by which the two differ at the least, however long the answer took on its way here."""
        return max(0.0, abs(self.ahead_s) - self._doubt_s)

    def now(self) -> float:
        """Unix seconds by the database's clock."""
        return time.time() + self.ahead_s
