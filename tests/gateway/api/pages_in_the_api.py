"""Which operations of the API do what a page does; or why none does.

`Why` is for what must not be done with a key, or is nobody's business but that of the person who is signed in.
"""

from enum import StrEnum


class Why(StrEnum):
    """The only reasons for which something of a page is not in the API."""

    SESSION = "it begins, moves or ends a person's session; a key is its own credential"
    OWN_ACCOUNT = "it is about the person who is signed in: a key has no account, inbox or language"
    NO_DATA = "it shows no figures: words, or a way to other pages"
    TRIED_BY_A_PERSON = (
        "a provider takes effect only after the person who answers for the change has signed in through it: a key "
        "prepares, tests and discards settings, and a person puts them to use"
    )
    IN_A_PERSONS_NAME = "an access review is signed by a person: a key must not confirm in anybody's name"
    OWNERS_WORD = "only an owner adds to what an operator may do, and a key is no owner"
    OPERATORS_ACT = "an operator's own act: keys are of organisations, and no operator has one"
    KEYS_MAKE_NO_KEYS = "who holds an operator's key must not make another that outlives it"
    OPERATORS_EYES = "it shows those who run the platform how it is; scripts read the metrics of its parts"
    OPERATORS_HANDS = "who runs the platform tries by hand whether a part of it works"
    OPERATORS_PEOPLE = (
        "who runs the platform, and into whom they look, is said and seen by people: no key has a scope for it"
    )
    OPERATORS_AUDIT = "no operator's key has a scope for the audit; an organisation's own keys read its chain"
    OPERATORS_SERVICE = "no operator's key has a scope for what the service says of itself; a person says it once"
    ANSWERED_BY_MAIL = "the operator answers to the e-mail address of the person who wrote; a key has none"


Told = tuple[str, ...] | Why

