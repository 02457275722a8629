"""Events of the audit as people read them: a sentence, where it came from, what was before and after.

Names are those of the time of the event, from beside the chain. Who was erased since is told as such.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from console.audit_wording import DOORS, MEMBERS, PLACES, WORDING
from identity.access import Caller
from identity.audit import told
from identity.models import AuditEvent

# Where a target has a page: its kind -> the address's name and what the target's id is called there.
_PAGES = {"apikey": ("key", "lookup"), "project": ("project", "project_id"), "person": ("member", "pseudonym")}


@dataclass(frozen=True, slots=True)
class Change:
    """A member of an event's detail: as it was and as it is; `before` None where nothing was told of it."""

    label: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class AuditLine:
    """An event, worded for the reader."""

    sequence: int
    at: datetime
    sentence: SafeString
    door: str
    address: str
    event: AuditEvent
    is_refusal: bool


def audit_lines(caller: Caller | None, events: Iterable[AuditEvent]) -> list[AuditLine]:
    """The events, in the reader's language; `console/audit/_events.html` shows them. `known_as` should be loaded.

    caller: None for who runs the platform, from where no link leads into a tenant
    """
    return [_line(caller, event) for event in events]


def changes_of(event: AuditEvent) -> list[Change]:
    """What the event tells besides its sentence, one member a line."""
    whole = told(event)
    before, after = whole.pop("before", {}), whole.pop("after", {})
    if not isinstance(before, dict) or not isinstance(after, dict):
        before, after = {"name": before}, {"name": after}
    for name in [name for name in whole if f"{name}_before" in whole]:  # as older records write it
        before[name], after[name] = whole.pop(f"{name}_before"), whole.pop(name)
    names = dict.fromkeys([*before, *after])
    changes = [Change(_label(name), _text(before.get(name)), _text(after.get(name))) for name in names]
    return changes + [Change(_label(name), None, _text(value)) for name, value in whole.items()]


def part_of(event: AuditEvent, part: str) -> dict[str, Any] | None:
    """The names of a part; None where they were erased since."""
    row = next((row for row in event.known_as.all() if row.part == part), None)
    if row is not None:
        return dict(row.content)
    return None if part in (event.names or {}) else {}


def who_of(event: AuditEvent) -> str:
    """Who did it, in a word or two."""
    if event.actor_kind == "system":
        return _("Beffroi (%(component)s)") % {"component": event.actor}
    name = _name(part_of(event, "actor"))
    if event.actor_kind == "key":
        return _("the key %(name)s") % {"name": _key(name, event.actor)}
    if event.actor_kind == "operator_key":
        return _("the operator's key %(name)s") % {"name": name or f"bfo_{event.actor}_…"}
    return name or _erased(event.actor)


def _line(caller: Caller | None, event: AuditEvent) -> AuditLine:
    actor = part_of(event, "actor")
    return AuditLine(
        sequence=event.sequence,
        at=event.at,
        sentence=_sentence(caller, event),
        door=str(DOORS.get(event.door, event.door)),
        address=str((actor or {}).get("address", "")),
        event=event,
        is_refusal=event.action in ("access.refused", "access.refusals_counted", "break_glass.refused"),
    )


def _sentence(caller: Caller | None, event: AuditEvent) -> SafeString:
    wording: Promise | str = WORDING.get(event.action, "%(who)s: " + event.action)
    who, what = format_html("<strong>{}</strong>", _capital(who_of(event))), _what(caller, event)
    sentence = conditional_escape(str(wording)) % {"who": who, "what": what}
    return mark_safe(sentence)  # noqa: S308  (the wording is escaped, and so are both names)


def _what(caller: Caller | None, event: AuditEvent) -> SafeString:
    name = _name(part_of(event, "target"))
    if event.target_kind == "apikey":
        shown = _key(name, event.target)
    elif event.target_kind == "person":
        shown = name or _erased(event.target)
    elif event.target_kind == "address":
        shown = next((str(place) for part, place in PLACES.items() if part in event.target), event.target)
    else:
        shown = name or event.target
    address = _address(caller, event)
    return format_html('<a href="{}">{}</a>', address, shown) if address else format_html("<span>{}</span>", shown)


def _address(caller: Caller | None, event: AuditEvent) -> str:
    if caller is None or event.target_kind not in _PAGES:
        return ""
    page, part = _PAGES[event.target_kind]
    try:
        return reverse(page, kwargs={"slug": caller.tenant.slug, part: event.target})
    except NoReverseMatch:
        return ""


def _name(content: dict[str, Any] | None) -> str:
    return str((content or {}).get("name") or (content or {}).get("email") or "")


def _key(name: str, lookup: str) -> str:
    return f"{name} (bfr_{lookup}_…)" if name else f"bfr_{lookup}_…"


def _erased(pseudonym: str) -> str:
    return _("a person whose name is no longer kept (%(pseudonym)s)") % {"pseudonym": pseudonym[:8]}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _label(name: str) -> str:
    return str(MEMBERS.get(name) or _capital(name.replace("_", " ")))


def _text(value: object) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return _("yes") if value else _("no")
        case str():
            return value
        case list() if all(isinstance(item, str | int) for item in value):
            return ", ".join(str(item) for item in value)
    return json.dumps(value, ensure_ascii=False)
