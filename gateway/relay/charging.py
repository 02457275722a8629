"""What a request is charged, from what its engine reported (I2). Pure."""

import re

from billing.pricing import METERS, Amounts, MissingPrice, Prices, Quantities, billed, price_of
from gateway.relay.admission import Plan
from gateway.relay.fields import Endpoint
from gateway.relay.ledger import NOTHING, UNDELIVERED, Settlement
from gateway.relay.routing import Replica
from gateway.relay.usage import Usage

_FINISH_REASON = re.compile(r"[a-z_]{1,32}")
_NOT_CHARGED = ("engine_failed", "engine_refused", "client_left_early", "unmetered", "undelivered")


def status_of(plan: Plan, usage: Usage | None) -> str:
    """The status that a whole answer's usage deserves (I2 a, e, f, g). Reranking is billed by documents."""
    if usage is None:
        return "completed" if plan.inference.endpoint is Endpoint.RERANK else "unmetered"
    if is_nonsense(plan, usage):
        return "clamped"
    return "zero_usage" if usage.prompt == 0 and usage.completion == 0 else "completed"


def is_nonsense(plan: Plan, usage: Usage) -> bool:
    """Whether the request cannot have used that: more than its windows, or more output than the limit that was sent."""
    room = plan.model.facts.context_window * plan.prompts
    most_output = (plan.output or 0) * plan.inference.sequences
    return not usage.is_sane or usage.prompt > room or usage.completion > most_output


def clamped(plan: Plan, usage: Usage) -> Usage:
    """The usage brought into what is held for the request (I2 g)."""
    prompt = min(max(usage.prompt, 0), plan.input_tokens)
    completion = min(max(usage.completion, 0), (plan.output or 0) * plan.inference.sequences)
    return Usage(prompt, min(max(usage.cached, 0), prompt), completion, min(max(usage.reasoning, 0), completion))


def quantities_of(endpoint: Endpoint, usage: Usage | None, documents: int) -> Quantities:
    """What a usage counts on the meters. Reranking is counted in documents, with its tokens."""
    if endpoint is Endpoint.RERANK:
        return Quantities(input=usage.prompt if usage else 0, documents=documents)
    if usage is None:
        return NOTHING
    return Quantities.from_usage(usage.prompt, usage.cached, usage.completion, usage.reasoning)


def priced(quantities: Quantities, prices: Prices) -> Amounts:
    """The amounts by meter that add up to the price exactly (I4)."""
    return price_of(quantities, prices)[1]


def charged_quantities(plan: Plan, usage: Usage | None) -> Quantities:
    """What that usage counts on the meters, as the price of its admission bills it."""
    if usage is not None and is_nonsense(plan, usage):
        usage = clamped(plan, usage)
    return billed(quantities_of(plan.inference.endpoint, usage, plan.inference.documents), plan.prices)


def settlement_of(
    plan: Plan,
    replica: Replica | None,
    status: str,
    http_status: int,
    usage: Usage | None,
    *,
    finish_reason: str,
    ttft_ms: int | None,
    duration_ms: int,
) -> Settlement:
    """The end of a request at the prices of its admission. The ledger charges no more than the hold."""
    quantities = NOTHING if status in _NOT_CHARGED else charged_quantities(plan, usage)
    try:
        amounts = priced(quantities, plan.prices)
    except MissingPrice:
        amounts = Amounts()
    return Settlement(
        request_id=plan.request_id,
        status=status,
        http_status=http_status,
        # An engine's free text is no reason: it could be anything, content included (I5).
        finish_reason=finish_reason if _FINISH_REASON.fullmatch(finish_reason) else "other" if finish_reason else "",
        pool=replica.pool if replica else "",
        replica=replica.name if replica else "",
        node=replica.node if replica else "",
        site=replica.site if replica else "",
        ttft_ms=None if status in ("engine_failed", "engine_refused") else ttft_ms,
        duration_ms=duration_ms,
        quantities=quantities,
        amounts=amounts,
    )


def withhold(settlement: Settlement) -> None:
    """Change a charge that waits: what is not delivered costs nothing, or is given back where it was charged (I1)."""
    settlement.status, settlement.http_status = UNDELIVERED, 503
    settlement.quantities, settlement.amounts = NOTHING, Amounts()


def checkpoint_of(plan: Plan, replica: Replica, usage: Usage) -> dict[str, object]:
    """What a running stream last reported, for its hold (I2 d)."""
    told: dict[str, object] = {
        "pool": replica.pool, "replica": replica.name, "node": replica.node, "site": replica.site,
    }  # fmt: skip
    told.update(zip(METERS, charged_quantities(plan, usage), strict=True))
    return told
