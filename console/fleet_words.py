"""How the fleet is said: what is in the way on a node, what happened, what a node is."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.pools.fleet.placement import Obstacle

OBSTACLES: Mapping[Obstacle, Promise] = {
    Obstacle.SILENT: _("Its agent does not report."),
    Obstacle.CORDONED: _("It is cordoned, or being drained."),
    Obstacle.SIMULATED: _("Simulated nodes serve simulated engines only, and other nodes none of them."),
    Obstacle.LABELS: _("It lacks a label that the pool asks for."),
    Obstacle.TOO_FEW_GPUS: _("It has too few GPUs."),
    Obstacle.TOO_SMALL_GPUS: _("Its GPUs are too small."),
    Obstacle.NO_ROOM: _("Its GPUs are taken by other replicas."),
    Obstacle.STRANGERS: _("Engines of before are still being stopped there."),
    Obstacle.PAUSED: _("A replica failed: it is tried again after a pause."),
    Obstacle.QUARANTINED: _("Replicas failed there again and again: it is left out for an hour."),
}
# The same where it is said of all nodes: after "3 replicas have no place:".
WITHOUT_PLACE: Mapping[Obstacle, Promise] = {
    Obstacle.SILENT: _("a node is silent"),
    Obstacle.CORDONED: _("nodes are cordoned"),
    Obstacle.SIMULATED: _("simulated nodes serve simulated engines only, and other nodes none of them"),
    Obstacle.LABELS: _("no node has its labels"),
    Obstacle.TOO_FEW_GPUS: _("nodes have too few GPUs"),
    Obstacle.TOO_SMALL_GPUS: _("GPUs are too small"),
    Obstacle.NO_ROOM: _("GPUs are taken"),
    Obstacle.STRANGERS: _("engines are still being stopped"),
    Obstacle.PAUSED: _("a failure is waited out"),
    Obstacle.QUARANTINED: _("it failed too often"),
}
# What the marks of replicas mean: tone and words.
LEGEND: Mapping[str, Promise] = {
    "green": _("ready"),
    "blue": _("starting"),
    "yellow": _("draining"),
    "red": _("failed, or does not answer"),
    "secondary": _("requested, asleep, stopping or out"),
}
EVENTS: Mapping[str, Promise] = {
    "added": _("The node was added."),
    "joined": _("A machine joined as the node."),
    "reports": _("Its agent reports."),
    "in_service": _("Back in service."),
    "cordoned": _("Cordoned: nothing new comes here."),
    "drained": _("To be drained: what is here goes elsewhere."),
    "removed": _("The node was removed."),
    "configured": _("Another configuration is wanted."),
    "scaled": _("Another number of replicas is wanted."),
    "configuration_sound": _("The configuration is sound: a replica takes requests."),
    "rolled_back": _("Back to the configuration that was sound."),
    "placed": _("Placed."),
    "failed": _("Failed."),
    "moves": _("Moves to another node."),
    "stays": _("Stays where it is."),
    "gone": _("Gone."),
    "silent": _("It does not answer."),
    "answers": _("It answers again."),
}
# A node's state: tone and word.
NODES: Mapping[str, tuple[str, Promise]] = {
    "waiting": ("secondary", _("waits for its machine")),
    "silent": ("red", _("silent")),
    "reports": ("green", _("reports")),
    "cordoned": ("yellow", _("cordoned")),
    "draining": ("yellow", _("being drained")),
}
