"""One inference request, from its admission to its charge (DESIGN, steps 3 to 7).

A task walks through the steps; the answer's bytes do not pass through it: the engine's connection calls `answer_data`,
which writes to the client's. The client may leave and the engine may die at any step: whatever happens, a request that
was admitted is settled once.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gateway.relay import engine_refusal, errors
from gateway.relay.admission import Plan, admit, plan_request
from gateway.relay.answer_headers import cors_headers, headers_of_answer
from gateway.relay.answer_meter import Answer, read_answer
from gateway.relay.charge_wait import ChargeWait
from gateway.relay.charging import checkpoint_of, settlement_of, status_of, withhold
from gateway.relay.engine_call import engine_head
from gateway.relay.event_writer import EventWriter
from gateway.relay.failures import log_failure
from gateway.relay.group_commit import LedgerUnavailable
from gateway.relay.http_message import Header, HttpRequest
from gateway.relay.ids import new_request_id
from gateway.relay.input_bound import check_media
from gateway.relay.ledger import Charge
from gateway.relay.request_body import Endpoint, parse_request
from gateway.relay.routing import Replica
from gateway.relay.stream_meter import StreamMeter
from gateway.relay.upstream import UpstreamConnection
from gateway.relay.usage import Usage

if TYPE_CHECKING:
    from gateway.relay.client import ClientConnection
    from gateway.relay.gateway import Gateway

logger = logging.getLogger("beffroi.exchange")
KEEP_ALIVE = b": keep-alive\n\n"
CLIENT_LEFT = 499  # nginx's number for it; only ever in our records


class Exchange:
    """A request under way. It is the client connection's `Handling` and its engine connection's `Sink`."""

    def __init__(
        self, gateway: "Gateway", client: "ClientConnection", request: HttpRequest, endpoint: Endpoint
    ) -> None:
        self._gateway, self._client, self._request, self._endpoint = gateway, client, request, endpoint
        self.request_id = new_request_id()
        self._id = str(self.request_id).encode()
        self.began_at = self._heard_at = time.monotonic()
        self._was_heard = False  # since the last tick
        self._plan: Plan | None = None
        self._is_settled = self._has_left = self._is_cut = self._is_relayed = self._was_silent = False
        self._events = EventWriter(client, request)
        self._replica: Replica | None = None
        self._engine: UpstreamConnection | None = None
        self._outcome: asyncio.Future[str] | None = None  # of this attempt: "" for a whole answer, or what went wrong
        self._status, self._size, self._is_stream_answer = 0, 0, False
        self._parts: list[bytes] = []
        self._meter: StreamMeter | None = None
        self._answer: Answer | None = None
        self._model_asked = ""
        self._first_token_at: float | None = None
        self._wait: ChargeWait | None = None  # of the answer for its charge
        self.task = asyncio.get_running_loop().create_task(self._run())

    # ---- the steps
    async def _run(self) -> None:
        try:
            await self._serve()
        except errors.Refusal as refusal:
            self._refuse(refusal)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer and the hold an end
            log_failure(logger, f"request {self.request_id}", error)
            self._refuse(errors.internal_error())
        finally:
            if self._plan is not None and not self._is_settled:
                self._settle("engine_failed", 500, None)
            self._gateway.exchanges.discard(self)

    async def _serve(self) -> None:
        inference = parse_request(self._endpoint, self._request.body)
        self._request.parts = []
        self._model_asked = inference.model
        check_media(inference, self._gateway.config.media_hosts)
        plan = plan_request(self._gateway, self._request, self._client.peer, inference, self.request_id)
        await admit(self._gateway, plan)
        self._plan = plan
        await self._relay(plan)

    async def _relay(self, plan: Plan) -> None:
        """Try replicas until one answers; then charge and end the answer. Raises Refusal when none does."""
        tried: list[Replica] = []
        refusal, status = None, "engine_failed"
        while len(tried) < self._gateway.limits.attempts:
            replica = errors.stopping() if self._has_left else await self._gateway.placing.place(plan, tried)
            if isinstance(replica, errors.Refusal):
                refusal = refusal or replica
                break
            tried.append(replica)
            trouble = await self._attempt(plan, replica)
            if self._is_cut and trouble:  # only what left is charged, by what the stream reported (I2 b)
                status, http_status = ("gateway_lost", 200) if self._is_relayed else ("undelivered", 503)
                self._settle(status, http_status, self._reported)
                raise errors.stopping()
            if self._has_left and trouble:
                break
            if self._is_relayed or not trouble:
                return await self._end(plan, trouble)
            if self._status in (400, 413, 422):
                replica.succeeded()
                refusal, status = engine_refusal.from_engine(self._status, b"".join(self._parts)), "engine_refused"
                break
            self._gateway.engine_failed(replica)
            logger.warning("request %s: replica %s %s", self.request_id, replica.name, trouble)
            refusal = engine_refusal.from_engine(self._status, b"") if self._status >= 400 else errors.engine_failed()
        if self._has_left:
            if plan.inference.stream:
                self._settle("client_left", CLIENT_LEFT, self._reported)
            else:
                self._settle("client_left_early", CLIENT_LEFT, None)
            return None
        assert refusal is not None
        self._settle(status, refusal.status, None)
        raise refusal

    async def _attempt(self, plan: Plan, replica: Replica) -> str:
        """Send the request to a replica and wait for the end of its answer: "" or what went wrong."""
        self._replica = replica
        body = plan.inference.engine_body(
            served_name=replica.served_name,
            max_output=plan.output,
            cache_salt=plan.caller.tenant.cache_salt if plan.inference.endpoint.is_generating else None,
        )
        parts = [engine_head(replica, plan.inference.endpoint.engine_path, sum(map(len, body)), self._id), *body]
        pool = self._gateway.pool_of(replica)
        try:
            kept = pool.kept()
            trouble = await self._ask(plan, kept or await pool.fresh(), parts)
            if kept is not None and trouble and self._status == 0 and not (self._is_over or self._was_silent):
                # A kept connection that the engine closed just then: nothing of the request was begun.
                trouble = await self._ask(plan, await pool.fresh(), parts)
            return trouble
        except OSError as error:
            self._gateway.looks.unreachable(replica, time.monotonic())
            return f"cannot be reached: {type(error).__name__}"
        finally:
            self._gateway.placing.ended(plan, replica)

    async def _ask(self, plan: Plan, connection: UpstreamConnection, parts: list[bytes]) -> str:
        assert self._replica is not None
        if self._is_over:
            self._gateway.pool_of(self._replica).give_back(connection)
            return "nobody waits for it"
        self._status, self._size, self._parts = 0, 0, []
        self._answer = self._first_token_at = self._meter = None
        self._is_stream_answer = self._was_silent = False
        inference = plan.inference
        if inference.stream:
            self._meter = StreamMeter(
                hide_usage=not inference.include_usage,
                sequences=inference.sequences,
                continuous=inference.continuous_usage,
                prompts=plan.prompts,
            )
        self._outcome = asyncio.get_running_loop().create_future()
        self._engine = connection
        self._heard_at = time.monotonic()
        connection.send(self, parts)
        try:
            return await self._outcome
        finally:
            self._engine = None

    async def _end(self, plan: Plan, trouble: str) -> None:
        """The engine has ended, or died after its first bytes were relayed: charge, then end the answer."""
        assert self._replica is not None
        meter = self._meter
        if meter is None:
            return await self._end_whole(plan)
        died = bool(trouble) or meter.error is not None or not (meter.finished or meter.tally.has_final)
        if died:
            self._gateway.engine_failed(self._replica)
            status = "engine_died"
        else:
            status = self._judge(plan, self._reported)
        charge = self._settle(status, 200, self._reported, finish_reason=meter.finish_reason)
        try:
            cost = await self._charged(charge)
        except Exception:  # noqa: BLE001  # in whatever way the charge is late, the client is told so in-band
            self._end_stream(errors.settlement_delayed(str(self.request_id)).event(), whole=False)
        else:
            if died:
                self._end_stream(errors.stream_broken().event(), whole=False)
            else:
                self._end_stream(meter.ending(cost), whole=True)

    async def _end_whole(self, plan: Plan) -> None:
        answer = self._answer
        assert answer is not None
        status = self._judge(plan, answer.usage)
        charge = self._settle(status, 200, answer.usage, finish_reason=answer.finish_reason)
        try:
            cost = await self._charged(charge)
        except Exception:  # noqa: BLE001  # an answer that cannot be charged is not delivered (I1)
            withhold(self._settlement)
            self._refuse(errors.settlement_delayed(str(self.request_id)))
            return
        headers = [(b"content-type", b"application/json"), *self._common_headers()]
        headers.append((b"x-beffroi-cost-nano-eur", b"%d" % cost))
        self._client.answer(200, headers, b"".join(self._parts))

    # ---- the charge
    @property
    def _reported(self) -> Usage | None:
        """What the stream reported so far."""
        return self._meter.tally.total() if self._meter is not None and self._meter.tally.seen else None

    async def _charged(self, charge: "asyncio.Future[Charge]") -> int:
        """The cost in nano-EUR once it is durable. Raises whatever says that it is not."""
        self._wait = ChargeWait(charge, time.monotonic() + self._gateway.limits.settle_wait_s)
        await self._wait
        cost = charge.result().cost_nano_eur if charge.done() else None
        if cost is None:
            why = "its hold is gone" if charge.done() else "it is late"
            logger.error("request %s: its charge is not confirmed: %s", self.request_id, why)
            raise LedgerUnavailable(why)
        return cost

    def _judge(self, plan: Plan, usage: Usage | None) -> str:
        """The status of a whole answer; its replica is praised or blamed for it, and the operator told."""
        assert self._replica is not None
        status = status_of(plan, usage)
        if status == "unmetered":
            self._replica.left_out_usage(time.monotonic(), self._gateway.limits)
        else:
            self._replica.succeeded()
            self._replica.reported_usage()
        if status != "completed":
            logger.error("request %s: replica %s: %s usage", self.request_id, self._replica.name, status)
        return status

    def _settle(
        self, status: str, http_status: int, usage: Usage | None, *, finish_reason: str = ""
    ) -> "asyncio.Future[Charge]":
        """Queue the charge."""
        plan, began = self._plan, self.began_at
        assert plan is not None
        self._is_settled = True
        self._settlement = settlement_of(
            plan,
            self._replica,
            status,
            http_status,
            usage,
            finish_reason=finish_reason,
            ttft_ms=round((self._first_token_at - began) * 1000) if self._first_token_at is not None else None,
            duration_ms=round((time.monotonic() - began) * 1000),
        )
        self._gateway.counts.settled(plan, self._settlement)
        return self._gateway.settle(self._settlement)

    # ---- Sink: the engine's answer
    def answer_began(self, status: int, headers: list[Header]) -> None:
        self._status = status
        self._heard_at = time.monotonic()
        if self._meter is None:
            self._first_token_at = self._heard_at
        elif status == 200:
            content_type = next((value for name, value in headers if name == b"content-type"), b"")
            self._is_stream_answer = content_type.startswith(b"text/event-stream")

    def answer_data(self, data: bytes) -> None:
        self._was_heard = True
        meter = self._meter
        if self._is_stream_answer and meter is not None:
            events = meter.feed(data)
            if events:
                self._send(events)
                self._is_relayed = True
                if self._first_token_at is None and meter.first_content:
                    self._first_token_at = time.monotonic()
            if meter.error is not None:
                self._stop("failed in-band or sent what is no event")
            return
        self._size += len(data)
        if self._size > self._gateway.limits.answer_bytes:
            self._stop("answered with too much")
        self._parts.append(data)

    def answer_ended(self) -> None:
        meter = self._meter
        if self._status != 200:
            self._resolve(f"answered {self._status}")
        elif meter is None:
            self._answer = read_answer(b"".join(self._parts))
            if self._answer.error is not None:
                self._status = 502
            self._resolve("" if self._answer.error is None else "answered with what is no answer")
        else:
            self._resolve(meter.trouble if self._is_stream_answer else "did not stream")

    def answer_failed(self, reason: str) -> None:
        self._resolve("" if self._meter is not None and self._meter.finished else reason)

    @property
    def _is_over(self) -> bool:
        return self._has_left or self._is_cut

    def cut_short(self) -> None:
        """The process ends before the engine does: so does the answer, and says so."""
        self._is_cut = True
        self._stop("the gateway stops")

    def wait_no_longer(self) -> None:
        """The process ends before the charge is durable: end as if `settle_wait_s` were over."""
        if self._wait is not None:
            self._wait.end()

    def _stop(self, trouble: str) -> None:
        if self._engine is not None:
            self._engine.leave(self)
        self._gateway.placing.leave(self.request_id)
        self._resolve(trouble)

    def _resolve(self, trouble: str) -> None:
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(trouble)

    # ---- Handling: the client
    def client_left(self) -> None:
        """The engine is freed at once; the request is settled by what it reported (I2 b, h)."""
        self._has_left = True
        self._stop("the client left")

    def client_is_slow(self, *, slow: bool) -> None:
        if self._engine is not None:
            if slow:
                self._engine.pause(self)
            else:
                self._engine.resume(self)

    def tick(self, now: float) -> None:
        """Once a second: give up a silent engine, keep a silent stream alive (to time each chunk would cost more)."""
        if self._was_heard:
            self._heard_at, self._was_heard = now, False
        if self._engine is not None:
            self._check_engine(now)
        if self._wait is not None:
            self._wait.check_time(now)
        is_waiting = self._plan is not None and self._plan.inference.stream and not self._has_left
        is_silent = self._events.silence_s(now) > self._gateway.limits.keep_alive_s
        if is_waiting and is_silent and self._client.handling is self:
            self._send(KEEP_ALIVE)

    def _check_engine(self, now: float) -> None:
        plan, replica, is_relayed = self._plan, self._replica, self._is_relayed
        assert plan is not None
        assert replica is not None
        silent_s = now - self._heard_at
        trouble = self._gateway.looks.trouble_of(replica, silent_s, plan.model.replicas, now, is_relayed=is_relayed)
        if trouble:
            self._status, self._was_silent = 0, True
            self._stop(trouble)

    @property
    def checkpoint(self) -> dict[str, object] | None:
        """What a running stream last reported, for its hold (I2 d)."""
        if self._meter is None or not self._meter.tally.seen or self._plan is None or self._is_settled:
            return None
        assert self._replica is not None
        return checkpoint_of(self._plan, self._replica, self._meter.tally.total())

    # ---- writing
    def _common_headers(self) -> list[Header]:
        caller, plan = self._request.caller, self._plan
        headers: list[Header] = [(b"x-request-id", self._id)]
        if caller is not None and caller.origin is not None:
            headers += cors_headers(caller.origin)
        return headers + headers_of_answer(plan, self._gateway) if plan is not None else headers

    def _send(self, events: bytes) -> None:
        if not self._events.is_begun:
            self._events.begin(self._common_headers())
        self._events.send(events)

    def _end_stream(self, events: bytes, *, whole: bool) -> None:
        self._send(events)
        self._events.end(whole=whole)

    def _refuse(self, refusal: errors.Refusal) -> None:
        if self._plan is None:
            self._request.request_id = self.request_id
            self._gateway.note_refusal(self._request, refusal, self._model_asked)
        if self._events.is_begun:
            self._end_stream(refusal.event(), whole=False)
        elif not self._has_left:
            self._client.refuse(refusal, self._common_headers())
