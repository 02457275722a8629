"""A RabbitMQ of a test's own, from Debian's packages, unpacked and not installed: no service, no account.

python -m tests.support.rabbitmq prepare     # .rabbitmq/, 58 MB; takes apt, no privilege
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from urllib3.util import make_headers

from console.supervisor.processes import Command, spawn, stop
from identity import egress
from tests.support.certificates import make_certificate
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / ".rabbitmq"
REASON = "python -m tests.support.rabbitmq prepare"
START_SECONDS = 120.0  # five on an idle machine
_STAMP = UNPACKED / "prepared"
_ERLANG = (
    *("asn1", "base", "crypto", "eldap", "ftp", "inets", "mnesia", "os-mon", "parsetools", "public-key"),
    *("runtime-tools", "snmp", "ssl", "syntax-tools", "tftp", "tools", "xmerl"),
)
PACKAGES = ("rabbitmq-server", *(f"erlang-{name}" for name in _ERLANG))
_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
listeners.ssl.1 = 127.0.0.1:{tls_port}
listeners.ssl.2 = 127.0.0.2:{tls_port}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
default_user = beffroi
default_pass = {password}
log.console = true
log.file = false
"""


def is_prepared() -> bool:
    """Whether the packages are unpacked."""
    return _STAMP.is_file()


def prepare() -> None:
    """Fetch, unpack and try them, unless they are there.

    Raises CalledProcessError, OSError where that cannot be, RuntimeError where it does not start on this machine.
    """
    if is_prepared():
        return
    shutil.rmtree(UNPACKED, ignore_errors=True)
    packages = UNPACKED / "packages"
    packages.mkdir(parents=True)
    subprocess.run(["apt-get", "download", "-q", *PACKAGES], cwd=packages, check=True)
    for package in packages.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, UNPACKED], check=True)
    shutil.rmtree(packages)
    erl = UNPACKED / "usr/lib/erlang/bin/erl"  # it names the folder that it would be installed to
    erl.write_text(erl.read_text().replace("=/usr/lib/erlang\n", f"={UNPACKED}/usr/lib/erlang\n"))
    with RabbitMq():
        _STAMP.touch()


class RabbitMq:
    """A broker with its management, on ports of this machine. A context manager that ends it and removes its folder.

    `tls_port`: with a certificate for 127.0.0.1, also at 127.0.0.2.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="beffroi-rabbitmq-", dir="/tmp"))
        self.password = secrets.token_hex(16)
        self.port, self.tls_port, self._management, self._names, self._distribution = (free_port() for _ in range(5))
        self.certificate, self._key = make_certificate(self.folder)
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    @property
    def url(self) -> str:
        """Its address, with a user who may do everything."""
        return f"amqp://beffroi:{self.password}@127.0.0.1:{self.port}//"

    @property
    def management_url(self) -> str:
        """That of its management, with the same user."""
        return f"http://beffroi:{self.password}@127.0.0.1:{self._management}"

    def start(self) -> None:
        """With what it kept of before; wait until it serves."""
        ports = {"port": self.port, "tls_port": self.tls_port, "management": self._management}
        told = {**ports, "password": self.password, "certificate": self.certificate, "key": self._key}
        (self.folder / "rabbitmq.conf").write_text(_CONFIGURATION.format(**told))
        (self.folder / "plugins").write_text("[rabbitmq_management].")
        [server] = UNPACKED.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
        # Erlang would leave the one who knows its nodes' ports behind as a daemon: it gets one that is ours.
        names = ["epmd", "-port", str(self._names), "-address", "127.0.0.1"]
        environment = self._environment()
        programs = Path(environment["PATH"].partition(":")[0])
        for argv in ([str(programs / names[0]), *names[1:]], [str(server)]):
            self._running.append(spawn(Command(argv), environment, self.folder / "log"))
        deadline = time.monotonic() + START_SECONDS
        while not self._serves():
            if time.monotonic() > deadline or self._running[-1].poll() is not None:
                raise RuntimeError(f"RabbitMQ did not start:\n{(self.folder / 'log').read_text()[-4000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """At once, as a crash would."""
        while self._running:
            stop(self._running.pop(), signal.SIGKILL, 10)

    def forget(self) -> None:
        """Be as new, with nothing of what it kept; not while it runs."""
        shutil.rmtree(self.folder / "data")

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{UNPACKED}/usr/lib/erlang/bin:{os.defpath}",
            "HOME": str(self.folder),  # where Erlang keeps the word that its nodes know each other by
            "LANG": "C.UTF-8",
            "ERL_CRASH_DUMP_BYTES": "0",
            "ERL_EPMD_PORT": str(self._names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "beffroi@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "detached": "1",  # the script becomes the broker, rather than its parent
        }

    def _serves(self) -> bool:
        """Its management says so last of all."""
        try:
            return self.manage("GET", "/api/health/checks/port-listener/" + str(self.port)) == 200
        except egress.EgressError:
            return False

    def manage(self, method: str, path: str, body: bytes | None = None) -> int:
        """The status that its management answers with."""
        headers = make_headers(basic_auth=f"beffroi:{self.password}")
        url = f"http://127.0.0.1:{self._management}{path}"
        return egress.fetch(method, url, headers=headers, body=body, allow_private=True).status


if __name__ == "__main__" and sys.argv[1:] == ["prepare"]:
    prepare()
