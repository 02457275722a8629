"""The operator adds nodes and has models run on them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.clock import database_now
from console.forms.fleet import arguments_in, arguments_text
from gateway.pools.fleet.managed_pools import Count, Wish, manage_pool, scale_pool, wish_of
from gateway.pools.fleet.nodes import add_node
from gateway.pools.fleet.overview import nodes_overview
from gateway.pools.fleet.reconciler import reconcile_fleet
from gateway.pools.fleet.work import Minute, pool_demand
from gateway.pools.fleet_tables import EngineLog, GatewayDemand, Node, PoolLoad
from gateway.pools.models import EngineSample, Pool, Replica
from identity.models import OperatorRole
from tests.support.console import page, signed_in
from tests.support.ledger import make_model, unique
from tests.support.operators import RUNS
from tests.support.people import make_operator

pytestmark = pytest.mark.usefixtures("database", "valkey")


@pytest.fixture
def olga() -> Client:
    return signed_in(make_operator())


@pytest.fixture
def name() -> Iterator[str]:
    """Of a node, and of the label that only its pools ask for."""
    made = unique("node")
    yield made
    pools = Pool.objects.filter(configurations__labels={"fleet": made})
    Replica.objects.filter(pool__in=pools).delete()
    pools.update(policy=Pool.Policy.UNMANAGED)
    Node.objects.filter(name=made).delete()


def reporting(name: str, *memory_mb: int) -> Node:
    """The node as if its agent had just said so."""
    gpus = [{"index": index, "memory_mb": memory, "name": "NVIDIA H200"} for index, memory in enumerate(memory_mb)]
    observed = {"address": "10.0.0.5", "gpus": gpus, "labels": {}}
    Node.objects.filter(name=name).update(observed=observed, reported_at=database_now(), joined_at=database_now())
    return Node.objects.get(name=name)


def served(name: str, *, requests_at_once: int) -> Pool:
    """A pool with one replica on the node, which has room for one more."""
    if not Node.objects.filter(name=name).exists():
        add_node(name=name, labels={"fleet": name}, by=RUNS)
        reporting(name, 81_920)
    wish = Wish(gpus=1, gpu_memory_mb=40_960 if requests_at_once else 1, labels={"fleet": name})
    made = manage_pool(model=make_model(), wish=wish, count=Count(0, 6, 1), requests_at_once=requests_at_once, by=RUNS)
    reconcile_fleet()
    return made


def part_of(response: Any) -> str:
    """A part of a page, as htmx asks for it."""
    assert response.status_code == 200
    text: str = response.content.decode()
    assert "<html" not in text
    return text


def row_of(client: Client, pool: Pool) -> str:
    """The pool's row of the board."""
    shown = page(client.get(reverse("operator-pools")))
    row = shown[shown.index(f">{pool.name}</a>") :]
    return row[: row.index("</tr>")]


def form_of_pool(name: str, **changes: object) -> dict[str, object]:
    return {
        "engine": "vllm", "source": "hugging_face", "location": "org/model", "revision": "", "gpus": 1,
        "gpu_memory_gib": 40, "arguments": "--max-model-len=8192\n--enable-prefix-caching", "labels": f"fleet={name}",
        "ready_within_s": 600, **changes,
    }  # fmt: skip


def test_a_node_s_command_is_shown_once_and_its_page_tells_when_it_reports(olga: Client, name: str) -> None:
    shown = page(olga.post(reverse("operator-node-add"), {"name": name, "labels": f"fleet={name}\nsite=paris"}))
    assert "BEFFROI_NODE_TOKEN=bfn_" in shown
    again = page(olga.get(reverse("operator-node", kwargs={"name": name})))
    assert "bfn_" not in again
    assert "waits for its machine" in again
    here = reverse("operator-node", kwargs={"name": name})
    assert "HX-Redirect" not in olga.get(here, headers={"HX-Request": "true"})
    reporting(name, 143_771)
    assert olga.get(here, headers={"HX-Request": "true"})["HX-Redirect"] == here
    green = page(olga.get(reverse("operator-node", kwargs={"name": name})))
    assert "NVIDIA H200" in green
    assert 'status-green"><span class="status-dot" aria-hidden="true"></span>reports' in green
    assert name in page(olga.get(reverse("operator-nodes")))


def test_what_makes_no_sense_is_said_at_its_field_and_kept(olga: Client) -> None:
    shown = page(olga.post(reverse("operator-node-add"), {"name": "GPU 1", "labels": "paris"}))
    assert "Write each as name=value, one a line." in shown
    assert 'value="GPU 1"' in shown
    assert "Small letters, digits and hyphens, at most 63" in page(
        olga.post(reverse("operator-node-add"), {"name": "GPU 1", "labels": ""})
    )


