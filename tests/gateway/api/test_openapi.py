"""The description of both APIs: valid, complete, open to all, and shown without anything from elsewhere."""

import re
from contextlib import closing
from typing import Any

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import get_resolver
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema

from gateway.api.openapi import document
from gateway.relay.fields import Endpoint
from tests.gateway.api.conftest import Api
from tests.support.ledger import HeldKey


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document()


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_the_description_is_valid_and_made_without_a_warning(described: dict[str, Any]) -> None:
    document.cache_clear()
    GENERATOR_STATS.reset()
    document()
    assert not GENERATOR_STATS
    validate_schema(described)  # type: ignore[no-untyped-call]
    for reference in references(described):
        place: Any = described
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_it_has_every_address_of_both_apis(described: dict[str, Any]) -> None:
    [api] = [entry for entry in get_resolver().url_patterns if str(entry.pattern) == "api/"]
    named = {re.sub(r"<\w+:(\w+)>", r"{\1}", f"/api/{route.pattern}") for route in api.url_patterns}  # type: ignore[union-attr]
    undescribed = {"/api/", "/api/{rest}", "/api/schema", "/api/docs", "/api/nodes/join"}
    inference = {path for endpoint in Endpoint for path in endpoint.paths}
    assert set(described["paths"]) == (
        named - undescribed | inference | {"/v1/models", "/v1/models/{id}", "/v1/estimate"}
    )


def test_every_operation_needs_a_key_and_has_a_summary_of_its_own(described: dict[str, Any]) -> None:
    for path, methods in described["paths"].items():
        scheme = "operatorKey" if path.startswith("/api/operator/") else "apiKey"
        assert all(operation["security"] == [{scheme: []}] for operation in methods.values()), path
    operations = [operation for methods in described["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation.get("summary") or operation.get("description") for operation in operations)


def test_the_description_is_json_and_yaml_for_everybody(api: Api) -> None:
    as_json = api.get("/api/schema")
    assert (as_json.status_code, as_json["Content-Type"]) == (200, "application/json")
    assert as_json.json() == document()
    for response in (api.get("/api/schema?format=yaml"), api.get("/api/schema", Accept="application/yaml")):
        assert response["Content-Type"].startswith("application/yaml")
        assert yaml.safe_load(response.content) == document()


def test_the_page_needs_no_inline_script_and_nothing_from_elsewhere(api: Api) -> None:
    response = api.get("/api/docs")
    page = response.content.decode()
    policy = response["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page)
    loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="([^"]+)"', page)
    assert len(loaded) >= 5
    for address in loaded:
        assert address.startswith("/static/"), address
        assert finders.find(address.removeprefix("/static/")), address
        with closing(Client(HTTP_HOST="localhost").get(address)) as file:
            assert file.status_code == 200


def test_the_page_names_no_key(api: Api, key: HeldKey) -> None:
    assert key.text not in api.get("/api/docs", key).content.decode()
