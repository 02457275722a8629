"""`manage.py reconcile [--since T] [--until T] [--pool NAME]`: charged tokens against the engines' own counters."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.clock import database_now
from gateway.pools.reconciliation import Cause, PoolResult, Tally, reconcile


class Command(BaseCommand):
    """A few lines a pool; fails where tokens are unexplained."""

    help = "Compare charged tokens with the engines' own counters; without --since, in the last whole hour (UTC)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Times as ISO 8601 writes them; without an offset, UTC."""
        parser.add_argument("--since", type=_time, metavar="2026-11-21T06:00")
        parser.add_argument("--until", type=_time, metavar="2026-11-21T07:00", help="default: now")
        parser.add_argument("--pool", help="only this pool")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError (exit status 1) when more is unexplained than is tolerated."""
        since, until = options["since"], options["until"] or database_now()
        if since is None:
            until = until.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            since = until - timedelta(hours=1)
        if since >= until:
            raise CommandError("--since has to be before --until.")
        results = [result for result in reconcile(since, until) if options["pool"] in (None, result.pool)]
        for result in results:
            self._tell(result)
        if not results:
            self.stdout.write("No pool counted or charged anything then.")
        unexplained = [result.pool for result in results if not result.is_tolerated]
        if unexplained:
            raise CommandError(f"Unexplained: {', '.join(unexplained)}.")

    def _tell(self, result: PoolResult) -> None:
        times = f"{result.since.astimezone(UTC):%Y-%m-%d %H:%M} to {result.until.astimezone(UTC):%Y-%m-%d %H:%M}Z"
        self.stdout.write(f"{result.pool}, {times}, {result.replicas} replicas sampled")
        for name, tally in (("prompt", result.prompt), ("generation", result.generation)):
            self.stdout.write(f"  {name:<11}{_tally(tally)}")
        for cause in result.causes:
            self.stdout.write(f"  {_cause(cause)}")
        if result.uncompared:
            self.stdout.write(f"  {result.uncompared} tokens were charged while no sample was there to compare with")


def _tally(tally: Tally) -> str:
    return (
        f"charged {tally.charged}, engine {tally.engine}, difference {tally.difference:+}"
        f" (explained: {tally.least:+} to {tally.most:+}), unexplained {tally.unexplained:+}"
    )


def _cause(cause: Cause) -> str:
    prompt = f"prompt {cause.least_prompt:+} to {cause.most_prompt:+}"
    generation = f"generation {cause.least_generation:+} to {cause.most_generation:+}"
    return f"{cause.name} ({cause.requests}): {prompt}, {generation}"


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
