"""What to do next with a replica, from what is seen of it and what is wished. Pure: this is the whole of the rules."""

from dataclasses import dataclass
from enum import StrEnum

STOP_SECONDS = 30.0  # from SIGTERM to SIGKILL; the platform has drained it before


class State(StrEnum):
    """Where a replica stands, in the words of the report."""

    FETCHING = "fetching"
    STARTING = "starting"
    RUNNING = "running"
    ASLEEP = "asleep"
    STOPPING = "stopping"
    EXITED = "exited"


class Wish(StrEnum):
    """What the platform wants of it. UNKNOWN: we began and have not heard from the platform yet."""

    RUN = "run"
    SLEEP = "sleep"
    GONE = "gone"
    UNKNOWN = "unknown"


class Fetch(StrEnum):
    """How far its weights are."""

    UNDER_WAY = "under way"
    DONE = "done"
    FAILED = "failed"


class Act(StrEnum):
    """One step. NOTE_END: keep how it ended; FORGET: keep nothing of it."""

    NOTHING = "nothing"
    LAUNCH = "launch"
    GIVE_UP_FETCH = "give up fetch"
    STOP = "stop"
    STOP_AS_TOO_SLOW = "stop as too slow"
    KILL = "kill"
    NOTE_READY = "note ready"
    NOTE_END = "note end"
    SLEEP = "sleep"
    WAKE = "wake"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Seen:
    """One replica now. `fetch` counts while it is fetching; `seconds`: in its state; `answers`: at its health check."""

    state: State
    is_alive: bool = False
    answers: bool = False
    fetch: Fetch = Fetch.UNDER_WAY
    seconds: float = 0.0
    ready_within_s: float = 0.0


def next_act(seen: Seen, wish: Wish) -> Act:
    """The one step to take now. Repeated until it is NOTHING it ends in what is wished, from any state.

    An engine that ended by itself is never started again under the same id: the platform decides what comes instead.
    """
    match seen.state:
        case State.FETCHING:
            return _of_fetching(seen, wish)
        case State.EXITED:
            return Act.FORGET if wish == Wish.GONE else Act.NOTHING
        case State.STOPPING:
            return _of_stopping(seen, wish)
    if not seen.is_alive:
        return Act.FORGET if wish == Wish.GONE else Act.NOTE_END
    if wish == Wish.GONE:
        return Act.STOP
    return _of_living(seen, wish)


def _of_fetching(seen: Seen, wish: Wish) -> Act:
    if wish == Wish.GONE:
        return Act.FORGET
    if seen.fetch == Fetch.FAILED:
        return Act.GIVE_UP_FETCH
    return Act.LAUNCH if seen.fetch == Fetch.DONE and wish != Wish.UNKNOWN else Act.NOTHING


def _of_stopping(seen: Seen, wish: Wish) -> Act:
    if not seen.is_alive:
        return Act.FORGET if wish == Wish.GONE else Act.NOTE_END
    return Act.KILL if seen.seconds > STOP_SECONDS else Act.NOTHING


def _of_living(seen: Seen, wish: Wish) -> Act:
    if seen.state == State.STARTING:
        if seen.answers:
            return Act.NOTE_READY
        return Act.STOP_AS_TOO_SLOW if seen.seconds > seen.ready_within_s else Act.NOTHING
    if seen.state == State.RUNNING and wish == Wish.SLEEP:
        return Act.SLEEP
    if seen.state == State.ASLEEP and wish == Wish.RUN:
        return Act.WAKE
    return Act.NOTHING
