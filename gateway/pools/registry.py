"""Which engines there are: pools, their replicas and the state of each. Gateways are told by triggers."""

from urllib.parse import unquote, urlsplit

from django.db import transaction
from django.db.models import Q
from django.utils.text import slugify
from django.utils.translation import gettext as _

from billing.clock import database_now
from gateway.pools.fleet import events
from gateway.pools.models import Pool, Replica
from gateway.pools.reasons import NOT_PROBED
from identity import audit, secret_box
from identity.errors import Invalid
from models_catalog.models import LanguageModel

OUT = (Replica.State.DRAINING, Replica.State.EJECTED)  # taken out of service by somebody, who alone puts it back
# What of the fleet does not run, not any more, or sleeps: nobody asks it anything.
NOT_THERE = (Replica.State.REQUESTED, Replica.State.STARTING, Replica.State.STOPPING, Replica.State.SLEEPING)
_REASON_LENGTH = 300  # characters, as the column


def engine_address(text: str) -> tuple[str, str]:
    """The base URL and the key (or "") of an engine's address, `http://[:KEY@]host:port[/v1]`. Raises Invalid."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Invalid("url", _("An engine's address looks like http://host:port.")) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Invalid("url", _("An engine's address looks like http://host:port."))
    if parts.path.rstrip("/") not in ("", "/v1"):
        raise Invalid("url", _("An engine's address has no path: its API is expected at /v1."))
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    url = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    return url, unquote(parts.password or parts.username or "")


def register_pool(*, model: LanguageModel, served_name: str, site: str = "", actor: audit.Actor) -> Pool:
    """The pool of engines that know the model by `served_name`; made if there is none yet, with the bound on requests
    at once that the model's last pool has.
    """
    with transaction.atomic():
        LanguageModel.objects.select_for_update(no_key=True).get(pk=model.pk)
        known = Pool.objects.filter(model=model, served_name=served_name, site=site).first()
        if known is not None:
            return known
        bounds = Pool.objects.filter(model=model).order_by("-pk").values_list("requests_at_once", flat=True)
        pool = Pool.objects.create(
            model=model,
            served_name=served_name,
            site=site,
            name=_free_pool_name(model.name),
            requests_at_once=bounds.first(),
        )
        detail = {"name": pool.name, "model": model.name, "served_name": served_name}
        audit.record(actor=actor, action="pool.registered", target=pool, detail=detail)
    return pool


def register_replica(
    *,
    pool: Pool,
    url: str,
    api_key: str = "",
    source: Replica.Source = Replica.Source.OPERATOR,
    is_simulated: bool = False,
    node: str = "",
    actor: audit.Actor,
) -> Replica:
    """Add an engine to a pool, or change the one at that address. It takes requests once a probe found it sound.

    `url` is `http://host:port`. Registered again with nothing changed it stays as it is, its state included.
    Raises Invalid for an address that makes no sense.
    """
    if engine_address(url) != (url, ""):
        raise Invalid("url", _("An engine's address looks like http://host:port, without a key."))
    told = {"source": source, "is_simulated": is_simulated, "node": node}
    with transaction.atomic():
        Pool.objects.select_for_update(no_key=True).get(pk=pool.pk)
        replica = Replica.objects.filter(pool=pool, url=url).first() or Replica(pool=pool, url=url)
        is_new = replica.pk is None
        if not is_new and key_of(replica) == api_key and all(getattr(replica, name) == told[name] for name in told):
            return replica
        replica.name = urlsplit(url).netloc
        for name, value in told.items():
            setattr(replica, name, value)
        replica.state, replica.state_reason, replica.silent_since = Replica.State.REGISTERED, NOT_PROBED, None
        replica.save()
        replica.sealed_api_key = secret_box.seal(api_key.encode(), secret_context(replica)) if api_key else None
        replica.save(update_fields=["sealed_api_key"])
        detail = {"pool": pool.name, "url": url, "has_key": bool(api_key)}
        action = "replica.registered" if is_new else "replica.changed"
        audit.record(actor=actor, action=action, target=replica, detail=detail)
    return replica


def remove_replica(*, replica: Replica, actor: audit.Actor) -> None:
    """Take an engine off the list: it gets no new request; what it is answering it may finish."""
    with transaction.atomic():
        detail = {"pool": replica.pool.name, "url": replica.url}
        audit.record(actor=actor, action="replica.removed", target=replica, detail=detail)
        replica.delete()


def set_state(*, replica: Replica, state: Replica.State, reason: str, actor: audit.Actor) -> None:
    """Change a replica's state; `reason` says why in words. The same state with another reason is no event.

    Of the fleet's, every change is an event of the fleet; the audit chain tells of those that somebody made.
    """
    with transaction.atomic():
        before = Replica.objects.select_for_update().get(pk=replica.pk)
        replica.state, replica.state_reason = state, reason[:_REASON_LENGTH]
        replica.state_since = before.state_since if before.state == state else database_now()
        replica.silent_since = before.silent_since if before.state == state else None
        replica.save(update_fields=["state", "state_reason", "state_since", "silent_since"])
        if before.state == state:
            return
        is_of_fleet = replica.source == Replica.Source.FLEET
        if is_of_fleet:
            events.note_replica(replica, "state", before=before, reason=replica.state_reason)
        if not (is_of_fleet and actor.kind == audit.ActorKind.SYSTEM):
            audit.record(
                actor=actor,
                action="replica.state_changed",
                target=replica,
                detail={"pool": replica.pool.name, "url": replica.url, "reason": replica.state_reason},
                before={"state": before.state},
                after={"state": state.value},
            )


def key_of(replica: Replica) -> str:
    """The engine's API key, or "". Raises `secret_box.SecretBoxError`."""
    if replica.sealed_api_key is None:
        return ""
    return secret_box.open_sealed(replica.sealed_api_key, secret_context(replica)).decode()


def secret_context(replica: Replica) -> str:
    """What a replica's key is sealed for."""
    return f"pools.replica:{replica.pk}:api_key"


def _free_pool_name(model_name: str) -> str:
    """A slug of the model's name, numbered where it is taken: names such as `a:b` and `a/b` have the same."""
    slug = slugify(model_name.translate(str.maketrans(":/.@+", "-----")))[:90] or "pool"
    taken = set(Pool.objects.filter(Q(name=slug) | Q(name__startswith=f"{slug}-")).values_list("name", flat=True))
    number = 1
    while (name := slug if number == 1 else f"{slug}-{number}") in taken:
        number += 1
    return name
