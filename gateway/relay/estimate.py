"""POST /v1/estimate: what a request would cost, before it is sent (B5). Nothing is held, nothing is run."""

import asyncio
import logging
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from billing.pricing import METERS, MissingPrice, price_of
from gateway.relay import errors
from gateway.relay.admission import CHARACTERS_A_TOKEN, Plan, count_prompt, plan_request
from gateway.relay.charging import quantities_of
from gateway.relay.failures import log_failure
from gateway.relay.fields import Endpoint
from gateway.relay.http_message import HttpRequest
from gateway.relay.ids import new_request_id
from gateway.relay.input_bound import check_media
from gateway.relay.json_walk import BadJson, members_of
from gateway.relay.request_body import parse_request
from gateway.relay.usage import Usage

if TYPE_CHECKING:
    from gateway.relay.client import ClientConnection
    from gateway.relay.gateway import Gateway

logger = logging.getLogger("beffroi.estimate")


class EstimateExchange:
    """An estimate under way: the client connection's `Handling`."""

    def __init__(self, gateway: "Gateway", client: "ClientConnection", request: HttpRequest) -> None:
        self._gateway, self._client, self._request = gateway, client, request
        self.task = asyncio.get_running_loop().create_task(self._run())

    def client_left(self) -> None:
        self.task.cancel()

    def client_is_slow(self, *, slow: bool) -> None:
        """An estimate is small."""

    async def _run(self) -> None:
        self._request.request_id = new_request_id()
        headers = self._gateway.headers_of_refusal(self._request)
        try:
            body = await self._estimate(self._request.request_id)
        except errors.Refusal as refusal:
            self._gateway.note_refusal(self._request, refusal)
            self._client.refuse(refusal, headers)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer
            log_failure(logger, "estimate", error)
            self._client.refuse(errors.internal_error(), headers)
        else:
            self._client.answer(200, [(b"content-type", b"application/json"), *headers], body)

    async def _estimate(self, request_id: UUID) -> bytes:
        body = self._request.body
        inference = parse_request(_endpoint_of(body), body)
        check_media(inference, self._gateway.config.media_hosts)
        plan = plan_request(self._gateway, self._request, self._client.peer, inference, request_id)
        await count_prompt(self._gateway, plan)
        plan.fit_window()
        try:
            return msgspec.json.encode(_told(plan))
        except MissingPrice as missing:
            raise errors.model_without_price(plan.model.name, missing.meter) from None


def _endpoint_of(body: bytes) -> Endpoint:
    """Which request this would be: told by the members that only it has. Raises Refusal."""
    try:
        members = members_of(body)
    except BadJson as error:
        raise errors.invalid_json(str(error)) from None
    if "messages" in members:
        return Endpoint.CHAT
    if "prompt" in members:
        return Endpoint.COMPLETIONS
    if "query" in members:
        return Endpoint.RERANK
    return Endpoint.EMBEDDINGS


def _told(plan: Plan) -> dict[str, object]:
    """The estimate: prompt tokens, what the prompt costs, and the most that the whole can cost."""
    prompt_tokens = plan.counted if plan.counted is not None else max(1, plan.input_tokens // CHARACTERS_A_TOKEN)
    output_tokens = (plan.output or 0) * plan.inference.sequences
    endpoint = plan.inference.endpoint
    prompt_cost, _ = price_of(
        quantities_of(endpoint, Usage(prompt_tokens, 0, 0, 0), plan.inference.documents), plan.prices
    )
    full = quantities_of(endpoint, Usage(prompt_tokens, 0, output_tokens, 0), plan.inference.documents)
    return {
        "object": "estimate",
        "model": plan.model.name,
        "prompt_tokens": prompt_tokens,
        "prompt_tokens_are_exact": plan.counted is not None,
        "max_output_tokens": output_tokens,
        "documents": plan.inference.documents,
        "prompt_cost_nano_eur": prompt_cost,
        "full_output_cost_nano_eur": price_of(full, plan.prices)[0],
        "reserved_nano_eur": plan.bound(plan.output),
        "nano_eur_per_million": {
            meter: price for meter, price in plan.prices.nano_eur_per_million.items() if meter in METERS
        },
    }
