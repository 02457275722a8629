"""What the ledger promises, written down once more in memory: one request at a time, without batches, locks or SQL.

The state machine compares the tables with it after every step. Money is nano-EUR; instants are the database's clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.pricing import METERS
from tests.billing.ledger_calendar import FOREVER, NEVER, bounds

Row = dict[str, Any]
QUANTITIES = tuple(f"{meter}_quantity" for meter in METERS)
LABELS = ("requests", "failed_requests", "input_tokens", "output_tokens", "cost_nano_eur")
HOURS = ("requests", "failed_requests", *QUANTITIES, "cost_nano_eur", "uncharged_nano_eur")
DEFAULTS = {"parent_id": None, "door": "api", "guardrail": "", "label": ""}


@dataclass
class Tenant:
    id: int
    zone: str
    contract: int
    version: int
    price_version: int
    refused: str | None = None


@dataclass
class Key:
    id: int
    project: int
    tenant: Tenant
    version: int
    owner: Any
    refused: str | None = None


@dataclass
class Budget:
    id: int
    tenant: Tenant
    scope: str
    scope_id: int
    period: str
    limit: int
    is_hard: bool
    source: str
    is_active: bool = True


@dataclass
class Period:
    budget: Budget
    starts_at: datetime
    ends_at: datetime
    limit: int
    cap: int | None
    spent: int = 0
    held: int = 0

    @property
    def headroom(self) -> int:
        assert self.cap is not None
        return self.cap - self.spent - self.held


@dataclass
class Limit:
    id: int
    tenant: Tenant
    scope: str
    scope_id: int
    what: str
    window: str
    amount: int
    is_active: bool = True

    def takes(self, row: Row) -> int:
        return int({"tokens": row["tokens"], "output_tokens": row["output_tokens"]}.get(self.what, 1))


@dataclass
class Window:
    limit: Limit
    starts_at: datetime
    ends_at: datetime
    used: int = 0


@dataclass
class Hold:
    row: Row
    key: Key
    incarnation: Any
    contract: int
    periods: list[Period]
    windows: list[Window]
    admitted_at: datetime
    checkpoint: Row | None = None


@dataclass
class Answer:
    """A verdict, and the details that may come with it: `standing` by kind of limit, or one of `details`."""

    verdict: str
    details: list[Any] = field(default_factory=lambda: [None])
    standing: dict[str, list[list[int]]] | None = None

    def agrees_with(self, verdict: str, detail: Any) -> bool:
        """Whether the ledger may have answered this."""
        if verdict != self.verdict or self.standing is None:
            return verdict == self.verdict and detail in self.details
        told = detail or {}
        return told.keys() == self.standing.keys() and all(_may_stand(told[what], self.standing[what]) for what in told)


def _may_stand(told: list[int], figures: list[list[int]]) -> bool:
    """Whether a limit stood so at some moment of the batch."""
    left = [remaining for _, remaining, _ in figures]
    if min(left) == max(left):
        return told in figures
    return min(left) <= told[1] <= max(left)


@dataclass
class Books:
    """The whole state. Ids of periods are the database's business: a period is named by its budget and its end."""

    keys: dict[int, Key]
    budgets: list[Budget] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    periods: list[Period] = field(default_factory=list)
    windows: dict[int, Window] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    records: dict[str, Row] = field(default_factory=dict)
    hours: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    days: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    labels: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    idempotency: dict[tuple[int, str], tuple[str, datetime]] = field(default_factory=dict)

    def admit(self, rows: list[Row], incarnation: Any, now: datetime) -> list[Answer]:
        """Decide a batch: its answers in its order."""
        rows = [row | {"position": position} for position, row in enumerate(rows)]
        keys = [self.keys[row["key_id"]] for row in rows if row["key_id"] in self.keys]
        self._open(keys, now)
        for key in keys:
            for window in self._windows_of(key):
                if window.ends_at <= now:
                    window.starts_at, window.ends_at = bounds(window.limit.window, key.tenant.zone, now)
                    window.used = 0
        before = {key.id: self._standing(key, now) for key in keys} if len(rows) > 1 else {}
        turns = {row["position"]: self._admit_one(row, incarnation, now) for row in sorted(rows, key=_turn)}
        answers = [turns[row["position"]] for row in rows]
        for row, answer in zip(rows, answers, strict=True):  # the standing may be of any moment from before to after it
            if answer.standing is not None:
                for what, figures in self._standing(self.keys[row["key_id"]], now).items():
                    answer.standing[what] += figures + before.get(row["key_id"], {}).get(what, [])
        return answers

    def _admit_one(self, row: Row, incarnation: Any, now: datetime) -> Answer:
        key = self.keys.get(row["key_id"])
        if key is None:
            return Answer("key_unknown")
        request_id = row["request_id"]
        if request_id in self.holds:
            return Answer("admitted", standing=self._standing(key, now))
        if request_id in self.records:
            return Answer("settled")
        if objection := _objection(row, key):
            return Answer(objection)
        first = self.idempotency.get((key.id, row.get("idempotency") or ""))
        if first:
            return Answer("repeated", [{"request_id": first[0]}])
        periods, windows = self._periods_of(key, now), self._windows_of(key)
        refused = _over_budget(row, periods) or _over_limit(row, windows, now)
        if refused:
            return refused
        if row.get("idempotency"):
            self.idempotency[key.id, row["idempotency"]] = (request_id, now)
        for period in periods:
            period.held += row["amount"]
        for window in windows:
            window.used += window.limit.takes(row)
        self.holds[request_id] = Hold(row, key, incarnation, key.tenant.contract, periods, windows, now)
        return Answer("admitted", standing=self._standing(key, now))

    def _open(self, keys: Iterable[Key], now: datetime) -> None:
        """Periods and windows of tenants, where a key's path lacks one."""
        tenants = [key.tenant for key in keys]
        lacking = any(
            any(self._open_period(budget, now) is None for budget in self.budgets if _binds(budget, key))
            or any(limit.id not in self.windows for limit in self.limits if _binds(limit, key))
            for key in keys
        )
        if not lacking:
            return
        for budget in self.budgets:
            if budget.is_active and budget.tenant in tenants and self._open_period(budget, now) is None:
                starts_at, ends_at = bounds(budget.period, budget.tenant.zone, now)
                ended = [period.ends_at for period in self.periods if period.budget is budget and period.ends_at <= now]
                cap = budget.limit if budget.is_hard else None
                self.periods.append(Period(budget, max([starts_at, *ended]), ends_at, budget.limit, cap))
        for limit in self.limits:
            if limit.is_active and limit.tenant in tenants and limit.id not in self.windows:
                self.windows[limit.id] = Window(limit, NEVER, FOREVER if limit.what == "concurrent" else NEVER)

    def _open_period(self, budget: Budget, now: datetime) -> Period | None:
        return next((period for period in self.periods if period.budget is budget and period.ends_at > now), None)

    def _periods_of(self, key: Key, now: datetime) -> list[Period]:
        return [period for period in self.periods if _binds(period.budget, key) and period.ends_at > now]

    def _windows_of(self, key: Key) -> list[Window]:
        return [window for window in self.windows.values() if _binds(window.limit, key)]

    def _standing(self, key: Key, now: datetime) -> dict[str, list[list[int]]]:
        """The tightest limits of each kind: several where they are equally tight."""
        told: dict[str, list[list[int]]] = {}
        for what in ("requests", "tokens"):
            windows = [window for window in self._windows_of(key) if window.limit.what == what]
            left = [max(window.limit.amount - window.used, 0) for window in windows]
            told[what] = [
                [window.limit.amount, remaining, _seconds(window, now)]
                for window, remaining in zip(windows, left, strict=True)
                if remaining == min(left)
            ]
        return {what: figures for what, figures in told.items() if figures}

    def settle(self, rows: list[Row], now: datetime) -> dict[str, tuple[str, int | None, int | None]]:
        """Charge a batch; verdict, cost and uncharged amount by request id."""
        answers: dict[str, tuple[str, int | None, int | None]] = {}
        for row in {row["request_id"]: row for row in rows}.values():
            request_id = row["request_id"]
            verdict = "settled" if request_id in self.holds else "exists" if request_id in self.records else "unknown"
            if verdict == "settled":
                self._charge(self.holds.pop(request_id), row, now)
            record = self.records.get(request_id, {})
            answers[request_id] = (verdict, record.get("cost_nano_eur"), record.get("uncharged_nano_eur"))
        return answers

    def _charge(self, hold: Hold, row: Row, now: datetime) -> None:
        price = sum(row[f"{meter}_nano_eur"] for meter in METERS)
        cost = min(price, hold.row["amount"])
        for period in hold.periods:
            period.held -= hold.row["amount"]
            period.spent += cost
            if period.cap is not None:
                period.cap = max(period.limit, period.spent + period.held)
        for window in hold.windows:
            _give_back(window, hold, row)
        record = _record(hold, row, now) | {"cost_nano_eur": cost, "uncharged_nano_eur": price - cost}
        self.records[row["request_id"]] = record
        hour = hold.admitted_at.replace(minute=0, second=0, microsecond=0)
        told = {"requests": 1, "failed_requests": int(row["http_status"] >= 400)} | record
        what = (hold.row["model_id"], hold.row["mode"])
        _add(self.hours, (hour, hold.key.tenant.id, hold.key.project, hold.key.id, *what), told)
        day = hold.admitted_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        _add(self.days, (day, hold.key.tenant.id, hold.key.project, *what), told)
        if record["label"]:
            told["input_tokens"] = row["input_quantity"] + row["cached_quantity"]
            told["output_tokens"] = row["output_quantity"] + row["reasoning_quantity"]
            _add(self.labels, (hour, hold.key.tenant.id, hold.key.project, what[0], record["label"]), told, LABELS)

    def set_limit(self, budget: Budget, limit: int, now: datetime) -> None:
        """A budget's limit; the open period's cap sinks to it, no lower than what is spent or held."""
        budget.limit = limit
        period = self._open_period(budget, now)
        if period is not None:
            period.limit = limit
            period.cap = max(limit, period.spent + period.held) if budget.is_hard else None

    def pass_time(self, span: timedelta) -> None:
        """Everything that was written gets older by `span`; what is for ever stays."""
        things: list[Period | Window] = [*self.periods, *self.windows.values()]
        for thing in things:
            if thing.starts_at > NEVER:
                thing.starts_at -= span
            if NEVER < thing.ends_at < FOREVER:
                thing.ends_at -= span
        for hold in self.holds.values():
            hold.admitted_at -= span
        self.idempotency = {name: (first, at - span) for name, (first, at) in self.idempotency.items()}

    def tidy(self, memory: timedelta, now: datetime) -> None:
        """Forget old idempotency keys."""
        self.idempotency = {name: seen for name, seen in self.idempotency.items() if seen[1] >= now - memory}


