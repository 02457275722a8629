"""Probes: does an engine answer, and does it tell what it used? Only such a replica takes requests: it can be billed.

A chat engine must report usage both in a whole answer and in a stream, there also event by event: what a client that
hangs up pays is the last usage that was reported (I2, rule b). Probes cost a few tokens and bill nobody.
"""

import json
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.clock import database_now
from gateway.pools import reasons
from gateway.pools.models import EngineProbe, Replica
from gateway.pools.registry import NOT_THERE, OUT, key_of, set_state
from identity import audit, egress
from identity.secret_box import SecretBoxError
from models_catalog.models import LanguageModel

PROBE_SECONDS = 20.0  # an engine that just started compiles on its first request
LOOK_SECONDS = 10.0  # more than a connection may take, which is what a look is about
LOOKS_AT_ONCE = 16
ACTOR = audit.Actor.system("probe")
_QUESTION = [{"role": "user", "content": "ping"}]


class NotReady(Exception):
    """Why an engine takes no requests: a sentence of `reasons.py` and what fills it.

    `may_pass`: it may be just starting, so ask again soon.
    """

    def __init__(self, sentence: str, *, may_pass: bool = False, **values: object) -> None:
        self.reason = sentence % values
        super().__init__(self.reason)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class Engine:
    """Where an engine is: `http://host:port` and its key, or ""."""

    url: str
    api_key: str = field(default="", repr=False)
    used: list[tuple[int, int]] = field(default_factory=list, repr=False, compare=False)
    """Prompt and generated tokens of each answer so far that told its usage: the engine counts them, nobody pays."""

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """A successful answer's body. Raises NotReady."""
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = egress.fetch(
                method,
                self.url + path,
                headers=headers,
                body=json.dumps(body).encode() if body is not None else None,
                allow_private=True,
                total_seconds=PROBE_SECONDS,
            )
        except egress.EgressError as error:
            passing = isinstance(error, egress.Unreachable | egress.TimedOut)
            raise NotReady(reasons.SILENT, fault=error, may_pass=passing) from None
        if answer.status in (401, 403):
            raise NotReady(reasons.REFUSES_KEY)
        if answer.status != 200:
            raise NotReady(reasons.ANSWERS_STATUS, path=path, status=answer.status, may_pass=answer.status >= 500)
        return answer.body

    def json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A successful answer's JSON object. Raises NotReady."""
        found = _object(self.call(method, path, body), path)
        self.note(found.get("usage"))
        return found

    def note(self, usage: object) -> None:
        """Remember what an answer used, where it says so."""
        if isinstance(usage, dict) and type(prompt := usage.get("prompt_tokens")) is int:
            generated = usage.get("completion_tokens")
            self.used.append((prompt, generated if type(generated) is int else 0))


def served_models(engine: Engine) -> dict[str, int | None]:
    """What the engine serves: name -> its context window in tokens, None where it does not say. Raises NotReady."""
    cards = engine.json("GET", "/v1/models").get("data")
    if not isinstance(cards, list) or not cards:
        raise NotReady(reasons.LISTS_NOTHING)
    served = {}
    for card in cards:
        if isinstance(card, dict) and isinstance(name := card.get("id"), str):
            window = card.get("max_model_len")
            served[name] = window if type(window) is int and window > 0 else None
    return served


def check_engine(engine: Engine, served_name: str, kind: str) -> int | None:
    """Raises NotReady unless the engine serves the model and reports usage; gives its context window, if it says."""
    windows = served_models(engine)
    if served_name not in windows:
        raise NotReady(reasons.SERVES_OTHERS, model=served_name, served=", ".join(sorted(windows)))
    check = _CHECKS.get(kind)
    if check is None:
        raise NotReady(reasons.KIND_NOT_PASSED_ON, kind=kind)
    check(engine, served_name)
    return windows[served_name]


def probe_replica(replica: Replica) -> NotReady | None:
    """Probe a replica and set its state and reason; gives what is missing, None when it is ready.

    One that was taken out of service meanwhile stays as it is.
    """
    window, missing, used = None, None, []
    try:
        engine = Engine(replica.url, key_of(replica))
        used = engine.used
        window = check_engine(engine, replica.pool.served_name, replica.pool.model.kind)
    except SecretBoxError:
        missing = NotReady(reasons.KEY_UNREADABLE)
    except NotReady as error:
        missing = error
    if used:
        prompt_tokens, generation_tokens = map(sum, zip(*used, strict=True))
        EngineProbe.objects.create(
            pool=replica.pool.name,
            replica=replica.name,
            at=database_now(),
            prompt_tokens=prompt_tokens,
            generation_tokens=generation_tokens,
        )
    with transaction.atomic():
        fresh = Replica.objects.select_for_update().exclude(state__in=(*OUT, *NOT_THERE)).filter(pk=replica.pk).first()
        if fresh is None:
            return missing or NotReady(reasons.TAKEN_OUT)
        fresh.probed_at = timezone.now()
        if missing is None:
            fresh.context_window = window
        fresh.save(update_fields=["probed_at", "context_window"])
        state = Replica.State.FAILED if missing else Replica.State.READY
        reason = missing.reason if missing else _remark(window, replica.pool.model.context_window)
        set_state(replica=fresh, state=state, reason=reason, actor=ACTOR)
    return missing


