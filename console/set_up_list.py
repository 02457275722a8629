"""What an installation needs before people can use it: each line done, missing or broken, why, and a way to try it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import Count, Q, Value
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from billing.contracts.tiers import offered_tiers
from billing.invoices.document.libraries import INSTALLS, missing_libraries
from console.formats import ago
from console.operator_jobs import run_now
from console.sign_in.flows import redirect_uri
from gateway.pools.model_probes import published_models
from gateway.pools.models import Replica
from gateway.pools.reasons import in_readers_language
from identity import egress, providers
from identity.backups import BackupState, last_backup, state_of
from identity.certificates import first_to_end
from identity.errors import Conflict, NotFound
from identity.models import IdentityProvider, Person, ProviderVersion, Service, Tenant
from identity.notice_mail import send, sender
from identity.provider_check import check_connection, is_good
from identity.service import service
from models_catalog.models import LanguageModel

_HERE = ("localhost", "127.0.0.1", "::1")
_AUDIENCE = IdentityProvider.Audience
_PROBE_JOB = "pools.probe_replicas"


class State(StrEnum):
    """How a line stands."""

    DONE = "done"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Line:
    """`tries`: what its button says; "" where there is nothing to try. `page`: the name of the page that fixes it."""

    key: str
    title: Promise
    state: State
    why: Promise | str
    tries: Promise | str = ""
    page: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a try found, in sentences."""

    is_good: bool
    told: tuple[str, ...]


def set_up_lines() -> list[Line]:
    """All lines, in the order in which one sets them up. A few queries."""
    of = {version.provider.audience: version for version in providers.one_in_use_of_each_kind()}
    clients = _clients(of.get(_AUDIENCE.SHARED), has_own=_AUDIENCE.TENANT in of)
    there = _there()
    return [
        _operators(of.get(_AUDIENCE.OPERATORS)),
        clients,
        _mail(),
        _address(),
        _trade(),
        _model(is_published="model" in there),
        _tier(is_there="tier" in there),
        _tenant(there),
        _credentials(),
        _documents(),
        _backup(),
    ]


def try_line(key: str, *, operator: Person) -> Trial:
    """Try what a line is about, for real. Raises `NotFound` for a line without a trial."""
    trials: dict[str, Callable[[], Trial]] = {
        "operators": lambda: _try_provider(providers.operators_version()),
        "clients": lambda: _try_provider(providers.shared_version()),
        "mail": lambda: _try_mail(operator),
        "address": _try_address,
        "model": _try_engines,
    }
    if key not in trials:
        raise NotFound("line")
    return trials[key]()


def _documents() -> Line:
    title = _("PDF of invoices and statements")
    if missing := missing_libraries():
        told = {"missing": ", ".join(missing), "installs": INSTALLS}
        why = gettext("This machine lacks %(missing)s. What is issued waits for its PDF until you run: %(installs)s")
        return Line("documents", title, State.MISSING, why % told)
    return Line("documents", title, State.DONE, _("The libraries that draw text are there."))


def _operators(version: ProviderVersion | None) -> Line:
    if version is None:
        why: Promise | str = _(
            "Operators come in by one-time links and break-glass only. Run manage.py set_up_provider operators, as "
            "docs/sign-in.md says."
        )
        return Line("operators", _("Operators' sign-in"), State.MISSING, why)
    return Line("operators", _("Operators' sign-in"), State.DONE, version.provider.name, _("Test the connection"))


def _clients(shared: ProviderVersion | None, *, has_own: bool) -> Line:
    if shared is not None:
        return Line("clients", _("Clients' sign-in"), State.DONE, shared.provider.name, _("Test the connection"))
    if has_own:
        why = _("Organisations have providers of their own; there is none that all share.")
        return Line("clients", _("Clients' sign-in"), State.DONE, why)
    why = _(
        "Nobody but operators can sign in. Run manage.py set_up_provider shared, as docs/sign-in.md says, or let "
        "organisations bring their own."
    )
    return Line("clients", _("Clients' sign-in"), State.MISSING, why)


def _mail() -> Line:
    if not settings.MAIL_IS_SET_UP:
        why = _("Notices stay in the console. Set BEFFROI_MAIL_URL and BEFFROI_MAIL_FROM.")
        return Line("mail", _("Mail"), State.MISSING, why)
    return Line("mail", _("Mail"), State.DONE, settings.EMAIL_HOST, _("Send me a test mail"))


def _address() -> Line:
    title, parts = _("Public address and TLS"), urlsplit(settings.PUBLIC_URL)
    if parts.hostname in _HERE:
        why = _("Only this machine reaches it. Set BEFFROI_PUBLIC_URL to the https:// address that people use.")
        return Line("address", title, State.MISSING, why)
    if parts.scheme != "https":
        why = _("Keys and sessions cross the network unencrypted. Put a proxy with TLS in front.")
        return Line("address", title, State.BROKEN, why, _("Try it"))
    return Line("address", title, State.DONE, settings.PUBLIC_URL, _("Try it"))


def _trade() -> Line:
    title, page = _("Seller or chargeback"), "operator-service"
    said = {
        Service.Trade.SELLER: _("It sells to customers, and VAT is added to its prices."),
        Service.Trade.CHARGEBACK: _("It charges back to departments of one house, without VAT."),
    }
    trade = service().trade
    if trade:
        return Line("trade", title, State.DONE, said[Service.Trade(trade)], "", page)
    why = _("Say whether organisations are customers who buy, or departments of one house that are charged back.")
    return Line("trade", title, State.MISSING, why, "", page)