def _binds(thing: Budget | Limit, key: Key) -> bool:
    holders = {"tenant": key.tenant.id, "project": key.project, "key": key.id}
    return thing.is_active and thing.tenant is key.tenant and thing.scope_id == holders[thing.scope]


def _turn(row: Row) -> tuple[Any, ...]:  # those with idempotency keys last, in the order of these
    digest = row.get("idempotency")
    return (1, row["key_id"], digest, row["position"]) if digest else (0, row["position"])


def _objection(row: Row, key: Key) -> str | None:
    refused = key.refused or key.tenant.refused
    versions = (row["key_version"], row["tenant_version"], row["price_version_id"])
    return refused or ("stale" if versions != (key.version, key.tenant.version, key.tenant.price_version) else None)


def _over_budget(row: Row, periods: list[Period]) -> Answer | None:
    over = [period for period in periods if period.cap is not None and period.headroom < row["amount"]]
    if not over:
        return None
    tightest = min(period.headroom for period in over)
    return Answer(
        "budget",
        [
            {
                "budget_id": period.budget.id,
                "scope": period.budget.scope,
                "period": period.budget.period,
                "source": period.budget.source,
                "limit_nano_eur": period.limit,
                "spent_nano_eur": period.spent,
                "held_nano_eur": period.held,
                "headroom_nano_eur": max(period.headroom, 0),
                "may_lower_output": False,
                "resets_at": None if period.budget.period == "once" else period.ends_at,
            }
            for period in over
            if period.headroom == tightest
        ],
    )


