"""I6 at the operator's door: an operator's key opens it with the scope of its noun, and opens nothing else."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.urls import get_resolver

from gateway.api.operator.view import OperatorApiView
from identity.scopes import OperatorScope
from tests.gateway.api.conftest import Api, problem_of
from tests.support.ledger import HeldKey
from tests.support.operators import held_operator_key


def operations() -> Iterator[tuple[str, str, type[OperatorApiView]]]:
    """Address, method and view of each operation of the operator's; a word stands for each part of an address."""
    [api] = [entry for entry in get_resolver().url_patterns if str(entry.pattern) == "api/"]
    for route in api.url_patterns:  # type: ignore[union-attr]
        view: Any = getattr(route.callback, "view_class", None)
        if view is None or not issubclass(view, OperatorApiView):
            continue
        address = "/api/" + str(route.pattern)
        for name, converter in route.pattern.converters.items():
            written = {"int": "1", "uui": str(UUID(int=0))}.get(type(converter).__name__[:3].lower(), "nobody")
            address = address.replace(f"<{_kind(str(route.pattern), name)}{name}>", written)
        for method in ("get", "post", "put", "patch", "delete"):
            if hasattr(view, method):
                yield address, method.upper(), view


def _kind(pattern: str, name: str) -> str:
    before = pattern.partition(f"{name}>")[0]
    return before[before.rindex("<") + 1 :]


OPERATIONS = list(operations())
NAMED = [f"{method} {address}" for address, method, _ in OPERATIONS]


@pytest.mark.parametrize(("address", "method", "view"), OPERATIONS, ids=NAMED)
def test_I6_no_key_of_an_organisation_opens_it(
    api: Api, strong_key: HeldKey, address: str, method: str, view: type[OperatorApiView]
) -> None:
    assert address.startswith("/api/operator/")
    for key, code in ((None, "no_api_key"), (strong_key, "invalid_api_key")):
        response = api.ask(method, address, key)
        assert (response.status_code, problem_of(response)["code"]) == (401, code)
        assert "operator's key" in problem_of(response)["detail"]


@pytest.mark.parametrize(("address", "method", "view"), OPERATIONS, ids=NAMED)
def test_I6_a_key_with_every_other_scope_gets_403(
    api: Api, database: None, address: str, method: str, view: type[OperatorApiView]
) -> None:
    if view.noun is None:
        return
    reads = method == "GET"
    lacking = {OperatorScope(f"{view.noun}:write")} | ({OperatorScope(f"{view.noun}:read")} if reads else set())
    key = held_operator_key(*(scope for scope in OperatorScope if scope not in lacking))
    response = api.ask(method, address, key, None if reads else {})
    assert (response.status_code, problem_of(response)["code"]) == (403, "scope_missing")
    assert f"`{view.noun}:{'read' if reads else 'write'}`" in problem_of(response)["detail"]


def test_I6_an_operator_key_opens_nothing_of_an_organisation(api: Api, database: None) -> None:
    key = held_operator_key(*OperatorScope)
    assert api.get("/api/operator/key", key).json()["scopes"] == sorted(OperatorScope)
    for address in ("/api/key", "/api/keys", "/api/projects", "/api/audit"):
        response = api.get(address, key)
        assert (response.status_code, problem_of(response)["code"]) == (401, "invalid_api_key")


def test_a_page_of_elsewhere_cannot_use_an_operator_key(api: Api, database: None) -> None:
    key = held_operator_key(OperatorScope.TENANTS_READ)
    response = api.get("/api/operator/key", key, Origin="https://elsewhere.example")
    assert (response.status_code, problem_of(response)["code"]) == (403, "origin_not_allowed")
