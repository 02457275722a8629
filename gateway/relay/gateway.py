"""A gateway process put together: what it knows, the ledger, the connections, and which request goes where."""

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.relay import errors
from gateway.relay.answer_headers import cors_headers, preflight_headers
from gateway.relay.authenticate import authenticate
from gateway.relay.config import Config
from gateway.relay.count_file import tell_counts
from gateway.relay.counts import Series
from gateway.relay.demand_notes import DemandNotes
from gateway.relay.django_door import DjangoExchange
from gateway.relay.estimate import EstimateExchange
from gateway.relay.exchange import Exchange
from gateway.relay.http_message import Header, HttpRequest
from gateway.relay.ids import new_request_id
from gateway.relay.key_use import KeyUses
from gateway.relay.ledger import Charge, Ledger, Settlement
from gateway.relay.looks import Looks
from gateway.relay.memory import Memory
from gateway.relay.model_list import model_list, one_model
from gateway.relay.placing import Placing
from gateway.relay.routes import (
    ENDPOINTS,
    ESTIMATE,
    LIVE,
    MODELS,
    ONE_MODEL,
    READY,
    check_content,
    check_route,
    is_inference,
    is_preflight,
)
from gateway.relay.routing import Replica
from gateway.relay.snapshot import Snapshot
from gateway.relay.snapshot_reader import SnapshotReader
from gateway.relay.sweeper import Sweeper
from gateway.relay.tightening import MoneyQueue
from gateway.relay.upstream import Pool, UpstreamConnection
from identity.client_address import address_is_in, parse_address

if TYPE_CHECKING:
    from gateway.relay.client import ClientConnection, Handling

logger = logging.getLogger("beffroi.gateway")

CLOCK_SKEW_S = 2
UNAUTHORIZED = 401
START_STEP_S = 0.02
CUT_S = 5  # for requests that were cut to queue their charges


