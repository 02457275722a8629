"""What is told of prepaid credit: to a tenant's members, and to the operators who wait for a payment."""

from django.utils.translation import gettext_lazy as _

from identity.notice_kinds.kind import BUILDERS, PAYERS, Level, NoticeKind, Topic

_CREDIT = "/t/{tenant}/billing/credit"

CREDIT_KINDS = (
    NoticeKind(
        "credit.recorded",
        Topic.MONEY,
        _("Payments that became credit"),
        _("%(amount_nano_eur)s were added to your credit"),
        _("Your payment was recorded. Reference: %(reference)s"),
        roles=PAYERS,
        link=_CREDIT,
        mailed=PAYERS,
    ),
    NoticeKind(
        "credit.order_cancelled",
        Topic.MONEY,
        _("Orders of credit that were cancelled"),
        _("Your order of %(amount_nano_eur)s of credit was cancelled"),
        _("The operator cancelled it. Reason: %(reason)s"),
        level=Level.WARNING,
        roles=PAYERS,
        link=_CREDIT,
        mailed=PAYERS,
    ),
    NoticeKind(
        "credit.low",
        Topic.MONEY,
        _("Credit that is running low"),
        _("%(left_nano_eur)s of your credit are left"),
        _("That is less than %(threshold_nano_eur)s, where you wanted to be told. At zero, requests are refused."),
        level=Level.WARNING,
        roles=PAYERS,
        link=_CREDIT,
        mailed=PAYERS,
    ),
    NoticeKind(
        "credit.used_up",
        Topic.MONEY,
        _("Credit that is used up"),
        _("Your credit is used up"),
        _("%(left_nano_eur)s are left, and requests are refused. Order a top-up."),
        level=Level.ALERT,
        roles=PAYERS | BUILDERS,
        link=_CREDIT,
        mailed=PAYERS | BUILDERS,
        is_kept=True,
    ),
    NoticeKind(
        "credit.ending",
        Topic.MONEY,
        _("Credit that expires soon"),
        _("%(left_nano_eur)s of your credit expire soon"),
        _("What is not used by %(expires_at)s is lost."),
        level=Level.WARNING,
        roles=PAYERS,
        link=_CREDIT,
        mailed=PAYERS,
    ),
    NoticeKind(
        "credit.expired",
        Topic.MONEY,
        _("Credit that expired"),
        _("%(amount_nano_eur)s of your credit expired"),
        _("They were not used before the end of their time."),
        level=Level.WARNING,
        roles=PAYERS,
        link=_CREDIT,
        mailed=PAYERS,
    ),
)

CREDIT_OPERATOR_KINDS = (
    NoticeKind(
        "credit.ordered",
        Topic.OPERATION,
        _("Orders of prepaid credit"),
        _("%(organisation)s ordered %(amount_nano_eur)s of credit"),
        _("Record the payment when it comes. Purchase order: %(purchase_order)s"),
        level=Level.WARNING,
        link="/operator/billing/credit",
    ),
)
