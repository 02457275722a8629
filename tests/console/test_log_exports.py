"""Settings, Export: a collector is added, tried, changed and removed on its page."""

from pathlib import Path

import pytest
from django.urls import reverse

from identity.models import LogExport
from tests.support.collectors import otlp_collector
from tests.support.console import page, signed_in
from tests.support.people import make_operator

pytestmark = pytest.mark.usefixtures("database")
ADDRESS = reverse("operator-exports")


def test_O3_a_collector_is_added_tried_changed_and_removed(tmp_path: Path) -> None:
    client = signed_in(make_operator())
    with otlp_collector(tmp_path) as collector:
        said = {
            "name": "SIEM",
            "content": "both",
            "protocol": "otlp",
            "address": collector.url,
            "authorization": "Bearer w-of-theirs",
        }
        refused = page(client.post(ADDRESS, said | {"trusted": "-----BEGIN"}))
        assert "Must be certificates in PEM, and nothing else." in refused
        trusted = (tmp_path / "certificate.pem").read_text()
        assert client.post(ADDRESS, said | {"trusted": trusted}).status_code == 302
        export = LogExport.objects.get(address=collector.url)
        try:
            tried = client.post(reverse("operator-export-try", kwargs={"export_id": export.pk}), follow=True)
            assert "The receiver took the test record." in page(tried)
            assert "log lines" in page(tried)
            assert collector.heads[-1]["Authorization"] == "Bearer w-of-theirs"
            change = reverse("operator-export", kwargs={"export_id": export.pk})
            assert "w-of-theirs" not in page(client.get(change)) + page(tried)
            named = {
                "name": "Archive",
                "content": "logs",
                "protocol": "otlp",
                "address": collector.url,
                "trusted": trusted,
            }
            assert client.post(change, named).status_code == 302
            export.refresh_from_db()
            assert export.content == LogExport.Content.LOGS
            client.post(reverse("operator-export-try", kwargs={"export_id": export.pk}))
            assert collector.heads[-1]["Authorization"] == "Bearer w-of-theirs"
        finally:
            client.post(reverse("operator-export-remove", kwargs={"export_id": export.pk}))
    assert not LogExport.objects.filter(pk=export.pk).exists()
