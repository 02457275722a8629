"""How the operator's models are said: whether they answer, where they stand, what state an engine is in."""

from collections.abc import Mapping
from datetime import datetime

from django import template
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import localtime
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from console import formats
from console.catalog_words import meter_word
from gateway.pools.models import ModelProbe, Replica
from gateway.pools.reasons import in_readers_language
from models_catalog.models import LanguageModel

register = template.Library()

_STAGES: dict[str, tuple[str, Promise]] = {
    "draft": ("secondary", _("not published")),
    "hidden": ("yellow", _("hidden")),
    "published": ("green", _("published")),
    "ending": ("yellow", _("ends soon")),
    "ended": ("secondary", _("ended")),
}
REPLICAS: dict[str, tuple[str, Promise]] = {
    "registered": ("blue", _("being tried")),
    "ready": ("green", _("ready")),
    "failed": ("red", _("failed")),
    "draining": ("yellow", _("draining")),
    "ejected": ("secondary", _("ejected")),
    "requested": ("secondary", _("requested")),
    "starting": ("blue", _("starting")),
    "warming": ("blue", _("warming up")),
    "stopping": ("secondary", _("stopping")),
    "sleeping": ("secondary", _("asleep")),
    "silent": ("red", _("does not answer")),
}


register.filter("reason", in_readers_language)


@register.simple_tag
def stage(name: str) -> SafeString:
    """Where a model stands for the operator."""
    return _status(*_STAGES[name])


def shown_state(replica: Replica) -> str:
    """An engine's state; of one that does not answer that alone."""
    return "silent" if replica.silent_since else replica.state


def is_in_trouble(replica: Replica) -> bool:
    """Whether somebody should look at it."""
    return shown_state(replica) in ("silent", Replica.State.FAILED, Replica.State.EJECTED)


@register.simple_tag
def replica_state(replica: Replica) -> SafeString:
    """An engine's health."""
    return _status(*REPLICAS[shown_state(replica)])


@register.filter
def why_so(replica: Replica) -> str:
    """Why it is in its state; of one that does not answer, since when."""
    reason = in_readers_language(replica.state_reason)
    if replica.silent_since is None:
        return reason
    when = formats.moment(localtime(replica.silent_since), get_language() or "en")
    silence = gettext("It has not answered since %(when)s. It is asked again every minute.") % {"when": when}
    return f"{silence} {reason}".strip()


@register.simple_tag
def answers(does: bool | None, probe: ModelProbe | None) -> SafeString:  # noqa: FBT001  # as templates call it
    """Whether a model answers, by its newest probe."""
    if does is None or probe is None:
        return _status("secondary", _("not probed"))
    if does:
        return _status("green", _("answers"))
    return _status("red", ModelProbe.Outcome(probe.outcome).label)


@register.simple_tag
def met(is_met: bool | None) -> SafeString | str:  # noqa: FBT001  # as templates call it
    """Whether a target is met; nothing where that cannot be told."""
    if is_met is None:
        return ""
    return _status("green", _("met")) if is_met else _status("red", _("missed"))


@register.simple_tag
def kind_word(kind: str) -> str:
    """What kind of model it is."""
    return str(LanguageModel.Kind(kind).label)


@register.simple_tag
def prices(amounts: Mapping[str, int]) -> SafeString | str:
    """The two main prices, a line each; a dash where there is none."""
    language = (get_language() or "en").partition("-")[0]
    main = [(meter, nano) for meter, nano in amounts.items() if nano and meter not in ("cached", "reasoning")][:2]
    if not main:
        return "–"
    told = ((meter_word(meter), formats.money(nano, language)) for meter, nano in main)
    return format_html_join(mark_safe("<br>"), '<span class="quiet">{}</span> {}', told)


@register.filter
def share(percent: float | None) -> str:
    """A share with two decimals, never rounded up to what it is not; a dash for None."""
    if percent is None:
        return "–"
    return formats.fine_share(percent, (get_language() or "en").partition("-")[0])


@register.filter
def moment_text(when: datetime) -> str:
    """Day and time, for a tooltip."""
    return f"{localtime(when):%Y-%m-%d %H:%M}"


def _status(tone: str, word: Promise | str) -> SafeString:
    return format_html(
        '<span class="status status-{}"><span class="status-dot" aria-hidden="true"></span>{}</span>', tone, word
    )
