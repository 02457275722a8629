"""What a tenant's members are told of their own keys, money, people and settings."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from identity.notice_kinds.kind import (
    ADMINISTRATORS,
    BUILDERS,
    OVERSEERS,
    OWNERS,
    PAYERS,
    Level,
    NoticeKind,
    Topic,
)

_KEY = "/t/{tenant}/keys/{key}"
_MEMBERS = "/t/{tenant}/members"
_SETTINGS = "/t/{tenant}/settings"

KEY_KINDS = (
    NoticeKind(
        "api_key.expires",
        Topic.KEYS,
        _("Keys that expire soon"),
        ngettext_lazy("The key %(name)s expires in %(days)s day", "The key %(name)s expires in %(days)s days", "days"),
        _("The key %(name)s (bfr_%(key)s) stops working on %(expires_at)s. Rotate it before."),
        level=Level.WARNING,
        roles=BUILDERS,
        link=_KEY,
        mailed=BUILDERS,
    ),
    NoticeKind(
        "api_key.rotated",
        Topic.KEYS,
        _("Rotated keys"),
        _("The key %(name)s was rotated"),
        _("%(by)s rotated the key %(name)s (bfr_%(key)s). Its old secret works until %(old_until_at)s."),
        roles=BUILDERS,
        link=_KEY,
    ),
    NoticeKind(
        "api_key.blocked",
        Topic.KEYS,
        _("Keys that the operator blocked"),
        _("The operator blocked the key %(name)s"),
        _("The key %(name)s (bfr_%(key)s) is refused until it is unblocked. Reason: %(reason)s"),
        level=Level.ALERT,
        roles=BUILDERS,
        link=_KEY,
        mailed=BUILDERS,
        is_kept=True,
    ),
    NoticeKind(
        "api_key.unblocked",
        Topic.KEYS,
        _("Keys that the operator unblocked"),
        _("The operator unblocked the key %(name)s"),
        _("The key %(name)s (bfr_%(key)s) works again. Reason: %(reason)s"),
        roles=BUILDERS,
        link=_KEY,
        mailed=BUILDERS,
    ),
    NoticeKind(
        "api_key.needs_a_responsible_person",
        Topic.KEYS,
        _("Keys without a responsible person"),
        ngettext_lazy(
            "%(count)s key needs a new responsible person", "%(count)s keys need a new responsible person", "count"
        ),
        _("%(name)s left and answered for them. They go on working: name somebody else."),
        level=Level.WARNING,
        roles=ADMINISTRATORS,
        link="/t/{tenant}/keys",
        mailed=ADMINISTRATORS,
    ),
)

MONEY_KINDS = (
    NoticeKind(
        "budget.reached",
        Topic.MONEY,
        _("Thresholds of budgets"),
        _("%(percent)s%% of the budget of %(name)s is spent"),
        _("%(spent_nano_eur)s of %(limit_nano_eur)s are spent. The budget begins anew on %(resets_at)s."),
        level=Level.WARNING,
        roles=PAYERS | BUILDERS,
        link="/t/{tenant}/projects",
        mailed=PAYERS,
    ),
    NoticeKind(
        "budget.exhausted",
        Topic.MONEY,
        _("Budgets that are used up"),
        _("The budget of %(name)s is used up"),
        _("Requests are refused until %(resets_at)s, or until somebody raises the budget of %(limit_nano_eur)s."),
        level=Level.ALERT,
        roles=PAYERS | BUILDERS,
        link="/t/{tenant}/projects",
        mailed=PAYERS | BUILDERS,
        is_kept=True,
    ),
)

PEOPLE_KINDS = (
    NoticeKind(
        "member.invited",
        Topic.PEOPLE,
        _("Invitations"),
        _("%(by)s invited %(email)s"),
        _("%(email)s was invited as %(role)s. The invitation ends on %(expires_at)s."),
        roles=ADMINISTRATORS,
        link=_MEMBERS,
    ),
    NoticeKind(
        "invitation.received",
        Topic.PEOPLE,
        _("An invitation to you"),
        _("%(by)s invites you to %(organisation)s"),
        _("Sign in with this address until %(expires_at)s to join %(organisation)s as %(role)s."),
        roles=OWNERS,
        link="/t/{tenant}/",
    ),
    NoticeKind(
        "member.added",
        Topic.PEOPLE,
        _("New members"),
        _("%(name)s is a member now"),
        _("%(name)s joined as %(role)s."),
        roles=OVERSEERS,
        link=_MEMBERS,
    ),
    NoticeKind(
        "member.removed",
        Topic.PEOPLE,
        _("Members who left"),
        _("%(name)s is no member any more"),
        _("%(by)s removed %(name)s. What %(name)s answered for has to be handed over."),
        roles=OVERSEERS,
        link=_MEMBERS,
        mailed=OWNERS,
    ),
    NoticeKind(
        "member.changed",
        Topic.PEOPLE,
        _("Changed roles"),
        _("%(name)s has another role"),
        _("%(by)s made %(name)s %(role)s."),
        roles=OVERSEERS,
        link=_MEMBERS,
    ),
    NoticeKind(
        "access.requested",
        Topic.PEOPLE,
        _("People who ask for access"),
        _("Somebody asks for access"),
        _("Somebody signed in who is no member yet. Look at the request and let the person in, or turn it down."),
        roles=ADMINISTRATORS,
        link=_MEMBERS,
        mailed=ADMINISTRATORS,
    ),
    NoticeKind(
        "provider.changed",
        Topic.PEOPLE,
        _("Changes of the sign-in"),
        _("The way to sign in changed"),
        _("%(by)s changed the organisation's identity provider to %(issuer)s."),
        level=Level.WARNING,
        roles=ADMINISTRATORS,
        link=_SETTINGS,
        mailed=OWNERS,
        is_kept=True,
    ),
    NoticeKind(
        "support.opened",
        Topic.PEOPLE,
        _("Support sessions"),
        _("Somebody of the operator looks into your organisation"),
        _("Until %(until_at)s. Reason: %(reason)s"),
        level=Level.WARNING,
        roles=OVERSEERS,
        link="/t/{tenant}/audit",
        mailed=OWNERS,
        is_kept=True,
    ),
)

SETTING_KINDS = (
    NoticeKind(
        "webhook.disabled",
        Topic.OPERATION,
        _("Webhooks that were switched off"),
        _("The webhook %(name)s was switched off"),
        _("%(url)s does not take notices any more. Look at its last deliveries, then add it again."),
        level=Level.WARNING,
        roles=ADMINISTRATORS,
        link="/t/{tenant}/settings/webhooks",
        mailed=ADMINISTRATORS,
    ),
    NoticeKind(
        "webhook.tested",
        Topic.OPERATION,
        _("Tests of a webhook"),
        _("This is a test"),
        _("The webhook %(name)s works."),
        roles=ADMINISTRATORS,
        link="/t/{tenant}/settings/webhooks",
    ),
    NoticeKind(
        "tenant.time_zone_changed",
        Topic.OPERATION,
        _("The organisation's time zone"),
        _("Days begin in another time zone"),
        _("%(by)s changed the time zone from %(before)s to %(after)s. Budget periods that run end as they were cut; "
          "the next ones are cut by the new time zone."),
        roles=ADMINISTRATORS | PAYERS,
        link=_SETTINGS,
    ),
)  # fmt: skip
