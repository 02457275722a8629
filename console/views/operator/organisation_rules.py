"""Organisation rules: all of them, a new one, one, its end; what they make of a list of groups; whom they feed."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.contracts.tiers import all_tiers
from billing.tenants.group_organisations import (
    GroupOutcome,
    GroupPlan,
    make_organisations,
    plan_groups,
    read_groups,
)
from billing.tenants.organisation_rules import (
    RULES_MAX,
    free_code,
    members_at_most,
    put_rule,
    remove_rule,
    rule_by_code,
    rules_with_counts,
)
from console.forms.organisation_rules import GroupListForm, OrganisationRuleForm
from console.pages import operator_page
from console.refusals import sentence_of, show_at_form
from console.views.operator.tenant_changes import tenant_or_404
from identity.errors import Conflict, Invalid
from identity.group_feeds import (
    LETS_OTHERS_IN,
    Meaning,
    begin_feeding,
    end_feeding,
    feed_of,
    groups_named,
    members_by_groups,
)
from identity.models import OrganisationRule, Person, Role, Tenant
from identity.operators import Operator, operator_for_person
from identity.permissions import OperatorPermission
from identity.providers import shared_version

_MAY = OperatorPermission.TENANT_CREATE
_ORDER = (GroupOutcome.REFUSED, GroupOutcome.MADE, GroupOutcome.THERE, GroupOutcome.IGNORED)


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def organisation_rules(request: HttpRequest, operator: Person) -> HttpResponse:
    """All rules, with what each made."""
    tiers = {tier.code: tier for tier in all_tiers()}
    found = list(rules_with_counts())
    patterns = {rule.code: rule.pattern for rule in found}
    # Each after the one that it joins.
    found.sort(key=lambda rule: (patterns.get(rule.joins, rule.pattern), rule.joins != "", rule.pattern))
    rules = [(rule, tiers.get(rule.tier), patterns.get(rule.joins, "")) for rule in found]
    shown = {
        "rules": rules,
        "has_room": len(rules) < RULES_MAX,
        "rules_max": RULES_MAX,
        "has_provider": shared_version() is not None,
        "makes_no_owners": any(rule.makes for rule in found) and all(rule.role != Role.OWNER for rule in found),
    }
    return render(request, "console/operator/organisation_rules/rules.html", shown)


@require_http_methods(["GET", "POST"])
@operator_page(_MAY)
def organisation_rule_new(request: HttpRequest, operator: Person) -> HttpResponse:
    """Write a rule."""
    return _form(request, operator, None)


@require_http_methods(["GET", "POST"])
@operator_page(_MAY)
def organisation_rule(request: HttpRequest, operator: Person, rule: str) -> HttpResponse:
    """Change a rule, or take it away."""
    return _form(request, operator, rule_by_code(rule))


@require_POST
@operator_page(_MAY)
def organisation_rule_remove(request: HttpRequest, operator: Person, rule: str) -> HttpResponse:
    """Take it away."""
    found = rule_by_code(rule)
    try:
        remove_rule(by=operator_for_person(operator), code=rule)
    except Conflict as error:
        messages.error(request, sentence_of(error))
        return redirect("operator-organisation-rule", rule=rule)
    messages.success(request, _("The rule %(pattern)s is gone.") % {"pattern": found.pattern})
    return redirect("operator-organisation-rules")


@require_http_methods(["GET", "POST"])
@operator_page(_MAY)
def group_import(request: HttpRequest, operator: Person) -> HttpResponse:
    """What the rules make of a list of groups: first a look, then, asked once more, the work."""
    form = GroupListForm(request.POST or None, request.FILES or None)
    plans: list[GroupPlan] = []
    is_done = False
    if "correct" in request.POST:
        form = GroupListForm(initial={"text": request.POST.get("text", "")})
    elif request.method == "POST" and form.is_valid():
        by, groups = operator_for_person(operator), read_groups(form.cleaned_data["text"])
        try:
            if "feed" in request.POST:
                _feed(request, by, plan_groups(by=by, groups=groups))
            is_done = "make" in request.POST
            plans = make_organisations(by=by, groups=groups) if is_done else plan_groups(by=by, groups=groups)
        except Invalid as error:
            form.add_error(None, sentence_of(error))
    counts = {outcome.value: sum(plan.outcome == outcome for plan in plans) for outcome in GroupOutcome}
    shown = {
        "form": form,
        "lines": [(plan, _state(plan, is_done=is_done)) for plan in sorted(plans, key=_place)],
        "is_done": is_done,
        "counts": counts,
        "to_make": len({plan.word for plan in plans if plan.outcome == GroupOutcome.MADE}),
        "feedable": list({plan.word: plan for plan in plans if plan.feedable_by}.values()),
        "text": form.cleaned_data.get("text", "") if form.is_bound and form.is_valid() else "",
        "has_rules": OrganisationRule.objects.exists(),
    }
    return render(request, "console/operator/organisation_rules/import.html", shown)


@require_GET
@operator_page(OperatorPermission.PLATFORM_READ)
def tenant_groups(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Which groups would bring members to an organisation, whether they do, and how many came so."""
    found = tenant_or_404(slug)
    feed, roles = feed_of(found), dict(Role.choices)
    is_fed = feed is not None and feed.rule is not None
    named = groups_named(feed.word if feed and is_fed else found.external_id or "")
    meanings = [one for one in named if not is_fed or (feed and one.root == feed.rule)]
    is_theirs = feed is not None and is_fed and not feed.gives_administrators
    shown = {
        "tenant": found,
        "feed": feed if is_fed else None,
        "groups": [(one, _name_of_group(one), is_theirs and one.rule.role in LETS_OTHERS_IN) for one in meanings],
        "roots": [] if is_fed else list({one.root.pk: one.root for one in meanings}.values()),
        "people": [(roles.get(role, role), count) for role, count in members_by_groups(found)],
    }
    return render(request, "console/operator/organisation_rules/tenant.html", shown)


