"""An empty installation lets its first operator in, at every start until operators have another way in."""

import pytest
from django.utils import timezone

from console.first_operator import set_up_secret
from identity import break_glass, providers
from identity.models import LocalAdministrator, OperatorRole, Person
from identity.sign_in_links import redeem
from tests.support.people import TESTS

pytestmark = pytest.mark.django_db


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests made is away; rolled back."""
    monkeypatch.setattr(providers, "operators_version", lambda: None)
    Person.objects.filter(is_operator=True).update(is_active=False)
    LocalAdministrator.objects.all().delete()


@pytest.mark.usefixtures("empty")
def test_each_start_lets_the_first_operator_in_until_there_is_another_way() -> None:
    first, again = set_up_secret(), set_up_secret()
    person = redeem(first, now=timezone.now())
    assert person is not None
    assert redeem(again, now=timezone.now()) == person  # the terminal was closed before the first was used
    Person.objects.filter(pk=person.pk).update(last_login=timezone.now())
    assert redeem(set_up_secret(), now=timezone.now()) == person  # who signed out is not locked out
    break_glass.make(actor=TESTS, now=timezone.now())
    assert set_up_secret() == ""


@pytest.mark.usefixtures("empty")
def test_the_first_operator_can_do_all_that_an_installation_needs_prices_included() -> None:
    person = redeem(set_up_secret(), now=timezone.now())
    assert person is not None
    roles = set(person.appointments.values_list("role", flat=True))
    assert roles == {OperatorRole.PLATFORM, OperatorRole.BILLING}
