"""What the platform's operators are told."""

from django.utils.translation import gettext_lazy as _

from identity.notice_kinds.kind import Level, NoticeKind, Topic

OPERATOR_KINDS = (
    NoticeKind(
        "reconciliation.unexplained",
        Topic.OPERATION,
        _("Tokens that nobody can explain"),
        _("Tokens of %(pool)s are unexplained"),
        _("From %(since_at)s to %(until_at)s, engines counted other tokens than were charged: "
          "%(unexplained_prompt_tokens)s of prompts, %(unexplained_generation_tokens)s of answers."),
        level=Level.ALERT,
        is_kept=True,
    ),
    NoticeKind(
        "ledger.differs",
        Topic.OPERATION,
        _("A ledger that does not add up"),
        _("The ledger does not add up"),
        _("Added up again, it shows %(count)s differences. The first: %(first)s"),
        level=Level.ALERT,
        is_kept=True,
    ),
    NoticeKind(
        "replica.ejected",
        Topic.OPERATION,
        _("Replicas that were taken out"),
        _("The replica %(replica)s was taken out"),
        _("It does not serve %(model)s any more. Reason: %(reason)s"),
        level=Level.ALERT,
    ),
    NoticeKind(
        "log_export.failing",
        Topic.OPERATION,
        _("Collectors that take nothing"),
        _("The collector %(name)s takes nothing"),
        _(
            "Nothing could be sent to it for about an hour. The audit is kept and sent once the collector is back; "
            "of what the processes log, as much as there is room for."
        ),
        level=Level.WARNING,
    ),
    NoticeKind(
        "certificate.ends",
        Topic.OPERATION,
        _("Certificates that end"),
        _("The certificate of %(name)s ends"),
        _("It is valid until %(ends_at)s. Whoever meets it later refuses to connect."),
        level=Level.WARNING,
    ),
    NoticeKind(
        "agreement.ends",
        Topic.MONEY,
        _("Agreements with organisations that end"),
        _("The agreement %(reference)s with %(organisation)s ends"),
        _("It ends on %(ends_at)s. Then the values of the tier are in force, unless you agree on something else."),
        level=Level.WARNING,
        link="/operator/tenants/{slug}",
    ),
    NoticeKind(
        "operator_key.ends",
        Topic.OPERATION,
        _("Operator's keys that end"),
        _("The operator's key %(name)s ends"),
        _("It works until %(ends_at)s. Make another for what uses it, under Settings."),
        level=Level.WARNING,
    ),
    NoticeKind(
        "organisation_rule.full",
        Topic.OPERATION,
        _("Organisation rules that make no more"),
        _("The rule %(pattern)s makes no more organisations"),
        _("It has made %(count)s, as many as it may. See whether the directory makes groups by mistake, or let the "
          "rule make more."),
        level=Level.WARNING,
    ),
    NoticeKind(
        "break_glass.used",
        Topic.PEOPLE,
        _("Emergency sign-ins"),
        _("The emergency administrator signed in"),
        _("On %(at)s. If nobody of you did it, act at once."),
        level=Level.ALERT,
        is_kept=True,
    ),
    NoticeKind(
        "break_glass.refused",
        Topic.PEOPLE,
        _("Emergency sign-ins that were refused"),
        _("Somebody tried to sign in as the emergency administrator"),
        _("On %(at)s. Password or code were wrong."),
        level=Level.ALERT,
        is_kept=True,
    ),
    NoticeKind(
        "break_glass.throttled",
        Topic.PEOPLE,
        _("Emergency sign-ins that were slowed down"),
        _("Somebody tries passwords of the emergency administrator"),
        _("On %(at)s there were so many that no more are looked at for a while."),
        level=Level.ALERT,
        is_kept=True,
    ),
    NoticeKind(
        "erasure.requested",
        Topic.PEOPLE,
        _("People who ask to be erased"),
        _("%(name)s asks to be erased"),
        _("%(name)s (%(email)s) asks that their data be erased. You have a month to answer."),
        level=Level.WARNING,
        is_kept=True,
    ),
    NoticeKind(
        "consultation.agreed",
        Topic.OPERATION,
        _("Consultations: who agreed"),
        _("%(organisation)s agrees to the end of %(model)s"),
        _("%(comment)s"),
    ),
    NoticeKind(
        "consultation.objected",
        Topic.OPERATION,
        _("Consultations: who objected"),
        _("%(organisation)s objects to the end of %(model)s"),
        _("%(comment)s"),
        level=Level.WARNING,
    ),
    NoticeKind(
        "tier.chosen",
        Topic.OPERATION,
        _("Tiers that organisations choose"),
        _("%(organisation)s chose the tier %(tier)s"),
        _("It begins on %(from_at)s. Before: %(before)s. Nothing has to be done."),
    ),
    NoticeKind(
        "operator.told",
        Topic.OPERATION,
        _("What organisations tell or ask"),
        _("%(organisation)s: %(topic)s"),
        _("%(by)s (%(email)s) writes: %(message)s"),
    ),
)  # fmt: skip
