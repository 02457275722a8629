"""From a parsed request to a durable hold: what it may cost, whether that may be spent, how to make it fit (I3)."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from billing.pricing import MissingPrice, Prices, upper_bound
from gateway.relay import errors
from gateway.relay.authenticate import Verified, authorize
from gateway.relay.database import LOST
from gateway.relay.engine_call import count_tokens
from gateway.relay.group_commit import LedgerRefused, LedgerUnavailable
from gateway.relay.http_message import HttpRequest
from gateway.relay.input_bound import input_bound
from gateway.relay.ledger import Admission, Description, Verdict
from gateway.relay.request_body import InferenceRequest
from gateway.relay.routing import choose
from gateway.relay.snapshot import Caller, Model
from gateway.relay.tightening import comes_free, fit_budget, fit_limit

if TYPE_CHECKING:
    from gateway.relay.gateway import Gateway

CHARACTERS_A_TOKEN = 4  # likely, where no engine said
LABEL_CHARACTERS = 64
# Every round makes the request cheaper or reads newer rows; a sane one needs three.
ROUNDS = 6
ROUNDS_AFTER_A_WAIT = 2  # with what was wanted, and with less
STALE_PAUSE_S = 0.02  # where what was read is still old: at the instant of a price change clocks may differ by as much


@dataclass(slots=True)
class Plan:
    """A request on its way to its hold. Tokens are counts; `output` is the limit that will be sent, None where there is
    none; `wanted` the one that fits the window; `counted` what an engine counted in the prompt, where it was asked and
    could say; `waits_since` (monotonic seconds) when it began to wait for money, and `waits` how often it did.
    """

    request_id: UUID
    request: HttpRequest
    peer: str
    caller: Caller
    inference: InferenceRequest
    model: Model
    prices: Prices
    label: str
    idempotency: str | None
    input_tokens: int
    output: int | None
    prompts: int  # how many the request holds together
    was_count_asked: bool = False
    counted: int | None = None
    wanted: int | None = None
    waits_since: float | None = None
    waits: int = 0
    standing: Any = None

    @property
    def was_lowered(self) -> bool:
        """Whether the client gets a lower output limit than it asked for, or than the model's default."""
        return self.output is not None and self.output < (
            self.inference.max_output_asked or self.model.default_max_output
        )

    def bound(self, output: int | None) -> int:
        """The most that the request can cost with that output limit, in nano-EUR. Raises MissingPrice."""
        inference, window = self.inference, self.model.facts.context_window
        if output is None:
            return upper_bound(self.input_tokens, 0, self.prompts, window, self.prices, documents=inference.documents)
        return upper_bound(self.input_tokens, output, inference.sequences, window, self.prices)

    def fit_window(self) -> None:
        """Lower the output limit to what the window leaves beside the prompt. Raises Refusal where nothing is left.

        Where nobody could count the prompt its bound says nothing about the room: a schema counts as the whole window,
        and most have some hundred tokens. Then the engine decides what fits; the hold covers it either way.
        """
        if self.output is None or self.counted is None:
            return
        window = self.model.facts.context_window
        room = window - self.counted
        if room < 1:
            raise errors.context_length_exceeded(window, self.counted, self.output)
        self.output = min(self.output, room)


def plan_request(
    gateway: "Gateway",
    request: HttpRequest,
    peer: str,
    inference: InferenceRequest,
    request_id: UUID,
) -> Plan:
    """What the request of a known caller would run on and cost. Raises Refusal."""
    caller, label, idempotency = request.caller, _label_of(request), request.header(b"idempotency-key")
    assert caller is not None
    model = find_model(gateway, caller, inference.model)
    if model.kind != inference.endpoint.kind:
        raise errors.wrong_kind_of_model(inference.model, model.kind, inference.endpoint.paths[0])
    if not model.replicas and (why := gateway.placing.why_none(model, caller)):
        raise why if model.has_engines else errors.model_not_found(inference.model)
    output = None
    if inference.endpoint.is_generating:
        output = min(inference.max_output_asked or model.default_max_output, model.facts.context_window)
    return Plan(
        request_id=request_id,
        request=request,
        peer=peer,
        caller=caller,
        inference=inference,
        model=model,
        prices=prices_for(gateway, caller, model),
        label=label,
        idempotency=hashlib.sha256(idempotency).hexdigest() if idempotency else None,
        input_tokens=input_bound(inference, model.facts),
        output=output,
        prompts=len(inference.inputs) or 1,
    )


