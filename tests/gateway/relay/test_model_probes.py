"""Probes of published models through a real gateway: what they find, that each minute has one, and that they end."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from billing.models import RateCard, UsageRecord
from billing.prices.visibility import Audience, set_visibility
from billing.usage.speeds import measured_speeds
from gateway.pools.availability import Share, hours_of, is_answering, last_probes, shares_answered
from gateway.pools.model_probes import MONTHS_KEPT, forget_probes, probe_published_models
from gateway.pools.models import ModelProbe, Pool, Replica
from gateway.pools.probe_account import probe_secret
from identity.models import ApiKey, Tenant
from models_catalog.lifecycle import months_later
from models_catalog.models import LanguageModel
from tests.gateway.relay.bills import await_offer
from tests.gateway.relay.conftest import Scene
from tests.gateway.simulated_engine.process import EngineProcess
from tests.support.gateway import serve
from tests.support.ledger import PRICES, make_model, make_price, unique
from tests.support.people import TESTS, make_tenant

Outcome = ModelProbe.Outcome


@pytest.fixture
def behind(scene: Scene, settings: Settings) -> Scene:
    """The worker probes through the scene's gateway, and what other tests published is left alone."""
    settings.GATEWAY_URL = scene.gateway.url
    LanguageModel.objects.update(published_at=None)
    return scene


def published(
    behind: Scene,
    engine: EngineProcess | None,
    served_name: str = "demo/chat",
    prices: dict[str, int] = PRICES,
    **changes: object,
) -> LanguageModel:
    """A new model with a reference price, served by the engine, of which the gateway has heard."""
    model = make_model(published_at=timezone.now(), **changes)
    # By the name that the price book's file has for it: tests that load the file come after.
    card, _ = RateCard.objects.get_or_create(is_reference=True, defaults={"name": "Reference"})
    make_price(card, model, prices)
    if engine is not None:
        serve(model, engine, served_name)
        await_offer(behind.gateway, model, probe_secret())
    return model


def probe_of(model: LanguageModel) -> ModelProbe:
    """The one probe of the model, once one round was made."""
    probe_published_models(seconds=5)
    return ModelProbe.objects.get(model=model)


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[EngineProcess]:
    """An engine that takes requests and never answers."""
    with EngineProcess({"demo/chat": "chat"}, tmp_path / f"{uuid4().hex}.jsonl", "k", "--fault=hang_before") as engine:
        yield engine


def test_an_engine_that_is_gone_is_taken_out_and_one_that_only_answers_badly_is_not(
    behind: Scene, tmp_path: Path
) -> None:
    served = {"demo/chat": "chat"}
    with EngineProcess(served, tmp_path / "sick.jsonl", "k", "--fault=status=500") as talking:
        with EngineProcess(served, tmp_path / "gone.jsonl", "k") as going:
            gone, sick = published(behind, going), published(behind, talking)
        assert probe_published_models(seconds=5) == 2
    assert set(ModelProbe.objects.filter(model__in=[gone, sick]).values_list("outcome", flat=True)) == {Outcome.FAILED}
    left, kept = (Replica.objects.get(pool__model=model) for model in (gone, sick))
    assert (left.state, kept.state) == (Replica.State.FAILED, Replica.State.READY)
    assert "does not answer" in left.state_reason


def test_a_chat_an_embedding_and_a_reranking_model_answer_and_tell_how_fast(behind: Scene) -> None:
    models = [
        published(behind, behind.engine),
        published(behind, behind.engine, "demo/embed", kind="embedding"),
        published(behind, behind.engine, "demo/rerank", PRICES | {"documents": 1}, kind="rerank"),
    ]
    assert probe_published_models(seconds=10) == 3
    for model in models:
        found = ModelProbe.objects.get(model=model)
        assert (found.outcome, found.code) == (Outcome.ANSWERED, "")
        assert found.first_token_ms is not None
        assert found.duration_ms is not None
        assert found.first_token_ms <= found.duration_ms
    assert ModelProbe.objects.get(model=models[0]).tokens == 1
    assert ModelProbe.objects.get(model=models[0]).tokens_per_second


def test_it_is_the_platforms_own_account_that_no_figure_of_clients_counts(behind: Scene) -> None:
    model = published(behind, behind.engine)
    probe_of(model)
    account = Tenant.objects.get(is_platform=True)
    record = UsageRecord.objects.get(tenant_id=account.pk, model_id=model.pk)
    assert (record.door, record.output_quantity) == ("probe", 1)
    assert model.pk not in measured_speeds(timezone.now() + timedelta(minutes=1))
    key = ApiKey.objects.get(tenant=account)
    assert key.expires_at is not None
    assert key.expires_at < timezone.now() + timedelta(seconds=91)


def test_a_model_for_one_tenant_is_probed_and_what_nobody_sees_is_not(behind: Scene) -> None:
    chosen, hidden, draft = published(behind, behind.engine), published(behind, behind.engine), make_model()
    audience = Audience(LanguageModel.Visibility.CHOSEN, tenants=(make_tenant().pk,))
    LanguageModel.objects.filter(pk=hidden.pk).update(visibility=LanguageModel.Visibility.NOBODY)
    set_visibility(model=chosen, audience=audience, actor=TESTS)
    assert probe_of(chosen).outcome == Outcome.ANSWERED
    assert not ModelProbe.objects.filter(model__in=[hidden, draft]).exists()


