"""How a machine becomes a node: its agent shows the token and its own public key, and is told where it hears of us."""

import logging
import secrets
from base64 import b64decode
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from billing.clock import database_now
from gateway.pools.fleet import events
from gateway.pools.fleet.assignments import public_key_of
from gateway.pools.fleet.broker import REPORTS_QUEUE, BrokerUnfit, queue_of
from gateway.pools.fleet.broker_users import make_user, password_context, url_for
from gateway.pools.fleet.nodes import token_digest
from gateway.pools.fleet_tables import Node
from identity import audit, secret_box
from identity.errors import Conflict, Invalid, NotFound

_ACTOR = audit.Actor.system("join")
logger = logging.getLogger("beffroi.fleet")


@dataclass(frozen=True, slots=True)
class Membership:
    """What an agent has to know. `broker_url` has a password; keys are raw Ed25519 in base64."""

    name: str
    broker_url: str
    queue: str
    reports_queue: str
    platform_public_key: str


def join(*, token: str, public_key: str, version: str) -> Membership:
    """Make the machine with that key the node of the token. Asked again with the same key, it answers the same.

    Raises `NotFound` for a token that is wrong, over or used with another key, `Invalid` for a key that is none,
    `Conflict` where the broker has no user for it.
    """
    key = _sound_key(public_key)
    with transaction.atomic():
        node = Node.objects.select_for_update(no_key=True).filter(token_digest=token_digest(token)).first()
        now = database_now()
        if node is None or node.token_expires_at is None or node.token_expires_at <= now:
            raise NotFound("token")
        if node.token_used and bytes(node.public_key or b"") != key:
            raise NotFound("token")
        if not node.token_used:
            _take_in(node, key, version)
        try:
            make_user(node.name, _password_of(node))
        except BrokerUnfit as error:
            raise Conflict(_("The broker has no user for this node: %(reason)s") % {"reason": error}) from None
    return membership_of(node)


def take_in(node: Node, *, key: bytes, version: str) -> Membership:
    """Make an agent of our own with that key (Ed25519, raw) the node, without a token. Raises `BrokerUnfit`.

    A broker that is away does not keep it from that: `reconcile_broker_users` makes the node's user once it is back.
    """
    with transaction.atomic():
        fresh = Node.objects.select_for_update(no_key=True).get(pk=node.pk)
        _take_in(fresh, key, version)
    membership = membership_of(fresh)
    try:
        make_user(fresh.name, _password_of(fresh))
    except BrokerUnfit as error:
        logger.warning("the broker has no user of %s yet: %s", fresh.name, error)
    return membership


def membership_of(node: Node) -> Membership:
    """What the agent of a node that has joined has to know as of now. Raises `BrokerUnfit`, `SecretBoxError`."""
    return Membership(
        name=node.name,
        broker_url=url_for(node.name, _password_of(node)),
        queue=queue_of(node.name),
        reports_queue=REPORTS_QUEUE,
        platform_public_key=public_key_of(node.command_key),
    )


def _take_in(node: Node, key: bytes, version: str) -> None:
    if bytes(node.public_key or b"") != key:
        node.agent_started_at, node.sequence = 0, 0  # another agent counts anew
    node.public_key, node.token_used, node.joined_at = key, True, database_now()
    node.command_key = max(settings.COMMAND_KEYS)
    node.sealed_broker_password = secret_box.seal(secrets.token_hex(24).encode(), password_context(node))
    node.save()
    audit.record(actor=_ACTOR, action="node.joined", target=node, detail={"name": node.name, "version": version})
    events.note_node(node, "joined")


def _password_of(node: Node) -> str:
    return secret_box.open_sealed(node.sealed_broker_password or b"", password_context(node)).decode()


def _sound_key(text: str) -> bytes:
    try:
        key = b64decode(text, validate=True)
        Ed25519PublicKey.from_public_bytes(key)
    except ValueError:
        raise Invalid("public_key", _("It must be the 32 bytes of an Ed25519 public key, in base64.")) from None
    return key
