"""What can go wrong with weights."""

from gateway.node_agent.faults import Fault, Kind


class WeightsFault(Exception):
    """The weights cannot be had; `fault` says why."""

    def __init__(self, kind: Kind, words: str) -> None:
        super().__init__(words)
        self.fault = Fault(kind, words)
