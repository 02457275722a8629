"""Amounts of invoices, for templates: cents as money, and a change with its sign."""

from django import template
from django.utils.safestring import SafeString

from billing.money import NANO_EUR_PER_CENT
from console.templatetags.console import money

register = template.Library()


@register.filter
def cents(amount: int | None) -> SafeString:
    """Cents as money, in the reader's way."""
    return money((amount or 0) * NANO_EUR_PER_CENT)


@register.filter
def signed(nano_eur: int) -> str:
    """Money with a plus where it is above zero."""
    shown = money(nano_eur)
    return SafeString(f"+{shown}") if nano_eur > 0 else shown
