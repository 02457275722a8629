"""`make up` from its first word to its last."""

import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping

from console import env
from console.env import MisconfiguredError
from console.supervisor import announcement, listening, packages, plan
from console.supervisor.account import AccountError, server_account
from console.supervisor.announcement import Demo
from console.supervisor.environment import MARK, STATIC_IS_COLLECTED, home_of, is_embedded
from console.supervisor.given_servers import tell_of_broker, wait_for_database
from console.supervisor.home import Home, HomeError, load_secrets
from console.supervisor.leftovers import end_leftovers
from console.supervisor.packages import PackageError
from console.supervisor.postgres import PostgresError
from console.supervisor.supervisor import StartError, StepError, StopRequestedError, Supervisor, logger
from console.supervisor.terminal import complain, say, step
from console.supervisor.valkey import ValkeyError

EXPECTED = (
    AccountError,
    HomeError,
    MisconfiguredError,
    PackageError,
    PostgresError,
    StartError,
    ValkeyError,
    listening.PortError,
)


def run() -> int:
    """Start everything, keep it running until Ctrl-C or SIGTERM, stop everything. Returns: the exit status."""
    if sys.platform != "linux":
        complain("Beffroi runs on Linux. On another system use a Linux virtual machine or container.")
        return 1
    home = home_of(os.environ)
    home.open()
    lock = home.lock()
    if lock is None:
        complain(
            f"Beffroi already runs in {home.folder} (process {home.holder()}). To stop it: Ctrl-C in its terminal."
        )
        return 1
    with lock:
        return Installation(home).run()


