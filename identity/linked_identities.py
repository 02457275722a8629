"""Whom a provider vouches for: the person behind (issuer, subject), found, linked by a verified address, or made.

The rules, in one place:
- A known (issuer, subject) is its person, whatever address it has now.
- An address that the provider did not verify links nobody and makes nobody.
- A tenant's own provider links and makes only addresses of domains that the operator confirmed for the tenant.
- Operators come through the operators' provider, and nobody else does; where groups are named there, they alone say who
  is one, else whoever was appointed.
- A person has one subject of an issuer: an address that was given to somebody new opens no old account.
"""

from django.db import IntegrityError, transaction

from identity import audit
from identity.claims import Claims
from identity.errors import Conflict, IdentityError, SignInRefusal, SignInRefused
from identity.group_rules import operator_roles
from identity.models import EmailDomain, IdentityProvider, LinkedIdentity, OperatorRole, Person
from identity.operators import appoint_operator, dismiss_operator
from identity.people import create_person
from identity.service import service

_ACTOR = audit.Actor.system("sign_in")


def person_for(claims: Claims, provider: IdentityProvider, *, language: str) -> Person:
    """The person, who may come in through this provider; linked or made where that is the first time.

    Raises `SignInRefused`.
    """
    if provider.audience == IdentityProvider.Audience.OPERATORS:
        return _operator_for(claims, provider, language)
    with transaction.atomic():
        person = known_person(claims) or _linked_or_made(claims, provider, language)
        _require_active(person)
        if person.is_operator:
            raise SignInRefused(SignInRefusal.OPERATOR)
    return person


def _operator_for(claims: Claims, provider: IdentityProvider, language: str) -> Person:
    """What the groups no longer say is taken away also where the person is then refused. Whose groups are
    withheld keeps their roles, and does not come in by them.
    """
    roles = operator_roles(provider, claims.groups)
    known = known_person(claims)
    if known is not None and roles is not None and not claims.groups_withheld:
        _dismiss_from(known, frozenset(OperatorRole) - roles)
    with transaction.atomic():
        person = known or _linked_or_made(claims, provider, language, may_make=bool(roles))
        _require_active(person)
        try:
            for role in sorted(roles or ()):
                appoint_operator(person, role, actor=_ACTOR)
        except Conflict:
            raise SignInRefused(SignInRefusal.MEMBER) from None
        if not person.is_operator or roles == frozenset():
            raise SignInRefused(SignInRefusal.NO_OPERATOR)
    return person


def _dismiss_from(person: Person, roles: frozenset[OperatorRole]) -> None:
    for role in sorted(roles):
        try:
            dismiss_operator(person, role, actor=_ACTOR)
        except Conflict:
            pass  # the last who appoints others stays appointed, but does not come in by a group that is not theirs


def _require_active(person: Person) -> None:
    if not person.is_active:
        raise SignInRefused(SignInRefusal.SWITCHED_OFF)


def known_person(claims: Claims) -> Person | None:
    """Who was linked to this issuer's subject before."""
    linked = LinkedIdentity.objects.select_related("person").filter(issuer=claims.issuer, subject=claims.subject)
    found = linked.first()
    return found.person if found else None


def _linked_or_made(claims: Claims, provider: IdentityProvider, language: str, *, may_make: bool = True) -> Person:
    _require_address(claims, provider)
    person = Person.objects.select_for_update().filter(email=claims.email).first()
    if person is None and not may_make:
        raise SignInRefused(SignInRefusal.NO_OPERATOR)
    if person is None:
        person = _made(claims, language)
    elif person.is_operator and provider.audience != IdentityProvider.Audience.OPERATORS:
        raise SignInRefused(SignInRefusal.OPERATOR)
    try:
        with transaction.atomic():
            LinkedIdentity.objects.create(person=person, issuer=claims.issuer, subject=claims.subject)
    except IntegrityError:
        # Somebody signs in twice at the same moment, or the address went to somebody else at the provider.
        known = known_person(claims)
        if known is None:
            raise SignInRefused(SignInRefusal.OTHER_ACCOUNT) from None
        return known
    detail = {"provider": provider.handle, "issuer": claims.issuer}
    audit.record(actor=_ACTOR, action="person.linked", target=person, detail=detail)
    return person


def _require_address(claims: Claims, provider: IdentityProvider) -> None:
    if not claims.email_domain:
        raise SignInRefused(SignInRefusal.EMAIL_MISSING)
    if not claims.email_verified:
        raise SignInRefused(SignInRefusal.EMAIL_UNVERIFIED)
    if provider.tenant_id is not None:
        mine = EmailDomain.objects.filter(tenant_id=provider.tenant_id, domain=claims.email_domain)
        if not mine.exists():
            raise SignInRefused(SignInRefusal.DOMAIN_NOT_CONFIRMED)


def _made(claims: Claims, language: str) -> Person:
    known_language = service().language_for(language)
    try:
        return create_person(email=claims.email, name=claims.name, language=known_language, actor=_ACTOR)
    except IdentityError:
        # The name or the address is none that we show; with the name left out, only the address can be at fault.
        pass
    try:
        return create_person(email=claims.email, language=known_language, actor=_ACTOR)
    except IdentityError:
        raise SignInRefused(SignInRefusal.EMAIL_MISSING) from None