def _model(*, is_published: bool) -> Line:
    ready = Count("pk", filter=Q(state=Replica.State.READY))
    found = Replica.objects.aggregate(all=Count("pk"), ready=ready, simulated=Count("pk", filter=Q(is_simulated=True)))
    title, probe = _("First model"), _("Probe the engines")
    if not found["all"]:
        return Line(
            "model", title, State.MISSING, _("No engine is registered: no model answers."), "", "operator-models"
        )
    if not found["ready"]:
        why = _("Engines are registered, but none of them passed its probe.")
        return Line("model", title, State.BROKEN, why, probe, "operator-models")
    if found["simulated"] == found["all"]:
        return Line("model", title, State.MISSING, _("All engines are simulated."), probe, "operator-models")
    if not is_published:
        why = _("Engines take requests, but no model is published: organisations see none.")
        return Line("model", title, State.MISSING, why, probe, "operator-models")
    return Line(
        "model", title, State.DONE, _("A model is published, and engines take requests."), probe, "operator-models"
    )


def _there() -> set[str]:
    """Which of these are there: a tier, an organisation, one of the demo's, a published model. One query."""
    tenants = Tenant.objects.filter(is_platform=False, closed_at=None)
    found = {
        "tenant": tenants.filter(is_demo=False),
        "demo": tenants.filter(is_demo=True),
        "model": LanguageModel.objects.filter(published_models()),
        "tier": offered_tiers(),
    }
    first, *others = [
        rows.order_by().annotate(told=Value(what)).values_list("told", flat=True)[:1] for what, rows in found.items()
    ]
    return set(first.union(*others, all=True))


def _tier(*, is_there: bool) -> Line:
    page = "operator-tiers"
    if is_there:
        return Line("tier", _("First tier"), State.DONE, _("Tiers say what organisations are offered."), "", page)
    why = _("Without a tier no organisation can have a contract.")
    return Line("tier", _("First tier"), State.MISSING, why, "", page)


def _tenant(there: set[str]) -> Line:
    title, page = _("First organisation"), "operator-tenants"
    if "tenant" in there:
        return Line("tenant", title, State.DONE, _("There is one that is no demo."), "", page)
    why = _("There is none but the demo's.") if "demo" in there else _("There is none yet.")
    return Line("tenant", title, State.MISSING, why, "", page)


def _credentials() -> Line:
    title, now, page = _("Keys and certificates"), timezone.now(), "operator-credentials"
    first = first_to_end(now)
    if first is None:
        return Line("credentials", title, State.DONE, _("None that is known ends within 30 days."), "", page)
    name, ends_at = first
    told = {"name": name, "when": ago(int((now - ends_at).total_seconds()), get_language() or "en")}
    if ends_at <= now:
        return Line("credentials", title, State.BROKEN, gettext("Ended: %(name)s, %(when)s.") % told, "", page)
    return Line("credentials", title, State.BROKEN, gettext("Soon ends: %(name)s, %(when)s.") % told, "", page)


def _backup() -> Line:
    title, backup, now = _("Backup"), last_backup(), timezone.now()
    if backup is None:
        why = gettext("None was told of. Let your backup script end with manage.py note_backup: see docs/backup.md.")
        return Line("backup", title, State.MISSING, why)
    told = {
        "ago": ago(max(1, int((now - backup.made_at).total_seconds())), get_language() or "en"),
        "size": filesizeformat(backup.size_bytes),
    }
    if state_of(backup, now) == BackupState.LATE:
        return Line("backup", title, State.BROKEN, gettext("Late: the last one was made %(ago)s, %(size)s.") % told)
    return Line("backup", title, State.DONE, gettext("The last one was made %(ago)s, %(size)s.") % told)


def _try_provider(version: ProviderVersion | None) -> Trial:
    if version is None:
        raise NotFound("provider")
    findings = check_connection(version, redirect_uri=redirect_uri(version.provider))
    troubles = tuple(one.detail for one in findings if one.outcome != "good")
    return Trial(is_good=is_good(findings), told=troubles)


def _try_mail(operator: Person) -> Trial:
    if not settings.MAIL_IS_SET_UP:
        raise NotFound("mail")
    text = gettext("This is the test mail that you asked for in the operator's console: mail works.")
    subject = gettext("%(service)s: a test mail") % {"service": service().title}
    outcome = send(EmailMultiAlternatives(subject, text, from_email=sender(), to=[operator.email]))
    if outcome.is_delivered:
        told = gettext("A test mail is on its way to %(email)s.") % {"email": operator.email}
        return Trial(is_good=True, told=(told,))
    return Trial(is_good=False, told=(str(outcome.fault.label),))


def _try_address() -> Trial:
    try:
        answer = egress.fetch("GET", f"{settings.PUBLIC_URL}/health/live", allow_private=True)
    except egress.EgressError as error:
        return Trial(is_good=False, told=(in_readers_language(str(error)),))
    if answer.status != 200:
        return Trial(is_good=False, told=(gettext("It answered with status %(status)d.") % {"status": answer.status},))
    return Trial(is_good=True, told=(gettext("It answers, and its certificate holds."),))


def _try_engines() -> Trial:
    try:
        run_now(_PROBE_JOB)
    except Conflict as error:
        return Trial(is_good=False, told=(str(error),))
    return Trial(is_good=True, told=(gettext("The worker probes what is not ready: look again in half a minute."),))
