"""What the engine says, and the JSON that it makes for schemas."""

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from gateway.simulated_engine import schemas, text, tokenizer


@pytest.mark.parametrize(
    ("question", "language"),
    [("What is a belfry?", "en"), ("Bonjour, que fais-tu ?", "fr"), ("¿Qué es esto?", "es"), ("", "en")],
)
def test_an_answer_is_in_the_language_of_the_question_and_says_that_it_is_simulated(
    question: str, language: str
) -> None:
    said = text.answer_to(question, 0).text(60)
    assert said.startswith(text.OPENINGS[language])


@pytest.mark.parametrize("language", ["en", "fr", "es"])
@pytest.mark.parametrize("tokens", [1, 7, 40, 1_000])
def test_the_text_of_so_many_tokens_counts_as_so_many(language: str, tokens: int) -> None:
    assert tokenizer.count(text.prose(language, 1).text(tokens)) == tokens


def test_an_unlimited_answer_ends_with_a_sentence() -> None:
    script = text.prose("en", 0)
    assert script.text(script.natural_length(96)).endswith(".")
    assert script.natural_length(96) <= 96


def test_the_same_question_has_the_same_answer_and_other_choices_differ() -> None:
    answers = [text.answer_to("Why?", choice).text(80) for choice in (0, 0, 1)]
    assert answers[0] == answers[1] != answers[2]


@pytest.mark.parametrize("chosen", ['"usage":{', "data: [DONE]", "\u2028 é \\ \x00 \U0001f514"])
def test_escaped_text_is_the_inside_of_a_json_string(chosen: str) -> None:
    assert json.loads(b'"' + text.repeated(chosen).escaped(0, 2) + b'"') == chosen * 2


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}},
        {"type": "array", "minItems": 2, "items": {"enum": ["a", "b"]}},
        {
            "$defs": {"p": {"type": "object", "properties": {"n": {"type": "number", "maximum": 1.5}}}},
            "$ref": "#/$defs/p",
        },
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"type": ["string", "null"], "minLength": 12, "maxLength": 14},
        {"type": "string", "format": "date"},
        {"const": 3},
        {"type": "number", "exclusiveMinimum": 5},
        {"type": "boolean"},
    ],
)
def test_an_instance_satisfies_its_schema(schema: dict[str, Any]) -> None:
    jsonschema.validate(schemas.instance(schema), schema)


def test_a_recursive_schema_comes_to_an_end() -> None:
    schema = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert schemas.instance(schema) is not None
