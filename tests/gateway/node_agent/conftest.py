"""A platform and the agents that join it; whatever engines they leave is ended."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.node_agent.replicas import adopted
from tests.gateway.node_agent.platform import AgentProcess, Platform

Start = Callable[..., AgentProcess]


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A platform without nodes."""
    folder = Path(tempfile.mkdtemp(prefix="beffroi-node-", dir="/tmp"))  # a socket's path has at most 107 bytes
    with Platform(folder) as made:
        yield made
    shutil.rmtree(folder)


@pytest.fixture
def start(platform: Platform) -> Iterator[Start]:
    """Starts an agent, with the flags and the environment given."""
    running: list[AgentProcess] = []

    def start_one(*flags: str, **environment: str) -> AgentProcess:
        running.append(AgentProcess(platform, platform.folder / "home", *flags, **environment))
        return running[-1]

    yield start_one
    for agent in running:
        agent.kill()
        adopted(agent.home, "nobody")  # ends what ran
