"""Fetches of weights that are under way: one for each folder, whoever of the replicas waits for it."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from gateway.node_agent import weights
from gateway.node_agent.assignments import Weights
from gateway.node_agent.background import in_background
from gateway.node_agent.convergence import Fetch
from gateway.node_agent.faults import Fault
from gateway.node_agent.weights import Progress
from gateway.node_agent.weights_fault import WeightsFault


@dataclass
class Fetching:
    """One fetch and the replicas (ids) that wait for it."""

    future: "Future[Path]"
    progress: Progress
    waiting: set[int] = field(default_factory=set)

    def state(self) -> Fetch:
        """How far it is."""
        if not self.future.done():
            return Fetch.UNDER_WAY
        return Fetch.DONE if self.future.exception() is None else Fetch.FAILED

    def percent(self) -> int:
        """Of the weights, how much is here."""
        return 100 if self.state() == Fetch.DONE else self.progress.percent

    def folder(self) -> Path:
        """Where the weights are, once it is done."""
        return self.future.result()

    def fault(self) -> Fault:
        """Why it failed."""
        error = self.future.exception()
        if isinstance(error, WeightsFault):
            return error.fault
        return Fault("missing_weights", f"The weights could not be fetched ({type(error).__name__}).")


class Fetches:
    """All of a node's."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._by_folder: dict[Path, Fetching] = {}

    def join(self, replica: int, wanted: Weights, engine_python: Path | None) -> Fetching:
        """The fetch of these weights, begun if it is not under way."""
        folder = weights.folder_of(wanted, self._store)
        fetching = self._by_folder.get(folder)
        if fetching is None or fetching.future.done():
            progress = Progress(wanted.bytes)
            future = in_background(lambda: weights.fetch(wanted, self._store, engine_python, progress))
            fetching = self._by_folder[folder] = Fetching(future, progress)
        fetching.waiting.add(replica)
        return fetching

    def leave(self, replica: int, fetching: Fetching) -> None:
        """The replica waits no more; the last one ends the fetch, and what is on disk stays for the next."""
        fetching.waiting.discard(replica)
        if not fetching.waiting:
            fetching.progress.is_cancelled = True
            self._by_folder = {folder: one for folder, one in self._by_folder.items() if one is not fetching}
