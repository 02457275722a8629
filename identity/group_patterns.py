"""Which organisation a group's name is about: a pattern with one `*`. Pure.

Names are compared as they are, letter by letter: `LLM-finance` and `llm-finance` are two groups, and who may make the
one need not be in the other.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from django.utils.translation import gettext as _

from identity.errors import Invalid
from identity.wording import clean_name

PATTERN_LENGTH_MAX = 255
GROUP_LENGTH_MAX = 255
LITERAL_LENGTH_MIN = 3  # characters beside the star: less would make an organisation of almost any group
WORD_LENGTH_MAX = 63  # as long as what stands in the addresses of pages
_WORD = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class HasPattern(Protocol):
    """A rule."""

    @property
    def pattern(self) -> Any:
        """A group's name with one `*`; typed by whoever keeps it."""


Rule = TypeVar("Rule", bound=HasPattern)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What stands before and after the star."""

    before: str
    after: str

    @classmethod
    def of(cls, text: str) -> "Pattern":
        """The pattern that was written so."""
        before, _star, after = text.partition("*")
        return cls(before, after)

    @property
    def weight(self) -> tuple[int, int]:
        """The more of a name it says, the more it weighs; of equally long ones, what says more of the beginning."""
        return len(self.before) + len(self.after), len(self.before)

    def word_in(self, group: str) -> str | None:
        """What stands for the star, at least a character; None where the name is another's."""
        end = len(group) - len(self.after)
        fits = end > len(self.before) and group.startswith(self.before) and group.endswith(self.after)
        return group[len(self.before) : end] if fits else None


class Match(NamedTuple, Generic[Rule]):
    """The rule that a group's name falls under, and what stands for the star: a word that may be no `is_word`."""

    rule: Rule
    word: str


def clean_pattern(text: str) -> str:
    """The pattern as it is kept. Raises `Invalid`."""
    text = clean_name(text, "pattern", PATTERN_LENGTH_MAX)
    if text.count("*") != 1:
        raise Invalid("pattern", _("must have exactly one * in it, which stands for the organisation"))
    if len(text) <= LITERAL_LENGTH_MIN:
        told = _("must have at least %(count)s characters beside the *")
        raise Invalid("pattern", told % {"count": LITERAL_LENGTH_MIN})
    return text


def match(rules: Iterable[Rule], group: str) -> Match[Rule] | None:
    """The one rule that decides on the group: of those that fit, the one that says most of the name. It decides also
    where its word is none: a weaker rule would read another organisation out of the same name.
    """
    patterns = ((rule, Pattern.of(rule.pattern)) for rule in rules)
    fitting = [(pattern.weight, rule, word) for rule, pattern in patterns if (word := pattern.word_in(group))]
    if not fitting:
        return None
    _weight, rule, word = max(fitting, key=lambda one: one[0])
    return Match(rule, word)


def is_word(word: str) -> bool:
    """Whether it can stand for an organisation: 1 to 63 letters, digits and . _ -, a letter or digit at both ends."""
    return bool(_WORD.fullmatch(word))


def name_from(name_pattern: str, word: str) -> str:
    """What an organisation is called: "Department *" and "public-works" give "Department Public works"."""
    tidied = " ".join(re.split(r"[._-]+", word))
    return name_pattern.replace("*", tidied[:1].upper() + tidied[1:])