def test_a_model_is_run_on_nodes_after_one_saw_whether_it_fits(olga: Client, name: str) -> None:
    olga.post(reverse("operator-node-add"), {"name": name, "labels": f"fleet={name}"})
    reporting(name, 81_920)
    model = make_model()
    address = reverse("operator-model-manage", kwargs={"model_id": model.pk})
    too_large = page(olga.post(address, form_of_pool(name, wanted=3, gpu_memory_gib=100, preview="1")))
    assert "No node has room for one more replica now." in too_large
    assert "Its GPUs are too small." in too_large
    assert "One more replica fits on one node now." in page(
        olga.post(address, form_of_pool(name, wanted=3, preview="1"))
    )
    assert not Pool.objects.filter(model=model).exists()
    answer = olga.post(address, form_of_pool(name, wanted=3))
    pool = Pool.objects.get(model=model)
    assert answer["Location"] == reverse("operator-managed-pool", kwargs={"name": pool.name})
    assert "0 of 3" in row_of(olga, pool)
    reconcile_fleet()
    shown = page(olga.get(answer["Location"]))
    assert "One replica has no place now." in shown
    assert "Its GPUs are taken by other replicas." in shown
    assert shown.count("More replicas are wanted.") == 4  # two replicas, each with its event
    [overview] = nodes_overview([Node.objects.get(name=name)])
    assert [(one.memory_mb, one.starts_at) for one in overview.gpus[0].held] == [(40_960, 0), (40_960, 40_960)]
    assert overview.gpus[0].free_mb == 0
    row = row_of(olga, pool)
    assert "0 of 3" in row
    assert "1 replica has no place: GPUs are taken." in row
    assert f'data-node="{name}"><span class="marks" title="2 requested"' in row


def test_the_board_tells_demand_against_capacity_and_asks_for_itself_again(olga: Client, name: str) -> None:
    pool = served(name, requests_at_once=4)
    Replica.objects.filter(pool=pool).update(
        state="ready", observed={"state": "running", "running": 3, "waiting": 2, "kv_cache_use": 0.5}
    )
    row = row_of(olga, pool)
    assert "1 of 1" in row
    assert "5 of 4" in row
    assert 'title="2 wait at the engines">+2<' in row
    part = part_of(olga.get(reverse("operator-pools"), headers={"HX-Request": "true"}))
    assert f">{pool.name}</a>" in part
    unbounded = served(name, requests_at_once=0)
    assert "progress" not in row_of(olga, unbounded)


def test_a_dead_replica_beside_living_ones_is_told_wherever_it_is_shown(olga: Client, name: str) -> None:
    pool = served(name, requests_at_once=4)
    since = database_now() - timedelta(minutes=7)
    running = {"state": "running", "running": 3, "waiting": 0, "kv_cache_use": 0.5}
    Replica.objects.filter(pool=pool).update(
        state="ready", observed=running, silent_since=since, probed_at=since - timedelta(hours=1)
    )
    row = row_of(olga, pool)
    assert "0 of 1" in row
    assert f'data-node="{name}"><span class="marks" title="1 does not answer"><span class="mark mark-red"' in row
    assert f"{name}/{Replica.objects.get(pool=pool).pk} · It has not answered since " in row
    places = (
        reverse("operator-managed-pool", kwargs={"name": pool.name}),
        reverse("operator-node", kwargs={"name": name}),
        reverse("operator-model", kwargs={"model_id": pool.model_id}),
        f"{reverse('operator-engines')}?by=machine",
    )
    for place in places:
        shown = page(olga.get(place))
        part = shown[shown.index(f"{name}/{Replica.objects.get(pool=pool).pk}</span>") :].partition("</li>")[0]
        assert 'status-red"><span class="status-dot" aria-hidden="true"></span>does not answer' in part
        assert "It has not answered since " in part
        assert "KV cache" not in part
        assert "Looked at" not in part
    Replica.objects.filter(pool=pool).update(silent_since=None)
    assert "1 of 1" in row_of(olga, pool)


def test_engines_by_address_have_a_column_of_their_own(olga: Client, name: str) -> None:
    pool = Pool.objects.create(name=unique("pool"), model=make_model(), served_name="m")
    replica = Replica.objects.create(
        pool=pool, name="engine", url="http://10.1.1.9:1", state="failed", state_reason="x"
    )
    EngineSample.objects.create(
        pool=pool.name, replica="engine", asked_at=database_now(), at=database_now(), prompt_tokens=0,
        generation_tokens=0, running=7, waiting=1,
    )  # fmt: skip
    row = row_of(olga, pool)
    assert 'data-node="by address"><span class="marks" title="1 failed"' in row
    assert "engine · x" in row
    assert ">8 <" in row
    replica.delete()


