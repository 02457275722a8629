"""What a kind of notice is: who gets it, by which way unless a person chose otherwise, and how it is worded."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Protocol

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from identity.models import Notice, Role

Level = Notice.Level

EVERYBODY: frozenset[Role] = frozenset()
OWNERS = frozenset({Role.OWNER})
ADMINISTRATORS = frozenset({Role.OWNER, Role.ADMINISTRATOR})
BUILDERS = ADMINISTRATORS | {Role.DEVELOPER}
PAYERS = ADMINISTRATORS | {Role.FINANCE}
OVERSEERS = ADMINISTRATORS | {Role.AUDITOR}

_IN_LINK = re.compile(r"{(\w+)}")


class Wording(Protocol):
    """A lazy translation with named placeholders."""

    def __mod__(self, values: Any, /) -> str: ...


class Topic(StrEnum):
    """What a notice is about; the pages group kinds by it."""

    PLATFORM = "platform"
    MODELS = "models"
    KEYS = "keys"
    MONEY = "money"
    PEOPLE = "people"
    OPERATION = "operation"

    @property
    def label(self) -> Promise:
        """For people."""
        return _TOPICS[self]


_TOPICS: dict[Topic, Promise] = {
    Topic.PLATFORM: _("The platform"),
    Topic.MODELS: _("Models and prices"),
    Topic.KEYS: _("Keys"),
    Topic.MONEY: _("Money"),
    Topic.PEOPLE: _("People and access"),
    Topic.OPERATION: _("Operation"),
}


@dataclass(frozen=True)
class NoticeKind:
    """A kind of notice.

    label: what it is about, without figures, for the page of choices
    title, text: lazy translations with the placeholders that `context` fills. By the end of its name a value is shown
    as what it is: `_nano_eur` money, `_at` a moment (ISO 8601), `_on` a day (ISO 8601); whole numbers are grouped
    roles: of a tenant's members, who gets it (empty: all); mailed: who of them also by e-mail unless they chose
    otherwise. The platform's own notices go to its operators, by e-mail too from `warning` on
    link: path of the page that shows what it is about; `{tenant}` is the tenant's slug, other names are the context's
    asks: the members can answer yes or no, with a comment
    is_kept: cannot be switched off in the inbox, as not knowing of it would be dangerous
    fields: names of the context beside those of the wording
    """

    name: str
    topic: Topic
    label: Promise
    title: Wording
    text: Wording
    level: Notice.Level = Level.INFO
    roles: frozenset[Role] = EVERYBODY
    mailed: frozenset[Role] = frozenset()
    link: str = ""
    asks: bool = False
    is_kept: bool = False
    fields: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """Names that the context must have."""
        linked = set(_IN_LINK.findall(self.link)) - {"tenant"}
        return frozenset(_placeholders(self.title) | _placeholders(self.text) | linked) | self.fields

    def check(self, context: Mapping[str, Any]) -> None:
        """Raises ValueError for a context that lacks what the wording needs."""
        if missing := self.placeholders - context.keys():
            raise ValueError(f"a notice of kind {self.name} needs {', '.join(sorted(missing))}")

    def is_mailed_to(self, role: Role | None) -> bool:
        """Whether somebody with the role gets it by e-mail too, unless they chose otherwise; None: an operator."""
        if role is None:
            return self.level != Level.INFO
        return role in self.mailed


def by_name(kinds: Iterable[NoticeKind]) -> dict[str, NoticeKind]:
    """The kinds by their names, which must differ."""
    found: dict[str, NoticeKind] = {}
    for kind in kinds:
        if kind.name in found:
            raise ValueError(f"two kinds of notices are called {kind.name}")
        found[kind.name] = kind
    return found


class _Asked(dict[str, int]):
    """Fills any placeholder with the same number and remembers its name."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def __missing__(self, name: str) -> int:
        self[name] = self._number
        return self._number


def _placeholders(wording: Wording) -> set[str]:
    """The names that a translation wants filled, in both its forms where it counts."""
    names: set[str] = set()
    for number in (1, 2):
        asked = _Asked(number)
        _ = wording % asked
        names |= asked.keys()
    return names
