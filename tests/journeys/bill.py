"""What requests cost: computed here from the reference prices, compared with what the ledger says."""

from collections.abc import Mapping
from typing import Any

from tests.support.installation import Installation, wait_for

# The reference prices, 0.90, 4 and 21 EUR a million, as nano-EUR a unit. The answer of an embedding costs nothing.
INPUT, OUTPUT, REASONING, DOCUMENT = 900, 4_000, 21_000, 4_000


class Bill:
    """The requests of one test. `close` checks that the demo's budgets moved by just them."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._before = installation.budgets()
        self._demo_key = installation.demo["api_key"].split("_")[1]
        self._total = self._of_demo_key = 0

    def show(self, request_id: str | None, *, prompt: int, completion: int = 0, **expected: Any) -> dict[str, Any]:
        """The record of a request, which must have these tokens, their exact price, and all that is `expected`."""
        assert request_id
        record = self._installation.record(request_id)
        wanted: dict[str, Any] = {
            "status": "completed",
            "http_status": 200,
            "reasoning_tokens": 0,
            "cached_tokens": 0,
            "documents": 0,
        }
        wanted |= {"prompt_tokens": prompt, "completion_tokens": completion} | expected
        assert {name: record[name] for name in wanted} == wanted
        reasoning, documents = wanted["reasoning_tokens"], wanted["documents"]
        if documents:  # a rerank costs by the document
            cost = DOCUMENT * documents
        else:
            cost = INPUT * prompt + OUTPUT * (completion - reasoning) + REASONING * reasoning
        assert record["cost_nano_eur"] == cost
        assert record["uncharged_nano_eur"] == 0
        self._total += cost
        self._of_demo_key += cost if record["key_id"] == self._demo_key else 0
        return record

    def show_usage(self, request_id: str | None, usage: Any, **expected: Any) -> dict[str, Any]:
        """As `show`, with the tokens that a client was told: of `openai`'s classes, or a mapping."""
        told: Mapping[str, Any] = usage if isinstance(usage, Mapping) else usage.model_dump()
        prompt, completion = told["prompt_tokens"], told.get("completion_tokens") or 0
        assert told["total_tokens"] == prompt + completion
        return self.show(request_id, prompt=prompt, completion=completion, **expected)

    def show_free(self, request_id: str | None, status: str, http_status: int) -> dict[str, Any]:
        """The record of a request that was admitted and then cost nothing."""
        return self.show(request_id, prompt=0, status=status, http_status=http_status)

    def close(self) -> None:
        """Each budget moved by the sum of what was shown, and nothing is reserved any more."""
        after: dict[tuple[str, str], dict[str, Any]] = {}

        def nothing_is_held() -> bool:
            after.update(self._installation.budgets())
            return not any(row["held_nano_eur"] for row in after.values())

        wait_for(nothing_is_held, lambda: f"something stays reserved: {after}", 10)
        moved = {
            scope: row["spent_nano_eur"] - self._before[scope, start]["spent_nano_eur"]
            for (scope, start), row in after.items()
        }
        assert moved == {"tenant": self._total, "project": self._total, "key": self._of_demo_key}
