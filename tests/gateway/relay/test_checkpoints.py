"""What a gateway writes of its running streams (I2 d)."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.relay.config import Config
from gateway.relay.ledger import Ledger
from gateway.relay.limits import Limits


class SlowHeartbeat:
    """A line to the database on which a stream goes on while a heartbeat waits. It keeps what checkpoints say."""

    def __init__(self) -> None:
        self.streamed = 1
        self.checkpoints: list[dict[str, int]] = []

    async def call(self, query: str, parameters: Sequence[Any]) -> list[tuple[datetime]]:
        if "heartbeat" in query:
            self.streamed = 25
        elif "checkpoint" in query:
            self.checkpoints.append(json.loads(parameters[1]))
        return [(datetime.now(UTC),)]


def test_I2_a_checkpoint_counts_what_was_streamed_while_its_heartbeat_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    config = cast(Config, SimpleNamespace(database_url="", limits=Limits()))
    ledger, line = Ledger(config, lambda: pytest.fail("fenced")), SlowHeartbeat()
    monkeypatch.setattr(ledger, "_life_line", line)
    asyncio.run(ledger.beat(lambda: {"a request": line.streamed}))
    assert line.checkpoints == [{"a request": 25}]
