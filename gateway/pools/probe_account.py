"""The operator's own account, on which probes run: a tenant without members, limits, caps and bills.

Its contract is at the reference prices, so that a probe goes the way of every request; what it "costs" is in the
ledger and on nobody's bill.
"""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from billing.contracts.contracts import contract_in_force, start_contract
from billing.contracts.tiers import PLATFORM_TIER
from billing.models import Tier
from billing.prices.price_book import reference_rate_card
from identity import audit, key_format
from identity.api_keys import digested
from identity.models import ApiKey, Tenant
from identity.scopes import Scope
from identity.tenants import DEFAULT_PROJECT, create_tenant

SLUG = "platform-probes"
LIFETIME = timedelta(seconds=90)  # of a secret: to begin the requests of a minute
ACTOR = audit.Actor.system("probe")
_NAME = "Platform probes"


def probe_secret() -> str:
    """A text that opens inference on the operator's account for `LIFETIME`; each use gives the key a new secret.

    A gateway hears of it some milliseconds later. Raises `RateCard.DoesNotExist` where there are no prices at all yet.
    """
    with transaction.atomic():
        tenant = _account()
        _bring_contract(tenant)
        key = _key_of(tenant)
        text = key_format.with_new_secret(key.lookup)
        now = timezone.now()
        key.previous_digest, key.previous_pepper_id = key.digest, key.pepper_id
        key.previous_ends_at, key.rotated_at = key.expires_at, now
        key.digest, key.pepper_id = digested(text)
        key.expires_at = now + LIFETIME
        key.save()
    return text


def _account() -> Tenant:
    """The account, locked, made where there is none yet."""
    accounts = Tenant.objects.select_for_update(no_key=True)
    account = accounts.filter(is_platform=True).first()
    if account is not None:
        return account
    made = create_tenant(slug=SLUG, name=_NAME, time_zone="UTC", actor=ACTOR)
    Tenant.objects.filter(pk=made.pk).update(is_platform=True)
    return accounts.get(pk=made.pk)


def _bring_contract(tenant: Tenant) -> None:
    contract, card = contract_in_force(tenant), reference_rate_card()
    if contract is None or contract.rate_card_id != card.pk:
        tier, _ = Tier.objects.get_or_create(code=PLATFORM_TIER, defaults={"name": _NAME, "by_agreement": True})
        start_contract(tenant=tenant, tier=tier, rate_card=card, actor=ACTOR)


def _key_of(tenant: Tenant) -> ApiKey:
    """The account's key. It is of the kind that lives a minute at a time and is in no list."""
    key = ApiKey.objects.filter(tenant=tenant, kind=ApiKey.Kind.PLAYGROUND, revoked_at=None).first()
    if key is not None:
        return key
    text, lookup = key_format.make_key()
    secret = digested(text)
    key = ApiKey.objects.create(
        tenant=tenant,
        project=tenant.projects.get(name=DEFAULT_PROJECT),
        name=_NAME,
        kind=ApiKey.Kind.PLAYGROUND,
        lookup=lookup,
        digest=secret.digest,
        pepper_id=secret.pepper_id,
        scopes=[Scope.INFERENCE.value],
        expires_at=timezone.now(),
    )
    audit.record(tenant=tenant, actor=ACTOR, action="api_key.minted", target=key, detail={"kind": key.kind})
    return key
