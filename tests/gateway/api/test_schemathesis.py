"""The management API against its own description: what that allows, what it does not, and what nobody thought of."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from gateway.api.openapi import document
from identity.models import OrganisationRule
from identity.scopes import OperatorScope, Scope
from tests.support.ledger import HeldKey, make_house
from tests.support.operators import held_operator_key

# The paths under /api/, asked through Django's whole stack.
described = schemathesis.openapi.from_dict(document())
described.app = get_wsgi_application()
management = described.include(path_regex="^/api/")


@pytest.fixture
def fuzzed_key(database: None) -> Iterator[HeldKey]:
    """A key that may do everything, of a tenant of its own: whatever the test creates or revokes harms nobody. Rules on
    groups that an operator's key made go: they are about everybody's, and there are only so many.
    """
    before = list(OrganisationRule.objects.values_list("pk", flat=True))
    yield make_house().key(*Scope)
    OrganisationRule.objects.exclude(pk__in=before).delete()


@pytest.mark.slow
@management.parametrize()
@settings(max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_the_api_keeps_what_its_description_promises(case: schemathesis.Case[Any], fuzzed_key: HeldKey) -> None:
    """Every operation: no 500, only described statuses, types and bodies; nonsense and missing keys are refused."""
    if case.operation.path.startswith("/api/operator/"):
        header = held_operator_key(*OperatorScope).header
    else:
        header = fuzzed_key.header
    # Not every rule about a value can be described: times the wrong way round, networks, continuations of lists.
    excluded: list[CheckFunction] = [positive_data_acceptance]
    if lost_on_the_way(case):
        excluded.append(negative_data_rejection)
    case.call_and_validate(headers=header | {"Host": "localhost"}, excluded_checks=excluded)


def lost_on_the_way(case: schemathesis.Case[Any]) -> bool:
    """Whether a member of the query, such as an empty list, leaves no trace in the address: it breaks no rule there."""
    return any(value in (None, [], {}) for value in (case.query or {}).values())
