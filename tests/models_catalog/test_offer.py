"""The catalog that ships: complete, coherent, and true to its own rules (M1, M2)."""

from datetime import date

import pytest

from models_catalog.lifecycle import Lifecycle, lifecycle_of
from models_catalog.loading import OFFER, Entry, read_catalog

WRITTEN_ON = date(2026, 11, 21)


@pytest.fixture(scope="module")
def offer() -> list[Entry]:
    return read_catalog(OFFER)


def test_the_offer_holds_at_least_45_models_that_can_be_had(offer: list[Entry]) -> None:
    living = [entry for entry in offer if lifecycle_of(entry.row, WRITTEN_ON) is not Lifecycle.RETIRED]
    assert len(living) >= 45
    assert {entry.row.kind for entry in living} == {"chat", "embedding", "rerank", "transcription", "image"}
    for family in ("Llama", "Qwen", "DeepSeek", "Mistral Small", "Gemma", "Cogito", "Granite"):
        assert any(entry.row.family == family for entry in offer), family


def test_every_model_is_described(offer: list[Entry]) -> None:
    for entry in offer:
        for name in ("publisher", "family", "licence", "licence_url", "indemnity", "location", "description"):
            assert getattr(entry.row, name), f"{entry.row.name}: {name}"
        for name in ("modalities", "use_cases", "languages", "parameters_billion"):
            assert getattr(entry.row, name), f"{entry.row.name}: {name}"


def test_nobody_is_told_that_open_weights_come_with_an_indemnity(offer: list[Entry]) -> None:
    assert all(entry.row.indemnity.startswith("None") for entry in offer)
    granite = [entry.row.indemnity for entry in offer if entry.row.publisher == "IBM"]
    assert granite
    assert all("IBM's own products" in text for text in granite)


def test_the_publishers_own_names_work(offer: list[Entry]) -> None:
    owner = {alias: entry.row.name for entry in offer for alias in entry.aliases}
    assert owner["openai/gpt-oss-120b"] == "gpt-oss:120b"
    assert owner["deepseek-ai/DeepSeek-OCR"] == "deepseek-ocr"
    for entry in offer:
        if entry.row.weights and entry.row.weights != entry.row.name:
            assert entry.row.weights in entry.aliases


def test_a_model_that_ends_leads_to_one_that_lives(offer: list[Entry]) -> None:
    rows = {entry.row.name: entry.row for entry in offer}
    ending = [entry for entry in offer if entry.row.retired_on]
    assert ending
    for entry in ending:
        assert lifecycle_of(rows[entry.successor], WRITTEN_ON) in (Lifecycle.PRODUCTION, Lifecycle.EVALUATION)


def test_models_that_see_or_hear_bound_what_an_image_or_a_sound_can_cost(offer: list[Entry]) -> None:
    for entry in offer:
        assert set(entry.row.media_max_tokens) == set(entry.row.modalities) - {"text"}, entry.row.name
