"""Every kind of notice that there is. `notices.notify()` takes no other, and a test reads the code for it."""

from identity.errors import NotFound
from identity.notice_kinds.credit import CREDIT_KINDS, CREDIT_OPERATOR_KINDS
from identity.notice_kinds.invoices import INVOICE_KINDS, INVOICE_OPERATOR_KINDS, PAYER_KINDS
from identity.notice_kinds.kind import Level, NoticeKind, Topic, by_name
from identity.notice_kinds.operator import OPERATOR_KINDS
from identity.notice_kinds.platform import MODEL_KINDS, PLATFORM_KINDS
from identity.notice_kinds.tenant import KEY_KINDS, MONEY_KINDS, PEOPLE_KINDS, SETTING_KINDS

__all__ = ["KINDS", "Level", "NoticeKind", "Topic", "kind_named"]

KINDS: dict[str, NoticeKind] = by_name(
    (
        *PLATFORM_KINDS,
        *MODEL_KINDS,
        *KEY_KINDS,
        *MONEY_KINDS,
        *CREDIT_KINDS,
        *INVOICE_KINDS,
        *PAYER_KINDS,
        *PEOPLE_KINDS,
        *SETTING_KINDS,
        *OPERATOR_KINDS,
        *CREDIT_OPERATOR_KINDS,
        *INVOICE_OPERATOR_KINDS,
    )
)


def kind_named(name: str) -> NoticeKind:
    """The kind of that name. Raises `NotFound`."""
    if name not in KINDS:
        raise NotFound("kind of notice")
    return KINDS[name]
