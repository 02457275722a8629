"""How agreements are said: where a value comes from, what a discount or fixed line is."""

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from billing.contracts.contracts import agreed_kinds
from billing.contracts.sheet import are_prices_agreed
from billing.contracts.terms import name_of
from billing.limits.standing import LimitStanding
from billing.models import Contract, ContractTerm
from billing.shares import format_percent
from console.templatetags.console import money, month, plain_day

register = template.Library()
register.filter("term_name", name_of)
Kind = ContractTerm.Kind


@register.simple_tag
def source_of(contract: Contract, is_agreed: object) -> str:
    """Such as "from the tier Gold", or "agreed: contract of 3 March 2027"."""
    if not is_agreed:
        return _("from the tier %(tier)s") % {"tier": contract.tier.name}
    return _("agreed: %(paper)s") % {"paper": paper_of(contract)}


@register.simple_tag
def source_of_limit(contract: Contract, limit: LimitStanding) -> str:
    """As `source_of`, of a limit that the contract brought."""
    return str(source_of(contract, (limit.what, limit.window) in agreed_kinds(contract.agreement)))


@register.filter
def positive(amount: int) -> int:
    """Without its sign, which is written beside it."""
    return abs(amount)


@register.simple_tag
def source_of_prices(contract: Contract) -> str:
    """As `source_of`, of the price list."""
    return str(source_of(contract, are_prices_agreed(contract)))


@register.filter
def paper_of(contract: Contract) -> str:
    """What to call what was agreed: its reference, or the day of the contract."""
    agreement = contract.agreement
    if agreement is not None and agreement.reference:
        return agreement.reference
    return _("contract of %(day)s") % {"day": plain_day(contract.starts_at)}


@register.filter
def percent(share: int | None) -> str:
    """A share in millionths, as people write it."""
    return format_percent(share or 0, _language())


@register.filter
def term_value(term: ContractTerm) -> SafeString:
    """What a discount or fixed line comes to, in a few words."""
    if term.kind == Kind.PERCENT:
        return format_html("{}", percent(term.share_millionths))
    if term.kind == Kind.STEPS:
        lines = ((percent(step["share_millionths"]), money(step["above_nano_eur"])) for step in term.steps)
        words = _("%(percent)s above %(amount)s")
        return format_html_join(mark_safe("<br>"), "{}", ((_filled(words, *line),) for line in lines))
    if term.kind == Kind.COMMITMENT and term.share_millionths:
        words = _("%(amount)s at least, for %(percent)s off")
        return _filled(words, percent(term.share_millionths), money(term.amount_nano_eur))
    if term.kind == Kind.COMMITMENT:
        return _filled(_("%(amount)s at least"), "", money(term.amount_nano_eur))
    return money(term.amount_nano_eur)


@register.filter
def term_months(term: ContractTerm) -> str:
    """From which month to which."""
    first = month(term.first_month)
    if term.last_month is None:
        return _("from %(month)s") % {"month": first}
    if term.last_month == term.first_month:
        return first
    return _("%(first)s to %(last)s") % {"first": first, "last": month(term.last_month)}


def _filled(words: str, share: str, amount: SafeString) -> SafeString:
    """The words with both; only the amount is markup."""
    return format_html(words.replace("%(percent)s", "{percent}").replace("%(amount)s", "{amount}"),
                       percent=share, amount=amount)  # fmt: skip


def _language() -> str:
    return (get_language() or "en").partition("-")[0]
