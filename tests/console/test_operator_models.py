"""An operator offers a model by hand: an engine, an entry, a price, who sees it; and takes it back."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.test import Client

from billing.models import Contract
from billing.prices.price_book import price_in_force, prices_of, reference_rate_card
from console.probe_strip import strip_of
from gateway.pools.availability import day_since
from gateway.pools.models import ModelProbe, Replica
from gateway.pools.publishing import earliest_end
from gateway.pools.registry import register_pool, register_replica, set_state
from identity.models import AuditEvent, OperatorRole
from identity.operators import appoint_operator
from models_catalog.entries import NewEntry, add_model
from models_catalog.models import LanguageModel
from tests.gateway.simulated_engine.process import EngineProcess
from tests.support.console import page, signed_in
from tests.support.ledger import ledger_gateway, make_house, make_model, unique
from tests.support.people import TESTS, make_operator, make_tenant

pytestmark = pytest.mark.usefixtures("database")
KEY = "an engine's secret"
ADD = "/operator/models/add"
StartEngine = Callable[..., EngineProcess]


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[StartEngine]:
    """`start_engine({"id": "chat"}, "--fault=no_usage")`."""
    with ExitStack() as running:

        def start(models: dict[str, str], *flags: str) -> EngineProcess:
            journal = tmp_path / f"{unique('journal')}.jsonl"
            engine = EngineProcess(models, journal, KEY, "--tokens-per-second=0", "--first-token-ms=0", *flags)
            return running.enter_context(engine)

        yield start


@pytest.fixture
def olga() -> Client:
    """Who runs the platform and its prices."""
    operator = make_operator()
    appoint_operator(operator, OperatorRole.BILLING, actor=TESTS)
    return signed_in(operator)


def address(model: LanguageModel, rest: str = "") -> str:
    return f"/operator/models/{model.pk}{rest}"


def offered(model: LanguageModel) -> LanguageModel:
    """Published, as `publish` leaves it."""
    LanguageModel.objects.filter(pk=model.pk).update(published_at=datetime.now(UTC))
    model.refresh_from_db()
    return model


def sealed_in(text: str) -> str:
    found = re.search(r'name="sealed" value="([^"]+)"', text)
    assert found
    return found[1]


def test_a_model_is_offered_from_its_engine_to_those_who_see_it(olga: Client, start_engine: StartEngine) -> None:
    name, tenant = unique("apertus"), make_tenant()
    engine = start_engine({name: "chat"})
    looked = page(olga.post(ADD, {"url": engine.url, "api_key": KEY}))
    assert name in looked
    assert "32,768" in looked
    assert KEY not in looked
    sent = {"url": engine.url, "sealed": sealed_in(looked), "served_name": name, "entry": "", "title": "Apertus"}
    said = page(olga.post(ADD, sent, follow=True))
    model = LanguageModel.objects.get(name=name)
    assert (model.title, model.visibility, model.published_at) == ("Apertus", "nobody", None)
    assert "The engine is registered and answers." in said
    assert "Set its price." in said
    steps = re.findall(r'aria-current="step">(\w+)', said + page(olga.get(address(model, "/price"))))
    assert steps == ["Price", "Price"]

    too_soon = page(olga.post(address(model, "/visibility"), {"visibility": "everybody"}))
    assert "it has no reference price" in too_soon
    page(olga.post(address(model, "/price"), {"input": "0,9", "output": "4.00"}, follow=True))
    price = price_in_force(rate_card=reference_rate_card(), model=model)
    assert price is not None
    assert prices_of(price).nano_eur_per_million == {"input": 900_000_000, "output": 4_000_000_000}

    said = page(olga.post(address(model, "/visibility"), {"visibility": "chosen", "tenants": [tenant.pk]}, follow=True))
    assert "The model is published." in said
    assert tenant.name in said
    model.refresh_from_db()
    assert (model.visibility, model.visible_tenants) == ("chosen", [tenant.pk])
    assert model.published_at is not None
    page(olga.post(address(model, "/visibility"), {"visibility": "everybody"}, follow=True))
    assert name in page(olga.get("/operator/models"))
    told = AuditEvent.objects.filter(tenant=None, detail__model=name).values_list("action", flat=True)
    assert {"model.published", "model.visibility_changed"} <= set(told)


def test_an_entry_that_was_made_by_hand_is_described_later(olga: Client) -> None:
    name = unique("atelier/hand")
    model = add_model(NewEntry(name=name, kind="chat", context_window=4_096), actor=TESTS)
    assert model.publisher == "atelier"
    entry = {"title": "Apertus", "publisher": "EPFL", "licence": "Apache-2.0", "description": "Swiss and open."}
    sizes = {"context_window": "8192", "default_max_output": "1024"}
    refused = page(
        olga.post(address(model, "/entry"), entry | {"context_window": "8192", "default_max_output": "9000"})
    )
    assert 'aria-invalid="true"' in refused
    assert "The entry is changed." in page(olga.post(address(model, "/entry"), entry | sizes, follow=True))
    model.refresh_from_db()
    assert (model.publisher, model.licence, model.context_window) == ("EPFL", "Apache-2.0", 8_192)
    told = AuditEvent.objects.filter(action="catalog.model_changed", target=str(model.pk)).get()
    assert "EPFL" in str(told.detail)
    assert "The entry was so before." in page(olga.post(address(model, "/entry"), entry | sizes, follow=True))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gpu-1", "looks like http://host:port"),
        ("http://127.0.0.1:9", "does not answer: nothing listens at this address and port"),
        ("", "required"),
    ],
)
def test_what_is_no_engine_is_told_at_the_field(olga: Client, url: str, said: str) -> None:
    told = page(olga.post(ADD, {"url": url, "api_key": "x"}))
    assert "invalid-feedback" in told
    assert said in told


def test_a_wrong_or_missing_key_is_told_at_the_key(olga: Client, start_engine: StartEngine) -> None:
    engine = start_engine({unique("locked"): "chat"})
    for key, said in (("wrong", "The engine refuses this key."), ("", "The engine asks for a key.")):
        told = page(olga.post(ADD, {"url": engine.url, "api_key": key}))
        assert told.index('name="api_key"') < told.index(said)


def test_what_the_catalogue_ended_before_it_was_ever_offered_is_not_listed(olga: Client) -> None:
    past = datetime.now(UTC).date() - timedelta(days=9)
    over = {"deprecated_on": past, "retired_on": past}
    never, once = make_model(**over), offered(make_model(**over))
    listed = page(olga.get("/operator/models"))
    assert address(once) in listed
    assert f'{address(never)}"' not in listed


def test_an_engine_that_does_not_tell_what_it_used_cannot_be_registered(
    olga: Client, start_engine: StartEngine
) -> None:
    name = unique("odd")
    engine = start_engine({name: "chat"}, "--fault=no_usage")
    looked = page(olga.post(ADD, {"url": engine.url, "api_key": KEY}))
    assert "no usage" in looked
    assert 'name="served_name"' not in looked
    sent = {"url": engine.url, "sealed": sealed_in(looked), "served_name": name, "entry": ""}
    page(olga.post(ADD, sent))
    assert not LanguageModel.objects.filter(name=name).exists()


def test_an_entry_describes_the_kind_of_model_that_the_engine_serves(olga: Client, start_engine: StartEngine) -> None:
    one, other, entry = unique("chatty"), unique("embed"), make_model(kind="embedding")
    engine = start_engine({one: "chat", other: "embedding"})
    looked = page(olga.post(ADD, {"url": engine.url, "api_key": KEY}))
    sent = {"url": engine.url, "sealed": sealed_in(looked), "served_name": one, "entry": entry.pk}
    assert "another kind of model" in page(olga.post(ADD, sent))
    assert not Replica.objects.filter(pool__model=entry).exists()
    page(olga.post(ADD, sent | {"served_name": other}, follow=True))
    assert Replica.objects.get(pool__model=entry).pool.served_name == other


def test_prices_are_amounts_and_what_nobody_pays_is_free(olga: Client) -> None:
    model = make_model(kind="embedding")
    assert "Write an amount in euros" in page(olga.post(address(model, "/price"), {"input": "much"}))
    for absurd in ("-1", "1000001"):
        assert "Write an amount from 0 to €1,000,000.00." in page(
            olga.post(address(model, "/price"), {"input": absurd})
        )
    for said in ("The price is in force from now on.", "The price was so before."):
        assert said in page(olga.post(address(model, "/price"), {"input": "0.02"}, follow=True))
    price = price_in_force(rate_card=reference_rate_card(), model=model)
    assert price is not None
    assert prices_of(price).nano_eur_per_million == {"input": 20_000_000, "output": 0}


def test_a_reference_price_rises_at_once_only_with_a_reason(olga: Client) -> None:
    model = make_model(kind="embedding")
    olga.post(address(model, "/price"), {"input": "0.02"})
    pays_by_the_reference_list()
    assert "write down why" in page(olga.post(address(model, "/price"), {"input": "0.03"}))
    said = page(olga.post(address(model, "/price"), {"input": "0.03", "reason": "the grid"}, follow=True))
    assert "The price is in force from now on." in said
    price = price_in_force(rate_card=reference_rate_card(), model=model)
    assert price is not None
    assert price.reason == "the grid"


def pays_by_the_reference_list() -> None:
    house = make_house()
    Contract.objects.filter(tenant=house.tenant).update(rate_card=reference_rate_card())


def test_an_engine_is_drained_ejected_put_back_and_removed(olga: Client, start_engine: StartEngine) -> None:
    model = make_model()
    engine = start_engine({model.name: "chat"})
    said = page(olga.post(address(model, "/engines"), {"url": engine.url, "api_key": KEY}, follow=True))
    assert "it takes requests" in said
    replica = Replica.objects.get(pool__model=model)

    def act(name: str, model: LanguageModel = model) -> int:
        return olga.post(address(model, f"/engines/{replica.pk}/{name}")).status_code

    for name, state in (("drain", "draining"), ("back", "ready"), ("eject", "ejected"), ("back", "ready")):
        assert act(name) == 302
        replica.refresh_from_db()
        assert replica.state == state, name
    assert olga.get(address(model, f"/engines/{replica.pk}/eject")).status_code == 405
    assert act("explode") == 404
    assert act("eject", make_model()) == 404
    assert act("remove") == 302
    assert not Replica.objects.filter(pk=replica.pk).exists()


def test_the_engines_of_a_pool_get_no_more_requests_at_once_than_it_says(olga: Client) -> None:
    model = make_model()
    pool = register_pool(model=model, served_name="m", actor=TESTS)
    register_replica(pool=pool, url="http://10.1.1.9:1", actor=TESTS)
    assert "as many requests at once as come" in page(olga.get(address(model)))
    form = address(model, f"/pools/{pool.pk}")
    assert "12 requests at once to each engine" in page(olga.post(form, {"requests_at_once": "12"}, follow=True))
    assert "It was so before." in page(olga.post(form, {"requests_at_once": "12"}, follow=True))
    assert 'value="12"' in page(olga.get(form))
    for wrong in ("0", "-1", "many", str(10**9)):
        assert 'class="invalid-feedback' in page(olga.post(form, {"requests_at_once": wrong}))
    assert "as many requests at once as come" in page(olga.post(form, {"requests_at_once": ""}, follow=True))
    assert olga.get(address(make_model(), f"/pools/{pool.pk}")).status_code == 404


def test_an_end_is_announced_in_time_to_those_who_see_the_model(olga: Client) -> None:
    house = make_house()
    model, next_one = offered(house.model), make_model()
    LanguageModel.objects.filter(pk=model.pk).update(visibility="chosen", visible_tenants=[house.tenant.pk])
    soon = str(datetime.now(UTC).date() + timedelta(days=3))
    assert "3 months" in page(olga.post(address(model, "/end"), {"ends_on": soon}))
    sent = {"ends_on": str(earliest_end()), "successor": next_one.pk}
    said = page(olga.post(address(model, "/end"), sent, follow=True))
    assert "1 organisation is told" in said
    assert f"{next_one.name} takes its place." in said
    model.refresh_from_db()
    assert (model.retired_on, model.successor) == (earliest_end(), next_one)


def test_the_page_tells_who_uses_the_model_and_what_probes_found(olga: Client) -> None:
    house = make_house()
    model, key = offered(house.model), house.key().row
    with ledger_gateway(os.environ["DATABASE_GATEWAY_URL"]) as gateway:
        for _ in range(3):
            gateway.complete(house, key)
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    for back, outcome in ((2, "answered"), (1, "timed_out")):
        heard = {"first_token_ms": 120, "duration_ms": 400, "tokens": 1} if outcome == "answered" else {}
        ModelProbe.objects.create(model=model, minute=minute - timedelta(minutes=back), outcome=outcome, **heard)
    shown = page(olga.get(address(model)))
    assert "50.00 %" in shown
    assert "1 of 2" in shown
    assert re.search(rf'{house.tenant.name}</td><td data-label="Requests" class="number">3<', shown)
    row = re.search(rf">{model.name}</a>.*?</tr>", page(olga.get("/operator/models")), re.DOTALL)
    assert row
    assert "no answer in time" in row[0]


def test_each_role_sees_what_it_may_do() -> None:
    model = offered(make_model())
    replica = register_replica(
        pool=register_pool(model=model, served_name=model.name, actor=TESTS), url="http://gpu:8000", actor=TESTS
    )
    set_state(replica=replica, state=Replica.State.READY, reason="", actor=TESTS)
    runs, bills = (
        page(signed_in(make_operator(role)).get(address(model)))
        for role in (OperatorRole.PLATFORM, OperatorRole.BILLING)
    )
    for part, shown in (
        ("/price", bills),
        ("/end", runs),
        ("/visibility", runs),
        (f"/engines/{replica.pk}/drain", runs),
    ):
        other = bills if shown is runs else runs
        assert address(model, part) in shown
        assert address(model, part) not in other


def test_the_strip_tells_quarters_that_answered_failed_and_were_not_asked() -> None:
    now = datetime(2026, 3, 4, 12, 20, tzinfo=UTC)
    assert day_since(now) == datetime(2026, 3, 3, 12, 30, tzinfo=UTC)
    outcomes = {
        datetime(2026, 3, 4, 12, 1, tzinfo=UTC): "answered",
        datetime(2026, 3, 4, 12, 16, tzinfo=UTC): "timed_out",
    }
    outcomes |= {
        datetime(2026, 3, 4, 11, 46, tzinfo=UTC): "answered",
        datetime(2026, 3, 4, 11, 47, tzinfo=UTC): "timed_out",
    }
    probes = {
        minute: ModelProbe(minute=minute, outcome=outcome, first_token_ms=200 if outcome == "answered" else None)
        for minute, outcome in outcomes.items()
    }
    strip = strip_of(probes, now=now)
    assert [cell.tone for cell in strip.cells[-4:]] == ["unknown", "some", "good", "bad"]
    assert (strip.share.answered, strip.share.probed) == (2, 4)
    assert [bar.height for bar in strip.bars[-3:]] == [0, 40, 40]
    assert (strip_of({}, now=now).bars, strip_of({}, now=now).last) == ([], None)


def test_targets_are_set_and_said_to_be_met_or_missed(olga: Client) -> None:
    model, minute = offered(make_model()), datetime.now(UTC).replace(second=0, microsecond=0)
    for back, outcome in enumerate(("answered", "answered", "failed")):
        heard = {"first_token_ms": 400, "duration_ms": 500, "tokens": 1} if outcome == "answered" else {}
        ModelProbe.objects.create(model=model, minute=minute - timedelta(minutes=back), outcome=outcome, **heard)
    sent = {"target_answered": "99.9", "target_first_token_ms": "800"}
    said = page(olga.post(address(model, "/targets"), sent, follow=True))
    assert "target: 99.90 % at least" in said
    assert re.search(r"target: 800.ms at most", said)
    assert re.search(r"66\.66 % .*missed", said)
    assert re.search(r"400.ms .*met", said)
    assert 'value="99.9"' in page(olga.get(address(model, "/targets")))
    row = re.search(rf"{model.name}</a>.*?</tr>", page(olga.get("/operator/")), re.DOTALL)
    assert row is not None
    assert "missed" in row[0]
    assert "misses its target" in page(olga.get("/operator/models"))
    assert "at most 100 percent" in page(olga.post(address(model, "/targets"), {"target_answered": "101"}))
    page(olga.post(address(model, "/targets"), {"target_answered": ""}, follow=True))
    model.refresh_from_db()
    assert (model.target_answered, model.target_first_token_ms) == (None, None)


def test_organisations_are_searched_and_what_is_ticked_stays(olga: Client) -> None:
    model, word = offered(make_model()), unique("Harbour")
    ticked, wanted = make_tenant("Ticked before"), make_tenant(f"{word} board")
    sent = {"visibility": "chosen", "tenants": [str(ticked.pk)], "q": word.lower(), "find": "1"}
    for headers in ({}, {"HX-Request": "true"}):
        found = olga.post(address(model, "/visibility"), sent, headers=headers).content.decode()
        assert ("<html" in found) is not bool(headers)
        assert re.search(rf'value="{ticked.pk}"[^>]*checked', found)
        assert re.search(rf'value="{wanted.pk}"(?![^>]*checked)', found)
    model.refresh_from_db()
    assert model.visible_tenants == []  # looking changes nothing
    both = {"visibility": "chosen", "tenants": [str(ticked.pk), str(wanted.pk)], "q": "something else"}
    assert olga.post(address(model, "/visibility"), both).status_code == 302
    model.refresh_from_db()
    assert model.visible_tenants == sorted([ticked.pk, wanted.pk])
