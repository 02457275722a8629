"""Tags of prepaid credit: its entries and orders in words."""

from django import template
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from billing.credit.account import Movement
from billing.models import CreditOrder, LedgerEntry
from console.templatetags.console import status

register = template.Library()
_KINDS: dict[str, Promise] = {
    LedgerEntry.Kind.TOP_UP: _("Top-up"),
    LedgerEntry.Kind.EXPIRY: _("Expiry"),
    LedgerEntry.Kind.CORRECTION: _("Correction"),
}
_STATES: dict[str, tuple[str, Promise]] = {
    CreditOrder.State.OPEN: ("pending", _("waits for your payment")),
    CreditOrder.State.PAID: ("completed", _("paid")),
    CreditOrder.State.CANCELLED: ("cancelled", _("cancelled")),
}


@register.filter
def movement_words(movement: Movement) -> str:
    """Such as "Top-up"."""
    return str(_KINDS.get(movement.kind, movement.kind))


@register.filter
def movement_reference(movement: Movement) -> str:
    """What a person wrote about it."""
    if movement.kind == LedgerEntry.Kind.EXPIRY:
        return str(_("Unspent at the end of its time"))
    return movement.reference or movement.reason or movement.purchase_order or ""


@register.simple_tag
def order_state(order: CreditOrder) -> SafeString:
    """The state of an order."""
    name, word = _STATES[order.state]
    return status(name, str(word))
