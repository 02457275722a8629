"""Settings, Sign-in: a tenant's own provider, its test and trial, what its groups give, and the domains."""

from typing import Any

from django.conf import settings as django_settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.pages import tenant_page
from console.refusals import sentence_of
from console.sign_in.flows import Purpose, redirect_uri, start
from console.sign_in.sessions import TRIAL
from console.sign_in.settings_forms import GroupRuleForm, ProviderForm, ScimTokenForm
from console.views.settings import settings_page
from identity import email_domains, group_rules, providers, scim_tokens
from identity.access import Caller
from identity.errors import Conflict, Forbidden, Invalid, NotFound
from identity.group_feeds import groups_feeding
from identity.models import IdentityProvider, ProviderVersion, Role
from identity.oidc_discovery import ProviderTrouble
from identity.permissions import Permission
from identity.provider_check import Finding, check_connection

_PAGE = "settings-sign-in"
_TRIALS: dict[str, str | Promise] = {
    "good": _("You came through with these settings."),
    "somebody_else": _("The provider vouched for somebody else than you. Sign in there with your own address."),
    "cancelled": _("The provider did not let you in."),
    "broken": _("What came back does not hold. Test the connection, and look at the client's settings there."),
    "email_missing": _("The provider did not tell an e-mail address: allow Beffroi the scope “email” there."),
    "email_unverified": _("The provider says that it has not verified your address (claim “email_verified”)."),
    "domain_not_confirmed": _("The operator has not confirmed the domain of your address for this organisation."),
    "stronger_sign_in": _("The sign-in had not the class or the methods that these settings require."),
}


@require_GET
@tenant_page(Permission.PROVIDER_READ)
def sign_in_settings(request: HttpRequest, caller: Caller) -> HttpResponse:
    """How people of this organisation sign in."""
    return _shown(request, caller)


