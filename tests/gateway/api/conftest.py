"""A house with a key of each strength, a stranger's, and a client that asks as they do."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from django.http import HttpResponse
from django.test import Client

from identity.scopes import Scope
from tests.support.ledger import HeldKey, House, LedgerGateway, ledger_gateway, make_house
from tests.support.people import make_cast
from tests.support.scim import Directory, directory_of


class Bearer(Protocol):
    """Whatever kind of key: what a client sends of it."""

    @property
    def header(self) -> dict[str, str]:
        """`Authorization`."""


@dataclass(frozen=True)
class Api:
    """Asks the API; `status` and the rest are for the test to look at."""

    client: Client

    def get(self, address: str, key: Bearer | None = None, **headers: str) -> Any:
        """GET."""
        return self.ask("GET", address, key, **headers)

    def use(self, key: HeldKey) -> None:
        """Have the key's use noted, which is done once a minute: what is asked next takes its own queries only."""
        assert self.get("/api/key", key).status_code == 200

    def ask(self, method: str, address: str, key: Bearer | None = None, data: Any = None, **headers: str) -> Any:
        """Any method; `data` is sent as JSON."""
        body: dict[str, Any] = {} if data is None else {"data": json.dumps(data), "content_type": "application/json"}
        sent = (key.header if key else {}) | {name.replace("_", "-"): value for name, value in headers.items()}
        response: Any = self.client.generic(method, address, headers=sent, **body)
        if response.streaming:  # read whole, so that a test looks at it as at any other
            return HttpResponse(b"".join(response), status=response.status_code, headers=response.headers)
        return response


@pytest.fixture
def api(database: None) -> Api:
    """The API, asked through Django's whole stack."""
    return Api(Client(HTTP_HOST="localhost"))


@pytest.fixture
def house(database: None) -> House:
    """A tenant with money."""
    return make_house()


@pytest.fixture
def key(house: House) -> HeldKey:
    """A key for inference only."""
    return house.key()


@pytest.fixture
def strong_key(house: House) -> HeldKey:
    """A key with every scope."""
    return house.key(*Scope)


@pytest.fixture
def strangers_key(database: None) -> HeldKey:
    """Another tenant's key with every scope."""
    return make_house().key(*Scope)


@pytest.fixture
def gateway(database: None, gateway_database_url: str) -> Iterator[LedgerGateway]:
    """What moves money."""
    with ledger_gateway(gateway_database_url) as gateway:
        yield gateway


@pytest.fixture
def directory(database: None) -> Directory:
    """The directory of alice's tenant, with a token that she made."""
    cast = make_cast()
    return directory_of(cast, cast.alice)


def problem_of(response: Any) -> dict[str, Any]:
    """The problem in an answer, after its form was checked."""
    assert response["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.content)
    assert {"type", "title", "status", "code", "detail"} <= problem.keys() <= {
        "type", "title", "status", "code", "detail", "errors",
    }  # fmt: skip
    assert problem["type"] == "about:blank"
    assert problem["status"] == response.status_code
    return problem
