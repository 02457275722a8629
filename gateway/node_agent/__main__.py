"""The command: `manage.py node`, or `python -m gateway.node_agent`; SIGTERM or SIGINT ends it."""

import fcntl
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import IO

# Celery would set up whatever this names, and there is no Django here.
os.environ.pop("DJANGO_SETTINGS_MODULE", None)

from celery import Celery

from gateway.node_agent import broker
from gateway.node_agent.agent import Agent
from gateway.node_agent.configuration import Configuration, parse
from gateway.node_agent.joining import JoinError, Membership, membership
from gateway.node_agent.reports import Sequence, signed
from identity.core_dumps import forbid_core_dumps
from identity.log_words import WordlessFormatter
from identity.release import version

REPORT_SECONDS = 5.0
BROKER_PAUSE_SECONDS = 5.0

log = logging.getLogger("gateway.node_agent")


class LibraryLines(logging.Filter):
    """Of a library's lines its fixed words only: Celery quotes messages, and in ours are keys of engines."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every line stays, others' without what was put into it."""
        if not record.name.startswith("gateway."):
            record.msg, record.args = str(record.msg).partition("\n")[0].partition("%")[0], ()
        return True


def set_up_logging() -> None:
    """Lines for the machine's journal."""
    handler = logging.StreamHandler()
    handler.setFormatter(WordlessFormatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(LibraryLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    log.setLevel(logging.INFO)


def open_home(home: Path) -> IO[str]:
    """Make the agent's folder, for our account alone, and hold it: two agents would fight over engines."""
    for folder in (home, home / "engines", home / "logs", home / "weights"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    lock = (home / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"Another agent runs in {home}.")
    return lock


def report_for_ever(agent: Agent, reports: broker.Reports, member: Membership) -> None:
    """Send a report every few seconds and at each change; while the broker is away, try again."""
    sequence, is_away = Sequence(), False
    while True:
        agent.changed.wait(REPORT_SECONDS)
        agent.changed.clear()
        try:
            reports.send(signed(agent.report(), member, sequence.next()))
        except Exception as error:  # noqa: BLE001  each broker's library has its own
            if not is_away:
                log.warning("The broker takes no report (%s); the engines run on.", type(error).__name__)
            is_away = True
            time.sleep(1)
        else:
            is_away = False


def consume(app: Celery, name: str) -> None:
    """Take assignments until a signal ends us; whatever else ends the worker, there is another one."""
    while True:
        worker = broker.worker(app, name)
        worker.start()
        if worker.exitcode in (None, os.EX_OK):
            return
        log.warning("The queue cannot be read; trying again.")
        time.sleep(BROKER_PAUSE_SECONDS)


def main() -> None:
    """Run the agent."""
    configuration: Configuration = parse(sys.argv[1:], os.environ)
    set_up_logging()
    forbid_core_dumps()
    os.umask(0o077)
    lock = open_home(configuration.home)
    try:
        member = membership(configuration.home, configuration.platform, configuration.token, version())
    except JoinError as error:
        sys.exit(str(error))
    agent = Agent(configuration, member, version())
    app = broker.application(member, agent.take)
    reports = broker.Reports(app, member)
    agent.begin()
    threading.Thread(target=report_for_ever, args=(agent, reports, member), daemon=True, name="reports").start()
    log.info("Node %s is at work.", member.name)
    try:
        consume(app, member.name)
    finally:
        agent.end()
        lock.close()


if __name__ == "__main__":
    main()
