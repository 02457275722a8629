"""Charged tokens and the engines' own, end to end: a real gateway, engine processes, and every way to differ."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing.clock import database_now
from billing.models import UsageRecord
from billing.pricing import Quantities
from gateway.pools import reconciliation
from gateway.pools.counters import sample_replica
from gateway.pools.models import EngineProbe, EngineSample, Reconciliation, Replica
from gateway.pools.probes import probe_replica
from gateway.pools.reconciliation import PoolResult, forget, reconcile, reconcile_and_keep
from gateway.pools.tasks import reconcile_hours, sample_one, sample_replicas
from identity.models import Notice
from tests.gateway.simulated_engine.process import EngineProcess, eventually, read_until
from tests.support.gateway import GatewayProcess, serve
from tests.support.ledger import HeldKey, House, LedgerGateway, ledger_gateway, make_house, unique

QUICK = ("--tokens-per-second=0", "--first-token-ms=0", "--max-model-len=8192")
SLOW = {"tokens_per_second": 100, "output_tokens": 400}
A_MOMENT = 1.2  # seconds: what was settled just before a sample may not be counted in it yet


@pytest.fixture(scope="module")
def gateway(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One for all of these tests."""
    with GatewayProcess(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@dataclass
class Scene:
    """A house whose model one engine serves, sampled once; `since` is just after that."""

    house: House
    key: HeldKey
    gateway: GatewayProcess
    engine: EngineProcess
    replica: Replica
    since: datetime

    def chat(self, **members: Any) -> UsageRecord:
        """One request, and its record."""
        answered = self.gateway.chat(self.house.model.name, self.key.text, **({"max_tokens": 9} | members))
        assert answered.status == 200, answered.body
        return UsageRecord.objects.get(request_id=answered.headers["x-request-id"])

    def leave_after(self, events: int, **members: Any) -> UsageRecord:
        """A stream whose client leaves after so many events."""
        stream = self.gateway.open_stream(
            self.house.model.name, self.key.text, max_tokens=400, simulate=SLOW, **members
        )
        read_until(stream, lambda received: received.count(b"data: ") >= events)
        stream.close()
        left = UsageRecord.objects.filter(key_id=self.key.row.pk, status="client_left")
        assert eventually(left.exists, 5)
        return left.get()

    def result(self) -> PoolResult:
        """The pool since `since`, after another sample."""
        time.sleep(A_MOMENT)
        sample_replica(self.replica)
        return self.result_until_now()

    def result_until_now(self) -> PoolResult:
        """The pool since `since`, by the samples that there are."""
        [result] = [each for each in reconcile(self.since, database_now()) if each.pool == self.replica.pool.name]
        return result


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with EngineProcess({"demo/chat": "chat"}, tmp_path / "journal.jsonl", "engine-key", *QUICK) as engine:
        yield engine


@pytest.fixture
def scene(database: None, gateway: GatewayProcess, engine: EngineProcess) -> Scene:
    house = make_house()
    replica = serve(house.model, engine)
    key = house.key()
    gateway.await_key(key.text)
    assert eventually(lambda: gateway.get(f"/v1/models/{house.model.name}", key.text).status == 200, 5)
    sample_replica(replica)
    return Scene(house, key, gateway, engine, replica, database_now())


def spent(*records: UsageRecord) -> tuple[int, int]:
    """Prompt and generated tokens that were charged."""
    prompt = sum(record.input_quantity + record.cached_quantity for record in records)
    return prompt, sum(record.output_quantity + record.reasoning_quantity for record in records)


def charged(result: PoolResult) -> tuple[int, int]:
    return result.prompt.charged, result.generation.charged


def difference(result: PoolResult) -> tuple[int, int]:
    return result.prompt.difference, result.generation.difference


def unexplained(result: PoolResult) -> tuple[int, int]:
    return result.prompt.unexplained, result.generation.unexplained


def test_completed_requests_are_charged_by_exactly_what_the_engine_counted(scene: Scene) -> None:
    records = [scene.chat(), scene.chat(stream=True), scene.chat(simulate={"cached_tokens": 3, "reasoning_tokens": 4})]
    result = scene.result()
    assert charged(result) == spent(*records)
    assert min(charged(result)) > 0
    assert difference(result) == unexplained(result) == (0, 0)
    assert result.causes == ()
    assert result.is_tolerated


def test_a_prompt_of_several_choices_is_read_as_often_and_charged_once(scene: Scene) -> None:
    record = scene.chat(n=3, temperature=1)
    result = scene.result()
    assert difference(result) == (2 * spent(record)[0], 0)
    assert [(cause.name, cause.requests, cause.most_prompt) for cause in result.causes] == [
        ("several choices", 2, 2 * spent(record)[0])
    ]
    assert unexplained(result) == (0, 0)


def test_what_a_cut_stream_made_after_its_last_report_is_told_to_the_token(scene: Scene) -> None:
    scene.chat()
    record = scene.leave_after(12)
    [end] = [line for line in scene.engine.story(str(record.request_id)) if line["e"] == "end"]
    result = scene.result()
    more = end["generated"] - spent(record)[1]
    assert difference(result) == (0, more)
    [cause] = result.causes
    assert (cause.name, cause.requests, cause.most_prompt, cause.most_generation) == ("cut streams", 1, 0, more)
    assert unexplained(result) == (0, 0)


def test_a_cut_stream_of_several_choices_is_explained_by_what_its_engine_did_not_finish(scene: Scene) -> None:
    record = scene.leave_after(12, n=3, temperature=1)
    result = scene.result()
    assert difference(result)[0] == 2 * spent(record)[0]
    assert unexplained(result) == (0, 0)


def test_an_engine_that_starts_again_is_a_new_series_and_never_gives_tokens_back(scene: Scene, tmp_path: Path) -> None:
    scene.chat(max_tokens=50)
    time.sleep(A_MOMENT)
    sample_replica(scene.replica)
    scene.engine.process.kill()
    scene.engine.process.wait(10)
    again = ("--port", str(scene.engine.port), *QUICK)
    with EngineProcess({"demo/chat": "chat"}, tmp_path / "again.jsonl", "engine-key", *again):
        assert eventually(
            lambda: scene.gateway.chat(scene.house.model.name, scene.key.text, max_tokens=5).status == 200
        )
        scene.chat()
        result = scene.result()
    assert result.generation.engine > 50
    assert difference(result) == unexplained(result) == (0, 0)


def test_what_an_engine_took_to_its_grave_is_explained_by_its_restart(scene: Scene, tmp_path: Path) -> None:
    record = scene.chat(max_tokens=50)
    scene.engine.process.kill()
    scene.engine.process.wait(10)
    again = ("--port", str(scene.engine.port), *QUICK)
    with EngineProcess({"demo/chat": "chat"}, tmp_path / "again.jsonl", "engine-key", *again):
        result = scene.result()
    assert difference(result) == tuple(-tokens for tokens in spent(record))
    assert [cause.name for cause in result.causes] == ["restarts"]
    assert unexplained(result) == (0, 0)


def test_what_is_under_way_at_the_edges_is_explained_on_both_sides(scene: Scene) -> None:
    stream = scene.gateway.open_stream(scene.house.model.name, scene.key.text, max_tokens=400, simulate=SLOW)
    read_until(stream, lambda received: received.count(b"data: ") >= 5)
    first = scene.result()
    assert charged(first) == (0, 0)
    assert first.generation.difference >= 100
    assert "under way" in [cause.name for cause in first.causes]
    assert unexplained(first) == (0, 0)
    scene.since = database_now()
    read_until(stream, lambda received: b"[DONE]" in received)
    stream.close()
    second = scene.result()
    assert charged(second)[1] == 400
    assert second.generation.difference == -first.generation.difference
    assert "at the edges" in [cause.name for cause in second.causes]
    assert unexplained(second) == (0, 0)


def test_periods_that_follow_each_other_leave_nothing_out_and_count_nothing_twice(scene: Scene) -> None:
    began, parts = scene.since, []
    for _ in range(2):
        scene.chat()
        parts.append(scene.result())
        scene.chat()  # after the sample: it belongs to the next period
        scene.since = database_now()
    scene.since = began
    whole = scene.result_until_now()
    assert tuple(map(sum, zip(*map(charged, parts), strict=True))) == charged(whole)
    assert sum(part.generation.engine for part in parts) == whole.generation.engine == 27


def test_probes_are_told_to_the_token(scene: Scene) -> None:
    assert probe_replica(scene.replica) is None
    EngineProbe.objects.filter(pool=scene.replica.pool.name).update(at=database_now())
    result = scene.result()
    probe = EngineProbe.objects.get(pool=scene.replica.pool.name)
    assert difference(result) == (probe.prompt_tokens, probe.generation_tokens)
    assert min(difference(result)) > 0
    assert [cause.name for cause in result.causes] == ["probes"]
    assert unexplained(result) == (0, 0)


@pytest.mark.parametrize("fault", ["no_usage", "zero_usage"])
def test_what_was_not_charged_because_the_engine_told_no_usage_is_explained(scene: Scene, fault: str) -> None:
    assert spent(scene.chat(simulate={fault: True})) == (0, 0)
    result = scene.result()
    assert result.generation.difference == 9
    assert [cause.name for cause in result.causes] == ["charged nothing"]
    assert unexplained(result) == (0, 0)


def test_whoever_uses_an_engine_behind_the_gateways_back_is_found(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.chat()
    body = {"model": "demo/chat", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 30}
    usage = scene.engine.chat(body).json["usage"]
    result = scene.result()
    assert unexplained(result) == difference(result) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert not result.is_tolerated
    until = database_now()
    for _ in range(2):
        reconcile_and_keep(scene.since, until)
    pool = scene.replica.pool.name
    [notice] = Notice.objects.filter(kind="reconciliation.unexplained", context__pool=pool)
    assert (notice.tenant, notice.level) == (None, "alert")
    assert notice.context["unexplained_generation_tokens"] == usage["completion_tokens"]
    kept = Reconciliation.objects.get(pool=pool)
    assert (kept.charged_generation_tokens, kept.unexplained_generation_tokens) == (9, usage["completion_tokens"])
    with pytest.raises(CommandError, match=f"Unexplained: {pool}."):
        call_command("reconcile", "--since", scene.since.isoformat(), "--pool", pool)
    assert f"unexplained +{usage['completion_tokens']}" in capsys.readouterr().out


def test_tokens_that_no_engine_counted_are_found(scene: Scene, gateway_database_url: str) -> None:
    with ledger_gateway(gateway_database_url) as ledger:
        settled_elsewhere(ledger, scene, Quantities(input=70, output=30))
    result = scene.result()
    assert unexplained(result) == (-70, -30)


def settled_elsewhere(ledger: LedgerGateway, scene: Scene, quantities: Quantities) -> None:
    admitted = ledger.admit(scene.house, scene.key.row)
    where = {"pool": scene.replica.pool.name, "replica": scene.replica.name}
    ledger.settle(scene.house, admitted.request_id, quantities, **where)


def test_tokens_of_an_engine_whose_counters_are_away_are_told_as_not_compared(scene: Scene) -> None:
    EngineSample.objects.filter(pool=scene.replica.pool.name).delete()
    record = scene.chat()
    result = scene.result_until_now()
    assert (result.replicas, result.uncompared) == (0, sum(spent(record)))
    assert not result.is_tolerated


def test_a_replica_that_is_sampled_no_more_is_told_as_soon_as_it_matters(scene: Scene) -> None:
    scene.chat()
    scene.result()
    EngineSample.objects.filter(pool=scene.replica.pool.name).update(
        at=database_now() - timedelta(minutes=30), asked_at=database_now() - timedelta(minutes=30)
    )
    assert scene.result_until_now().uncompared > 0


def test_the_worker_samples_every_replica_and_an_absent_one_is_no_error(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(sample_one, "apply_async", lambda given, expires: asked.extend(given))
    sample_replicas()
    assert scene.replica.pk in asked
    before = EngineSample.objects.filter(pool=scene.replica.pool.name).count()
    sample_one(scene.replica.pk)
    sample_one(-1)
    scene.engine.process.kill()
    scene.engine.process.wait(10)
    sample_one(scene.replica.pk)
    assert EngineSample.objects.filter(pool=scene.replica.pool.name).count() == before + 1


def test_the_command_takes_the_last_whole_hour_or_any_time_that_makes_sense(
    database: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("reconcile", "--pool", unique("pool"))
    call_command("reconcile", "--since", "2020-01-01T06:00", "--until", "2020-01-01T07:00Z")
    assert capsys.readouterr().out == 2 * "No pool counted or charged anything then.\n"
    with pytest.raises(CommandError, match="has to be before"):
        call_command("reconcile", "--since", "2020-01-01T07:00", "--until", "2020-01-01T06:00")


def test_an_hour_that_is_over_is_compared_once(database: None) -> None:
    pool, hour = unique("pool"), timedelta(hours=1)
    over = (database_now() - timedelta(minutes=2)).astimezone(UTC).replace(minute=0, second=0, microsecond=0) - hour
    for minutes, tokens in ((1, 0), (30, 500), (59, 700)):
        at = over + timedelta(minutes=minutes)
        EngineSample.objects.create(
            pool=pool, replica="r", asked_at=at, at=at, began_at=over, prompt_tokens=tokens, generation_tokens=tokens
        )
    Reconciliation.objects.filter(ends_at=over + hour).delete()
    reconcile_hours()
    [found] = Reconciliation.objects.filter(pool=pool)
    assert (found.starts_at, found.ends_at, found.unexplained_prompt_tokens) == (over, over + hour, 700)
    EngineSample.objects.filter(pool=pool).delete()
    reconcile_hours()
    assert Reconciliation.objects.filter(pool=pool).count() == 1


def test_samples_and_results_are_kept_for_a_time(database: None) -> None:
    pool, now = unique("pool"), database_now()
    for age in (reconciliation.SAMPLES_KEPT, timedelta(days=1)):
        at = now - age - timedelta(minutes=1)
        EngineSample.objects.create(pool=pool, replica="r", asked_at=at, at=at, prompt_tokens=0, generation_tokens=0)
        EngineProbe.objects.create(pool=pool, replica="r", at=at, prompt_tokens=0, generation_tokens=0)
    forget(now)
    assert EngineSample.objects.filter(pool=pool).count() == EngineProbe.objects.filter(pool=pool).count() == 1