def _over_limit(row: Row, windows: list[Window], now: datetime) -> Answer | None:
    over = [window for window in windows if window.used + window.limit.takes(row) > window.limit.amount]
    if not over:
        return None
    last = max(window.ends_at for window in over)
    return Answer(
        "limit",
        [
            {
                "limit_id": window.limit.id,
                "scope": window.limit.scope,
                "what": window.limit.what,
                "window": window.limit.window,
                "amount": window.limit.amount,
                "used": window.used,
                "asked": window.limit.takes(row),
                "seconds": 1 if window.limit.what == "concurrent" else _seconds(window, now),
            }
            for window in over
            if window.ends_at == last
        ],
    )


def _seconds(window: Window, now: datetime) -> int:
    return -((now - window.ends_at) // timedelta(seconds=1))


def _give_back(window: Window, hold: Hold, row: Row) -> None:
    """What a limit gets back at the end: the request at once, or the tokens that were estimated and not used."""
    what = window.limit.what
    output = row["output_quantity"] + row["reasoning_quantity"]
    back = 0
    if what == "concurrent":
        back = 1
    elif what == "tokens" and window.starts_at <= hold.admitted_at:
        back = max(hold.row["tokens"] - row["input_quantity"] - row["cached_quantity"] - output, 0)
    elif what == "output_tokens" and window.starts_at <= hold.admitted_at:
        back = max(hold.row["output_tokens"] - output, 0)
    window.used = max(window.used - back, 0)


def _add(
    sums: dict[tuple[Any, ...], list[int]], group: tuple[Any, ...], told: Row, names: Sequence[str] = HOURS
) -> None:
    before = sums.get(group, [0] * len(names))
    sums[group] = [sum_ + told[name] for sum_, name in zip(before, names, strict=True)]


def _record(hold: Hold, row: Row, now: datetime) -> Row:
    asked = hold.row
    return {
        **{name: value for name, value in row.items() if name != "request_id"},
        **DEFAULTS,
        **asked["description"],
        "tenant_id": hold.key.tenant.id,
        "project_id": hold.key.project,
        "key_id": hold.key.id,
        "owner": hold.key.owner,
        "model_id": asked["model_id"],
        "mode": asked["mode"],
        "contract_id": hold.contract,
        "price_version_id": asked["price_version_id"],
        "admitted_at": hold.admitted_at,
        "settled_at": now,
    }
