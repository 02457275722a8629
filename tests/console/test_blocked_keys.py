"""An operator stops a key in an emergency, on a page."""

import pytest
from django.urls import reverse

from identity.key_blocking import REASON_LENGTH_MAX
from identity.models import ApiKey, AuditEvent, NoticeDelivery
from tests.support.console import page, signed_in
from tests.support.people import make_cast, make_key, make_operator

pytestmark = pytest.mark.usefixtures("database")
ADDRESS = reverse("operator-key-blocks", urlconf="console.operator_urls")


def test_a_key_is_blocked_and_works_again_and_its_organisation_is_told() -> None:
    cast, operator = make_cast(), signed_in(make_operator())
    key, text = make_key(cast.tenant)
    said = page(operator.post(ADDRESS, {"lookup": text, "reason": "It was found on a forge"}, follow=True))
    assert key.lookup in said
    assert text not in said
    assert "It was found on a forge" in said
    assert ApiKey.objects.get(pk=key.pk).blocked_at is not None
    assert AuditEvent.objects.filter(tenant=cast.tenant, action="api_key.blocked").count() == 1
    assert NoticeDelivery.objects.filter(notice__tenant=cast.tenant, notice__kind="api_key.blocked").exists()
    again = {"lookup": f"bfr_{key.lookup}", "reason": "It was another", "unblock": "1"}
    page(operator.post(ADDRESS, again, follow=True))
    assert ApiKey.objects.get(pk=key.pk).blocked_at is None


@pytest.mark.parametrize("lookup", ["", "0123456789", "bfr_", "é" * 10, "0" * 60, "' or 1=1 --"])
def test_what_is_no_key_is_told_at_the_field(lookup: str) -> None:
    said = page(signed_in(make_operator()).post(ADDRESS, {"lookup": lookup, "reason": "x" * REASON_LENGTH_MAX}))
    assert "invalid-feedback" in said
