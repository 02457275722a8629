"""What members are told of invoices, and operators of those whose files could not be made."""

from django.utils.translation import gettext_lazy as _

from identity.notice_kinds.kind import OWNERS, PAYERS, Level, NoticeKind, Topic

_INVOICE = "/t/{tenant}/billing/invoices/{invoice}"
_PAYERS_INVOICE = "/payer/invoices/{invoice}"

INVOICE_KINDS = (
    NoticeKind(
        "invoice.issued",
        Topic.MONEY,
        _("New invoices"),
        _("Invoice %(number)s of %(total_nano_eur)s"),
        _("It is for the month that began on %(month_on)s, and due on %(due_on)s. Its PDF and XML can be downloaded."),
        roles=PAYERS,
        link=_INVOICE,
        mailed=PAYERS,
    ),
    NoticeKind(
        "invoice.overdue",
        Topic.MONEY,
        _("Invoices that are overdue"),
        _("Invoice %(number)s is overdue: %(left_nano_eur)s are left to pay"),
        _("It was due on %(due_on)s, %(days)s days ago. If you paid it since, the payment is not recorded yet."),
        level=Level.WARNING,
        roles=PAYERS,
        link=_INVOICE,
        mailed=PAYERS,
    ),
    NoticeKind(
        "credit_note.issued",
        Topic.MONEY,
        _("New credit notes"),
        _("Credit note %(number)s of %(total_nano_eur)s"),
        _("It takes back a part, or all, of an invoice of the month that began on %(month_on)s."),
        roles=PAYERS,
        link=_INVOICE,
        mailed=PAYERS,
        fields=frozenset({"due_on"}),
    ),
    NoticeKind(
        "statement.issued",
        Topic.MONEY,
        _("New statements"),
        _("Statement %(number)s of %(total_nano_eur)s"),
        _("It is what the month that began on %(month_on)s came to. There is nothing to pay."),
        roles=PAYERS,
        link=_INVOICE,
        mailed=PAYERS,
        fields=frozenset({"due_on"}),
    ),
)

PAYER_KINDS = (
    NoticeKind(
        "payer.asked",
        Topic.MONEY,
        _("Who is asked to pay"),
        _("%(by)s asks you to pay for %(organisation)s"),
        _(
            "Sign in with this address to say who pays in law, or to decline. You then see what is made out to you, "
            "and nothing else of %(organisation)s."
        ),
        roles=OWNERS,
        link="/payer",
    ),
    NoticeKind(
        "payer.invoiced",
        Topic.MONEY,
        _("Invoices and credit notes to a payer"),
        _("%(number)s of %(total_nano_eur)s is made out to you"),
        _("It is for %(organisation)s and the month that began on %(month_on)s. Its PDF and XML can be downloaded."),
        roles=OWNERS,
        link=_PAYERS_INVOICE,
    ),
    NoticeKind(
        "payer.overdue",
        Topic.MONEY,
        _("Overdue invoices of a payer"),
        _("Invoice %(number)s is overdue: %(left_nano_eur)s are left to pay"),
        _(
            "It is for %(organisation)s and was due on %(due_on)s. If you paid it since, the payment is not recorded "
            "yet."
        ),
        level=Level.WARNING,
        roles=OWNERS,
        link=_PAYERS_INVOICE,
        fields=frozenset({"days"}),
    ),
    NoticeKind(
        "payer.accepted",
        Topic.MONEY,
        _("A payer that accepts"),
        _("%(name)s pays from now on"),
        _("Invoices are made out to %(name)s from the next one on."),
        roles=PAYERS,
        mailed=PAYERS,
        link="/t/{tenant}/billing/payer",
    ),
    NoticeKind(
        "payer.ended",
        Topic.MONEY,
        _("A payer that pays no more"),
        _("%(name)s pays no more"),
        _("Invoices are made out to your organisation from the next one on."),
        level=Level.WARNING,
        roles=PAYERS,
        mailed=PAYERS,
        link="/t/{tenant}/billing/payer",
    ),
)

INVOICE_OPERATOR_KINDS = (
    NoticeKind(
        "invoice.not_drawn",
        Topic.OPERATION,
        _("Invoices whose files could not be made"),
        _("The files of %(number)s could not be made"),
        _("It is %(organisation)s's. It is tried again, later each time. The fault: %(fault)s"),
        level=Level.WARNING,
    ),
)