class Gateway:
    """Everything that a request needs. `connections` are the clients', shared with the server that drains them."""

    def __init__(self, config: Config) -> None:
        self.config, self.limits = config, config.limits
        self.snapshot = Snapshot()
        self.ledger = Ledger(config, self.fence)
        self.counts = self.ledger.counts
        self.key_uses = KeyUses(config)
        self.sweeper = Sweeper(config, self.ledger, self._works_on)
        self.money = MoneyQueue(self.limits)
        self.demand = DemandNotes(config, self.ledger.incarnation)
        self.placing = Placing(self.limits, self.snapshot, self.demand.asked)
        self.reader = SnapshotReader(config, self.snapshot, self.placing.serve_all)
        self.looks = Looks(self.limits, self.pool_of, self.counts.engine_failed)
        self.exchanges: set[Exchange] = set()
        self.connections: set[ClientConnection] = set()
        self.is_draining = self.is_fenced = self.is_closed = False
        self.django = Pool(self._connect_django, self.limits)
        self._pools: dict[tuple[str, int, bool], Pool] = {}
        self._memory = Memory(self.limits.held_bytes, self.limits.held_wait_s)
        self._page_memory = Memory(self.limits.page_held_bytes, self.limits.held_wait_s)
        self._tasks: list[asyncio.Task[None]] = []
        self._told_trouble = ""
        self.stop = asyncio.Event()

    # ---- life
    async def start(self) -> None:
        """Begin everything that runs beside requests; the database may come later."""
        for work in (self._open(), self._tick()):
            self._tasks.append(asyncio.create_task(work))
        if (folder := self.config.metrics_folder) is not None:
            self._tasks.append(asyncio.create_task(tell_counts(folder, self.counts, self._gauges, self._lines)))

    async def wait_until_ready(self) -> None:
        """A process beside others takes no connection before it can serve it. Not for ever: it has to say why."""
        for _ in range(round(self.limits.start_wait_s / START_STEP_S)):
            if not self.trouble:
                return
            await asyncio.sleep(START_STEP_S)

    async def _open(self) -> None:
        await self.ledger.begin()
        for work in (
            self.reader.run(), self.ledger.admissions.run(), self.ledger.settlements.run(),
            self.ledger.live(self._checkpoints), self.sweeper.run(), self.key_uses.run(),
            self.demand.run(self.placing.demand),
        ):  # fmt: skip
            self._tasks.append(asyncio.create_task(work))

    async def cut(self) -> None:
        """End the answers that are still under way: with an error that says so, and the charge of what came."""
        for end in (Exchange.cut_short, Exchange.wait_no_longer):
            for exchange in list(self.exchanges):
                end(exchange)
            if self.exchanges:
                await asyncio.wait({exchange.task for exchange in self.exchanges}, timeout=CUT_S)

    async def close(self) -> None:
        """Settle what is left and end the incarnation; the second time, nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.exchanges:  # their clients were cut: each still queues its charge
            await asyncio.wait({exchange.task for exchange in self.exchanges}, timeout=CUT_S)
        if self.ledger.begun and not self.is_fenced:
            await self.ledger.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.key_uses.close()
        await self.demand.close()
        await self.sweeper.close()
        await self.reader.close()

    def fence(self) -> None:
        """The ledger refuses this process: its streams are cut and it ends; its supervisor starts another (I2)."""
        if not self.is_fenced:
            logger.error("this incarnation was fenced: cutting %d streams and ending", len(self.exchanges))
            self.is_fenced = True
            for connection in list(self.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            self.stop.set()

    @property
    def trouble(self) -> str:
        """Why this process should get no requests; "" when it may."""
        if self.is_draining or self.is_fenced:
            return "stopping"
        if not self.snapshot.loaded or not self.ledger.begun:
            return "starting: waiting for the database"
        off_s = self.ledger.clock.off_s
        if off_s > CLOCK_SKEW_S:
            return f"this machine's clock and the database's differ by {off_s:.1f} s (at most {CLOCK_SKEW_S})"
        if not self.ledger.is_well:
            return "the database does not answer"
        return ""

    # ---- requests
    def examine(self, client: "ClientConnection", request: HttpRequest) -> None:
        """Whose request it is, once its head is complete, and what its body may take: a stranger's is not kept."""
        request.body_limit, request.memory = self.limits.page_body_bytes, self._page_memory
        try:
            check_route(request)
            if not is_inference(request.path):
                return
            if (host := self.config.operator_host) and request.fields.get(b"host", b"").lower() == host:
                raise errors.not_found(request.path)
            if is_preflight(request):
                self._check_origin(request)
                return
            if not self.snapshot.loaded:
                raise errors.starting()
            request.body_limit, request.memory = self.limits.body_bytes, self._memory
            request.caller = authenticate(
                request, client.peer, client.verifier, self.snapshot, self.config, self.ledger.now()
            )
            self.key_uses.note(request.caller, self.ledger.now())
            if request.method == "POST":
                check_content(request)
        except errors.Refusal as refusal:
            if refusal.status == UNAUTHORIZED and request.header(b"authorization") and not self._hears_of_keys:
                refusal = errors.ledger_unavailable()  # nobody is told that a key is wrong (I1)
            request.refusal = refusal
            self.note_refusal(request, refusal)

    def handle(self, client: "ClientConnection", request: HttpRequest) -> "Handling | None":
        """Begin a request; answers what is under way, or None when it was answered at once."""
        if request.refusal is not None:
            client.refuse(request.refusal, self.headers_of_refusal(request))
            return None
        path = request.path
        if is_preflight(request):
            client.answer(204, [*preflight_headers(request), *self.headers_of_refusal(request)], b"")
            return None
        if request.caller is not None:
            if request.method == "GET":
                self._list_models(client, request, path)
                return None
            if path == ESTIMATE:
                return EstimateExchange(self, client, request)
            exchange = Exchange(self, client, request, ENDPOINTS[path])
            self.exchanges.add(exchange)
            return exchange
        if path in (LIVE, READY):
            trouble = self.trouble if path == READY else ""
            told = trouble or ("ready" if path == READY else "live")
            headers = [(b"content-type", b"text/plain"), *self.headers_of_refusal(request)]
            client.answer(503 if trouble else 200, headers, f"{told}\n".encode())
            return None
        return DjangoExchange(self, client, request)

    def note_refusal(self, request: HttpRequest, refusal: errors.Refusal, model_asked: str = "") -> None:
        """Keep a refused request of a known key for its owner; one that was admitted has a usage record instead."""
        request.request_id = request.request_id or new_request_id()
        self.counts.refused(refusal.code or refusal.type)
        caller = request.caller
        if caller is None:
            return
        model = self.snapshot.model(model_asked, caller.tenant, self.ledger.now())
        self.ledger.refused({
            "request_id": request.request_id, "tenant_id": caller.tenant.id, "project_id": caller.key.project_id,
            "key_id": caller.key.id,
            "at": datetime.fromtimestamp(self.ledger.now(), UTC), "code": refusal.code or refusal.type,
            "limit_name": refusal.limit_name,
            "model": model.name if model is not None else "",  # unknown text is content
        })  # fmt: skip

    def headers_of_refusal(self, request: HttpRequest) -> list[Header]:
        """What a refusal carries besides its own headers."""
        origin = request.caller.origin if request.caller is not None else None
        request.request_id = request.request_id or new_request_id()
        return [(b"x-request-id", str(request.request_id).encode()), *cors_headers(origin)]

    def settle(self, settlement: Settlement) -> "asyncio.Future[Charge]":
        """Queue a charge. Past the bound it is left to the sweeper, which charges the last checkpoint (I8)."""
        if len(self.ledger.settlements) >= self.limits.waiting_settlements:
            refused: asyncio.Future[Charge] = asyncio.get_running_loop().create_future()
            refused.set_exception(errors.ledger_unavailable())
            return refused
        charge = self.ledger.settle(settlement)
        charge.add_done_callback(functools.partial(self._settled, time.monotonic()))
        return charge

    # ---- connections
    def engine_failed(self, replica: Replica) -> None:
        """A replica did not answer as an engine should: it rests."""
        replica.failed(time.monotonic(), self.limits)
        self.counts.engine_failed(replica)

    def pool_of(self, replica: Replica) -> Pool:
        """The connections to a replica. Those to replicas that are gone are closed when a new one comes."""
        if replica.place not in self._pools:
            for place in self._pools.keys() - self.reader.places:
                self._pools.pop(place).close()
            self._pools[replica.place] = Pool(functools.partial(_connect, replica.place), self.limits)
        return self._pools[replica.place]

    def is_trusted(self, peer: str) -> bool:
        """Whether the peer is a proxy whose word about its client counts."""
        if not self.config.trusted_proxies:
            return False
        address = parse_address(peer)
        return address is not None and address_is_in(address, self.config.trusted_proxies)

    @staticmethod
    def monotonic() -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    # ---- inside
    @property
    def _hears_of_keys(self) -> bool:
        """Whether a key that is not in the snapshot is in the database neither."""
        return self.reader.is_current and self.ledger.is_well

    def _check_origin(self, request: HttpRequest) -> None:
        """A preflight carries no key, so that it is granted to whatever origin some key lists."""
        origin = request.header(b"origin") or b""
        if origin.decode("latin-1") not in self.snapshot.origins:
            raise errors.origin_not_allowed()

    def _list_models(self, client: "ClientConnection", request: HttpRequest, path: str) -> None:
        assert request.caller is not None
        try:
            body = (
                model_list(self, request.caller)
                if path == MODELS
                else one_model(self, request.caller, path[len(ONE_MODEL) :])
            )
        except errors.Refusal as refusal:
            client.refuse(refusal, self.headers_of_refusal(request))
        else:
            client.answer(200, [(b"content-type", b"application/json"), *self.headers_of_refusal(request)], body)

    async def _connect_django(self, protocol: Callable[[], UpstreamConnection]) -> object:
        return await asyncio.get_running_loop().create_unix_connection(protocol, self.config.django_socket)

    def _settled(self, since: float, charge: "asyncio.Future[Charge]") -> None:
        """A charge is durable, or never will be. Where it was less than the answer cost, that is an alert (I3)."""
        self.counts.settlements.observe((time.monotonic() - since) * 1000)
        if not charge.cancelled() and charge.exception() is None and charge.result().uncharged_nano_eur:
            logger.error("%d nano-EUR were not charged: a hold was too low", charge.result().uncharged_nano_eur)

    def _gauges(self) -> dict[str, float]:
        """How this process stands now, for `/metrics` (`gateway/metrics/families.py`)."""
        return {
            "beffroi_gateway_ready_processes": int(not self.trouble),
            "beffroi_gateway_requests_in_progress": len(self.exchanges),
            "beffroi_gateway_client_connections": len(self.connections),
            "beffroi_gateway_held_body_bytes": self._memory.held_bytes + self._page_memory.held_bytes,
            "beffroi_gateway_waiting_admissions": len(self.ledger.admissions),
            "beffroi_gateway_waiting_settlements": len(self.ledger.settlements),
            "beffroi_gateway_waiting_for_money": len(self.money),
            "beffroi_ledger_sweep_timestamp_seconds": self.sweeper.swept_at,
        }

    def _lines(self) -> list[Series]:
        """Who waits for a place at an engine, by model."""
        waiting = self.placing.waiting()
        return [Series("beffroi_gateway_waiting_for_engine", (model,), count) for model, count in waiting.items()]

    def _works_on(self) -> list[UUID]:
        return [exchange.request_id for exchange in self.exchanges]

    def _checkpoints(self) -> dict[str, object]:
        found = ((exchange.request_id, exchange.checkpoint) for exchange in self.exchanges)
        return {str(request_id): checkpoint for request_id, checkpoint in found if checkpoint is not None}

    async def _tick(self) -> None:
        """Once a second: the time-outs of all connections and requests."""
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.check_time(now)
            for exchange in list(self.exchanges):
                exchange.tick(now)
            for holder in (*self._memory.overdue(now), *self._page_memory.overdue(now)):
                holder.refuse_memory()
            self.placing.tick(now)
            self.looks.tick(self.reader.places, now)
            self._tell_trouble()

    def _tell_trouble(self) -> None:
        """Log what readiness says whenever it changes."""
        trouble = self.trouble
        if trouble != self._told_trouble:
            self._told_trouble = trouble
            logger.warning("not ready: %s", trouble) if trouble else logger.info("ready again")


async def _connect(place: tuple[str, int, bool], protocol: Callable[[], UpstreamConnection]) -> object:
    host, port, is_tls = place
    return await asyncio.get_running_loop().create_connection(protocol, host, port, ssl=is_tls or None)
