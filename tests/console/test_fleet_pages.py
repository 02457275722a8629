"""The operator adds nodes and has models run on them."""

from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse

from billing.clock import database_now
from console.forms.fleet import arguments_in, arguments_text
from gateway.pools.fleet.managed_pools import Count, Wish, manage_pool, wish_of
from gateway.pools.fleet.overview import nodes_overview
from gateway.pools.fleet.reconciler import reconcile_fleet
from gateway.pools.fleet_tables import Node
from gateway.pools.models import Pool, Replica
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
    assert "It has no replica yet" in page(olga.get(reverse("operator-pools")))
    reconcile_fleet()
    shown = page(olga.get(answer["Location"]))
    assert "One replica has no place now." in shown
    assert "Its GPUs are taken by other replicas." in shown
    assert shown.count("More replicas are wanted.") == 4  # two replicas, each with its event
    [overview] = nodes_overview([Node.objects.get(name=name)])
    assert [(one.memory_mb, one.starts_at) for one in overview.gpus[0].held] == [(40_960, 0), (40_960, 40_960)]
    assert overview.gpus[0].free_mb == 0
    section = page(olga.get(reverse("operator-pools"))).partition(f">{pool.name}</a></h2>")[2]
    assert "0 of 2 ready · 3 wanted" in section[: section.index("</section>")]


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
    Pool.objects.filter(pk=pool.pk).update(requests_at_once=4)
    olga.post(reverse("operator-managed-pool-scale", kwargs=at), automatic)
    assert "Its demand asks for" in page(olga.get(reverse("operator-managed-pool", kwargs=at)))
    assert "From 0 to 6." in page(olga.post(reverse("operator-managed-pool-scale", kwargs=at), {**count, "wanted": 9}))
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