def test_a_pool_s_page_tells_what_it_has_to_do_now_and_had_to(olga: Client, name: str) -> None:
    pool = served(name, requests_at_once=4)
    Replica.objects.filter(pool=pool).update(
        state="ready", observed={"state": "running", "running": 3, "waiting": 1, "kv_cache_use": 0.5}
    )
    scale_pool(pool, Count(0, 4, 1), policy=Pool.Policy.AUTOMATIC, by=RUNS)
    minute = database_now().replace(second=0, microsecond=0) - timedelta(minutes=2)
    for second, running in ((5, 2), (10, 7)):
        load = {"ready": 2, "running": running, "waiting": 1, "kv_cache_use": 0.1}
        PoolLoad.objects.create(pool=pool, at=minute + timedelta(seconds=second), **load)
    assert pool_demand(pool.name).minutes == (Minute(minute, 8, 2),)  # type: ignore[union-attr]
    at = {"name": pool.name}
    shown = page(olga.get(reverse("operator-managed-pool", kwargs=at)))
    assert "3 under way, 1 wait, KV cache 50%" in shown
    with CaptureQueriesContext(connection) as queries:
        part = part_of(olga.get(reverse("operator-managed-pool-demand", kwargs=at), headers={"HX-Request": "true"}))
    assert len(queries) <= 10
    assert "of 4 places" in part
    assert "8 requests at once at the most" in part
    assert "Its demand asks for" in part


def test_what_an_engine_printed_until_it_was_ready_is_a_click_away(olga: Client, name: str) -> None:
    pool = served(name, requests_at_once=4)
    log = EngineLog.objects.create(pool=pool.name, replica=f"{name}/7", node=name, at=database_now(), text="a <b>\nc")
    at = {"name": pool.name}
    assert reverse("operator-managed-pool-logs", kwargs=at) in page(
        olga.get(reverse("operator-managed-pool", kwargs=at))
    )
    here = reverse("operator-managed-pool-log", kwargs={**at, "log_id": log.pk})
    assert here in page(olga.get(reverse("operator-managed-pool-logs", kwargs=at)))
    assert "a &lt;b&gt;\nc</pre>" in page(olga.get(here))
    other = served(name, requests_at_once=4)
    assert (
        olga.get(reverse("operator-managed-pool-log", kwargs={"name": other.name, "log_id": log.pk})).status_code == 404
    )


def test_how_many_would_fit_is_said_before_anything_is_changed(olga: Client, name: str) -> None:
    pool = served(name, requests_at_once=4)
    address = reverse("operator-managed-pool-scale", kwargs={"name": pool.name})
    count = {"wanted": 2, "minimum": 0, "maximum": 6, "priority": 0, "policy": "manual", "preview": "1"}
    shown = page(olga.post(address, count))
    assert "It fits." in shown
    assert "one replica would begin" in shown
    assert "2 replicas would have no place now." in page(olga.post(address, {**count, "wanted": 4}))
    assert "One replica would end." in page(olga.post(address, {**count, "wanted": 0}))
    assert "4 replicas would have no place now." in page(olga.post(address, {**count, "policy": "automatic"}))
    pool.refresh_from_db()
    assert (pool.wanted, pool.policy, pool.requests_at_once) == (1, "manual", 4)


def test_how_many_there_are_and_how_one_is_started_is_changed_on_its_page(olga: Client, name: str) -> None:
    wish = Wish(
        gpu_memory_mb=10_240, labels={"fleet": name}, weights={"source": "path", "location": "/w", "sha256": "a" * 64}
    )
    pool = manage_pool(model=make_model(), wish=wish, count=Count(0, 4, 0), by=RUNS)
    at, count = {"name": pool.name}, {"wanted": 0, "minimum": 0, "maximum": 6, "priority": 2, "policy": "manual"}
    olga.post(reverse("operator-managed-pool-scale", kwargs=at), count)
    pool.refresh_from_db()
    assert (pool.maximum, pool.priority, pool.policy) == (6, 2, "manual")
    automatic = {**count, "policy": "automatic"}
    refused = page(olga.post(reverse("operator-managed-pool-scale", kwargs=at), automatic))
    assert "Say first how many requests each engine gets at once" in refused
    olga.post(reverse("operator-managed-pool-scale", kwargs=at), {**automatic, "requests_at_once": 4})
    pool.refresh_from_db()
    assert (pool.requests_at_once, pool.policy) == (4, "automatic")
    assert "Its demand asks for" in page(olga.get(reverse("operator-managed-pool", kwargs=at)))
    too_many = {**count, "wanted": 9, "requests_at_once": 5}
    assert "From 0 to 6." in page(olga.post(reverse("operator-managed-pool-scale", kwargs=at), too_many))
    pool.refresh_from_db()
    assert pool.requests_at_once == 4  # all of it, or nothing
    form = form_of_pool(name, source="path", location="/w", gpu_memory_gib=10)
    olga.post(reverse("operator-managed-pool-configure", kwargs=at), form)
    pool = Pool.objects.get(pk=pool.pk)
    changed = wish_of(pool)
    assert changed
    assert changed.arguments == {"--max-model-len": 8192, "--enable-prefix-caching": True}
    assert changed.weights == wish.weights
    assert pool.generation == 2
    wrong = olga.post(reverse("operator-managed-pool-configure", kwargs=at), {**form, "arguments": "--middleware=x"})
    assert "--middleware" in page(wrong)
    olga.post(reverse("operator-managed-pool-scale", kwargs=at), {**count, "policy": "unmanaged"})
    pool.refresh_from_db()
    assert pool.policy == "unmanaged"


