"""Machines on a network of their own: network namespaces with an address each, plugged into one switch.

Nothing of it is in the namespace of this process: a run touches no interface and no route of the machine that it runs
on. Files, and so Unix sockets, are shared. It takes root and iproute2; `why_not` says what is missing.
"""

import functools
import itertools
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_PREFIX = "beffroi"
_NAMESPACES = Path("/run/netns")
_SUBNET = "10.77.0"
_numbers = itertools.count(1)


class NoMachines(Exception):
    """Why there can be no machines here."""


@functools.cache
def why_not() -> str:
    """Why no machines can be made here; "" where they can."""
    try:
        with Site() as site:
            site.machine()
    except NoMachines as reason:
        return str(reason)
    return ""


def _ip(*words: str) -> None:
    """`ip WORDS`. Raises NoMachines."""
    program = shutil.which("ip", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise NoMachines("no iproute2 (the command `ip`) is installed")
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise NoMachines(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _inside(namespace: str) -> tuple[str, ...]:
    """What a command begins with to run there."""
    return ("nsenter", f"--net={_NAMESPACES / namespace}", "--")


def _remove(namespace: str) -> None:
    """End whoever runs there, then the namespace; its interfaces go with it."""
    here = os.stat(_NAMESPACES / namespace)
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found = os.stat(folder / "ns" / "net")
            if (found.st_dev, found.st_ino) == (here.st_dev, here.st_ino):
                os.kill(int(folder.name), signal.SIGKILL)
    _ip("netns", "delete", namespace)


def _remove_leftovers() -> None:
    """Those of runs that were killed."""
    for path in _NAMESPACES.glob(f"{_PREFIX}-*"):
        owner = path.name.split("-")[1]
        if not Path(f"/proc/{owner}").exists():
            with suppress(NoMachines, OSError):
                _remove(path.name)


class Machine:
    """A machine of a site. `inside`: what a command begins with to run on it."""

    def __init__(self, switch: str, namespace: str, number: int) -> None:
        self._switch, self._port = switch, f"port{number}"
        self.address = f"{_SUBNET}.{number + 1}"
        self.inside = _inside(namespace)
        hardware = f"02:00:00:00:00:{number + 1:02x}"
        peer = ("peer", "name", "eth0", "address", hardware, "netns", namespace)
        _ip("-n", switch, "link", "add", self._port, "type", "veth", *peer)
        _ip("-n", switch, "link", "set", self._port, "master", "switch", "up")
        # As behind a router: nobody on the way tells the sender that the machine is gone.
        _ip("-n", switch, "neigh", "replace", self.address, "lladdr", hardware, "dev", "switch", "nud", "permanent")
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")

    def pull(self) -> None:
        """Pull its cable: what is sent to it is lost, and nothing comes."""
        _ip("-n", self._switch, "link", "set", self._port, "down")

    def plug(self) -> None:
        """Plug it in again."""
        _ip("-n", self._switch, "link", "set", self._port, "up")


class Site:
    """A switch, machines around it, and a place beside it for what is not on a machine (`inside`). A context manager
    that ends whatever runs there. Raises NoMachines.
    """

    def __init__(self) -> None:
        self._name = f"{_PREFIX}-{os.getpid()}-{next(_numbers)}"
        self.inside = _inside(self._name)
        self._namespaces: list[str] = []

    def __enter__(self) -> Self:
        _remove_leftovers()
        try:
            self._add(self._name)
            _ip("-n", self._name, "link", "set", "lo", "up")
            _ip("-n", self._name, "link", "add", "switch", "type", "bridge")
            _ip("-n", self._name, "address", "add", f"{_SUBNET}.1/24", "dev", "switch")
            _ip("-n", self._name, "link", "set", "switch", "up")
        except NoMachines:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def machine(self) -> Machine:
        """One more, with an address of its own."""
        number = len(self._namespaces)
        namespace = f"{self._name}-{number}"
        self._add(namespace)
        return Machine(self._name, namespace, number)

    def _add(self, namespace: str) -> None:
        _ip("netns", "add", namespace)
        self._namespaces.append(namespace)

    def _end(self) -> None:
        for namespace in reversed(self._namespaces):
            with suppress(NoMachines, OSError):
                _remove(namespace)
