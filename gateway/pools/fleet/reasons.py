"""Why the fleet does something: English in the database, on a page the reader's language (`pools/reasons.py`)."""

from django.utils.translation import gettext_noop

WANTED = gettext_noop("More replicas are wanted.")
SURGE = gettext_noop("It takes the place of one that is to go.")
TOO_MANY = gettext_noop("Fewer replicas are wanted.")
REPLACED = gettext_noop("Another one took its place.")
OUTDATED = gettext_noop("It has a configuration of before.")
GIVES_ROOM = gettext_noop("It makes room for the new configuration: there is none beside it.")
NODE_DRAINED = gettext_noop("Its node is being drained.")
NO_ROOM_ELSEWHERE = gettext_noop("Its node is being drained, and there is no room on another one.")
DRAINED = gettext_noop("It has ended what it was answering.")
DRAINED_LONG_ENOUGH = gettext_noop("It was drained for as long as it may.")
EJECTED = gettext_noop("It was ejected.")
LOST = gettext_noop("Its node is silent, and it does not answer.")
VANISHED = gettext_noop("Its node does not run it any more.")
NOT_TAKEN = gettext_noop("Its node did not begin it in time.")
TOO_SLOW = gettext_noop("It was not ready in time.")
UNSOUND = gettext_noop("It runs, but takes no requests: %(reason)s")
CROWDED = gettext_noop("Another node has room and none of the pool's replicas.")
NOT_CROWDED = gettext_noop("There is no better place for it any more.")
ROLLED_BACK = gettext_noop("%(failures)s replicas of the new configuration failed.")
CONFIRMED = gettext_noop("Its node has stopped it.")
ASKED_FOR = gettext_noop("So many are needed for the requests under way.")
CACHE_FULL = gettext_noop("The engines' caches are nearly full.")
FIRST_TOKEN_LATE = gettext_noop("Answers begin later than is aimed at.")
NEEDED_LATELY = gettext_noop("So many were needed in the last ten minutes.")
AT_MINIMUM = gettext_noop("It never has fewer.")
AT_MAXIMUM = gettext_noop("It never has more.")
NEVER_COLD = gettext_noop("Nobody asks for anything; one is kept.")
ASLEEP = gettext_noop("Nobody has asked for it for long: it has none until somebody asks.")
KEPT_ASLEEP = gettext_noop("It sleeps until somebody asks.")
TOO_LARGE_ASLEEP = gettext_noop(
    "It ends instead of sleeping: its machine's memory does not take its weights beside those of what sleeps there."
)
WOKEN = gettext_noop("Somebody asks for it.")
NOT_ASLEEP = gettext_noop("It did not fall asleep.")
GIVES_WAY = gettext_noop("It sleeps, and gives its place to one that is needed.")
NOT_NEEDED_ASLEEP = gettext_noop("Nothing of its pool is kept asleep any more.")
GPUS_SHORT = gettext_noop("GPUs are short: %(wanted)s are needed.")

SENTENCES = (
    WANTED, SURGE, TOO_MANY, REPLACED, OUTDATED, GIVES_ROOM, NODE_DRAINED, NO_ROOM_ELSEWHERE, DRAINED,
    DRAINED_LONG_ENOUGH, EJECTED, LOST, VANISHED, NOT_TAKEN, TOO_SLOW, UNSOUND, CROWDED, NOT_CROWDED, ROLLED_BACK,
    CONFIRMED, ASKED_FOR, CACHE_FULL, FIRST_TOKEN_LATE, NEEDED_LATELY, AT_MINIMUM, AT_MAXIMUM, NEVER_COLD, ASLEEP,
    KEPT_ASLEEP, TOO_LARGE_ASLEEP, WOKEN, NOT_ASLEEP, GIVES_WAY, NOT_NEEDED_ASLEEP, GPUS_SHORT,
)  # fmt: skip
