"""An empty installation lets its first operator in, and nobody after them by the same way."""

import pytest
from django.utils import timezone

from console.first_operator import set_up_secret
from identity.models import Person
from identity.sign_in_links import redeem


@pytest.mark.django_db
def test_the_link_lets_the_first_operator_in_until_an_operator_has_signed_in() -> None:
    Person.objects.filter(is_operator=True).update(is_active=False)  # whom other tests made; rolled back
    first, again = set_up_secret(), set_up_secret()
    person = redeem(first, now=timezone.now())
    assert person is not None
    assert person.is_operator
    assert redeem(again, now=timezone.now()) == person  # the terminal was closed before the first was used
    Person.objects.filter(pk=person.pk).update(last_login=timezone.now())
    assert set_up_secret() == ""