def _label_of(request: HttpRequest) -> str:
    """What the client calls the request in its own books (header `x-beffroi-label`)."""
    label = (request.header(b"x-beffroi-label") or b"").decode("latin-1")
    if len(label) > LABEL_CHARACTERS or not label.isprintable():
        raise errors.invalid_field("x-beffroi-label", f"has to be at most {LABEL_CHARACTERS} printable characters")
    return label


def find_model(gateway: "Gateway", caller: Caller, name: str) -> Model:
    """The model that the caller means, if it lives and the key may call it. Raises Refusal."""
    now = gateway.ledger.now()
    model = gateway.snapshot.model(name, caller.tenant, now)
    if model is None:
        raise errors.model_not_found(name)
    if model.retired_on is not None and model.is_retired(datetime.fromtimestamp(now, UTC).date()):
        successor = gateway.snapshot.successor(model, caller.tenant, now)
        raise errors.model_retired(name, str(model.retired_on), successor)
    if not _is_among(caller.key.policy.allowed_models, model, name):
        raise errors.model_not_allowed(name)
    if not _is_among(_models_of_project(caller), model, name):
        raise errors.model_not_allowed(name, whose="project")
    return model


def may_call(caller: Caller, model: Model, name: str = "") -> bool:
    """Whether the lists of models of the key and of its project, where they have one, both name this model, or the
    alias by which it was asked for.
    """
    lists = (caller.key.policy.allowed_models, _models_of_project(caller))
    return all(_is_among(allowed, model, name) for allowed in lists)


def _models_of_project(caller: Caller) -> frozenset[str]:
    return caller.tenant.models_of_projects.get(caller.key.project_id, frozenset())


def _is_among(allowed: frozenset[str], model: Model, name: str) -> bool:
    return not allowed or model.name in allowed or name in allowed or not allowed.isdisjoint(model.aliases)


def prices_for(gateway: "Gateway", caller: Caller, model: Model) -> Prices:
    """The prices in force on the tenant's rate card. Raises Refusal: without a price a model is refused, never free."""
    if not caller.tenant.rate_card_id:
        raise errors.account_refused("no_contract")
    price_list = model.prices.get((caller.tenant.rate_card_id, "standard"))
    prices = price_list.at(gateway.ledger.now()) if price_list is not None else None
    if prices is None:
        raise errors.model_without_price(model.name)
    return prices


async def admit(gateway: "Gateway", plan: Plan) -> None:
    """Make the hold durable, tightening the request where it does not fit. Raises Refusal; then nothing is held."""
    if len(gateway.ledger.admissions) >= gateway.limits.waiting_admissions:
        raise errors.overloaded()
    began = gateway.monotonic()
    try:
        await _leave_room(gateway, plan)
        plan.wanted = plan.output
        asked = 0
        while asked < ROUNDS + ROUNDS_AFTER_A_WAIT * plan.waits:
            asked += 1
            verdict = await gateway.ledger.admit(_admission(plan))
            if verdict.verdict == "admitted":
                plan.standing = verdict.detail
                gateway.counts.admissions.observe((gateway.monotonic() - began) * 1000)
                return
            await _answer_verdict(gateway, plan, verdict)
    except MissingPrice as missing:
        raise errors.model_without_price(plan.model.name, missing.meter) from None
    except LedgerUnavailable:
        gateway.ledger.undo(plan.request_id)
        raise errors.ledger_unavailable() from None
    except LedgerRefused:
        raise errors.internal_error() from None
    except LOST:  # while newer rows were read: nothing is held
        raise errors.ledger_unavailable() from None
    finally:
        gateway.money.leave(plan)
    raise _refusal_of(plan, verdict) or errors.overloaded()


async def count_prompt(gateway: "Gateway", plan: Plan) -> bool:
    """Ask an engine for the exact prompt tokens; whether it made the bound lower."""
    replica = choose(plan.model.replicas, (), gateway.monotonic())
    if replica is None or plan.was_count_asked:
        return False
    plan.was_count_asked = True
    body = plan.inference.tokenize_body(replica.served_name)
    if body is None:
        return False
    count = await count_tokens(gateway.pool_of(replica), replica, body, gateway.limits.tokenize_s)
    if count is None:
        gateway.looks.look(replica, gateway.monotonic())
        return False
    plan.counted = count
    # An engine may write a chat out in another way than it counts it.
    bound = count + plan.model.facts.template_overhead_tokens
    if bound >= plan.input_tokens:
        return False
    plan.input_tokens = bound
    return True


