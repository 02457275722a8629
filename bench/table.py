"""The table that a run ends with, and the verdicts in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.session import BEFFROI, EVERYBODY, POSTGRES


@dataclass(frozen=True)
class Goal:
    """What a figure of ours has to be: at most (or `at_least`) so much, by this rule."""

    rule: str
    limit: float
    measured: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether it is."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def __str__(self) -> str:
        if self.is_met:
            return f"reached ({_number(self.measured)}; {self.rule}: {_number(self.limit)})"
        share = abs(self.measured / self.limit - 1) * 100 if self.limit else 0
        return (
            f"**MISSED by {_number(abs(self.measured - self.limit))} ({share:.0f} %)** "
            f"({_number(self.measured)}; {self.rule}: {_number(self.limit)})"
        )


@dataclass(frozen=True)
class Line:
    """A line of the table: of which measurement, which figure, what each has, and what ours has to be."""

    of: str
    what: str
    figures: Mapping[str, float | str]
    to_reach: Sequence[Goal] = ()
    aim: Sequence[Goal] = ()


@dataclass
class Table:
    """All lines."""

    lines: list[Line] = field(default_factory=list)

    def markdown(self) -> str:
        """The table in Markdown."""
        columns = [*EVERYBODY, POSTGRES]
        rows = [["measured", *columns, "to reach", "aim"]]
        rows.append(["---"] * len(rows[0]))
        for before, line in zip([None, *self.lines], self.lines, strict=False):
            of = "–" if before and before.of == line.of else f"{line.of}:"
            figures = [_text(line.figures.get(name)) for name in columns]
            rows.append([f"{of} {line.what}", *figures, _goals(line.to_reach), _goals(line.aim)])
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)

    @property
    def missed(self) -> list[str]:
        """What has not reached its target, and by how much."""
        return [f"{line.of}: {line.what}: {goal}" for line in self.lines for goal in line.to_reach if not goal.is_met]


def at_most(rule: str, figures: Mapping[str, float], reference: str, factor: float) -> list[Goal]:
    """Ours at most `factor` times the reference's figure; no goal where either was not measured."""
    if reference not in figures or BEFFROI not in figures:
        return []
    return [Goal(rule, figures[reference] * factor, figures[BEFFROI])]


def _goals(goals: Sequence[Goal]) -> str:
    return "; ".join(str(goal) for goal in goals)


def _text(figure: float | str | None) -> str:
    if figure is None:
        return "–"
    return figure if isinstance(figure, str) else _number(figure)


def _number(figure: float) -> str:
    """Three digits that count: 36.1, 0.523, 21,877."""
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if figure >= 10 else f"{figure:.3g}"
