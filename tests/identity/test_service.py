"""What the operator says of the installation, and the picture that stands for it."""

import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from django.db import OperationalError

from identity import service as module
from identity.audit import told
from identity.errors import Forbidden, Invalid, NotFound
from identity.models import AuditEvent, OperatorRole
from identity.operators import operator_for_person
from identity.service import KnownService, change_service, forget_service, read_service, service
from identity.service_logo import BYTES_MAX, SIDE_MAX, logo_by_digest, remove_logo, set_logo
from tests.support.operators import RUNS
from tests.support.people import make_operator
from tests.support.service import service_said

pytestmark = pytest.mark.usefixtures("database")
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8L\x18\x00\x00\x00\x2f" + struct.pack("<I", 63 | 31 << 14) + bytes(9)


@pytest.fixture(autouse=True)
def put_back(database: None) -> Iterator[None]:
    with service_said():
        yield


def png(width: int = 64, height: int = 32, size: int = 200) -> bytes:
    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return head + bytes(size - len(head))


def last_change() -> AuditEvent:
    return AuditEvent.objects.filter(tenant=None, action="service.changed").latest("sequence")


def test_a_change_is_seen_at_once_and_told_with_what_was_before() -> None:
    change_service(by=RUNS, name="Models of the town")
    assert service().title == "Models of the town"
    assert change_service(by=RUNS, name=" Models of the city ", vat_number="fr 32 123.456.789")
    assert (service().title, service().vat_number) == ("Models of the city", "FR32123456789")
    event = last_change()
    assert told(event)["before"] == {"name": "Models of the town", "vat_number": ""}
    assert told(event)["after"] == {"name": "Models of the city", "vat_number": "FR32123456789"}
    assert not change_service(by=RUNS, name="Models of the city")
    assert last_change() == event


def test_only_who_operates_the_platform_changes_it() -> None:
    billing = operator_for_person(make_operator(OperatorRole.BILLING))
    with pytest.raises(Forbidden):
        change_service(by=billing, name="Mine")
    with pytest.raises(Forbidden):
        set_logo(by=billing, content=png())
    with pytest.raises(Forbidden):
        remove_logo(by=billing)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "n" * 61),
        ("support_email", "nobody"),
        ("support_url", "javascript:alert(1)"),
        ("support_url", "https://someone:secret@example.org"),
        ("vat_number", "12345"),
        ("country", "XX"),
        ("trade", "friend"),
        ("trade", ""),
        ("languages", ["de"]),
        ("languages", []),
        ("default_language", "de"),
        ("usage_months", 12),
        ("usage_months", 121),
        ("grams_co2e_per_kwh", 2_001),
        ("grams_co2e_per_kwh", -1),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(field: str, value: object) -> None:
    before = read_service()
    with pytest.raises(Invalid) as refused:
        change_service(by=RUNS, **{field: value})  # type: ignore[arg-type]
    assert refused.value.field == field
    assert read_service() == before


def test_the_language_of_the_house_is_one_that_is_offered() -> None:
    change_service(by=RUNS, languages=["es", "fr"], default_language="fr")
    assert service().offered_languages == ("fr", "es")
    assert [service().language_for(one) for one in ("en", "fr", "es")] == ["fr", "fr", "es"]
    with pytest.raises(Invalid, match="default_language"):
        change_service(by=RUNS, languages=["es"])
    assert service().offered_languages == ("fr", "es")


def test_who_is_asked_for_help_is_the_environments_word_until_somebody_says_more(settings: Any) -> None:
    settings.SUPPORT_CONTACT = "the help desk"
    assert KnownService().support_contact == "the help desk"
    assert KnownService(support_email="a@b.fr", support_phone="1234").support_contact == "a@b.fr · 1234"


def test_what_was_known_last_counts_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    change_service(by=RUNS, name="Known")
    assert service().title == "Known"

    def away() -> KnownService:
        raise OperationalError

    monkeypatch.setattr(module, "read_service", away)
    forget_service()
    assert service().title == "Known"


class TestLogo:
    @pytest.mark.parametrize(("content", "media_type"), [(png(), "image/png"), (WEBP, "image/webp")])
    def test_a_picture_is_kept_under_its_digest_till_another_is_shown(self, content: bytes, media_type: str) -> None:
        digest = sha256(content).hexdigest()
        assert set_logo(by=RUNS, content=content)
        assert service().logo_digest == digest
        assert (logo_by_digest(digest).content, logo_by_digest(digest).media_type) == (content, media_type)
        assert not set_logo(by=RUNS, content=content)
        assert digest in str(told(last_change()))
        assert set_logo(by=RUNS, content=png(16, 16))
        with pytest.raises(NotFound):
            logo_by_digest(digest)
        remove_logo(by=RUNS)
        for gone in (sha256(png(16, 16)).hexdigest(), ""):
            with pytest.raises(NotFound):
                logo_by_digest(gone)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
            b"GIF89a" + bytes(40),
            b"\x89PNG\r\n\x1a\n" + bytes(100),
            png(SIDE_MAX + 1, 1),
            png(0, 1),
            png(size=BYTES_MAX + 1),
            WEBP[:20],
        ],
        ids=["empty", "svg", "gif", "no head", "wide", "flat", "large", "cut"],
    )
    def test_what_is_no_small_picture_of_points_is_refused(self, content: bytes) -> None:
        with pytest.raises(Invalid) as refused:
            set_logo(by=RUNS, content=content)
        assert refused.value.field == "logo"
        assert not read_service().logo_digest
