"""Names of groups, and which organisation they are about."""

from dataclasses import dataclass

import pytest

from identity.errors import Invalid
from identity.group_patterns import Pattern, clean_pattern, is_word, match, name_from


@dataclass(frozen=True)
class Rule:
    pattern: str


@pytest.mark.parametrize(
    ("pattern", "group", "word"),
    [
        ("llm-*", "llm-finance", "finance"),
        ("llm-*", "llm-", None),
        ("llm-*", "LLM-finance", None),
        ("llm-*", "xllm-finance", None),
        ("llm-*-owners", "llm-finance-owners", "finance"),
        ("llm-*-owners", "llm-owners", None),
        ("llm-*-owners", "llm--owners", None),
        ("ab*ba", "aba", None),  # the two parts may not share a letter
        ("ab*ba", "abba", None),
        ("ab*ba", "abxba", "x"),
        ("/llm/*", "/llm/a/b", "a/b"),
        ("a.c*", "abcx", None),  # a dot is a dot
        ("[abc]*", "a1", None),
    ],
)
def test_what_stands_for_the_star(pattern: str, group: str, word: str | None) -> None:
    assert Pattern.of(pattern).word_in(group) == word


def test_the_rule_that_says_most_of_the_name_decides() -> None:
    rules = [Rule("llm-*"), Rule("llm-*-owners"), Rule("*-owners"), Rule("llm-paris-*")]
    for group, pattern, word in (
        ("llm-finance", "llm-*", "finance"),
        ("llm-finance-owners", "llm-*-owners", "finance"),
        ("hr-owners", "*-owners", "hr"),
        ("llm-paris-east", "llm-paris-*", "east"),
        ("llm-paris-east-owners", "llm-*-owners", "paris-east"),
    ):
        for order in (rules, rules[::-1]):
            found = match(order, group)
            assert found is not None
            assert (found.rule.pattern, found.word) == (pattern, word)
    assert match(rules, "something else") is None
    even = match([Rule("*-abc"), Rule("abc-*")], "abc-x-abc")
    assert even is not None
    assert even.rule.pattern == "abc-*"


def test_no_weaker_rule_reads_another_organisation_out_of_a_name() -> None:
    found = match([Rule("llm-*"), Rule("llm-*-owners")], "llm-é-owners")
    assert found is not None
    assert (found.rule.pattern, is_word(found.word)) == ("llm-*-owners", False)


@pytest.mark.parametrize("word", ["a", "A1", "finance", "Paris.Est_2-b", "x" * 63])
def test_words(word: str) -> None:
    assert is_word(word)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "-a",
        "a-",
        ".a",
        "a b",
        "a/b",
        "a:b",
        "a@b",
        "é",
        "ｆinance",
        "finance\n",
        "finance\u200b",
        "а",
        "x" * 64,
        "a*",
    ],
)
def test_what_is_no_word(word: str) -> None:
    assert not is_word(word)


@pytest.mark.parametrize(
    "text", ["", "*", "ab*", "llm-", "llm-*-*", "llm-**", "llm\n-*", "x" * 255 + "*", "llm-\u202e*"]
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(Invalid, match="pattern"):
        clean_pattern(text)


def test_names() -> None:
    assert name_from("*", "public-works_2") == "Public works 2"
    assert name_from("Department *", "HR") == "Department HR"
