"""Where something that blocks a closing is mended, and what lines of invoices say, for the pages of closing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.closing.blocks import Block, Where
from billing.invoices.document.page import priced
from billing.invoices.words import description_of, explanation_of, quantity_of
from billing.models import Closing
from billing.models.closings import LineColumns
from identity.audit import ActorKind
from identity.models import Person, Tenant

_LINKS: dict[Where, Promise] = {
    Where.SERVICE: _("Settings of the service"),
    Where.BILLING_SETTINGS: _("Billing settings"),
    Where.PARTY: _("Its legal identity"),
    Where.LEDGER: _("The check of the ledger"),
    Where.MONTH: _("That month"),
}


@dataclass(frozen=True, slots=True)
class ShownBlock:
    """Why a month is not issued, and the page on which it is mended; "" where time does."""

    text: str
    address: str
    label: str


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line in the reader's language; amounts as they are in the row."""

    row: LineColumns
    description: str
    explanation: str
    quantity: str
    price: str


def approvers_of(closing: Closing) -> list[str]:
    """Who approved it: people by their names, as long as these are known."""
    told = [approval.partition(":") for approval in closing.approvals]
    pseudonyms = [name for kind, _colon, name in told if kind == ActorKind.OPERATOR]
    names = {str(one.pseudonym): str(one) for one in Person.objects.filter(pseudonym__in=pseudonyms)}
    return [names.get(name, name) for _kind, _colon, name in told]


def shown_blocks(blocks: Iterable[Block], tenant: Tenant) -> list[ShownBlock]:
    """Each with its way to where it is mended."""
    return [_shown(block, tenant) for block in blocks]


def shown_lines(lines: Iterable[LineColumns], month: date) -> list[ShownLine]:
    """Each in words."""
    found = []
    for line in lines:
        said = explanation_of(line, invoice_month=month)
        found.append(ShownLine(line, description_of(line), said, *priced(*quantity_of(line))))
    return found


def _shown(block: Block, tenant: Tenant) -> ShownBlock:
    addresses = {
        Where.SERVICE: lambda: reverse("operator-service"),
        Where.BILLING_SETTINGS: lambda: reverse("operator-billing-settings"),
        Where.PARTY: lambda: reverse("operator-legal-party", kwargs={"slug": tenant.slug}),
        Where.LEDGER: lambda: reverse("operator-billing"),
        Where.MONTH: lambda: reverse(
            "operator-closing-one", kwargs={"slug": tenant.slug, "month": f"{block.month:%Y-%m}"}
        ),
    }
    if block.where not in addresses:
        return ShownBlock(block.text, "", "")
    return ShownBlock(block.text, addresses[block.where](), str(_LINKS[block.where]))
