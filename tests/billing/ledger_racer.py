"""One gateway of the races, a process of its own: `python -m tests.billing.ledger_racer`.

It reads its orders (a JSON object) from standard input, calls the ledger with random batches in the worst orders that
it can think of, and prints what came of it.
"""

import json
import random
import sys
import time
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import psycopg

from gateway.relay.ids import new_request_id

Row = dict[str, Any]
METERS = ("input", "cached", "output", "reasoning", "audio_ms", "documents", "images")
FENCED = "BF001"
MOST_HELD = 40


class Racer:
    """A gateway that is fenced now and then and begins anew."""

    def __init__(self, url: str, seed: int, templates: list[Row]) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.dice = random.Random(seed)
        self.templates = templates
        self.incarnation = uuid4()
        self.held: list[str] = []
        self.counts: Counter[str] = Counter()
        self.begin()

    def begin(self) -> None:
        """A new life."""
        self.incarnation = uuid4()
        self.connection.execute("select begin_incarnation_v1(%s, 'racer', 1)", [self.incarnation])

    def call(self, query: str, batch: object) -> list[tuple[Any, ...]]:
        """A call of the ledger; nothing where it was refused, and the refusal is counted."""
        try:
            rows = self.connection.execute(query, [self.incarnation, json.dumps(batch)], prepare=True).fetchall()
        except psycopg.Error as error:
            name = "fenced" if error.sqlstate == FENCED else type(error).__name__
            self.counts[name] += 1
            if error.sqlstate == FENCED:
                self.begin()
            return []
        self.counts["batches"] += 1
        return rows

    def any_batch(self) -> list[Row]:
        """Requests of any keys."""
        batch = []
        for _ in range(self.dice.randrange(1, 9)):
            row = self.dice.choice(self.templates) | {"request_id": str(new_request_id())}
            row |= {"amount": self.dice.randrange(2_000_000), "tokens": self.dice.randrange(200)}
            if self.dice.random() < 0.05:
                row["idempotency"] = str(self.dice.randrange(10_000))
            batch.append(row)
        return batch

    def batch_of_the_moment(self) -> list[Row]:
        """Idempotency keys that others use in this very moment, in any order, of a key without budgets and limits."""
        moment = int(50 * time.time())
        return [
            self.templates[-1] | {"request_id": str(new_request_id()), "idempotency": f"{moment} {letter}"}
            for letter in self.dice.sample("abcdefgh", 8)
        ]

    def admit(self) -> None:
        """A batch of holds."""
        batch = self.batch_of_the_moment() if self.dice.random() < 0.3 else self.any_batch()
        rows = self.call("select request_id, verdict from admit_v1(%s, %s::jsonb)", batch)
        self.counts.update(verdict for _, verdict in rows)
        self.held += [str(request_id) for request_id, verdict in rows if verdict == "admitted"]
        if self.dice.random() < 0.1:
            self.ask_again(batch, {str(request_id) for request_id, verdict in rows if verdict == "admitted"})

    def ask_again(self, batch: list[Row], admitted: set[str]) -> None:
        """The answer was lost: what was admitted is still, unless somebody settled it meanwhile."""
        again = [row | {"replay": True} for row in batch if row["request_id"] in admitted]
        told = self.call("select request_id, verdict from admit_v1(%s, %s::jsonb)", again) if again else []
        assert {verdict for _, verdict in told} <= {"admitted", "settled"}, told

    def settle(self) -> None:
        """Some of ours and, as a sweeper would, some of whoever; in any order."""
        self.dice.shuffle(self.held)
        size = self.dice.randrange(1, 12)
        ended, self.held = self.held[:size], self.held[size:]
        if self.dice.random() < 0.2:
            ended += self.others(4)
        self.dice.shuffle(ended)
        if ended:
            self.settle_these(ended)

    def settle_these(self, ended: list[str]) -> None:
        """Charge these, whoever holds them."""
        rows = self.call(
            "select request_id, verdict from settle_v1(%s, %s::jsonb)", [self.end_of(it) for it in dict.fromkeys(ended)]
        )
        self.counts.update(f"{verdict} at the end" for _, verdict in rows)

    def others(self, count: int) -> list[str]:
        """Holds of anybody in these tenants."""
        tenants = list({template["tenant"] for template in self.templates})
        rows = self.connection.execute(
            "select request_id from billing_hold where tenant_id = any(%s) order by random() limit %s", [tenants, count]
        ).fetchall()
        return [str(row[0]) for row in rows]

    def end_of(self, request_id: str) -> Row:
        """A settlement whose price is below or above the hold."""
        row: Row = {
            "request_id": request_id, "status": "completed", "http_status": 200, "finish_reason": "stop", "pool": "p",
            "replica": "r", "node": "n", "site": "s", "ttft_ms": 1, "duration_ms": 2,
        }  # fmt: skip
        for meter in METERS:
            row |= {f"{meter}_quantity": self.dice.randrange(50), f"{meter}_nano_eur": self.dice.randrange(300_000)}
        return row

    def checkpoint(self) -> None:
        """What running streams report."""
        reports = {request_id: {"output": 1} for request_id in self.dice.sample(self.held, min(10, len(self.held)))}
        self.call("select checkpoint_v1(%s, %s::jsonb)", reports)

    def refuse(self) -> None:
        """Refusals of anybody."""
        batch = [
            {
                "request_id": str(UUID(int=self.dice.randrange(1 << 20))), "tenant_id": row["tenant"], "project_id": 1,
                "key_id": row["key_id"], "at": "2026-01-01T00:00:00Z", "code": "budget", "limit_name": "", "model": "m",
            }
            for row in self.dice.choices(self.templates, k=6)
        ]  # fmt: skip
        self.call("select refuse_v1(%s::jsonb) where %s::uuid is not null", batch)

    def race(self, batches: int) -> None:
        """So many calls."""
        while self.counts["batches"] < batches:
            turn = self.dice.random()
            if turn < 0.45 and len(self.held) < MOST_HELD:
                self.admit()
            elif turn < 0.92:
                self.settle()
                if not self.held:
                    self.admit()
            else:
                self.checkpoint()
        self.connection.close()


def main() -> None:
    """Race as told."""
    orders = json.load(sys.stdin)
    racer = Racer(orders["url"], orders["seed"], orders["templates"])
    racer.race(orders["batches"])
    json.dump(racer.counts, sys.stdout)


if __name__ == "__main__":
    main()
