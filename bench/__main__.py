"""`python -m bench`: see bench/NOTES.md."""

import argparse
import platform
import signal
import subprocess
import sys
import time

import msgspec
import psycopg

from bench.beffroi import DidNotStart
from bench.machine import allow_many_files, description, flush_s, load_average
from bench.own_rows import ROWS
from bench.session import Session, say
from bench.table import Table

# A measurement may fail; the others are still worth their table.
FAILURES = (subprocess.SubprocessError, msgspec.MsgspecError, psycopg.Error, OSError, DidNotStart)


def main() -> int:
    """Measure, print the table; 1 when an answer was wrong."""
    arguments = _arguments()
    allow_many_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that installations are stopped and removed
    began = time.monotonic()
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    table = Table()
    with Session(rounds, arguments.quick) as session:
        for name in arguments.only:
            say(f"{name} (load average {load_average():.1f})")
            try:
                table.lines += ROWS[name](session)
            except FAILURES as error:
                session.wrong.append(f"{name} could not be measured: {_explained(error)}")
                say(session.wrong[-1])
        session.check_accounts()
        sys.stdout.write(_report(table, session, time.monotonic() - began))
    return 1 if session.wrong else 0


def _explained(error: Exception) -> str:
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else None
    return f"{error!r} {said[-2000:].decode(errors='replace') if said else ''}"


def _report(table: Table, session: Session, seconds: float) -> str:
    cores = session.cores
    machine = (
        f"{description()}; Python {platform.python_version()}; {', '.join(session.versions)}. "
        f"A flush of 8 KB to the disk takes {1000 * flush_s(session.folder):.2f} ms (median)."
    )
    run = (
        f"Medians of {session.rounds} rounds in turn, {seconds:.0f} s in all, load average {load_average():.1f} at the "
        f"end. Gateways on core {cores.gateway}, client and engine on {cores.load}, PostgreSQL and all the rest on "
        f"{cores.others}."
    )
    parts = [machine, run, table.markdown(), *(f"Note: {note}" for note in session.notes)]
    if table.missed:
        parts.append("Targets missed:\n" + "\n".join(f"- {missed}" for missed in table.missed))
    if session.wrong:
        wrong = "\n".join(f"- {wrong}" for wrong in session.wrong)
        parts.append(f"WRONG ANSWERS, so the figures above are worth nothing:\n{wrong}")
    return "\n" + "\n\n".join(parts) + "\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="One table: us beside nginx and vllm-router.")
    parser.add_argument("--rounds", type=int, help="how often each is visited (5; quick: 2)")
    parser.add_argument("--only", type=_rows, default=list(ROWS), metavar="ROWS", help=f"some of {','.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="shorter windows, fewer rounds: less exact")
    return parser.parse_args()


def _rows(text: str) -> list[str]:
    wanted = text.split(",")
    unknown = set(wanted) - ROWS.keys()
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    return [name for name in ROWS if name in wanted]


if __name__ == "__main__":
    sys.exit(main())
