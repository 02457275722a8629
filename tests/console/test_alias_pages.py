"""The pages of an organisation's own names for models: its own, and the operator's."""

import pytest
from django.utils import timezone

from billing.prices.aliases import aliases_of
from identity.models import OperatorRole
from tests.support.console import page, signed_in
from tests.support.ledger import make_model, unique
from tests.support.people import make_cast, make_operator

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.parametrize("is_operators", [False, True])
def test_a_name_is_given_shown_and_taken_away(*, is_operators: bool) -> None:
    cast, model, alias = make_cast(), make_model(published_at=timezone.now()), unique("gpt-4o")
    if is_operators:
        browser, shown = signed_in(make_operator(OperatorRole.PLATFORM)), f"/operator/tenants/{cast.tenant.slug}/models"
        add = f"/operator/tenants/{cast.tenant.slug}/aliases"
    else:
        browser, shown = signed_in(cast.alice), f"/t/{cast.tenant.slug}/settings/model-names"
        add = shown
    assert browser.post(add, {"alias": alias, "model": model.name}).status_code == 302
    assert alias in page(browser.get(shown))
    refused = page(browser.post(add, {"alias": model.name, "model": model.name}))
    assert "already" in refused
    assert browser.post(f"{add}/remove", {"alias": alias}).status_code == 302
    assert not aliases_of(cast.tenant).exists()
    assert browser.post(f"{add}/remove", {"alias": alias}).status_code == 404
