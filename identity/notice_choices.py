"""What a person chose of notices: each kind that may reach them, in the inbox and by e-mail."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from identity.errors import Invalid
from identity.models import Channel, Membership, NoticeChoice, Person, Role
from identity.notice_kinds import KINDS, NoticeKind
from identity.notice_kinds.operator import OPERATOR_KINDS

_FOR_OPERATORS = {kind.name for kind in OPERATOR_KINDS}
# Made for one recipient at a moment, never on a list of things to choose.
_NOT_CHOSEN = {"webhook.tested", "invitation.received"}
CHOSEN_CHANNELS = (Channel.INBOX, Channel.EMAIL)


@dataclass(frozen=True, slots=True)
class KindChoice:
    """How notices of a kind reach a person. `inbox_is_fixed`: it cannot be switched off."""

    kind: NoticeKind
    by_inbox: bool
    by_email: bool

    @property
    def inbox_is_fixed(self) -> bool:
        """Not knowing of it would be dangerous."""
        return self.kind.is_kept


def choices_of(person: Person) -> list[KindChoice]:
    """Every kind that can reach the person in one of their roles, in the registry's order."""
    roles = _roles_of(person)
    chosen = {(choice.kind, choice.channel): choice.is_on for choice in NoticeChoice.objects.filter(person=person)}
    return [
        KindChoice(
            kind,
            by_inbox=kind.is_kept or chosen.get((kind.name, Channel.INBOX), True),
            by_email=chosen.get((kind.name, Channel.EMAIL), _is_mailed(kind, roles)),
        )
        for kind in KINDS.values()
        if kind.name not in _NOT_CHOSEN and _reaches(kind, roles)
    ]


def choose(person: Person, wanted: Mapping[tuple[str, Channel], bool]) -> None:
    """How notices reach the person from now on: (kind, channel) -> whether; what is not named stays.

    What is as by default is not kept, so that a better default reaches who never chose. Raises `Invalid`.
    """
    roles = _roles_of(person)
    for name, channel in wanted:
        if name not in KINDS or channel not in CHOSEN_CHANNELS:
            raise Invalid("kind", _("is none that can be chosen"))
    with transaction.atomic():
        for (name, channel), is_on in wanted.items():
            mine = NoticeChoice.objects.filter(person=person, kind=name, channel=channel)
            default = True if channel == Channel.INBOX else _is_mailed(KINDS[name], roles)
            if is_on == default:
                mine.delete()
            else:
                NoticeChoice.objects.update_or_create(
                    person=person, kind=name, channel=channel, defaults={"is_on": is_on}
                )


def _roles_of(person: Person) -> list[Role | None]:
    """The person's roles in all tenants; None stands for the platform's."""
    roles: list[Role | None] = [
        Role(role) for role in Membership.objects.filter(person=person).values_list("role", flat=True)
    ]
    return [*roles, None] if person.is_operator else roles


def _reaches(kind: NoticeKind, roles: list[Role | None]) -> bool:
    if kind.name in _FOR_OPERATORS:
        return None in roles
    return any(role is not None and (not kind.roles or role in kind.roles) for role in roles)


def _is_mailed(kind: NoticeKind, roles: list[Role | None]) -> bool:
    asked = [None] if kind.name in _FOR_OPERATORS else [role for role in roles if role is not None]
    return any(kind.is_mailed_to(role) for role in asked)
