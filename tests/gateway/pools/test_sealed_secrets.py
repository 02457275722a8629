"""All secrets at rest come under a new key, and then need the old one no more."""

import os
from collections.abc import Iterator
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import models, transaction
from django.utils import timezone

from gateway.pools import registry
from gateway.pools.management.commands import reseal_secrets
from gateway.pools.sealed_secrets import COLUMNS
from identity import break_glass, providers, webhook_post
from identity.keyring import Keyring, keyring_in
from identity.models import AuditEvent, LocalAdministrator, Webhook
from identity.secret_box import VARIABLE, SecretBox
from identity.webhooks import add_webhook, rotate_webhook_secret
from tests.support.ledger import make_model
from tests.support.people import TESTS, as_member, make_cast

_NEW = bytes(range(32))
# Columns of bytes that hold no secret that is read back.
_NO_SECRETS = {
    "token_digest",
    "assignment_digest",
    "digest",
    "hash",
    "previous_hash",
    "previous_digest",
    "salt",
    "public_key",
    "signature",
    "logo",
    "content",
}


@pytest.fixture
def undone(database: None) -> Iterator[None]:
    """What other tests sealed must open for them again."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keyring:
    """The keys of the tests, and a new one; the command is run with both."""
    old = keyring_in(os.environ, VARIABLE)
    both = old | {max(old) + 1: _NEW}
    monkeypatch.setattr(reseal_secrets, "box_of_this_process", lambda: SecretBox(both))
    return both


def resealed() -> str:
    told = StringIO()
    call_command("reseal_secrets", stdout=told)
    return told.getvalue()


def test_after_it_the_old_key_may_be_dropped_and_a_second_time_there_is_nothing_to_do(
    undone: None, keys: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = make_cast()
    alice = as_member(cast.alice, cast.tenant)
    settings = providers.ProviderSettings(issuer="https://login.example.org", client_id="b", client_secret="provider's")
    version = providers.prepare_version(by=alice, settings=settings)
    webhook, _ = add_webhook(by=alice, name="ours", url="https://hooks.example.org/in")
    rotate_webhook_secret(by=alice, public_id=webhook.public_id)
    pool = registry.register_pool(model=make_model(), served_name="m", actor=TESTS)
    replica = registry.register_replica(pool=pool, url="http://10.0.0.1:8000", api_key="engine's", actor=TESTS)
    break_glass.make(actor=TESTS, now=timezone.now())
    before = Webhook.objects.get(pk=webhook.pk)

    number = max(keys)
    assert f"were sealed anew with encryption key {number}" in resealed()

    new = SecretBox({number: _NEW})
    version.refresh_from_db()
    replica.refresh_from_db()
    after = Webhook.objects.get(pk=webhook.pk)
    assert new.open_sealed(bytes(version.sealed_secret), providers.secret_context(version.provider_id)) == b"provider's"
    assert new.open_sealed(bytes(replica.sealed_api_key or b""), registry.secret_context(replica)) == b"engine's"
    context, both = webhook_post.secret_context(after), SecretBox(keys)
    for name in ("secret", "old_secret"):
        was, now = (bytes(getattr(row, name)) for row in (before, after))
        assert new.open_sealed(now, context) == both.open_sealed(was, context)
    administrator = LocalAdministrator.objects.get()
    assert new.open_sealed(bytes(administrator.sealed_secret), break_glass.SECRET_CONTEXT)
    assert AuditEvent.objects.filter(tenant=None, action="secrets.resealed", target=str(number)).count() == 1

    monkeypatch.setattr(reseal_secrets, "box_of_this_process", lambda: new)
    assert " 0 were sealed anew" in resealed()
    assert AuditEvent.objects.filter(tenant=None, action="secrets.resealed", target=str(number)).count() == 1


def test_a_secret_that_does_not_open_is_named_and_left_as_it_is(undone: None, keys: Keyring) -> None:
    cast = make_cast()
    webhook, _ = add_webhook(by=as_member(cast.alice, cast.tenant), name="ours", url="https://hooks.example.org/in")
    lost = SecretBox({max(keys) + 1: _NEW[::-1]}).seal(b"lost", webhook_post.secret_context(webhook))
    Webhook.objects.filter(pk=webhook.pk).update(secret=lost)
    with pytest.raises(CommandError, match=f"Webhook.secret of {webhook.pk}"):
        resealed()
    assert bytes(Webhook.objects.get(pk=webhook.pk).secret) == lost


def test_every_column_of_bytes_is_resealed_or_known_to_hold_no_secret() -> None:
    resealable = {(column.rows.model, column.name) for column in COLUMNS}
    found = {
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, models.BinaryField) and field.name not in _NO_SECRETS
    }
    assert found == resealable
