"""The rules of the loop, from any state to what is wished."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.node_agent.convergence import STOP_SECONDS, Act, Fetch, Seen, State, Wish, next_act

ANY = some.builds(
    Seen,
    state=some.sampled_from(State),
    is_alive=some.booleans(),
    answers=some.booleans(),
    fetch=some.sampled_from(Fetch),
    seconds=some.floats(0, 1000),
    ready_within_s=some.just(60.0),
)
RUNNING = Seen(State.RUNNING, is_alive=True)


def after(seen: Seen, act: Act) -> Seen | None:
    """The world that obeys: what is seen once the act was done and a while has passed; None: forgotten."""
    match act:
        case Act.FORGET:
            return None
        case Act.LAUNCH:
            return replace(seen, state=State.STARTING, is_alive=True, answers=True, seconds=1)
        case Act.NOTE_READY | Act.WAKE:
            return replace(seen, state=State.RUNNING)
        case Act.SLEEP:
            return replace(seen, state=State.ASLEEP)
        case Act.STOP | Act.STOP_AS_TOO_SLOW:
            return replace(seen, state=State.STOPPING, seconds=0)
        case Act.KILL:
            return replace(seen, is_alive=False)
        case Act.NOTE_END | Act.GIVE_UP_FETCH:
            return replace(seen, state=State.EXITED, is_alive=False)
    fetch = Fetch.DONE if seen.fetch == Fetch.UNDER_WAY else seen.fetch
    return replace(seen, seconds=seen.seconds + STOP_SECONDS + 1, fetch=fetch)


@given(ANY, some.sampled_from([Wish.RUN, Wish.SLEEP, Wish.GONE]))
def test_any_state_comes_to_what_is_wished_or_to_a_told_end(seen: Seen, wish: Wish) -> None:
    now: Seen | None = seen
    for _ in range(12):
        if now is None:
            break
        now = after(now, next_act(now, wish))
    if wish == Wish.GONE:
        assert now is None
    else:
        assert now is not None
        assert now.state in (State.RUNNING if wish == Wish.RUN else State.ASLEEP, State.EXITED)
        assert (now.state == State.EXITED) or now.is_alive


@given(ANY)
def test_before_the_platform_has_spoken_nothing_that_runs_is_touched(seen: Seen) -> None:
    act = next_act(seen, Wish.UNKNOWN)
    assert act not in (Act.LAUNCH, Act.STOP, Act.FORGET, Act.SLEEP, Act.WAKE)


@given(ANY, some.sampled_from(Wish))
def test_an_engine_that_ended_is_never_started_again(seen: Seen, wish: Wish) -> None:
    assert next_act(replace(seen, state=State.EXITED), wish) in (Act.NOTHING, Act.FORGET)
    dead = replace(seen, is_alive=False)
    if dead.state != State.FETCHING:
        assert next_act(dead, wish) != Act.LAUNCH


@pytest.mark.parametrize(
    ("seen", "wish", "act"),
    [
        (Seen(State.STARTING, is_alive=True, seconds=59, ready_within_s=60), Wish.RUN, Act.NOTHING),
        (Seen(State.STARTING, is_alive=True, seconds=61, ready_within_s=60), Wish.RUN, Act.STOP_AS_TOO_SLOW),
        (Seen(State.STOPPING, is_alive=True, seconds=STOP_SECONDS - 1), Wish.GONE, Act.NOTHING),
        (Seen(State.STOPPING, is_alive=True, seconds=STOP_SECONDS + 1), Wish.GONE, Act.KILL),
        (RUNNING, Wish.GONE, Act.STOP),
        (replace(RUNNING, is_alive=False), Wish.RUN, Act.NOTE_END),
        (replace(RUNNING, answers=False, seconds=1e6), Wish.RUN, Act.NOTHING),
        (Seen(State.FETCHING, fetch=Fetch.UNDER_WAY), Wish.GONE, Act.FORGET),
    ],
)
def test_single_steps(seen: Seen, wish: Wish, act: Act) -> None:
    assert next_act(seen, wish) == act
