"""The registry of notices: whatever the product tells is described there, and can be worded in every language."""

import ast
import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.utils import timezone

from identity.models import Notice, Tenant
from identity.notice_kinds import KINDS, NoticeKind
from identity.notice_wording import money, word
from identity.notices import notify
from tests.architecture.sources import name_of, python_files
from tests.support.people import make_tenant

# `_tell`: what modules call their own way of telling.
TELLING = {"notify", "notify_outsider", "_tell"}
KIND = re.compile(r"[a-z_]+\.[a-z_]+")


def told_kinds() -> Iterator[tuple[str, ast.Call]]:
    """Each call in the product that tells something."""
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TELLING:
                yield f"{name_of(path)}:{node.lineno}", node


def kinds_in(call: ast.Call) -> list[str]:
    """What a call names as a kind: a text with a dot among its first two arguments, also one of a choice."""
    nodes = [node for argument in call.args[:2] for node in ast.walk(argument) if isinstance(node, ast.Constant)]
    return [node.value for node in nodes if isinstance(node.value, str) and KIND.fullmatch(node.value)]


def test_the_product_tells_only_what_the_registry_describes() -> None:
    told = {place: kinds_in(call) for place, call in told_kinds()}
    assert len([kinds for kinds in told.values() if kinds]) > 10
    wrong = {place: kinds for place, kinds in told.items() if any(kind not in KINDS for kind in kinds)}
    assert wrong == {}


def sample(kind: NoticeKind) -> dict[str, object]:
    """A context with what the kind needs, each as its name says it is."""
    return {name: sample_of(name) for name in kind.placeholders}


def sample_of(name: str) -> object:
    if name.endswith(("_nano_eur", "count", "days", "percent")):
        return 3
    if name == "at" or name.endswith("_at"):
        return "2026-11-21T10:00:00+00:00"
    return "2026-11-21" if name.endswith("_on") else name


@pytest.mark.parametrize("language", [code for code, _ in settings.LANGUAGES])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_can_be_worded(kind: NoticeKind, language: str) -> None:
    notice = Notice(tenant=Tenant(slug="acme"), kind=kind.name, context=sample(kind), created_at=timezone.now())
    worded = word(notice, language=language, time_zone="Europe/Paris")
    assert worded.title
    assert worded.text
    assert "%(" not in worded.title + worded.text
    assert "–" not in worded.title + worded.text  # the dash of what is missing
    assert bool(worded.path) == bool(kind.link)


def test_figures_are_written_as_the_reader_writes_them() -> None:
    context = sample(KINDS["budget.reached"]) | {"spent_nano_eur": 1_234_565_000_000, "limit_nano_eur": 1_230_000}
    notice = Notice(tenant=Tenant(slug="acme"), kind="budget.reached", context=context)
    english = word(notice, language="en", time_zone="Europe/Paris").text
    french = word(notice, language="fr", time_zone="UTC").text
    assert (
        english == "€1,234.56 of €0.0012 are spent. The budget begins anew on 21 November 2026, 11:00 (Europe/Paris)."
    )
    assert "1\u202f234,56\xa0€" in french
    assert "21 novembre 2026, 10:00 (UTC)" in french
    assert money(0, "en") == "€0.00"


def test_one_and_many_are_told_apart() -> None:
    context = {"name": "nightly", "key": "abc", "expires_at": "2026-11-21T10:00:00+00:00"}
    notice = Notice(tenant=Tenant(slug="acme"), kind="api_key.expires", context=context | {"days": 1})
    assert word(notice, language="en", time_zone="UTC").title == "The key nightly expires in 1 day"
    notice.context["days"] = 1_000
    assert word(notice, language="en", time_zone="UTC").title == "The key nightly expires in 1,000 days"


def test_what_another_release_stored_is_still_shown() -> None:
    later = Notice(tenant=None, kind="moon.landed", context={})
    assert word(later, language="en", time_zone="UTC").title == "A notice that this release cannot show"
    older = Notice(tenant=Tenant(slug="acme"), kind="api_key.expires", context={"name": "nightly"})
    assert word(older, language="en", time_zone="UTC").title == "The key nightly expires in – days"


@pytest.mark.usefixtures("database")
def test_a_notice_that_could_not_be_worded_is_not_made() -> None:
    tenant = make_tenant()
    with pytest.raises(ValueError, match="no kind of notice"):
        notify(tenant, "moon.landed")
    with pytest.raises(ValueError, match="needs ends_on, replacement"):
        notify(tenant, "model.deprecated", context={"model": "small"})