def take_out_the_gone(models: Collection[LanguageModel]) -> None:
    """Of the engines that take requests for the models, those that cannot be reached, until a probe finds them again.

    For models that the gateways just failed to reach: what this process alone cannot reach says nothing, and who
    answers late or badly is busy, not gone. All are looked at together, as one that is switched off takes its time.
    """
    replicas = list(Replica.objects.filter(pool__model__in=models, state=Replica.State.READY))
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as lookers:
        faults = list(lookers.map(why_gone, [replica.url for replica in replicas]))
    for replica, fault in zip(replicas, faults, strict=True):
        if fault is None:
            continue
        with transaction.atomic():
            fresh = Replica.objects.select_for_update().filter(pk=replica.pk, state=Replica.State.READY).first()
            if fresh is not None:
                reason = reasons.SILENT % {"fault": fault}
                set_state(replica=fresh, state=Replica.State.FAILED, reason=reason, actor=ACTOR)


def why_gone(url: str) -> egress.Unreachable | None:
    """Why the engine cannot be reached; None where it can, however late or badly it answers."""
    try:
        egress.fetch("GET", f"{url}/health", allow_private=True, total_seconds=LOOK_SECONDS)
    except egress.Unreachable as error:
        return error
    except egress.EgressError:
        return None
    return None


def kind_of(engine: Engine, served_name: str) -> str:
    """What kind of model the engine serves by that name, found by trying. Raises NotReady."""
    for kind, check in _CHECKS.items():
        try:
            check(engine, served_name)
        except NotReady as error:
            if error.may_pass:
                raise
        else:
            return kind
    raise NotReady(reasons.OF_NO_KIND, model=served_name)


def prompt_tokens_of_one_word(engine: Engine, served_name: str) -> int:
    """How many prompt tokens a chat of one word has: what the template adds, and a little. Raises NotReady."""
    request = {"model": served_name, "messages": _QUESTION, "max_tokens": 1}
    usage = engine.json("POST", "/v1/chat/completions", request).get("usage")
    if not isinstance(usage, dict) or not _is_usage(usage, "prompt_tokens"):
        raise NotReady(reasons.NO_USAGE)
    return int(usage["prompt_tokens"])


def _check_chat(engine: Engine, served_name: str) -> None:
    request = {"model": served_name, "messages": _QUESTION, "max_tokens": 4}
    answer = engine.json("POST", "/v1/chat/completions", request)
    if not _is_usage(answer.get("usage"), "prompt_tokens", "completion_tokens"):
        raise NotReady(reasons.NO_USAGE)
    options = {"include_usage": True, "continuous_usage_stats": True}
    stream = engine.call("POST", "/v1/chat/completions", {**request, "stream": True, "stream_options": options})
    events = _events(stream)
    if not any(not event.get("choices") and _is_usage(event.get("usage"), "completion_tokens") for event in events):
        raise NotReady(reasons.NO_USAGE_AT_END)
    engine.note(next((event["usage"] for event in reversed(events) if event.get("usage")), None))
    said = [event for event in events if event.get("choices")]
    if not said or not all(_is_usage(event.get("usage"), "prompt_tokens") for event in said):
        raise NotReady(reasons.NO_USAGE_DURING)


def _check_embedding(engine: Engine, served_name: str) -> None:
    answer = engine.json("POST", "/v1/embeddings", {"model": served_name, "input": "ping"})
    if not answer.get("data") or not _is_usage(answer.get("usage"), "prompt_tokens"):
        raise NotReady(reasons.NO_USAGE_OF_EMBEDDING)


def _check_rerank(engine: Engine, served_name: str) -> None:
    request = {"model": served_name, "query": "ping", "documents": ["pong", "ping"]}
    results = engine.json("POST", "/v1/rerank", request).get("results")
    if not isinstance(results, list) or len(results) != len(request["documents"]):
        raise NotReady(reasons.NO_RERANK)


_CHECKS: dict[str, Callable[[Engine, str], None]] = {
    LanguageModel.Kind.CHAT: _check_chat,
    LanguageModel.Kind.EMBEDDING: _check_embedding,
    LanguageModel.Kind.RERANK: _check_rerank,
}


def _remark(window: int | None, catalog_window: int) -> str:
    if window is not None and window < catalog_window:
        return reasons.SMALL_WINDOW % {"window": window, "catalog": catalog_window}
    return ""


def _is_usage(usage: object, *counts: str) -> bool:
    """Whether these counts are there and above 0."""
    return isinstance(usage, dict) and all(type(usage.get(name)) is int and usage[name] > 0 for name in counts)


def _events(stream: bytes) -> list[dict[str, Any]]:
    data = [line[5:].strip() for line in stream.splitlines() if line.startswith(b"data:")]
    if not data or data[-1] != b"[DONE]":
        raise NotReady(reasons.NO_DONE)
    return [_object(event, "a stream") for event in data[:-1]]


def _object(text: bytes, path: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NotReady(reasons.NO_OBJECT, path=path)
    return found