PAGES: dict[str, Told] = {
    # ways in and out, and pages without figures
    "front": Why.NO_DATA,
    "welcome": Why.NO_DATA,
    "organisations": Why.OWN_ACCOUNT,
    "quick-start": Why.NO_DATA,
    "who-does-what": Why.NO_DATA,
    "tell-operator": Why.ANSWERED_BY_MAIL,
    "sign-in": Why.SESSION,
    "sign-in-link": Why.SESSION,
    "sign-in-refused": Why.SESSION,
    "sign-in-with": Why.SESSION,
    "tenant-sign-in": Why.SESSION,
    "oidc-callback": Why.SESSION,
    "oidc-back-channel": Why.SESSION,
    "no-membership": Why.SESSION,
    "break-glass": Why.SESSION,
    "operator-overview": Why.OPERATORS_EYES,
    "operator-people": Why.OPERATORS_PEOPLE,
    "operator-dismiss": Why.OPERATORS_PEOPLE,
    "operator-support-stop": Why.OPERATORS_PEOPLE,
    "operator-audit": Why.OPERATORS_AUDIT,
    "operator-audit-verify": Why.OPERATORS_AUDIT,
    "operator-connections": Why.OPERATORS_EYES,
    "operator-credentials": Why.OPERATORS_EYES,
    "operator-exports": Why.OPERATORS_AUDIT,
    "operator-export": Why.OPERATORS_AUDIT,
    "operator-export-try": Why.OPERATORS_AUDIT,
    "operator-export-remove": Why.OPERATORS_AUDIT,
    "operator-jobs": Why.OPERATORS_EYES,
    "operator-job-run": Why.OPERATORS_HANDS,
    "operator-set-up": Why.OPERATORS_EYES,
    "operator-set-up-try": Why.OPERATORS_HANDS,
    "operator-service": Why.OPERATORS_SERVICE,
    "operator-service-change": Why.OPERATORS_SERVICE,
    "operator-service-logo": Why.OPERATORS_SERVICE,
    "operator-service-logo-remove": Why.OPERATORS_SERVICE,
    "operator-identity": Why.OPERATORS_EYES,
    "operator-mail": Why.OPERATORS_EYES,
    "operator-retention": Why.OPERATORS_EYES,
    "operator-retention-change": Why.OPERATORS_SERVICE,
    "logo": Why.NO_DATA,
    "sign-out": Why.SESSION,
    "signed-out": Why.SESSION,
    # one's own account
    "account": Why.OWN_ACCOUNT,
    "account-sessions": Why.OWN_ACCOUNT,
    "account-sessions-end": Why.OWN_ACCOUNT,
    "account-session-end": Why.OWN_ACCOUNT,
    "account-notices": Why.OWN_ACCOUNT,
    "account-data": Why.OWN_ACCOUNT,
    "account-data-export": Why.OWN_ACCOUNT,
    "account-erasure": Why.OWN_ACCOUNT,
    "notices": ("notices_list",),
    "notices-bell": Why.OWN_ACCOUNT,
    "notices-read": Why.OWN_ACCOUNT,
    "notice": Why.OWN_ACCOUNT,
    # money and use
    "overview": ("overview_read", "models_list"),
    "search": ("keys_list", "projects_list", "models_list", "members_list", "usage_records_list"),
    "requests": ("usage_records_list", "usage_refusals_list"),
    "requests-new": ("usage_records_list", "usage_refusals_list"),
    "request": ("usage_records_list", "usage_refusals_list"),
    "usage": ("usage_summary_read",),
    "exports": ("exports_list", "exports_read", "export_schedules_list"),
    "export-new": ("exports_create",),
    "export-file": ("exports_download",),
    "export-remove": ("exports_delete",),
    "export-schedule": ("export_schedules_create",),
    "export-schedule-end": ("export_schedules_delete",),
    "usage-advice": ("usage_advice_read", "keys_list"),
    "usage-export": ("usage_summary_read",),
    "billing": ("contract_read", "statement_read", "budgets_list", "limits_list"),
    "billing-statement": ("statement_read",),
    "billing-tiers": ("tiers_list", "contract_read"),
    "billing-tier-choose": ("tiers_choose",),
    "billing-tier-withdraw": ("tiers_withdraw",),
    "billing-budget": ("budgets_set",),
    "billing-budget-end": ("budgets_end",),
    "billing-limit": ("limits_set",),
    "billing-limit-end": ("limits_end",),
    # models
    "estimator": ("models_list", "estimate_read"),
    "models": ("models_list",),
    "model": ("models_read", "estimate_read"),
    "model-try": ("v1_chat_completions",),
    "model-bill": ("usage_records_list",),
    # keys
    "keys": ("keys_list",),
    "keys-bulk": ("keys_change_many",),
    "key-new": ("keys_create", "key_rules_read"),
    "key": ("keys_read", "keys_read_bounds", "usage_summary_read", "usage_refusals_list", "audit_list"),
    "key-edit": ("keys_change", "budgets_set", "budgets_end", "limits_set", "limits_end"),
    "key-rotate": ("keys_rotate",),
    "key-end-previous": ("keys_end_previous_secret",),
    "key-revoke": ("keys_revoke",),
    # projects
    "projects": ("projects_list", "budgets_list"),
    "project-new": ("projects_create",),
    "project": ("projects_read", "budgets_list", "limits_list", "keys_list", "members_list"),
    "project-edit": ("projects_change",),
    "project-models": ("projects_change",),
    "project-archive": ("projects_archive",),
    "project-budget": ("budgets_set",),
    "project-budget-end": ("budgets_end",),
    "project-limit": ("limits_set",),
    "project-limit-end": ("limits_end",),
    # people
    "members": ("members_list", "invitations_list", "access_requests_list", "support_sessions_list"),
    "member": ("members_read",),
    "member-invite": ("invitations_create",),
    "member-change": ("members_change",),
    "member-remove": ("members_remove",),
    "member-unlink": ("members_unlink",),
    "invitation-withdraw": ("invitations_withdraw",),
    "access-request-answer": ("access_requests_approve", "access_requests_refuse"),
    "access-reviews": ("access_reviews_list",),
    "access-review": ("access_reviews_read",),
    "access-review-csv": ("access_reviews_read",),
    "access-review-start": Why.IN_A_PERSONS_NAME,
    "access-review-decide": Why.IN_A_PERSONS_NAME,
    "access-review-sign": Why.IN_A_PERSONS_NAME,
    "operator-key-blocks": Why.OPERATORS_ACT,
    "operator-keys": Why.KEYS_MAKE_NO_KEYS,
    "operator-key-revoke": Why.KEYS_MAKE_NO_KEYS,
    "operator-tenants": ("operator_tenants_list",),
    "operator-tenant": ("operator_tenants_read",),
    "operator-tenant-new": ("operator_tenants_put",),
    "operator-tenant-import": ("operator_tenants_import",),
    "operator-tenant-change": ("operator_tenants_put",),
    "operator-tenant-contract": ("operator_tenants_contract_read", "operator_tenants_contract_put"),
    "operator-tenant-models": ("operator_tenants_models", "operator_tenants_aliases_list"),
    "operator-tenant-alias": ("operator_tenants_aliases_put",),
    "operator-tenant-alias-remove": ("operator_tenants_aliases_delete",),
    "settings-aliases": ("model_aliases_list", "model_aliases_put"),
    "settings-alias-remove": ("model_aliases_delete",),
    "operator-tenant-groups": ("operator_tenants_group_feed_read", "operator_organisation_rules_list"),
    "operator-tenant-feed": ("operator_tenants_group_feed_put",),
    "operator-tenant-feed-end": ("operator_tenants_group_feed_delete",),
    "operator-organisation-rules": ("operator_organisation_rules_list",),
    "operator-organisation-rule": ("operator_organisation_rules_read", "operator_organisation_rules_put"),
    "operator-organisation-rule-new": ("operator_organisation_rules_put",),
    "operator-organisation-rule-remove": ("operator_organisation_rules_delete",),
    "operator-group-import": ("operator_groups_import",),
    "operator-tiers": ("operator_tiers_list",),
    "operator-tier": ("operator_tiers_read", "operator_tiers_models"),
    "operator-tier-new": ("operator_tiers_put",),
    "operator-tier-change": ("operator_tiers_put",),
    "operator-tier-withdraw": ("operator_tiers_put",),
    "operator-tier-offer": ("operator_tiers_put",),
    "operator-tier-renew": ("operator_tiers_renew",),
    "operator-price-lists": ("operator_price_lists_list",),
    "operator-price-list": ("operator_price_lists_read", "operator_price_lists_prices"),
    "operator-price-list-new": ("operator_price_lists_make",),
    "operator-price-list-import": ("operator_price_lists_put_prices",),
    "operator-price-list-export": ("operator_price_lists_prices",),
    "operator-price-add": Why.NO_DATA,
    "operator-price-history": ("operator_price_lists_prices", "operator_price_lists_withdrawn"),
    "operator-price-change": ("operator_price_lists_put_prices",),
    "operator-price-withdraw": ("operator_price_lists_withdraw",),
    "operator-tenant-close": ("operator_tenants_close",),
    "operator-tenant-suspend": ("operator_tenants_suspend",),
    "operator-tenant-reactivate": ("operator_tenants_reactivate",),
    "operator-support": Why.OPERATORS_ACT,
    "operator-support-leave": Why.OPERATORS_ACT,
    "support-grant": Why.OWNERS_WORD,
    "support-end": ("support_sessions_end",),
    # the operator's models
    "operator-models": ("operator_models_list",),
    "operator-pools": ("operator_engines_list",),
    "operator-billing": ("operator_billing_read",),
    "operator-billing-export": ("operator_billing_read",),
    "operator-model": ("operator_models_read", "operator_prices_read", "operator_engines_list"),
    "operator-model-add": ("operator_models_put", "operator_engines_add"),
    "operator-model-price": ("operator_prices_put",),
    "operator-model-entry": ("operator_models_put",),
    "operator-model-targets": ("operator_models_put",),
    "operator-model-visibility": ("operator_models_put",),
    "operator-model-end": ("operator_models_put",),
    "operator-replica": ("operator_engines_change", "operator_engines_delete"),
    "operator-replica-add": ("operator_engines_add",),
    # audit
    "audit": ("audit_list", "audit_checkpoints_list", "audit_verification_read"),
    "audit-event": ("audit_list",),
    "audit-verify": ("audit_verify",),
    "audit-export": ("audit_export",),
    # settings
    "settings": ("organisation_read", "organisation_change"),
    "settings-keys": ("key_rules_read", "key_rules_set"),
    "settings-end": Why.NO_DATA,
    "settings-sign-in": ("sign_in_read", "group_rules_list", "scim_tokens_list"),
    "settings-sign-in-edit": ("sign_in_prepare",),
    "settings-sign-in-test": ("sign_in_test",),
    "settings-sign-in-try": Why.TRIED_BY_A_PERSON,
    "settings-sign-in-activate": Why.TRIED_BY_A_PERSON,
    "settings-sign-in-withdraw": ("sign_in_withdraw",),
    "settings-sign-in-off": ("sign_in_switch_off",),
    "group-rule-add": ("group_rules_create",),
    "group-rule-remove": ("group_rules_delete",),
    "scim-token-make": ("scim_tokens_create",),
    "scim-token-revoke": ("scim_tokens_revoke",),
    "webhooks": ("webhooks_list", "webhooks_create"),
    "webhook": ("webhooks_read", "webhooks_change", "webhooks_deliveries"),
    "webhook-rotate": ("webhooks_rotate",),
    "webhook-test": ("webhooks_test",),
    "webhook-delete": ("webhooks_delete",),
    "webhook-again": ("webhooks_send_again",),
}

# Of what can be done with many keys at once, the word that the API has for it.
BULK: dict[str, str | None] = {
    "revoke": "revoke",
    "responsible": "responsible",
    "expiry": "expiry",
    "project": None,  # a key is confined to its project: taking another out of it, or into it, would be beyond itself
}