@require_POST
@operator_page(_MAY)
def tenant_feed(request: HttpRequest, operator: Person, slug: str, rule: str) -> HttpResponse:
    """Let a rule feed an organisation that it did not make."""
    found = tenant_or_404(slug)
    try:
        begin_feeding(by=operator_for_person(operator), tenant=found, rule=rule)
    except (Invalid, Conflict) as error:
        messages.error(request, _told(found, error))
    else:
        messages.success(request, _("Groups bring members to %(name)s now, at their sign-in.") % {"name": found.name})
    return redirect("operator-tenant-groups", slug=slug)


@require_POST
@operator_page(_MAY)
def tenant_feed_end(request: HttpRequest, operator: Person, slug: str) -> HttpResponse:
    """Let them feed it no more."""
    found = tenant_or_404(slug)
    end_feeding(by=operator_for_person(operator), tenant=found)
    messages.success(request, _("Groups give nothing in %(name)s any more.") % {"name": found.name})
    return redirect("operator-tenant-groups", slug=slug)


def _name_of_group(meaning: Meaning) -> str:
    return meaning.rule.pattern.replace("*", meaning.word)


def _form(request: HttpRequest, operator: Person, rule: OrganisationRule | None) -> HttpResponse:
    form = OrganisationRuleForm(request.POST or None, rule=rule)
    if request.method == "POST" and form.is_valid():
        code = rule.code if rule else free_code(form.wish.pattern)
        try:
            made, _is_new = put_rule(by=operator_for_person(operator), code=code, wish=form.wish)
        except (Invalid, Conflict) as error:
            show_at_form(form, error)
        else:
            told = _("The rule %(pattern)s is in force: at everybody's next sign-in.")
            messages.success(request, told % {"pattern": made.pattern})
            return redirect("operator-organisation-rules")
    shown = {"form": form, "rule": rule, "members": members_at_most(rule.role) if rule else 0}
    return render(request, "console/operator/organisation_rules/form.html", shown)


def _feed(request: HttpRequest, by: Operator, plans: list[GroupPlan]) -> None:
    """Those organisations of the list that were ticked, one by one."""
    words, fed = set(request.POST.getlist("word")), 0
    for plan in {plan.word: plan for plan in plans if plan.feedable_by and plan.word in words}.values():
        assert plan.tenant is not None
        try:
            fed += begin_feeding(by=by, tenant=plan.tenant, rule=plan.feedable_by)
        except (Invalid, Conflict) as error:
            messages.error(request, _told(plan.tenant, error))
    told = ngettext("Groups feed %(count)s more organisation.", "Groups feed %(count)s more organisations.", fed)
    messages.success(request, told % {"count": fed})


def _told(tenant: Tenant, error: Invalid | Conflict) -> str:
    if isinstance(error, Invalid):
        return _("%(name)s: its external id %(fault)s.") % {"name": tenant.name, "fault": error.message}
    return f"{tenant.name}: {error}."


def _place(plan: GroupPlan) -> int:
    return _ORDER.index(plan.outcome)


def _state(plan: GroupPlan, *, is_done: bool) -> str:
    return "to_make" if plan.outcome == GroupOutcome.MADE and not is_done else plan.outcome.value