def test_where_nothing_is_published_yet_nothing_is_probed(behind: Scene) -> None:
    assert probe_published_models(seconds=5) == 0


def test_no_replica_is_an_outcome_whether_it_drains_or_none_was_ever_there(behind: Scene) -> None:
    draining, bare, managed = published(behind, behind.engine), published(behind, None), published(behind, None)
    Replica.objects.filter(pool__model=draining).update(state=Replica.State.DRAINING)
    Pool.objects.create(model=managed, served_name="x", name=unique("pool"), policy=Pool.Policy.MANUAL)
    key = probe_secret()
    while {behind.gateway.chat(model.name, key).status for model in (draining, managed)} != {503}:
        time.sleep(0.02)
    probe_published_models(seconds=5)
    codes = {draining: "no_replica", bare: "model_not_found", managed: "no_replica"}
    for model, code in codes.items():
        found = ModelProbe.objects.get(model=model)
        assert (found.outcome, found.code, found.first_token_ms) == (Outcome.NO_REPLICA, code, None)


def test_an_engine_that_hangs_ends_in_time_and_holds_up_no_other(behind: Scene, hanging: EngineProcess) -> None:
    sound, stuck = published(behind, behind.engine), published(behind, hanging)
    began = time.monotonic()
    assert probe_published_models(seconds=2) == 2
    assert time.monotonic() - began < 4
    assert ModelProbe.objects.get(model=stuck).outcome == Outcome.TIMED_OUT
    assert ModelProbe.objects.get(model=sound).outcome == Outcome.ANSWERED


def test_an_engine_that_is_gone_has_failed_and_a_gateway_that_is_gone_is_told_apart(
    behind: Scene, settings: Settings
) -> None:
    model = published(behind, None)
    pool = Pool.objects.create(model=model, served_name="x", name=unique("pool"))
    Replica.objects.create(pool=pool, name="gone", url="http://127.0.0.1:9", state=Replica.State.READY)
    assert probe_of(model).outcome in (Outcome.FAILED, Outcome.NO_REPLICA)
    ModelProbe.objects.all().delete()
    settings.GATEWAY_URL = "http://127.0.0.1:9"
    assert probe_of(model).outcome == Outcome.GATEWAY_AWAY


def test_a_model_without_a_price_is_refused(behind: Scene) -> None:
    model = make_model(published_at=timezone.now())
    serve(model, behind.engine)
    found = probe_of(model)
    assert (found.outcome, found.code) == (Outcome.REFUSED, "model_without_price")


def test_two_workers_at_once_probe_a_minute_once(behind: Scene) -> None:
    models = [published(behind, behind.engine) for _ in range(4)]
    counts: list[int] = []

    def work() -> None:
        counts.append(probe_published_models(seconds=5))
        connections.close_all()

    while not 2 <= timezone.now().second <= 50:
        time.sleep(0.5)
    workers = [Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(counts) == len(models)
    assert probe_published_models(seconds=5) == 0
    assert ModelProbe.objects.filter(model__in=models, outcome=Outcome.ANSWERED).count() == len(models)


def test_the_share_counts_minutes_with_an_outcome_and_the_last_state_grows_old(database: None) -> None:
    model, other = make_model(), make_model()
    hour = datetime(2026, 11, 1, 12, tzinfo=UTC)
    outcomes = ["answered"] * 57 + ["failed", "timed_out", ""]
    ModelProbe.objects.bulk_create(
        ModelProbe(model=model, minute=hour + timedelta(minutes=n), outcome=outcome, duration_ms=100, tokens=1)
        for n, outcome in enumerate(outcomes)
    )
    until = hour + timedelta(hours=1)
    shares = shares_answered([model.pk, other.pk], since=hour, until=until)
    assert shares == {model.pk: Share(57, 59), other.pk: Share(0, 0)}
    assert shares[other.pk].percent is None
    [one] = hours_of(model.pk, since=hour, until=until)
    assert (one.starts_at, one.share, one.tokens_per_second) == (hour, Share(57, 59), 10.0)
    last = last_probes([model.pk, other.pk], now=until)
    assert last[model.pk].outcome == "timed_out"
    assert is_answering(last[model.pk], now=until) is False
    assert is_answering(last[model.pk], now=until + timedelta(minutes=5)) is None
    assert is_answering(last.get(other.pk), now=until) is None


def test_what_is_older_than_thirteen_months_is_forgotten(database: None) -> None:
    model, now = make_model(), timezone.now()
    first = months_later(now.date(), -MONTHS_KEPT)
    edge = datetime(first.year, first.month, first.day, tzinfo=UTC)
    for minute in (edge - timedelta(minutes=1), edge, now):
        ModelProbe.objects.create(model=model, minute=minute, outcome="answered")
    assert forget_probes() >= 1
    assert ModelProbe.objects.filter(model=model).count() == 2
