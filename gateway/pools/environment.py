"""The engines that the environment names: `model=http://[:KEY@]host:port`, made into pools and replicas at every start.

A model that the catalog lacks gets a demo entry at the reference prices, described by what its engine says.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from billing.prices.price_book import load_prices
from gateway.pools import reasons
from gateway.pools.models import Pool, Replica
from gateway.pools.probes import Engine, NotReady, kind_of, probe_replica, prompt_tokens_of_one_word, served_models
from gateway.pools.publishing import mark_published
from gateway.pools.registry import engine_address, register_pool, register_replica, remove_replica, set_state
from identity import audit
from identity.errors import Invalid
from models_catalog.catalog import model_by_name_or_alias
from models_catalog.models import LanguageModel, valid_model_name

ACTOR = audit.Actor.system("register_engines")
UNTOLD_WINDOW = 4_096  # tokens, where an engine does not say its context window: what any serves
MOST_DEFAULT_OUTPUT = 4_096  # tokens
_PAUSE_SECONDS = 1.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An engine as it was named."""

    model: str
    engine: Engine

    def __str__(self) -> str:
        return f"{self.model} at {self.engine.url}"


def wanted_engines(texts: Iterable[str]) -> list[Wanted]:
    """Engines from `model=url`. Raises Invalid."""
    wanted = []
    for text in texts:
        model, equals, address = text.partition("=")
        try:
            valid_model_name(model)
        except ValidationError as error:
            raise Invalid("engine", f"{text!r} is not model=http://host:port. {error.messages[0]}") from None
        if not equals:
            raise Invalid("engine", f"{text!r} is not model=http://host:port.")
        wanted.append(Wanted(model, Engine(*engine_address(address))))
    return wanted


def register_engines(wanted: list[Wanted], *, wait_seconds: float, tell: Tell) -> int:
    """Register and probe the engines, waiting for those that are just starting; gives how many are ready.

    Engines that an earlier environment named are removed. `tell` gets progress in words.
    """
    pending, ready = dict.fromkeys(wanted, ""), 0
    deadline = time.monotonic() + wait_seconds
    while pending:
        for one, told in list(pending.items()):
            try:
                _register(one)
            except NotReady as error:
                if error.reason != told:
                    tell(f"{one}: {error.reason}" + (" Waiting." if error.may_pass else ""))
                pending[one] = error.reason
                if not error.may_pass:
                    del pending[one]
            else:
                tell(f"{one}: ready")
                ready += 1
                del pending[one]
        if pending and time.monotonic() >= deadline:
            break
        if pending:
            time.sleep(_PAUSE_SECONDS)
    _remove_others(wanted, tell)
    return ready


def _register(one: Wanted) -> None:
    """One try. Raises NotReady."""
    model = model_by_name_or_alias(one.model)
    try:
        windows = served_models(one.engine)
        served_name = _served_name(one, model, windows)
        model = model or _demo_entry(one, served_name, windows[served_name])
    except NotReady as error:
        if model is not None:
            _register_unseen(one, model, error.reason)
        raise
    replica = _add_replica(one, register_pool(model=model, served_name=served_name, actor=ACTOR))
    missing = probe_replica(replica)
    if missing:
        raise missing
    mark_published(model, actor=ACTOR)


def _register_unseen(one: Wanted, model: LanguageModel, reason: str) -> None:
    """An engine that does not answer, of a model that we know: registered too; the worker goes on probing it."""
    known = _environments_replicas().filter(pool__model=model, url=one.engine.url).first()
    pool = known.pool if known else register_pool(model=model, served_name=one.model, actor=ACTOR)
    set_state(replica=_add_replica(one, pool), state=Replica.State.FAILED, reason=reason, actor=ACTOR)


def _add_replica(one: Wanted, pool: Pool) -> Replica:
    """The replica in that pool; one in another pool of the model, under another served name, goes."""
    elsewhere = _environments_replicas().filter(pool__model=pool.model, url=one.engine.url).exclude(pool=pool)
    for replica in elsewhere:
        remove_replica(replica=replica, actor=ACTOR)
    return register_replica(
        pool=pool,
        url=one.engine.url,
        api_key=one.engine.api_key,
        source=Replica.Source.ENVIRONMENT,
        actor=ACTOR,
    )


def _environments_replicas() -> QuerySet[Replica]:
    return Replica.objects.filter(source=Replica.Source.ENVIRONMENT).select_related("pool__model")


def _served_name(one: Wanted, model: LanguageModel | None, served: dict[str, int | None]) -> str:
    """The engine's own name for the model: the one given, the catalog's, an alias, or the only one that it serves."""
    names = [one.model]
    if model is not None:
        names += [model.name, *model.aliases.filter(tenant=None).values_list("alias", flat=True)]
    for name in names:
        if name in served:
            return name
    if len(served) == 1:
        return next(iter(served))
    raise NotReady(reasons.SERVES_OTHERS, model=one.model, served=", ".join(sorted(served)))


def _demo_entry(one: Wanted, served_name: str, window: int | None) -> LanguageModel:
    """A catalog entry with what the engine says of itself, at the reference prices. Raises NotReady."""
    context_window = window or UNTOLD_WINDOW
    kind = kind_of(one.engine, served_name)
    is_chat = kind == LanguageModel.Kind.CHAT
    # Twice what one word takes: templates grow a little with dates and roles.
    overhead = 2 * prompt_tokens_of_one_word(one.engine, served_name) if is_chat else 0
    with transaction.atomic():
        model = LanguageModel.objects.create(
            name=one.model,
            title=one.model,
            kind=kind,
            channel=LanguageModel.Channel.EXPERIMENTAL,
            context_window=context_window,
            default_max_output=min(MOST_DEFAULT_OUTPUT, max(1, context_window // 2)) if is_chat else 1,
            template_overhead_tokens=min(context_window, 64 + overhead),
            modalities=["text"],
            description="Named in BEFFROI_ENGINES; the catalog does not describe it.",
            is_demo=True,
        )
        audit.record(actor=ACTOR, action="catalog.demo_entry_added", target=model, detail={"name": model.name})
        load_prices(actor=ACTOR)
    return model


def _remove_others(wanted: list[Wanted], tell: Tell) -> None:
    named = {(model.pk, one.engine.url) for one in wanted if (model := model_by_name_or_alias(one.model))}
    for replica in _environments_replicas():
        if (replica.pool.model_id, replica.url) not in named:
            tell(f"{replica.pool.model.name} at {replica.url}: removed, it is not named any more")
            remove_replica(replica=replica, actor=ACTOR)
