"""Follows a campaign: joins what clients, engines and the ledger say of each request, and judges it once it is over."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg

from billing.pricing import Prices
from tests.crash.audit import log_since
from tests.crash.books import Books, read_books
from tests.crash.clients import Saw, Transcript
from tests.crash.evidence import Case, HoldStory, Record, checkpoint_quantities, read_records, read_refunds
from tests.crash.journals import Attempt, Journal, by_request
from tests.crash.keeper import Keeper
from tests.crash.rules import CLOCK_S, Violation, violations_of
from tests.crash.world import SETTLE_WAIT_S

LOOK_BACK = 5_000  # rows of the log that are read again, for those that became visible late
FRESH_S = 0.7  # a busy gateway may yet have to read what an engine sent
SWEPT_WITHIN = 3.0  # of the silence: 60 s for the product's 20 s
SLACK_S = 3.0
CUT_S = 0.02  # between a row's clock and the fence that waited for its transaction


@dataclass
class Sums:
    """What was compared: records, completion tokens of the journals and charged ones, by status."""

    records: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)
    saw: Counter[str] = field(default_factory=Counter)
    refunds: int = 0

    def add(self, case: Case) -> None:
        """Count a request that was judged."""
        self.refunds += bool(case.refunded)
        if case.record is not None:
            status = case.record.status
            self.records[status] += 1
            self.made[status] += max((attempt.tokens_made for attempt in case.attempts), default=0)
            self.charged[status] += case.record.completion


class Watch:
    """What is known so far. `silent_s`: after how long the campaign's gateways are fenced."""

    def __init__(self, journals: list[Journal], keeper: Keeper, prices: Prices, silent_s: float) -> None:
        self._journals, self._keeper, self._prices = journals, keeper, prices
        self._orphan_s = SWEPT_WITHIN * silent_s + SLACK_S
        self.transcripts: dict[str, Transcript] = {}
        self._stories: dict[str, HoldStory] = {}
        self._labels: dict[str, str] = {}  # by request id
        self._by_id: dict[str, Transcript] = {}  # made at the end, for requests that the ledger never saw
        self._judged: set[str] = set()
        self._read: set[int] = set()
        self._last = 0
        self._life_of: dict[str, int] = {}  # by incarnation
        self._refunds: dict[str, int] = {}
        self.owed: set[str] = set()  # withheld, charged, and not given back so far
        self._beats: dict[int, tuple[float, float]] = {}  # the last heartbeat but one and the last, by life
        self.fenced_at: dict[int, float] = {}  # Unix seconds, by life
        self.lost_at: dict[int, float] = {}  # when the campaign killed or stopped it
        self.troubles: list[tuple[float, float]] = []  # of PostgreSQL: from, to
        self.oldest_orphan_s = 0.0
        self.held: dict[str, str] = {}
        self.sums = Sums()

    # ---- the looks
    def look(self, connection: psycopg.Connection[Any]) -> list[Violation]:
        """Read everything on, judge what is over. The journals come first: what they name has to be in the ledger."""
        attempts = self._attempts()
        books = read_books(connection)
        self.held = books.held
        found = [*books.violations, *self._read_log(connection), *unknown(attempts, books), *self.orphans()]
        over = [request_id for request_id in books.recorded - self._judged if self._is_over(request_id)]
        # Read once more: of what was recorded meanwhile the first reading may have missed the end.
        return found + self._judge_all(connection, over, self._attempts(), may_wait=True)

    def look_last(self, connection: psycopg.Connection[Any]) -> list[Violation]:
        """Everything is over: what has no record, or no client, is judged too."""
        found = self.look(connection)
        found += [Violation("I2 hold", f"{request_id} is still held by {who}") for request_id, who in self.held.items()]
        attempts = self._attempts()
        self._by_id = {told.request_id: told for told in self.transcripts.values() if told.request_id}
        left = (self._by_id.keys() | attempts.keys() | self._stories.keys()) - self._judged
        self.sums.saw.update(told.saw.value for told in self.transcripts.values())
        return found + self._judge_all(connection, sorted(left), attempts, may_wait=False)

    def _attempts(self) -> dict[str, list[Attempt]]:
        for journal in self._journals:
            journal.read_on()
        return by_request(self._journals)

    def _is_over(self, request_id: str) -> bool:
        told = self.transcripts.get(self._labels.get(request_id, ""))
        return told is not None and told.ended_at is not None

    # ---- judging
    def _judge_all(
        self,
        connection: psycopg.Connection[Any],
        request_ids: list[str],
        attempts: dict[str, list[Attempt]],
        *,
        may_wait: bool,
    ) -> list[Violation]:
        records = read_records(connection, request_ids)
        self._refunds = read_refunds(connection)
        connection.rollback()
        found = []
        for request_id in request_ids:
            found += self._judge(request_id, attempts.get(request_id, []), records.get(request_id), may_wait=may_wait)
        return found

    def _judge(
        self, request_id: str, attempts: list[Attempt], record: Record | None, *, may_wait: bool
    ) -> list[Violation]:
        told = self._client_of(request_id, record)
        story = self._stories.get(request_id, HoldStory())
        case = Case(
            request_id,
            told,
            attempts,
            record,
            story,
            self._fresh(attempts, story, told),
            self._was_unconfirmed(attempts, story, told),
            story.life in self.lost_at or story.life in self.fenced_at,
            self._refunds.get(request_id, 0),
        )
        if may_wait and _is_owed(case):
            self.owed.add(request_id)
            return []
        self.owed.discard(request_id)
        self._judged.add(request_id)
        self.sums.add(case)
        found = violations_of(case, self._prices)
        for attempt in attempts:
            attempt.progress.clear()
        return found

    def _client_of(self, request_id: str, record: Record | None) -> Transcript | None:
        """By the label that the ledger has; a refused request has none there, but its client knows its id."""
        label = self._labels.get(request_id) or (record.label if record else None)
        if label is not None:
            return self.transcripts.get(label)
        return self._by_id.get(request_id)

    def _fresh(self, attempts: list[Attempt], story: HoldStory, told: Transcript | None) -> int | None:
        """(d) What a checkpoint had to count of a lost gateway's stream, the database being well.

        A gateway writes one after each heartbeat, so the last heartbeat but one was followed by one. Measured from
        there, a busy machine on which both come late proves nothing against the gateway.
        """
        beats, lost = self._beats.get(story.life), self.lost_at.get(story.life)
        if beats is None or lost is None or told is None or told.wish.fault:
            return None
        due = beats[0] - FRESH_S
        if any(begin < lost and end > due - FRESH_S for begin, end in self.troubles):
            return None
        by_engine = {journal.engine: journal for journal in self._journals}
        return max(
            (attempt.tokens_before(by_engine[attempt.engine].size_at(due)) for attempt in attempts),
            default=0,
        )

    def _was_unconfirmed(self, attempts: list[Attempt], story: HoldStory, told: Transcript | None) -> bool:
        """Whether the word of a charge may have been lost: its gateway was struck, or waited for it in vain."""
        if told is None or told.ended_at is None or story.life in self.lost_at:
            return True
        ended = max((attempt.ended_at for attempt in attempts), default=0.0)
        return told.ended_at - ended > SETTLE_WAIT_S - CLOCK_S

    # ---- the ledger's log
    def _read_log(self, connection: psycopg.Connection[Any]) -> list[Violation]:
        rows = [row for row in log_since(connection, self._last - LOOK_BACK) if row[0] not in self._read]
        connection.rollback()
        for number, at, life, what, subject, told in rows:
            self._read.add(number)
            self._last = max(self._last, number)
            self.take(at, life, what, str(subject), told)
        return [
            wrong for _, at, life, what, subject, _ in rows for wrong in self.after_fence(at, life, what, str(subject))
        ]

    def take(self, at: float, life: int, what: str, subject: str, told: dict[str, Any]) -> None:
        """One row of the log; `subject` is a request or an incarnation."""
        if what == "began":
            self._life_of[subject] = life
        elif what == "beat":
            before = self._beats.get(life, (at, at))
            self._beats[life] = (before[1], at)
        elif what == "fenced":
            self.fenced_at[self._life_of.get(subject, 0)] = told["at"]
        elif what in ("held", "checkpoint", "recorded"):
            story = self._stories.setdefault(subject, HoldStory())
            if what == "held":
                story.held.append(at)
                story.amount, story.life = told["amount"], life
                self._labels[subject] = told["label"]
            elif what == "checkpoint":
                story.checkpoints.append((at, checkpoint_quantities(told)))
            else:
                story.recorded.append(at)
                story.settled_by = life

    def after_fence(self, at: float, life: int, what: str, subject: str) -> list[Violation]:
        """I2: a fenced gateway changes nothing any more, and says nothing; none is fenced that was left alone."""
        fenced = self.fenced_at.get(life)
        is_late = fenced is not None and at > fenced + CUT_S and what != "fenced"
        if is_late or what == "beat of the fenced":
            return [Violation("I2 fence", f"life {life}, fenced at {fenced}, wrote {what!r} of {subject} at {at}")]
        victim = self._life_of.get(subject, 0)
        if what == "fenced" and life != victim and victim not in self.lost_at:
            return [Violation("I2 fence", f"life {victim} was fenced by life {life}, and nobody had struck it")]
        return []

    def orphans(self) -> list[Violation]:
        """No hold without a live owner is older than three times the silence (60 s with the product's limits)."""
        now, found = time.time(), []
        since_trouble = max((end for _, end in self.troubles), default=0.0)
        for request_id, incarnation in self.held.items():
            life = self._life_of.get(incarnation, 0)
            lost = self._keeper.ended_at.get(life) or self.fenced_at.get(life)
            if lost is None:
                continue
            age = now - max(lost, since_trouble)
            self.oldest_orphan_s = max(self.oldest_orphan_s, age)
            if age > self._orphan_s:
                found.append(
                    Violation("I2 orphan", f"{request_id} is held for {age:.1f} s by life {life}, which ended")
                )
        return found


def _is_owed(case: Case) -> bool:
    """Whether money may yet be given back: its gateway does that in its own time."""
    refused = case.transcript is not None and case.transcript.saw is Saw.REFUSED
    return refused and not case.was_lost and case.record is not None and case.record.cost != case.refunded


def unknown(attempts: dict[str, list[Attempt]], books: Books) -> list[Violation]:
    """At every instant what reached an engine is held or recorded."""
    missing = attempts.keys() - books.held.keys() - books.recorded
    return [
        Violation("I2 record", f"{request_id} reached an engine, and is neither held nor recorded", evidence)
        for request_id in missing
        for evidence in [tuple(str(attempt) for attempt in attempts[request_id])]
    ]