def test_a_pool_that_may_have_none_says_that_it_sleeps_who_waits_and_that_nothing_can_be_started(
    olga: Client, name: str
) -> None:
    pool = manage_pool(
        model=make_model(), wish=Wish(gpu_memory_mb=10_240, labels={"fleet": name}), count=Count(1, 4, 1), by=RUNS
    )
    at = {"name": pool.name}
    scale, here = (reverse(f"operator-managed-pool{what}", kwargs=at) for what in ("-scale", ""))
    count = {"wanted": 1, "minimum": 1, "maximum": 4, "priority": 0, "policy": "automatic"}
    count |= {"requests_at_once": 4, "zero_after_min": 5}
    assert "Only a pool with a minimum of 0 may have none." in page(olga.post(scale, count))
    olga.post(scale, {**count, "minimum": 0, "wanted": 0})
    pool.refresh_from_db()
    assert (pool.zero_after_s, pool.asked_at) == (300, None)
    assert 'value="5"' in page(olga.get(scale))
    shown = page(olga.get(here))
    assert "After 5 minutes without a request it has none." in shown
    assert "It is asleep: whoever asks wakes it." in shown
    GatewayDemand.objects.create(incarnation=uuid4(), model=pool.model, waiting=3, at=database_now())
    Pool.objects.filter(pk=pool.pk).update(is_stuck=True)
    shown = page(olga.get(here))
    assert "3 requests wait for a place at an engine." in shown
    assert "It was asked for, and nothing can be started now." in shown
    olga.post(scale, {**count, "minimum": 0, "zero_after_min": ""})
    pool.refresh_from_db()
    assert pool.zero_after_s is None


def test_a_node_is_cordoned_drained_and_removed_on_its_page(olga: Client, name: str) -> None:
    olga.post(reverse("operator-node-add"), {"name": name, "labels": ""})
    for act, service in (("cordon", "cordoned"), ("drain", "draining"), ("uncordon", "in")):
        olga.post(reverse("operator-node-change", kwargs={"name": name, "act": act}))
        assert Node.objects.get(name=name).service == service
    assert "bfn_" in page(olga.post(reverse("operator-node-change", kwargs={"name": name, "act": "token"})))
    olga.post(reverse("operator-node-labels", kwargs={"name": name}), {"labels": "site=lyon"})
    assert Node.objects.get(name=name).labels == {"site": "lyon"}
    olga.post(reverse("operator-node-change", kwargs={"name": name, "act": "remove"}))
    assert not Node.objects.filter(name=name).exists()


def test_who_only_looks_sees_no_button(name: str) -> None:
    signed_in(make_operator()).post(reverse("operator-node-add"), {"name": name, "labels": ""})
    looker = signed_in(make_operator(OperatorRole.SUPPORT))
    shown = page(looker.get(reverse("operator-node", kwargs={"name": name})))
    assert "Cordon" not in shown
    assert looker.post(reverse("operator-node-change", kwargs={"name": name, "act": "cordon"})).status_code == 403


def test_arguments_are_read_as_they_were_written() -> None:
    text = '--max-model-len=8192\n--enable-prefix-caching\n--no=false\n--dtype=auto\n--x={"a": 1}\n--rope=0.5'
    read = arguments_in(text)
    assert read == {
        "--max-model-len": 8192, "--enable-prefix-caching": True, "--no": False, "--dtype": "auto",
        "--x": '{"a": 1}', "--rope": 0.5,
    }  # fmt: skip
    assert arguments_text(read) == text
