"""The one way out, where the other machine is switched off."""

import pytest

from identity import egress
from identity.egress import NoMachine, TimedOut, fetch
from tests.support.silent_machine import silent_machine


def test_a_machine_that_is_switched_off_is_told_apart_from_one_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "CONNECT_SECONDS", 0.3)
    with silent_machine() as port:
        with pytest.raises(NoMachine, match="no machine answers"):
            fetch("GET", f"http://127.0.0.1:{port}/", allow_private=True)
        with pytest.raises(TimedOut):  # it had less time than a connection may need
            fetch("GET", f"http://127.0.0.1:{port}/", allow_private=True, total_seconds=0.2)
