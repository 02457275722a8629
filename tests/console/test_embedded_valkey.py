"""The embedded Valkey keeps nothing, and finds nothing that somebody else left."""

from tests.journeys.spies import tell
from tests.support.servers import servers


def test_it_works_in_its_own_folder_and_saves_nothing(valkey: str) -> None:
    path = servers.valkey.socket_path
    assert str(path.parent).encode() in tell(path, "CONFIG", "GET", "dir")
    assert tell(path, "CONFIG", "GET", "save").split() == [b"*2", b"$4", b"save", b"$0"]
    assert b"no" in tell(path, "CONFIG", "GET", "appendonly").split()
