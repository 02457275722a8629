"""The words and tones of states. A state that is not here is shown as it is, in grey."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

_STATES: dict[str, tuple[str, Promise]] = {
    "active": ("green", _("active")),
    "open": ("secondary", _("open")),
    "previewed": ("blue", _("previewed")),
    "approved": ("blue", _("approved")),
    "closed": ("green", _("closed")),
    "carried_over": ("green", _("carried over")),
    "unmatched": ("yellow", _("no invoice found")),
    "known": ("secondary", _("recorded before")),
    "new": ("green", _("new")),
    "expiring": ("yellow", _("expires soon")),
    "expired": ("secondary", _("expired")),
    "revoked": ("secondary", _("revoked")),
    "blocked": ("red", _("blocked")),
    "rotating": ("blue", _("rotation under way")),
    "archived": ("secondary", _("archived")),
    "suspended": ("red", _("suspended")),
    "pending": ("yellow", _("waiting")),
    "cancelled": ("secondary", _("cancelled")),
    "sent": ("green", _("sent")),
    "failed": ("red", _("failed")),
    "completed": ("green", _("completed")),
    "refused": ("yellow", _("refused")),
    "verified": ("green", _("verified")),
    "broken": ("red", _("broken")),
    "to_make": ("green", _("to be made")),
    "to_change": ("blue", _("to be changed")),
    "to_add": ("blue", _("to be added")),
    "added": ("green", _("added")),
    "made": ("green", _("made")),
    "changed": ("blue", _("changed")),
    "there": ("secondary", _("is there")),
    "ignored": ("secondary", _("no rule")),
    "unchanged": ("secondary", _("as it is")),
    "running": ("blue", _("under way")),
    "answers": ("green", _("ready")),
    "degraded": ("yellow", _("a replica is missing")),
    "asleep": ("secondary", _("wakes when asked")),
    "away": ("red", _("does not answer")),
    "well": ("green", _("as it should be")),
    "failing": ("red", _("failing")),
    "late": ("red", _("does not run")),
    "differs": ("red", _("differs")),
    "unexplained": ("red", _("tokens are unexplained")),
    "offered": ("green", _("offered")),
    "scheduled": ("blue", _("scheduled")),
    "in_force": ("green", _("in force")),
    "past": ("secondary", _("past")),
    "withdrawn": ("secondary", _("withdrawn")),
    "set_up": ("green", _("done")),
    "missing": ("yellow", _("missing")),
    "waiting_for_first": ("secondary", _("nothing sent yet")),
    "ended": ("red", _("ended")),
    "in_use": ("green", _("in use")),
    "needed": ("blue", _("still needed")),
    "idle": ("secondary", _("may be taken away")),
    "lost": ("red", _("not in the environment")),
    "unseen": ("yellow", _("never seen")),
    "unencrypted": ("yellow", _("unencrypted")),
    "backup_late": ("red", _("late")),
    "machine": ("secondary", _("this machine")),
    "inside": ("green", _("inside the house")),
    "outside": ("blue", _("outside the house")),
    "issued": ("blue", _("to pay")),
    "partly_paid": ("yellow", _("paid in part")),
    "paid": ("green", _("paid")),
    "overdue": ("red", _("overdue")),
    "nowhere": ("yellow", _("its name leads nowhere")),
}


def tone_of(state: str) -> str:
    """One of Tabler's colour names."""
    return _STATES[state][0] if state in _STATES else "secondary"


def word_of(state: str) -> str:
    """The state in the reader's language."""
    return str(_STATES[state][1]) if state in _STATES else state.replace("_", " ")
