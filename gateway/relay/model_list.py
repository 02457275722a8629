"""GET /v1/models: what this key can call now, from the snapshot. OpenAI's model object and a few facts more."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from gateway.relay import errors
from gateway.relay.admission import may_call
from gateway.relay.snapshot import Caller, Model

if TYPE_CHECKING:
    from gateway.relay.gateway import Gateway


def model_list(gateway: "Gateway", caller: Caller) -> bytes:
    """The answer's body: the models that are alive, priced for this tenant, served or woken when asked, and allowed to
    key and project.
    """
    by_name = {model.name: model for model in gateway.snapshot.models.values() if _is_offered(gateway, caller, model)}
    own = gateway.snapshot.aliases_of_tenant(caller.tenant.id)
    data = [_described(gateway, caller, by_name[name], own) for name in sorted(by_name)]
    return msgspec.json.encode({"object": "list", "data": data})


def one_model(gateway: "Gateway", caller: Caller, name: str) -> bytes:
    """The answer's body for one model, by name or alias. Raises Refusal."""
    model = gateway.snapshot.model(name, caller.tenant, gateway.ledger.now())
    if model is None or not _is_offered(gateway, caller, model, name):
        raise errors.model_not_found(name)
    return msgspec.json.encode(_described(gateway, caller, model, gateway.snapshot.aliases_of_tenant(caller.tenant.id)))


def _is_offered(gateway: "Gateway", caller: Caller, model: Model, name: str = "") -> bool:
    now = gateway.ledger.now()
    price_list = model.prices.get((caller.tenant.rate_card_id, "standard"))
    is_priced = price_list is not None and price_list.at(now) is not None
    return (
        (bool(model.replicas) or model.wakes)
        and model.is_visible_to(caller.tenant, now)
        and is_priced
        and not model.is_retired(datetime.fromtimestamp(now, UTC).date())
        and may_call(caller, model, name)
    )


def _described(
    gateway: "Gateway", caller: Caller, model: Model, own_aliases: dict[int, list[str]]
) -> dict[str, object]:
    successor = gateway.snapshot.successor(model, caller.tenant, gateway.ledger.now())
    described: dict[str, object] = {
        "id": model.name,
        "object": "model",
        "created": model.released_at,
        "owned_by": model.publisher.strip("–") or "unknown",  # nobody said it of an entry that was made by hand
        "kind": model.kind,
        "aliases": [*model.aliases, *own_aliases.get(model.id, ())],
        "max_model_len": model.facts.context_window,
        "default_max_output": model.default_max_output,
    }
    if model.retired_on is not None:
        described["shutdown_date"] = str(model.retired_on)
    if successor:
        described["successor"] = successor
    return described
