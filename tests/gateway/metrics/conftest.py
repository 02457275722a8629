"""A house that was used, and what `/metrics` tells of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoDbBlocker

from billing.models import LedgerCheck
from gateway.pools.counters import sample_replica
from gateway.pools.models import ModelProbe, Pool, Reconciliation, Replica
from gateway.pools.registry import register_replica, set_state
from identity.jobs import note_run
from identity.models import ApiKey, Backup, Certificate, Tenant
from identity.scopes import OperatorScope
from models_catalog.models import LanguageModel
from tests.gateway.relay.bills import await_model
from tests.gateway.simulated_engine.process import EngineProcess
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import House, make_house
from tests.support.operators import HeldOperatorKey, held_operator_key
from tests.support.people import TESTS

CANARY = "Zwitscherling"  # in everything that no label may have


@dataclass(frozen=True)
class Used:
    """A house whose key called, was refused, and met an engine that is not there."""

    house: House
    replica: Replica
    gateway: GatewayProcess
    folder: Path


@pytest.fixture(scope="module")
def used(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Used]:
    """It has a row of everything that a metric is made of."""
    folder = tmp_path_factory.mktemp("used")
    counts, journal = folder / "metrics", folder / "journal.jsonl"
    flags = ("--tokens-per-second=200", "--first-token-ms=5")
    with (
        django_db_blocker.unblock(),
        EngineProcess({"demo/chat": "chat"}, journal, "engine-key", *flags) as engine,
        GatewayProcess(folder, BEFFROI_METRICS_FOLDER=str(counts)) as gateway,
    ):
        house = make_house()
        Tenant.objects.filter(pk=house.tenant.pk).update(name=CANARY)
        replica = serve(house.model, engine)
        gone = register_replica(pool=replica.pool, url="http://127.0.0.1:9", actor=TESTS)
        set_state(replica=gone, state=Replica.State.READY, reason="", actor=TESTS)
        await_model(gateway, house)
        _call(house, gateway)
        sample_replica(replica)
        _note_the_rest(house, replica)
        yield Used(house, replica, gateway, counts)
        _take_back(house)


def _call(house: House, gateway: GatewayProcess) -> None:
    key = house.key()
    ApiKey.objects.filter(pk=key.row.pk).update(name=CANARY)
    gateway.await_key(key.text)
    asked = {"user": CANARY, "metadata": {"x": CANARY}, "max_tokens": 20}
    for _ in range(4):  # one of both replicas is not there
        assert gateway.chat(house.model.name, key.text, CANARY, stream=True, **asked).status == 200
        assert gateway.chat(house.model.name, key.text, CANARY, **asked).status == 200
    assert gateway.chat(CANARY, key.text, CANARY).status == 404
    assert gateway.get("/v1/models", CANARY).status == 401
    time.sleep(1.5)  # until it told its counts


def _note_the_rest(house: House, replica: Replica) -> None:
    now = timezone.now()
    LanguageModel.objects.filter(pk=house.model.pk).update(published_at=now, target_first_token_ms=750)
    ModelProbe.objects.create(
        model=house.model, minute=now.replace(second=0, microsecond=0), outcome="answered", first_token_ms=300,
        duration_ms=310, tokens=1,
    )  # fmt: skip
    LedgerCheck.objects.create(began_at=now, ended_at=now, differences=0)
    Reconciliation.objects.create(
        pool=replica.pool.name, starts_at=now - timedelta(hours=1), ends_at=datetime.now(UTC),
        charged_prompt_tokens=5, engine_prompt_tokens=9, unexplained_prompt_tokens=4,
        charged_generation_tokens=0, engine_generation_tokens=0, unexplained_generation_tokens=0, uncompared_tokens=0,
    )  # fmt: skip
    Pool.objects.create(
        name=f"{replica.pool.name}-rests", model=house.model, served_name="rests", policy=Pool.Policy.AUTOMATIC,
        maximum=4, wanted=2, zero_after_s=60,
    )  # fmt: skip
    note_run("tests.a_job", began_at=now)
    Backup.objects.create(made_at=now, size_bytes=1)
    Certificate.objects.update_or_create(
        host=f"{CANARY.lower()}.example", port=443,
        defaults={"used_for": Certificate.UsedFor.PROVIDER, "looked_at": now, "ends_at": now + timedelta(days=9)},
    )  # fmt: skip


def _take_back(house: House) -> None:
    """What other tests would take for the platform's own."""
    LanguageModel.objects.filter(pk=house.model.pk).update(published_at=None)
    ModelProbe.objects.filter(model=house.model).delete()
    Pool.objects.filter(model=house.model, served_name="rests").delete()
    for model in (LedgerCheck, Reconciliation, Backup):
        model.objects.all().delete()
    Certificate.objects.filter(host=f"{CANARY.lower()}.example").delete()


@pytest.fixture
def reader(database: None) -> HeldOperatorKey:
    """A key for nothing but the metrics."""
    return held_operator_key(OperatorScope.METRICS_READ)


@pytest.fixture
def page(used: Used, reader: HeldOperatorKey, settings: Any) -> str:
    """What Prometheus gets."""
    settings.METRICS_FOLDER = used.folder
    response = Client(HTTP_HOST="localhost").get("/metrics", headers=reader.header)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return response.content.decode()


@pytest.fixture
def scrape(page: str) -> dict[str, Metric]:
    """The metrics by name, as Prometheus' own parser reads them; a counter's name lacks its `_total` there."""
    return {metric.name: metric for metric in text_string_to_metric_families(page)}


def value(scrape: dict[str, Metric], name: str, **labels: str) -> float:
    """Of the one sample that has at least these labels."""
    found = [
        sample.value
        for metric in scrape.values()
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, f"{name}{labels}: {found}"
    return float(found[0])