async def _leave_room(gateway: "Gateway", plan: Plan) -> None:
    """Where prompt and output may not fit the window, count the prompt, then lower the output limit to what is left.

    Our own limit must fit, so that the bound of the prompt counts. A client's limit is its word: it is lowered where it
    is likely not to fit, and where it does not after all, the engine says so.
    """
    if plan.output is None:
        return
    prompt = plan.input_tokens // plan.prompts
    if plan.inference.max_output_asked is not None:
        prompt //= CHARACTERS_A_TOKEN
    if prompt + plan.output > plan.model.facts.context_window:
        await count_prompt(gateway, plan)
        plan.fit_window()


async def _answer_verdict(gateway: "Gateway", plan: Plan, verdict: Verdict) -> None:
    """Change the plan so that it may be admitted, or raise Refusal."""
    if verdict.verdict == "stale":
        return await _refresh(gateway, plan)
    detail = verdict.detail
    if verdict.verdict == "budget" and (
        await count_prompt(gateway, plan) or await fit_budget(gateway.money, plan, detail)
    ):
        return None
    if verdict.verdict == "limit" and (
        (detail["what"] == "tokens" and await count_prompt(gateway, plan)) or fit_limit(plan, detail)
    ):
        return None
    raise _refusal_of(plan, verdict) or errors.ledger_unavailable()


def _refusal_of(plan: Plan, verdict: Verdict) -> errors.Refusal | None:
    """What a verdict that stays becomes; None where only we are to blame."""
    match verdict.verdict:
        case "budget":
            return errors.insufficient_quota(verdict.detail, comes_free=comes_free(plan, verdict.detail))
        case "limit":
            return errors.rate_limit_exceeded(verdict.detail)
        case "repeated":
            return errors.repeated_request(verdict.detail["request_id"])
        case "key_unknown":
            return errors.key_invalid()
        case "key_revoked":
            return errors.key_revoked()
        case "key_expired":
            return errors.key_expired()
        case "project_archived" | "tenant_suspended" | "no_contract":
            return errors.account_refused(verdict.verdict)
        case _:
            return None


async def _refresh(gateway: "Gateway", plan: Plan) -> None:
    """The ledger knows newer rows: read the key and its tenant again, and where those were true, models and prices.

    What the key may do is asked again: that may be what changed.
    """
    before, snapshot = plan.caller, gateway.snapshot
    key = await gateway.reader.read_key(before.key.id)
    if key is None:
        raise errors.key_invalid()
    verified = Verified(key, before.secret)
    plan.caller = authorize(plan.request, plan.peer, verified, snapshot, gateway.config, gateway.ledger.now())
    if (key.version, plan.caller.tenant) == (before.key.version, before.tenant):
        await gateway.reader.read_catalog()
    plan.model = find_model(gateway, plan.caller, plan.inference.model)
    prices = prices_for(gateway, plan.caller, plan.model)
    if (plan.caller, prices.version_id) == (before, plan.prices.version_id):
        await asyncio.sleep(STALE_PAUSE_S)
    plan.prices = prices


def _admission(plan: Plan) -> Admission:
    inference, model, key = plan.inference, plan.model, plan.caller.key
    output_tokens = (plan.output or 0) * inference.sequences
    return Admission(
        request_id=plan.request_id,
        key_id=key.id,
        key_version=key.version,
        tenant_version=plan.caller.tenant.version,
        model_id=model.id,
        mode="standard",
        price_version_id=plan.prices.version_id,
        amount=plan.bound(plan.output),
        tokens=plan.input_tokens + output_tokens,
        output_tokens=output_tokens,
        idempotency=plan.idempotency,
        description=Description(
            model=model.name,
            alias=inference.model,
            endpoint=inference.endpoint.paths[0],
            stream=inference.stream,
            max_tokens_asked=inference.max_output_asked,
            max_tokens_given=plan.output,
            kwh_per_million_tokens=model.kwh_per_million_tokens,
            label=plan.label,
            door=_door(plan.caller),
        ),
    )


def _door(caller: Caller) -> str:
    if caller.tenant.is_platform:
        return "probe"
    return "playground" if caller.key.is_playground else "api"
