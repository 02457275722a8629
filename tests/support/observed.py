"""An installation whose every outgoing connection is written down by the kernel's tracer, its children's included."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from console.supervisor.processes import Command
from tests.support.installation import Installation

# All that can reach somebody: a connection, or a datagram without one.
_CALLS = "trace=connect,sendto,sendmsg,sendmmsg"
_INTERNET = re.compile(
    r"sa_family=AF_INET6?, sin6?_port=htons\((?P<port>\d+)\)"
    r"(?:, sin_addr=inet_addr\(\"(?P<four>[^\"]+)\"\)|.*?inet_pton\(AF_INET6, \"(?P<six>[^\"]+)\")"
)


def working_tracer() -> str | None:
    """strace, where there is one and it may trace: some containers forbid it."""
    found = shutil.which("strace")
    tried = [found, "-f", "--seccomp-bpf", "-qq", "-e", _CALLS, "true"] if found else ["false"]
    return found if subprocess.run(tried, capture_output=True, check=False).returncode == 0 else None


STRACE = working_tracer()


class ObservedInstallation(Installation):
    """As `Installation`; `met()` tells whom its processes have connected to so far."""

    @property
    def trace(self) -> Path:
        return self.folder / "trace"

    def command(self) -> Command:
        """`make up` under the tracer, which is its grandchild: our signals reach `make up` itself."""
        assert STRACE is not None
        ours = super().command()
        # -s 0: no content of what is sent comes into the file.
        tracer = [
            STRACE,
            "-D",
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-s",
            "0",
            "-e",
            _CALLS,
            "-e",
            "signal=none",
            "-o",
            str(self.trace),
        ]
        return Command([*tracer, *ours.argv], folder=ours.folder)

    def met(self) -> set[tuple[str, int]]:
        """Addresses and ports, sockets of this machine's file system aside."""
        return set(connections_in(self.trace.read_text(errors="replace").splitlines()))


def connections_in(lines: list[str]) -> Iterator[tuple[str, int]]:
    """The addresses and ports that strace's lines tell of."""
    for line in lines:
        for found in _INTERNET.finditer(line):
            yield str(ip_address(found["four"] or found["six"])), int(found["port"])
