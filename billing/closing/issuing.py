"""Closing a tenant's month: approved by who may, then issued, once and for ever.

Issuing is one transaction a tenant. It locks the tenant, then the closing, so that of two at once the second finds the
invoice that the first made; it draws the number last, from a counter that is locked until the end, so that numbers of
a series have no gap and a crash burns none. What was issued the database keeps as it is.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from billing.clock import database_now
from billing.closing.blocks import APPROVALS, Block, Code, Facts, Where, blocks_of, facts_of
from billing.closing.carried_over import credit_without_room
from billing.closing.contents import Head, contents_of, head_of, is_below_zero
from billing.closing.period import Period
from billing.closing.previews import standing_of
from billing.credit.account import account_of
from billing.credit.moves import give_back
from billing.invoices.document.contents import from_json
from billing.invoices.document.faults import missing_of
from billing.invoices.issued import enter, keep, keep_lines, next_number, statement_number
from billing.models import Closing, DraftLine, Invoice
from identity import audit
from identity.errors import Conflict, NotFound
from identity.models import Tenant
from identity.operators import Operator
from identity.permissions import OperatorPermission

State = Closing.State
ISSUED_SECONDS = 8.0  # of one call that issues many: some hundred invoices


class Blocked(Conflict):
    """Something keeps the month from being approved, or issued."""

    def __init__(self, blocks: list[Block]) -> None:
        super().__init__(" ".join(block.text for block in blocks))
        self.blocks = blocks


@dataclass(frozen=True, slots=True)
class Done:
    """What one call did for many: how many went through, how many are held by something, how many are left to do."""

    done: int
    blocked: int
    left: int


def closing_of(tenant: Tenant, month: date) -> Closing:
    """The closing of the tenant's month. Raises `NotFound` before its first preview was asked for."""
    found = Closing.objects.select_related("tenant").filter(tenant=tenant, month=month).first()
    if found is None:
        raise NotFound("closing")
    return found


def approve(*, by: Operator, tenant: Tenant, month: date) -> Closing:
    """Say that the month may be issued as it was previewed. Where two people have to, each says it once.

    Raises `Forbidden`, `NotFound`, `Conflict` (a key where two people are wanted), `Blocked`.
    """
    by.require(OperatorPermission.INVOICE_ISSUE)
    with transaction.atomic():
        closing, facts = _locked(tenant, month)
        if closing.state in (State.APPROVED, State.ISSUED):
            return closing
        if blocks := [one for one in blocks_of(tenant, month, closing, facts) if one.code not in APPROVALS]:
            raise Blocked(blocks)
        needs_two = facts.house.settings.needs_two_people
        if needs_two and by.key is not None:
            raise Conflict(_("Two people have to approve: a key is none."))
        if has_approved(by, closing):
            raise Conflict(_("You approved it already: a second person has to."))
        closing.approvals = [*closing.approvals, _name_of(by)]
        if len(closing.approvals) >= (2 if needs_two else 1):
            closing.state = State.APPROVED
        closing.save(update_fields=["approvals", "state"])
        _record(by, tenant, "closing.approved", month, {"exact_nano_eur": closing.exact_nano_eur})
    return closing


def has_approved(by: Operator, closing: Closing) -> bool:
    """Whether they approved it already."""
    return _name_of(by) in closing.approvals


def take_back_approval(*, by: Operator, tenant: Tenant, month: date) -> bool:
    """Let nobody have approved it. False where nobody had. Raises `Forbidden`, `NotFound`, `Conflict`: it is issued."""
    by.require(OperatorPermission.INVOICE_ISSUE)
    with transaction.atomic():
        closing, _facts = _locked(tenant, month)
        if closing.state == State.ISSUED:
            raise Conflict(_("The month is issued: what is wrong is corrected by a credit note."))
        if not closing.approvals:
            return False
        Closing.objects.filter(pk=closing.pk).update(state=State.PREVIEWED, approvals=[])
        _record(by, tenant, "closing.approval_taken_back", month, {})
    return True


def issue(*, by: Operator, tenant: Tenant, month: date) -> Invoice | None:
    """Issue the month's invoice, or statement; the one that there is where it was issued before.

    None: the month is closed without one, as there was nothing to bill, or as a seller's comes to less than zero and
    goes on to the next month (`is_carried_over`). Raises `Forbidden`, `NotFound`, `Blocked`.
    """
    by.require(OperatorPermission.INVOICE_ISSUE)
    with transaction.atomic():
        closing, facts = _locked(tenant, month)
        if closing.state == State.ISSUED:
            return Invoice.objects.filter(closing=closing).first()
        if blocks := blocks_of(tenant, month, closing, facts):
            raise Blocked(blocks)
        period = facts.period(tenant, month, None)
        credit_nano_eur = _require_unchanged(closing, period, facts)
        lines = list(DraftLine.objects.filter(closing=closing).order_by("position"))
        now = database_now()
        _enter_terms(by, tenant, lines)
        head = head_of(facts.house, closing, period, credit_nano_eur, now.astimezone(UTC).date())
        invoice = _issued(by, closing, head, facts, lines, now) if lines else None
        DraftLine.objects.filter(closing=closing).delete()
        Closing.objects.filter(pk=closing.pk).update(
            state=State.ISSUED,
            issued_at=now,
            starts_at=period.starts_at,
            ends_at=period.ends_at,
            credit_returned_nano_eur=_give_back(by, closing, invoice) if invoice else 0,
        )
        action = "invoice.issued" if invoice or not lines else "closing.carried_over"
        detail = {"number": invoice.number} if invoice else {}
        _record(by, tenant, action, month, detail | {"exact_nano_eur": closing.exact_nano_eur})
    return invoice


