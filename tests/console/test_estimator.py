"""The estimator: an imagined use at every model, by the arithmetic that bills; a pasted prompt stays in the browser."""

import re
from html import unescape
from typing import Any

import pytest
from playwright.sync_api import expect

from gateway.pools.models import Pool, Replica
from identity.models import Person, Role
from models_catalog.models import LanguageModel
from tests.support.browser import open_browser
from tests.support.console import page, signed_in
from tests.support.ledger import House, make_house, make_model, make_price, unique
from tests.support.people import make_person

EURO = 10**9
CANARY = "A prompt that nobody else is to read. "


@pytest.fixture
def house(database: None) -> House:
    """With three models that are served: one of them reasons, one has little room."""
    house = make_house(make_model(title="The house's"))
    serve(house, house.model)
    return house


@pytest.fixture
def alice(house: House) -> Person:
    return make_person("alice", house.tenant, Role.DEVELOPER)


def serve(house: House, model: LanguageModel, euros: int | None = None) -> LanguageModel:
    if euros is not None:
        prices = {"input": euros * EURO, "output": euros * EURO, "reasoning": 10 * euros * EURO}
        make_price(house.price_version.rate_card, model, prices)
    pool = Pool.objects.create(model=model, name=unique("pool"), served_name="served")
    Replica.objects.create(pool=pool, name="one", url=f"http://127.0.0.1:1/{unique('r')}", state=Replica.State.READY)
    return model


def text_of(html: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", html).split()))


def rows(html: str) -> list[tuple[str, str, str]]:
    """Title, cost of a request, cost of a month."""
    found = []
    for row in re.findall(r"<tr.*?</tr>", html.partition("<tbody>")[2], re.DOTALL):
        cells = [text_of(cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", row, re.DOTALL)]
        found.append((cells[0], cells[-2], cells[-1]))
    return found


def ask(house: House, alice: Person, **asked: Any) -> str:
    return page(signed_in(alice).get(f"/t/{house.tenant.slug}/estimate", asked))


def test_models_stand_side_by_side_the_cheapest_first_and_those_without_room_last(house: House, alice: Person) -> None:
    thinks = serve(house, make_model(title="Thinks", capabilities=["reasoning"], template_overhead_tokens=0,
                                     template_overhead_tokens_per_message=0), euros=100)  # fmt: skip
    tiny = serve(house, make_model(title="Tiny", context_window=1_000, default_max_output=500), euros=1)
    html = ask(house, alice, input=1_000, output=500, reasoning=100, requests=10)
    # 0.15 EUR a million in, 0.60 out, with 80 tokens of template: 0.000462 EUR a request, of which there are 300
    # 100 EUR a million, and 1,000 for what it thinks: 0.25 EUR
    assert rows(html)[:2] == [("The house's", "€0.0005", "€0.14"), ("Thinks", "€0.25", "€75.00")]
    assert rows(html)[2][0] == "Tiny has room for 1,000 tokens"
    narrowed = rows(ask(house, alice, input=10, output=5, requests=1, model=[thinks.name, tiny.name]))
    assert {row[0] for row in narrowed} == {"Thinks", "Tiny"}


def test_each_kind_of_model_is_asked_for_what_it_counts(house: House, alice: Person) -> None:
    reranks = make_model(title="Reranks", kind=LanguageModel.Kind.RERANK)
    make_price(house.price_version.rate_card, reranks, {"documents": 1_000 * EURO})
    serve(house, reranks)
    html = ask(house, alice, kind="rerank", documents=20, requests=1)
    assert rows(html) == [("Reranks", "€0.02", "€0.60")]
    assert "Input tokens" not in html
    assert "Give each figure as a whole number." in ask(house, alice, kind="rerank", documents="many")


def test_who_can_call_nothing_is_told_so(alice: Person, house: House) -> None:
    Replica.objects.filter(pool__model=house.model).delete()
    assert "Nothing can be called now" in ask(house, alice)


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_a_pasted_prompt_is_counted_in_the_browser_and_never_sent_I5(house: House, alice: Person) -> None:
    with open_browser() as browser, browser.window(alice) as window:
        page = window.open(f"/t/{house.tenant.slug}/estimate")
        sent: list[str] = []
        page.on("request", lambda request: sent.append(f"{request.url} {request.post_data}"))
        page.fill("#estimate-text", CANARY * 100)
        expect(page.locator("#estimate-input")).to_have_value(str(len(CANARY) * 100 // 4))
        page.wait_for_url("**input=950**")
        page.click("#estimator button.btn-primary")
        page.wait_for_load_state()
        assert sent
        assert not any("nobody" in one for one in sent)