@sensitive_post_parameters("client_secret")
@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page(Permission.PROVIDER_UPDATE)
def edit_provider(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Settings of a provider of one's own; they change nothing until they were tried."""
    own = providers.provider_of(caller.tenant)
    version = (providers.version_in_preparation(own) or providers.active_version(own)) if own else None
    form = ProviderForm(request.POST or None, initial=ProviderForm.initial_of(version))
    if request.method == "POST" and form.is_valid():
        try:
            providers.prepare_version(by=caller, settings=form.settings())
        except Invalid as invalid:
            form.add_error(invalid.field, invalid.message)
        else:
            messages.success(request, _("Kept. Nothing has changed yet: test the connection, then sign in with it."))
            return redirect(_PAGE, slug=caller.tenant.slug)
    return render(request, "console/sign_in/settings_form.html", {"form": form, "addresses": _addresses(caller)})


@require_POST
@tenant_page(Permission.PROVIDER_UPDATE)
def test_provider(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Says what is wrong with the settings in preparation, or else with those in use."""
    version = _version(caller)
    return _shown(request, caller, check_connection(version, redirect_uri=redirect_uri(version.provider)))


@require_GET
@tenant_page(Permission.PROVIDER_UPDATE)
def try_provider(request: HttpRequest, caller: Caller) -> HttpResponse:
    """To the provider and back, with the settings in preparation; whoever is signed in stays so.

    Only from our page: who follows another site's link here has not seen which provider it is.
    """
    own = providers.provider_of(caller.tenant)
    version = providers.version_in_preparation(own) if own else None
    here = resolve_url(_PAGE, slug=caller.tenant.slug)
    if version is None or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return redirect(here)
    try:
        return HttpResponseRedirect(start(request, version, purpose=Purpose.TRIAL, next_path=here))
    except ProviderTrouble as trouble:
        messages.error(request, _("The provider: %(trouble)s.") % {"trouble": trouble})
        return redirect(here)


@require_POST
@tenant_page(Permission.PROVIDER_UPDATE)
def activate_provider(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Puts tried settings to use."""
    return _done(request, caller, "activate")


@require_POST
@tenant_page(Permission.PROVIDER_UPDATE)
def withdraw_provider(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Gives settings in preparation up."""
    return _done(request, caller, "withdraw")


@require_POST
@tenant_page(Permission.PROVIDER_UPDATE)
def switch_provider_off(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Closes the organisation's own door."""
    return _done(request, caller, "switch_off")


@require_POST
@tenant_page(Permission.MEMBER_UPDATE)
def add_group_rule(request: HttpRequest, caller: Caller) -> HttpResponse:
    """What members of a group are from their next sign-in on."""
    form = GroupRuleForm(caller, _providers_of(providers.versions_shown_to(caller.tenant)), request.POST)
    if not form.is_valid():
        return _shown(request, caller, rule_form=form)
    given = form.cleaned_data
    chosen = list(given["projects"])
    try:
        group_rules.add_rule(
            by=caller,
            provider=given["provider"],
            group=given["group"],
            role=Role(given["role"]),
            projects=chosen or None,
        )
    except Invalid as invalid:
        form.add_error(invalid.field, invalid.message)
    except Conflict:
        form.add_error("group", _("There is a rule for this group already."))
    except Forbidden:
        form.add_error("role", _("Only an owner makes owners."))
    else:
        messages.success(request, _("The rule counts from the next sign-in of each person."))
        return redirect(_PAGE, slug=caller.tenant.slug)
    return _shown(request, caller, rule_form=form)


@require_POST
@tenant_page(Permission.MEMBER_UPDATE)
def remove_group_rule(request: HttpRequest, caller: Caller, rule_id: int) -> HttpResponse:
    """Takes a rule away."""
    group_rules.remove_rule(by=caller, rule_id=rule_id)
    messages.success(request, _("The rule is gone. Who was a member by it alone is none from the next sign-in on."))
    return redirect(_PAGE, slug=caller.tenant.slug)


@require_POST
@tenant_page(Permission.PROVIDER_UPDATE)
def make_scim_token(request: HttpRequest, caller: Caller) -> HttpResponse:
    """A token for the organisation's directory. Its text is in this answer, once."""
    form = ScimTokenForm(request.POST)
    text = None
    if form.is_valid():
        try:
            _token, text = scim_tokens.make_token(by=caller, name=form.cleaned_data["name"])
        except Invalid as invalid:
            form.add_error(invalid.field, invalid.message)
        except Conflict:
            form.add_error("name", _("There are too many tokens: revoke one that is not used any more."))
    return _shown(request, caller, scim_form=None if text else form, scim_text=text)


@require_POST
@tenant_page(Permission.PROVIDER_UPDATE)
def revoke_scim_token(request: HttpRequest, caller: Caller, token_id: int) -> HttpResponse:
    """Stops a token at once."""
    scim_tokens.revoke_token(by=caller, token_id=token_id, now=timezone.now())
    messages.success(request, _("The token is revoked: the directory is refused from its next request on."))
    return redirect(_PAGE, slug=caller.tenant.slug)


def _shown(
    request: HttpRequest,
    caller: Caller,
    findings: list[Finding] | None = None,
    rule_form: GroupRuleForm | None = None,
    scim_form: ScimTokenForm | None = None,
    scim_text: str | None = None,
) -> HttpResponse:
    versions = providers.versions_shown_to(caller.tenant)
    own = {one.state: one for one in versions if one.provider.tenant_id is not None}
    waiting = own.get(ProviderVersion.State.TRIED) or own.get(ProviderVersion.State.DRAFT)
    shared = next((one for one in versions if one.provider.tenant_id is None), None)
    shown = {
        "active": own.get(ProviderVersion.State.ACTIVE),
        "waiting": waiting,
        "is_mine": waiting is not None and providers.may_try(waiting, caller.person),
        "shared": shared,
        "trial": _trial(request, waiting),
        "findings": findings,
        "domains": email_domains.domains_of(caller.tenant),
        "rules": [
            (rule, Role(rule.role).label) for rule in group_rules.rules_of(caller.tenant).prefetch_related("projects")
        ],
        "operators_groups": groups_feeding(caller.tenant) if shared else [],
        "rule_form": rule_form or GroupRuleForm(caller, _providers_of(versions)),
        "addresses": _addresses(caller),
        "scim_address": f"{django_settings.PUBLIC_URL}{resolve_url('scim-root', slug=caller.tenant.slug)}",
        "scim_tokens": scim_tokens.tokens_of(caller),
        "scim_form": scim_form or ScimTokenForm(),
        "scim_text": scim_text,
        "link": f"{django_settings.PUBLIC_URL}{resolve_url('tenant-sign-in', slug=caller.tenant.slug)}",
    }
    return settings_page(request, caller, _PAGE, "sign_in", **shown)


def _trial(request: HttpRequest, waiting: ProviderVersion | None) -> dict[str, Any] | None:
    trial = request.session.get(TRIAL)
    if waiting is None or not trial or trial.get("version") != waiting.pk:
        return None
    said = _TRIALS.get(trial["outcome"], _TRIALS["broken"])
    return dict(trial) | {"said": said, "is_good": trial["outcome"] == "good"}


def _done(request: HttpRequest, caller: Caller, what: str) -> HttpResponse:
    now = timezone.now()
    own = providers.provider_of(caller.tenant)
    if own is None:
        raise NotFound("provider")
    try:
        match what:
            case "activate":
                providers.activate(_version(caller), by=caller, now=now)
                messages.success(request, _("In use: your people sign in through it from now on."))
            case "withdraw":
                providers.withdraw(_version(caller), by=caller, now=now)
                messages.success(request, _("Discarded."))
            case "switch_off":
                providers.switch_off(own, by=caller, now=now)
                messages.success(request, _("Switched off, and the sessions through it have ended."))
    except Conflict:
        messages.error(request, _("Sign in with these settings first; an owner then puts them to use."))
    except Forbidden as error:
        messages.error(request, sentence_of(error))
    # Who switches off what they came through is signed out by it: the page then leads to the sign-in.
    return redirect(_PAGE, slug=caller.tenant.slug)


def _version(caller: Caller) -> ProviderVersion:
    own = providers.provider_of(caller.tenant)
    version = (providers.version_in_preparation(own) or providers.active_version(own)) if own else None
    if version is None:
        raise NotFound("provider")
    return version


def _providers_of(versions: list[ProviderVersion]) -> list[IdentityProvider]:
    """Whose groups rules can be about: the own provider's, then the shared one's."""
    found = {one.provider_id: one.provider for one in versions}
    return sorted(found.values(), key=lambda one: one.tenant_id is None)


def _addresses(caller: Caller) -> list[dict[str, str | Promise]]:
    """What has to be registered at the provider."""
    tenant = caller.tenant
    provider = IdentityProvider(audience=IdentityProvider.Audience.TENANT, tenant=tenant, name=tenant.name)
    back = redirect_uri(provider)
    out = f"{django_settings.PUBLIC_URL}{resolve_url('oidc-back-channel', handle=provider.handle)}"
    after = f"{django_settings.PUBLIC_URL}{resolve_url('signed-out')}"
    return [
        {"id": "redirect-uri", "label": _("Redirect URI"), "text": back},
        {"id": "logout-uri", "label": _("Back-channel logout URI"), "text": out},
        {"id": "after-uri", "label": _("Post-logout redirect URI"), "text": after},
    ]