class Installation:
    """One start. Its environment is the process's own, which `manage.py` completed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._environment = {**os.environ, MARK: str(home.folder), STATIC_IS_COLLECTED: "1"}
        self._supervisor = Supervisor(self._environment, home.logs)
        self._address = env.web_address("BEFFROI_PUBLIC_URL", "")
        self._demo = Demo()
        self._has_broker = True  # at the start
        self._published: Mapping[str, int | list[int]] = {}

    def run(self) -> int:
        """As the function `run`."""
        last_key = announcement.hide_last(self._home)
        try:
            self._start(last_key)
            self._publish()
            say(announcement.welcome(self._address, self._demo))
            say(f"Logs are in {self._home.logs}. Ctrl-C stops everything.")
            say(f"kill -HUP {os.getpid()} starts pages, worker and gateways anew, without a request that fails.")
            logger.info("all processes run")
            self._supervisor.watch(self._publish, self._prepare_renewal)
        except StopRequestedError as request:
            logger.info("%s: stopping", request)
            say(f"\n{request}: stopping; streams that run may finish. (Ctrl-C again: at once.)")
            self._stop()
            say("Stopped. `make up` finds everything as it was.")
            return 0
        except EXPECTED as error:
            complain(f"\n{error}")
            return 1
        finally:
            self._stop()
        return 0

    def _stop(self) -> None:
        announcement.hide_last(self._home)
        self._supervisor.stop_all()

    def _start(self, last_key: str) -> None:
        if leftovers := end_leftovers(self._home.folder, self._supervisor.pause):
            say(f"  The last start did not end well: {leftovers} of its processes were still there and were stopped.")
        listener = listening.reserve(
            env.text("BEFFROI_LISTEN", "127.0.0.1"), env.integer("BEFFROI_PORT", 8000, minimum=1, maximum=65535)
        )
        self._start_servers()
        self._prepare_database()
        self._prepare_pages("--clear")
        self._demo = self._furnish(last_key)
        if self._demo.models and not env.text("BEFFROI_ENGINES", ""):
            since = self._start_nodes()
            self._start_doors(listener)
            if since and self._has_broker:
                self._wait_for_models(since)
        else:
            self._ask_given_engines()
            self._start_doors(listener)

    def _furnish(self, last_key: str) -> Demo:
        """Make the demo, or in an empty installation the way in for its first operator."""
        if not env.switch("BEFFROI_DEMO", default=True):
            with step("Looking for an operator"):
                return announcement.read_demo(self._supervisor.run_step("set_up", "--base-url", self._address), "")
        lost = [] if last_key else ["--new-key"]
        with step("Making the demo organisations"):
            answer = self._supervisor.run_step("seed_demo", "--base-url", self._address, *lost)
            demo = announcement.read_demo(answer, last_key)
        if not demo.has_past and env.switch("BEFFROI_DEMO_HISTORY", default=True):
            with step("Writing the demo's last two months"):
                self._supervisor.run_step("seed_scale", "--small")
        return demo

    def _start_servers(self) -> None:
        secrets = load_secrets(self._home)
        if is_embedded(self._environment["DATABASE_URL"], self._home):
            with step("Starting PostgreSQL"):
                account = server_account()
                if account:
                    self._home.let_in(account)
                self._supervisor.start(plan.postgres_service(self._home, secrets, account))
        else:
            wait_for_database(self._environment["DATABASE_OWNER_URL"], self._supervisor.pause)
        if is_embedded(self._environment["VALKEY_URL"], self._home):
            with step("Starting Valkey"):
                self._supervisor.start(plan.valkey_service(self._home))
        else:
            self._has_broker = tell_of_broker(self._environment["VALKEY_URL"])

    def _prepare_pages(self, *options: str) -> None:
        with step("Preparing the pages' styles and scripts"):
            packages.install(for_tests=False)
            self._supervisor.run_step("texts", "--compile")
            self._supervisor.run_step("collectstatic", "--no-input", "--verbosity", "0", *options)

    def _prepare_renewal(self) -> bool:
        """The new pages name files of their own; those of the old ones stay, as some are still being read."""
        try:
            self._prepare_pages()
        except (PackageError, StepError) as error:
            complain(f"  {error}\n  Everything stays as it was.")
            return False
        return True

    def _prepare_database(self) -> None:
        with step("Bringing the tables up to date"):
            self._supervisor.run_step("migrate", "--verbosity", "0")
        with step("Loading the catalog of models and their prices"):
            self._supervisor.run_step("load_catalog")
            self._supervisor.run_step("load_prices")

    def _start_nodes(self) -> int:
        """Before the doors, as what starts last is stopped first: streams that run end before their engines do.

        Returns: when, in seconds since 1970; 0 where they could not be made.
        """
        try:
            with step("Starting two simulated nodes"):
                self._supervisor.run_step("simulated_fleet", "prepare", *self._demo.models.values())
        except StepError as error:
            complain(f"  {error}\n  The demo's models are not served.")
            return 0
        since = int(time.time())
        self._supervisor.start(*plan.simulated_nodes(self._home))
        return since

    def _wait_for_models(self, since: int) -> None:
        """What keeps a model from being served is on the pages, which are there."""
        try:
            with step("Waiting until simulated engines serve the models (they stand in for GPUs and say so)"):
                self._supervisor.run_step("simulated_fleet", "wait", *self._demo.models.values(), f"--since={since}")
        except StepError as error:
            complain(f"  {error}")

    def _ask_given_engines(self) -> None:
        """An engine that does not answer yet keeps nothing from starting: the worker goes on asking."""
        if self._home.nodes.exists():
            with step("Taking the simulated nodes away"):
                self._supervisor.run_step("simulated_fleet", "retire")
                shutil.rmtree(self._home.nodes)
        say("  Asking the engines of BEFFROI_ENGINES what they can do:")
        try:
            self._supervisor.run_step("register_engines", tell=lambda line: say(f"    {line}"))
        except StepError as error:
            complain(f"  {error}")

    def _start_doors(self, listener: socket.socket) -> None:
        with step(f"Starting the pages, {plan.gateway_count()} gateways and the worker"):
            listening.listen(listener)
            self._supervisor.start(
                plan.django_service(self._environment),
                *plan.gateway_services(listener),
                plan.worker_service(self._home),  # it asks gateways: it is stopped before they are
            )

    def _publish(self) -> None:
        """Write demo.json, unless it says so already: engines come and go without the supervisor."""
        pids = self._supervisor.pids()
        if engines := plan.engine_pids(self._home):
            pids["engine"] = engines
        if pids != self._published:
            announcement.publish(self._home, announcement.demo_json(self._address, self._demo, pids))
            self._published = pids
