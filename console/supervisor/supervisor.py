"""Starts processes in their order, brings back the ones that die, renews them in turn, stops all in reverse order."""

import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import FrameType

from console.supervisor import logs
from console.supervisor.postgres import PostgresError
from console.supervisor.processes import PROCESS, end_session, python, spawn, stop
from console.supervisor.readiness import NotReadyError
from console.supervisor.service import Renewal, Service
from console.supervisor.terminal import Terminal, complain, say
from console.supervisor.valkey import ValkeyError

TICK_SECONDS = 0.2  # how soon the end of a process, or Ctrl-C, is noticed
LOG_CHECK_SECONDS = 10.0
# For the collectors; the terminal is told in more words.
logger = logging.getLogger("beffroi.supervisor")
logger.addHandler(logging.NullHandler())
STEP_SECONDS = 600  # a migration of a large installation; anything longer is stuck


class StopRequestedError(Exception):
    """Somebody asked us to stop: Ctrl-C, or SIGTERM. The message names the signal."""


class StartError(Exception):
    """Something did not start; the message holds the last lines of its log."""


class StepError(StartError):
    """A step on the way failed."""


class Supervisor:
    """Keeps a crew of services running. Single-threaded: it looks at each of them a few times a second."""

    def __init__(self, environment: Mapping[str, str], log_folder: Path) -> None:
        self.environment = environment
        self._log_folder = log_folder
        self._services: list[Service] = []
        self._leaving: list[tuple[Service, float]] = []  # replaced, with the time (monotonic) at which patience ends
        self._newcomer: Service | None = None  # started to replace another, and not ready yet
        self._stop_requests: list[str] = []
        self._is_renewal_asked = False
        self._terminal = Terminal()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note_stop_request)
        signal.signal(signal.SIGHUP, self._note_hang_up)

    def _note_stop_request(self, number: int, _frame: FrameType | None) -> None:
        self._stop_requests.append(signal.Signals(number).name)

    def _note_hang_up(self, number: int, frame: FrameType | None) -> None:
        """SIGHUP asks for a renewal, unless it says that our terminal was closed."""
        if self._terminal.was_closed():
            self._note_stop_request(number, frame)
        else:
            self._is_renewal_asked = True

    def pause(self, seconds: float) -> None:
        """Wait, but not when somebody wants us to stop. Raises: StopRequestedError."""
        deadline = time.monotonic() + seconds
        while True:
            if self._stop_requests:
                raise StopRequestedError(self._stop_requests[0])
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, TICK_SECONDS))

    def start(self, *services: Service) -> None:
        """Start services together and wait until each is ready. Raises: StartError, StopRequestedError."""
        for service in services:
            self._services.append(service)
            service.start(self.environment, self._log(service.name))
        for service in services:
            try:
                service.wait_until_ready(service.is_alive, self.pause)
            except (NotReadyError, PostgresError, ValkeyError) as error:
                log = self._log(service.name)
                raise StartError(f"{service.name}: {error}. The end of {log}:\n{logs.last_lines(log)}") from error

    def run_step(self, *arguments: str, tell: Callable[[str], None] = lambda line: None) -> str:
        """Run `python manage.py <arguments>` to its end and tell each line as it comes. Returns: all of its stdout.

        Raises: StepError with its last lines when it failed, StopRequestedError.
        """
        log = self._log(arguments[0])
        with tempfile.TemporaryFile() as output:  # it has no name: a key in it is gone with us
            command = python("manage.py", *arguments)
            process = spawn(command, {**self.environment, PROCESS: arguments[0]}, log, stdout=output)
            try:
                self._follow(process, output.fileno(), tell)
            finally:
                stop(process, command.stop_signal, 0 if process.poll() is None else 10)
            if process.returncode != 0:
                raise StepError(f"`manage.py {arguments[0]}` failed. The end of {log}:\n{logs.last_lines(log)}")
            return os.pread(output.fileno(), os.fstat(output.fileno()).st_size, 0).decode()

    def _follow(self, process: subprocess.Popen[bytes], output: int, tell: Callable[[str], None]) -> None:
        """Tell the lines of a growing file until its writer ends. Read by position: the shared one is the writer's."""
        told = 0
        deadline = time.monotonic() + STEP_SECONDS
        has_ended = False
        while not has_ended and time.monotonic() < deadline:
            has_ended = process.poll() is not None  # looked at first: what it wrote last is read after its end
            *lines, _unfinished = os.pread(output, os.fstat(output).st_size - told, told).split(b"\n")
            told += sum(len(line) + 1 for line in lines)
            for line in lines:
                tell(line.decode("utf-8", "replace"))
            if not has_ended:
                self.pause(0.05)

    def watch(self, on_look: Callable[[], None], before_renewal: Callable[[], bool] = lambda: True) -> None:
        """Bring back what dies, for ever; `on_look` after each look, a few times a second. Raises: StopRequestedError.

        `before_renewal` makes what the new processes need; where it answers False nothing is renewed.
        """
        logs_due = time.monotonic()
        while True:
            self._pause_and_look_after(TICK_SECONDS, on_look)
            if self._is_renewal_asked:
                self._is_renewal_asked = False
                if before_renewal():
                    self._renew(on_look)
            if time.monotonic() >= logs_due:
                logs_due = time.monotonic() + LOG_CHECK_SECONDS
                for log in self._log_folder.glob("*.log"):
                    logs.keep_small(log)

    def _pause_and_look_after(self, seconds: float, on_look: Callable[[], None]) -> None:
        self.pause(seconds)
        for service in self._services:
            self._look_after(service)
        for service, deadline in self._leaving:
            if service.is_alive() and time.monotonic() > deadline:
                complain(f"  {service.name}: what it was at took too long; it was killed.")
                logger.warning("%s was killed: what it was at took too long", service.name)
                end_session(_process_of(service))
        self._leaving = [leaving for leaving in self._leaving if not leaving[0].has_ended()]
        on_look()

    def _renew(self, on_look: Callable[[], None]) -> None:
        """Start all that may be started anew, one after another. Raises: StopRequestedError."""
        say("  Starting the pages, the worker and the gateways anew, one after another ...")
        for place, service in enumerate(self._services):
            if service.renewal is Renewal.BESIDE:
                self._replace(place, on_look)
            elif service.renewal is Renewal.AFTER:
                self._stop_together([service], lambda: bool(self._stop_requests))
                service.start(self.environment, self._log(service.name))
                say(f"  {service.name} is new (process {service.pid}).")
                logger.info("%s is new (process %s)", service.name, service.pid)
            on_look()
        say("  Done.")

    def _replace(self, place: int, on_look: Callable[[], None]) -> None:
        """Put a successor in the place of a service once it serves; where it never does the old one stays."""
        old = self._services[place]
        self._newcomer = new = replace(old)
        new.start(self.environment, self._log(new.name))
        try:
            new.wait_until_ready(new.is_alive, lambda seconds: self._pause_and_look_after(seconds, on_look))
        except NotReadyError as error:
            log = self._log(new.name)
            logger.error("%s stays as it was: the new one was not ready", new.name)
            complain(f"  {new.name} stays as it was: the new one was not ready: {error}. The end of {log}:")
            complain(logs.last_lines(log, 5))
            stop(_process_of(new), new.command.stop_signal, 0)
        else:
            self._services[place] = new
            say(f"  {new.name} is new (process {new.pid}); the old one (process {old.pid}) finishes what it is at.")
            logger.info("%s is new (process %s); the old one (process %s) ends", new.name, new.pid, old.pid)
            if old.is_alive():
                _process_of(old).send_signal(old.command.stop_signal)
                self._leaving.append((old, time.monotonic() + old.patience_seconds))
        self._newcomer = None

    def _look_after(self, service: Service) -> None:
        process = service.process
        if process is not None and service.has_ended():
            log = self._log(service.name)
            wait = service.back_off_seconds
            when = f"in {wait:.0f} s" if wait else "now"
            logger.error("%s ended (%s); it starts again %s", service.name, _how(process.returncode), when)
            complain(f"  {service.name} ended ({_how(process.returncode)}); it starts again {when}. The end of {log}:")
            complain(logs.last_lines(log, 5))
        if service.is_due():
            service.start(self.environment, self._log(service.name))
            say(f"  {service.name} runs again (process {service.pid}).")
            logger.info("%s runs again (process %s)", service.name, service.pid)

    def pids(self) -> dict[str, int | list[int]]:
        """Process numbers by kind: a list for gateways and nodes, of which there are several."""
        numbers: dict[str, int | list[int]] = {}
        for kind, services in groupby(self._services, key=lambda service: service.kind):
            running = [service.pid for service in services if service.pid]
            if kind in ("gateway", "node"):
                numbers[kind] = running
            elif running:
                numbers[kind] = running[0]
        return numbers

    def stop_all(self) -> None:
        """Stop everything, last started first, each kind together. Asked a second time to stop, it waits no longer."""
        asked_before = len(self._stop_requests)
        self._services += [service for service, _ in self._leaving] + ([self._newcomer] if self._newcomer else [])
        self._leaving, self._newcomer = [], None
        while self._services:
            kind = self._services[-1].kind
            together = [service for service in self._services if service.kind == kind]
            self._services = [service for service in self._services if service.kind != kind]
            self._stop_together(together, lambda: len(self._stop_requests) > asked_before)

    def _stop_together(self, services: Sequence[Service], is_impatient: Callable[[], bool]) -> None:
        running = [service for service in services if service.is_alive()]
        for service in running:
            _process_of(service).send_signal(service.command.stop_signal)
        deadline = time.monotonic() + max((service.patience_seconds for service in running), default=0)
        while any(service.is_alive() for service in running) and time.monotonic() < deadline and not is_impatient():
            time.sleep(0.05)
        for service in running:
            if not stop(_process_of(service), service.command.stop_signal, 0 if service.is_alive() else 1):
                complain(f"  {service.name} did not stop by itself and was killed.")

    def _log(self, name: str) -> Path:
        return self._log_folder / f"{name.replace(' ', '-')}.log"


def _process_of(service: Service) -> subprocess.Popen[bytes]:
    assert service.process is not None
    return service.process


def _how(return_code: int) -> str:
    if return_code < 0:
        return f"signal {signal.Signals(-return_code).name}"
    return f"exit status {return_code}"
