"""The console has no powers of its own: a new page, form or button has to name the operation that does the same."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from console.forms.keys import PolicyForm, SearchForm
from console.views.keys import ACTIONS
from gateway.api.key_changes import KeyChangeSerializer
from gateway.api.keys import NewKeySerializer
from gateway.api.openapi import document
from gateway.api.queries import KeysQuery
from tests.gateway.api.pages_in_the_api import BULK, PAGES, Why
from tests.support.console_world import Route, console_routes

ROUTES = {route.name: route for route in console_routes()}


def operations() -> dict[str, str]:
    """Operation -> method, of both APIs."""
    return {
        operation["operationId"]: method
        for methods in document()["paths"].values()
        for method, operation in methods.items()
        if isinstance(operation, dict) and "operationId" in operation
    }


def methods_of(route: Route) -> set[str]:
    """What the view takes, as its `require_...` decorator or its class says; both where nothing does."""
    view: Any = route.view
    if hasattr(view, "view_class"):
        return {method.upper() for method in ("get", "post") if hasattr(view.view_class, method)}
    for wrapper in _wrappers(view):
        if declared := inspect.getclosurevars(wrapper).nonlocals.get("request_method_list"):
            return set(declared)
    return {"GET", "POST"}


def _wrappers(view: Callable[..., object]) -> Iterator[Callable[..., object]]:
    while True:
        yield view
        if not hasattr(view, "__wrapped__"):
            return
        view = view.__wrapped__


def test_everything_a_page_does_is_in_the_api() -> None:
    assert ROUTES.keys() - PAGES.keys() == set(), "name the operation that does what the page does, or a reason"
    assert PAGES.keys() - ROUTES.keys() == set(), "there is no such page any more"
    known = operations()
    named = {operation for told in PAGES.values() if not isinstance(told, Why) for operation in told}
    assert named - known.keys() == set(), "there is no such operation"


def test_what_changes_something_on_a_page_changes_it_in_the_api_too() -> None:
    known = operations()
    writing = {name for name, route in ROUTES.items() if "POST" in methods_of(route)}
    assert {"key-revoke", "settings-keys", "settings-sign-in-test", "sign-out"} <= writing
    assert not {"keys", "overview", "models", "usage-export"} & writing
    for name in sorted(writing):
        told = PAGES[name]
        assert isinstance(told, Why) or any(known[operation] != "get" for operation in told), name


def test_every_operation_that_changes_something_is_what_some_page_does() -> None:
    """The other way round: what a key can do, a person can see being done."""
    told = {operation for told in PAGES.values() if not isinstance(told, Why) for operation in told}
    changing = {name for name, method in operations().items() if method != "get" and not name.startswith(("v1", "v2"))}
    assert changing - told == {"keys_delete"}  # as `keys_revoke`, for who expects DELETE


def test_what_is_done_with_many_keys_is_in_the_api() -> None:
    assert {action.name for action in ACTIONS} == BULK.keys()
    changes = set(KeyChangeSerializer().fields["change"].choices)  # type: ignore[attr-defined]
    assert {word for word in BULK.values() if word} == changes


def test_a_key_is_looked_for_and_made_with_the_fields_of_the_pages() -> None:
    # A key is confined to one project, so that it neither chooses one nor looks for one.
    words = {"q": "text"}
    sought = {words.get(name, name) for name in SearchForm.base_fields} - {"project"}
    assert sought <= KeysQuery().fields.keys()
    words = {
        "expires_on": "expires_at", "budget_period": "budget", "requests_a_minute": "limits",
        "tokens_a_minute": "limits", "requests_at_once": "limits",
    }  # fmt: skip
    assert {words.get(name, name) for name in PolicyForm.base_fields} <= NewKeySerializer().fields.keys()
