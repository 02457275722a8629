"""What the operator tells every tenant of the platform and its models: the lines of the responsibility matrix in which
clients are informed or consulted.
"""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from identity.notice_kinds.kind import ADMINISTRATORS, BUILDERS, PAYERS, Level, NoticeKind, Topic

_MODEL = "/t/{tenant}/models/{model}"

PLATFORM_KINDS = (
    NoticeKind(
        "platform.work_planned",
        Topic.PLATFORM,
        _("Planned work"),
        _("Planned work: %(what)s"),
        _("The work begins on %(starts_at)s and ends on %(ends_at)s. %(effect)s"),
        mailed=BUILDERS,
    ),
    NoticeKind(
        "platform.security_maintained",
        Topic.PLATFORM,
        _("Security maintenance"),
        _("Security maintenance: %(what)s"),
        _("It was done on %(done_at)s. %(effect)s"),
        mailed=ADMINISTRATORS,
    ),
    NoticeKind(
        "platform.security_reported",
        Topic.PLATFORM,
        _("Security of the platform"),
        _("Security: %(what)s"),
        _("%(effect)s"),
        level=Level.WARNING,
        mailed=ADMINISTRATORS,
        is_kept=True,
    ),
    NoticeKind(
        "platform.capacity_changed",
        Topic.PLATFORM,
        _("Changes of capacity"),
        _("Capacity changes: %(what)s"),
        _("From %(from_at)s. %(effect)s"),
        mailed=ADMINISTRATORS,
    ),
    NoticeKind(
        "platform.availability_reported",
        Topic.PLATFORM,
        _("Availability of a month"),
        _("Availability in %(month)s: %(percent)s%%"),
        _("%(effect)s"),
    ),
    NoticeKind(
        "platform.continuity_reported",
        Topic.PLATFORM,
        _("Continuity and recovery exercises"),
        _("Continuity: %(what)s"),
        _("%(effect)s"),
    ),
    NoticeKind(
        "incident.opened",
        Topic.PLATFORM,
        _("Incidents"),
        _("Incident: %(what)s"),
        _("It began on %(began_at)s. %(effect)s"),
        level=Level.ALERT,
        mailed=BUILDERS,
        is_kept=True,
    ),
    NoticeKind(
        "incident.updated",
        Topic.PLATFORM,
        _("News of an incident"),
        _("News of the incident: %(what)s"),
        _("%(effect)s"),
        level=Level.WARNING,
    ),
    NoticeKind(
        "incident.resolved",
        Topic.PLATFORM,
        _("Incidents that are over"),
        _("The incident is over: %(what)s"),
        _("It ended on %(ended_at)s. %(effect)s"),
        mailed=BUILDERS,
    ),
    NoticeKind(
        "problem.known",
        Topic.PLATFORM,
        _("Known problems"),
        _("Known problem: %(what)s"),
        _("%(effect)s"),
        level=Level.WARNING,
    ),
    NoticeKind(
        "problem.solved",
        Topic.PLATFORM,
        _("Solved problems"),
        _("The problem is solved: %(what)s"),
        _("%(effect)s"),
    ),
)

MODEL_KINDS = (
    NoticeKind(
        "model.added",
        Topic.MODELS,
        _("New models"),
        _("New model: %(model)s"),
        _("You can call %(model)s from %(from_at)s."),
        link=_MODEL,
    ),
    NoticeKind(
        "model.changed",
        Topic.MODELS,
        _("Changes of a model"),
        _("%(model)s changes"),
        _("From %(from_at)s: %(effect)s"),
        link=_MODEL,
        mailed=BUILDERS,
    ),
    NoticeKind(
        "model.deprecated",
        Topic.MODELS,
        _("Models that will end"),
        _("%(model)s ends on %(ends_on)s"),
        _("Calls to %(model)s are refused from %(ends_on)s. Move your applications to %(replacement)s before."),
        level=Level.WARNING,
        link=_MODEL,
        mailed=BUILDERS,
    ),
    NoticeKind(
        "model.withdrawal_proposed",
        Topic.MODELS,
        _("Consultations on the end of a model"),
        _("May we withdraw %(model)s on %(ends_on)s?"),
        _("We think of withdrawing %(model)s on %(ends_on)s; %(replacement)s would take its place. Tell us until "
          "%(answer_by_on)s whether this suits you."),
        level=Level.WARNING,
        roles=BUILDERS,
        link=_MODEL,
        mailed=BUILDERS,
        asks=True,
    ),
    NoticeKind(
        "model.withdrawn",
        Topic.MODELS,
        _("Models that have ended"),
        _("%(model)s has ended"),
        _("Calls to %(model)s are refused now. %(replacement)s takes its place."),
        level=Level.WARNING,
        link="/t/{tenant}/models",
        mailed=BUILDERS,
    ),
    NoticeKind(
        "price.changed",
        Topic.MODELS,
        _("Changes of prices"),
        ngettext_lazy("The price of %(count)s model changes", "The prices of %(count)s models change", "count"),
        _("From %(from_at)s: %(models)s."),
        link="/t/{tenant}/models",
        mailed=PAYERS,
    ),
    NoticeKind(
        "price.withdrawn",
        Topic.MODELS,
        _("Changes of prices that do not come"),
        _("The price of %(model)s does not change"),
        _("The change from %(from_at)s that we announced is withdrawn. The price goes on as it is."),
        link="/t/{tenant}/models",
        mailed=PAYERS,
    ),
)  # fmt: skip