def approve_all(*, by: Operator, month: date, tenants: Iterable[Tenant]) -> Done:
    """Approve what can be, each in a transaction of its own. Raises `Forbidden`."""
    return _each(by, month, tenants, (State.PREVIEWED,), issues=False)


def issue_all(*, by: Operator, month: date, tenants: Iterable[Tenant]) -> Done:
    """Issue what is approved, each in a transaction of its own, for some seconds. Raises `Forbidden`."""
    return _each(by, month, tenants, (State.APPROVED,), issues=True)


def _each(by: Operator, month: date, tenants: Iterable[Tenant], states: tuple[str, ...], *, issues: bool) -> Done:
    by.require(OperatorPermission.INVOICE_ISSUE)
    due = Closing.objects.filter(tenant__in=[tenant.pk for tenant in tenants], month=month, state__in=states)
    waiting = list(due.select_related("tenant").order_by("tenant__name", "tenant"))
    deadline, done, blocked = time.monotonic() + ISSUED_SECONDS, 0, 0
    for number, closing in enumerate(waiting):
        if time.monotonic() > deadline:
            return Done(done, blocked, len(waiting) - number)
        try:
            (issue if issues else approve)(by=by, tenant=closing.tenant, month=month)
            done += 1
        except Conflict:
            blocked += 1
    return Done(done, blocked, 0)


def _name_of(by: Operator) -> str:
    return f"{by.actor.kind.value}:{by.actor.name}"


def _locked(tenant: Tenant, month: date) -> tuple[Closing, Facts]:
    """The closing, locked after its tenant as every change of a tenant's money is."""
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    closing = Closing.objects.select_for_update(of=("self",)).filter(tenant=tenant, month=month).first()
    if closing is None:
        raise NotFound("closing")
    closing.tenant = tenant
    return closing, facts_of([tenant])


def _require_unchanged(closing: Closing, period: Period, facts: Facts) -> int:
    """What the bill counts of prepaid credit, in nano-EUR. Raises `Blocked` where the ledger says something else than
    when the lines were made.
    """
    standing, credit_nano_eur = standing_of(closing, period, facts)
    if standing != closing.standing:
        text = _("The ledger has changed since the preview: make it anew.")
        raise Blocked([Block(Code.CHANGED, text, Where.CLOSING)])
    return credit_nano_eur


def _enter_terms(by: Operator, tenant: Tenant, lines: list[DraftLine]) -> None:
    """Each term of the contract becomes an entry of the ledger, once a tenant and month by its key."""
    for line in lines:
        if line.kind == DraftLine.Kind.TERM and line.exact_nano_eur:
            line.entry_id = enter(
                tenant=tenant,
                kind=line.entry_kind,
                amount_nano_eur=line.exact_nano_eur,
                reason=line.text,
                by=by,
                idempotency_key=line.term_key,
            )


def _issued(
    by: Operator, closing: Closing, head: Head, facts: Facts, lines: list[DraftLine], now: datetime
) -> Invoice | None:
    tenant, month = closing.tenant, closing.month
    contents = contents_of(facts.house, tenant, head, lines)
    if is_below_zero(contents):
        return None
    number = next_number(head.series) if head.series else statement_number(tenant, month)
    contents = replace(contents, number=number)
    if missing := missing_of(contents):
        raise Blocked([Block(Code.DOCUMENT, text, Where.CLOSING) for text in missing])
    invoice = keep(contents, tenant=tenant, by=by, month=month, now=now, closing=closing)
    keep_lines(invoice, lines)
    return invoice


def _give_back(by: Operator, closing: Closing, invoice: Invoice) -> int:
    """What of the credit that was used goes back to it, in nano-EUR; where credit rests, the next bill counts it."""
    account, left = account_of(closing.tenant), credit_without_room(closing, invoice)
    if not left or account is None or not account.is_in_use:
        return 0
    with translation.override(from_json(invoice.contents).language):
        give_back(by=by, tenant=closing.tenant, month=closing.month, number=invoice.number, amount_nano_eur=left)
    return left


def _record(by: Operator, tenant: Tenant, action: str, month: date, detail: dict[str, object]) -> None:
    """In the tenant's chain, and in the platform's."""
    told = {"month": f"{month:%Y-%m}", **detail}
    noun = action.partition(".")[0]
    target = audit.Target(noun, str(detail.get("number") or f"{month:%Y-%m}"))
    audit.record(tenant=tenant, actor=by.actor, action=action, target=target, detail=told)
    audit.record(actor=by.actor, action=action, target=target, detail=told | {"tenant": tenant.pk})
