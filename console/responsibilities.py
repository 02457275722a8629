"""Who does what: the activities that client and operator share, and what of the product each side does them with.

R does it, A answers for it, C is asked before, I is told after. Each R and A names the permissions that it takes here,
or says what to do outside of the product; each C and I names the notice or the page by which it comes about.
`tests/console/test_responsibilities.py` fails where something is missing or is not there.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from identity.permissions import OperatorPermission, Permission


@dataclass(frozen=True, slots=True)
class Side:
    """What one side has to do with an activity.

    letters: of R, A, C, I, in this order
    permissions: what R and A take in the product; outside: what they do where the product cannot help
    notices: kinds of `identity/notice_kinds`, pages: names of addresses, by which C and I come about
    """

    letters: str = ""
    permissions: tuple[Permission | OperatorPermission, ...] = ()
    outside: Promise | str = ""
    notices: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that has to be done. `act`: the page where the client does it, if there is one."""

    label: Promise
    client: Side
    operator: Side
    act: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """Activities that belong together."""

    title: Promise
    activities: tuple[Activity, ...]


# What the pages are called by which somebody is asked or told.
PAGE_NAMES: dict[str, Promise] = {
    "tell-operator": _("Tell the operator"),
    "operator-support": _("The operator's list of organisations"),
    "models": _("Models"),
}

_O = OperatorPermission
_P = Permission

CHAPTERS: tuple[Chapter, ...] = (
    Chapter(
        _("Before you begin"),
        (
            Activity(
                _("Check that the service suits the application"),
                Side("RA", permissions=(_P.MODEL_READ, _P.PLAYGROUND_USE)),
                Side("CI", pages=("tell-operator",)),
                act="models",
            ),
            Activity(
                _("Take out the subscription and name who is billed"),
                Side(
                    "RA",
                    permissions=(_P.BILLING_READ,),
                    outside=_("Sign the order with the operator, who then starts the contract here."),
                ),
                Side("I", pages=("tell-operator", "operator-support")),
                act="usage",
            ),
        ),
    ),
    Chapter(
        _("Setting it up"),
        (
            Activity(
                _("Keep the platform in working order: API and GPU machines"),
                Side("I", notices=("platform.work_planned",)),
                Side("RA", permissions=(_O.PLATFORM_OPERATE,)),
            ),
            Activity(
                _("Keep the platform's security up to date"),
                Side("I", notices=("platform.security_maintained",)),
                Side("RA", permissions=(_O.PLATFORM_OPERATE,)),
            ),
            Activity(
                _("Create, rotate and revoke API keys"),
                Side("RA", permissions=(_P.KEY_CREATE, _P.KEY_ROTATE, _P.KEY_REVOKE)),
                Side(),
                act="keys",
            ),
            Activity(
                _("Write and maintain the application's code"),
                Side("RA", outside=_("Your developers do this in your own repositories; the quick start helps them.")),
                Side(),
                act="quick-start",
            ),
        ),
    ),
    Chapter(
        _("Day by day"),
        (
            Activity(
                _("Keep the API available"),
                Side("I", notices=("platform.availability_reported",)),
                Side("RA", permissions=(_O.PLATFORM_OPERATE,)),
            ),
            Activity(
                _("Watch over the platform and the models"),
                Side("I", notices=("platform.availability_reported", "problem.known"), pages=("models",)),
                Side("RA", permissions=(_O.PLATFORM_READ,)),
            ),
            Activity(
                _("Deal with incidents of the platform"),
                Side("I", notices=("incident.opened", "incident.updated", "incident.resolved")),
                Side("RA", permissions=(_O.INCIDENT_UPDATE,)),
            ),
            Activity(
                _("Deal with the problems behind them"),
                Side("I", notices=("problem.known", "problem.solved")),
                Side("RA", permissions=(_O.INCIDENT_UPDATE,)),
            ),
            Activity(
                _("Provide enough GPU capacity"),
                Side("I", notices=("platform.capacity_changed",)),
                Side("RA", permissions=(_O.CAPACITY_UPDATE,)),
            ),
            Activity(
                _("Add models, and end them"),
                Side("CI", notices=("model.withdrawal_proposed", "model.added", "model.deprecated", "model.withdrawn")),
                Side("RA", permissions=(_O.CATALOGUE_UPDATE,)),
            ),
            Activity(
                _("Follow consumption and bills"),
                Side("RA", permissions=(_P.USAGE_READ_TENANT, _P.BUDGET_UPDATE, _P.BILLING_READ)),
                Side("I", notices=("reconciliation.unexplained",)),
                act="usage",
            ),
        ),
    ),
    Chapter(
        _("Security"),
        (
            Activity(
                _("Secure the machines, the building and the platform"),
                Side("I", notices=("platform.security_reported",)),
                Side("RA", permissions=(_O.PLATFORM_OPERATE,)),
            ),
            Activity(
                _("Decide who may use the application, and as what"),
                Side(
                    "RA",
                    permissions=(_P.MEMBER_UPDATE, _P.MEMBER_REVIEW),
                    outside=_("The application's own users sign in to it, not here: your application decides."),
                ),
                Side(),
                act="members",
            ),
            Activity(
                _("Protect the data and prompts that are sent"),
                Side(
                    "RA",
                    permissions=(_P.KEY_RULES_UPDATE,),
                    outside=_("Send only what you may; keep keys where your applications keep secrets."),
                ),
                Side("C", pages=("tell-operator",)),
                act="settings",
            ),
            Activity(
                _("Keep what the models process confidential"),
                Side("R", permissions=(_P.KEY_RULES_UPDATE, _P.AUDIT_READ)),
                Side("A", permissions=(_O.PLATFORM_OPERATE, _O.AUDIT_READ)),
                act="audit",
            ),
            Activity(
                _("Make the finished application lawful: data protection and the rest"),
                Side("RA", outside=_("Your data protection officer decides; tell the operator what follows for them.")),
                Side("I", pages=("tell-operator",)),
                act="tell-operator",
            ),
        ),
    ),
    Chapter(
        _("When things break"),
        (
            Activity(
                _("Keep the platform going after a failure"),
                Side("I", notices=("platform.continuity_reported",)),
                Side("RA", permissions=(_O.PLATFORM_OPERATE,)),
            ),
            Activity(
                _("Back up the application's data"),
                Side(
                    "RA", outside=_("Here is nothing to back up: prompts and answers are not kept. Back up your own.")
                ),
                Side(),
            ),
            Activity(
                _("Keep a continuity plan for the application"),
                Side("RA", outside=_("Plan what your application does while a model or the platform is away.")),
                Side(),
            ),
        ),
    ),
    Chapter(
        _("Leaving"),
        (
            Activity(
                _("Plan and carry out the move away"),
                Side(
                    "RA", outside=_("The API is OpenAI's: another address and key is all. Plan it with the operator.")
                ),
                Side("C", pages=("tell-operator",)),
                act="tell-operator",
            ),
            Activity(
                _("Take the application's data and code along"),
                Side(
                    "RA",
                    permissions=(_P.USAGE_READ_TENANT, _P.AUDIT_EXPORT),
                    outside=_("Code and data are with you already; usage and audit are exported here."),
                ),
                Side(),
                act="audit",
            ),
            Activity(
                _("Delete API keys and access to the service"),
                Side("RA", permissions=(_P.KEY_REVOKE, _P.MEMBER_UPDATE)),
                Side(),
                act="keys",
            ),
        ),
    ),
)

ACTIVITIES: tuple[Activity, ...] = tuple(activity for chapter in CHAPTERS for activity in chapter.activities)
