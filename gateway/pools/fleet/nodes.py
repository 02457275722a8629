"""What an operator does with nodes: adds them, keeps new replicas off them, empties them, takes them away."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from billing.clock import database_now
from gateway.pools.fleet import events
from gateway.pools.fleet_tables import NODE_NAME, Node
from gateway.pools.models import Replica
from identity import audit
from identity.errors import Conflict, Invalid, NotFound
from identity.operators import Operator
from identity.permissions import OperatorPermission

TOKEN_PREFIX = "bfn_"  # noqa: S105  # what it begins with
TOKEN_LIFE = timedelta(hours=24)
NODES_MAX = 500
LABELS_MAX = 20
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def add_node(*, name: str, labels: Mapping[str, str], by: Operator) -> tuple[Node, str]:
    """A node that a machine may become with the token, which is shown once and works for a day.

    Raises `Forbidden`, `Invalid`, `Conflict` where the name is taken or this installation cannot tell nodes anything.
    """
    by.require(OperatorPermission.CAPACITY_UPDATE)
    if not re.fullmatch(NODE_NAME, name):
        raise Invalid("name", _("Small letters, digits and hyphens, at most 63; a letter or digit at each end."))
    labels = _sound(labels)
    if not settings.COMMAND_KEYS:
        raise Conflict(_("BEFFROI_COMMAND_KEYS is not set: what nodes are told could not be signed."))
    with transaction.atomic():
        if Node.objects.count() >= NODES_MAX:
            raise Conflict(_("There are at most %(most)s nodes.") % {"most": NODES_MAX})
        node, is_new = Node.objects.get_or_create(name=name, defaults={"labels": labels})
        if not is_new:
            raise Conflict(_("There is a node of this name already."))
        token = _new_token(node)
        audit.record(actor=by.actor, action="node.added", target=node, detail={"name": name, "labels": labels})
        events.note_node(node, "added")
    return node, token


def renew_token(node: Node, *, by: Operator) -> str:
    """Another token, with which a machine becomes this node; what runs as it goes on until then. Raises `Forbidden`."""
    by.require(OperatorPermission.CAPACITY_UPDATE)
    with transaction.atomic():
        token = _new_token(_locked(node))
        audit.record(actor=by.actor, action="node.token_renewed", target=node, detail={"name": node.name})
    return token


def label_node(node: Node, *, labels: Mapping[str, str], by: Operator) -> bool:
    """Its labels from now on; replicas that are there stay. False where they were so. Raises `Forbidden`, `Invalid`."""
    by.require(OperatorPermission.CAPACITY_UPDATE)
    labels = _sound(labels)
    with transaction.atomic():
        fresh = _locked(node)
        before = fresh.labels
        if before == labels:
            return False
        fresh.labels = labels
        fresh.save(update_fields=["labels"])
        audit.record(
            actor=by.actor,
            action="node.labelled",
            target=fresh,
            detail={"name": fresh.name},
            before={"labels": before},
            after={"labels": labels},
        )
    return True


def set_service(node: Node, service: Node.Service, *, by: Operator) -> bool:
    """Take it into service, cordon it (nothing new) or drain it (what is there goes elsewhere, then). False where it
    was so before. Raises `Forbidden`.
    """
    by.require(OperatorPermission.CAPACITY_UPDATE)
    with transaction.atomic():
        fresh = _locked(node)
        before = fresh.service
        if before == service:
            return False
        fresh.service = service
        fresh.save(update_fields=["service"])
        audit.record(
            actor=by.actor,
            action="node.service_changed",
            target=fresh,
            detail={"name": fresh.name},
            before={"service": before},
            after={"service": service.value},
        )
        events.note_node(fresh, _KINDS[service])
    return True


def remove_node(node: Node, *, by: Operator) -> None:
    """Take it off the list: its agent is heard no more. Raises `Forbidden`, `Conflict` while it has replicas.

    Those that are only being stopped go with it: a machine that died confirms nothing. Its user of the broker goes with
    the fleet's next step.
    """
    by.require(OperatorPermission.CAPACITY_UPDATE)
    with transaction.atomic():
        fresh = _locked(node)
        there = Replica.objects.filter(machine=fresh)
        if there.exclude(state=Replica.State.STOPPING).exists():
            raise Conflict(_("It still has replicas: drain it first."))
        there.delete()
        audit.record(actor=by.actor, action="node.removed", target=fresh, detail={"name": fresh.name})
        events.note_node(fresh, "removed")
        fresh.delete()


def node_or_404(name: str) -> Node:
    """The node of that name. Raises `NotFound`."""
    found = Node.objects.filter(name=name).first()
    if found is None:
        raise NotFound("node")
    return found


def token_digest(token: str) -> bytes:
    """What is kept of a token: its SHA-256. It has 256 random bits, so that a slow hash would protect nothing more."""
    return hashlib.sha256(token.encode()).digest()


_KINDS = {
    Node.Service.IN: "in_service",
    Node.Service.CORDONED: "cordoned",
    Node.Service.DRAINING: "drained",
}


def _locked(node: Node) -> Node:
    """The row, ours for the transaction. Raises `NotFound` where it was removed."""
    fresh = Node.objects.select_for_update(no_key=True).filter(pk=node.pk).first()
    if fresh is None:
        raise NotFound("node")
    return fresh


def _new_token(node: Node) -> str:
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    node.token_digest = token_digest(token)
    node.token_expires_at = database_now() + TOKEN_LIFE
    node.token_used = False
    node.save(update_fields=["token_digest", "token_expires_at", "token_used"])
    return token


def _sound(labels: Mapping[str, str]) -> dict[str, str]:
    words = [*labels, *labels.values()]
    if len(labels) > LABELS_MAX or not all(_LABEL.fullmatch(word) for word in words):
        raise Invalid("labels", _("At most 20, each as name=value of letters, digits, dots, hyphens and underscores."))
    return dict(sorted(labels.items()))
