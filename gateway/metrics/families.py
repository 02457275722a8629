"""Every metric: what kind it is, what it means, and the labels that it has. `docs/metrics.md` tells the same to people.

Those called `gen_ai_*` are OpenTelemetry's, by its semantic conventions for generative AI 1.42 (status: development):
names with dots become underscores, and the unit is added, as Prometheus has it.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.relay.counts import DURATIONS, FIRST_TOKENS, LEDGER_WAITS, TOKEN_GAPS, TOKENS


class Kind(StrEnum):
    """As Prometheus calls them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric. `places`: decimal places between the unit that is counted in and the one that is shown (milliseconds
    and seconds: 3). `bounds` of a histogram are in the unit that is counted in. `is_greatest`: of several processes'
    values the greatest is shown, else their sum.
    """

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    places: int = 0
    bounds: tuple[int, ...] = ()
    is_greatest: bool = False


_OPERATION, _MODEL = "gen_ai_operation_name", "gen_ai_request_model"
_CALL = (_OPERATION, _MODEL)
_MILLISECONDS, _NANO = 3, 9
_COUNTER, _GAUGE, _HISTOGRAM = Kind


def _histogram(words: str, bounds: tuple[int, ...], *labels: str, places: int = _MILLISECONDS) -> Family:
    return Family(_HISTOGRAM, words, labels, places, bounds)


FAMILIES: dict[str, Family] = {
    # Requests, as the gateways see them.
    "gen_ai_server_request_duration_seconds": _histogram(
        "Time from a request to the end of its answer; its charge is not in it. error_type: how it ended, unless well.",
        DURATIONS, *_CALL, "error_type",
    ),
    "gen_ai_server_time_to_first_token_seconds": _histogram(
        "Time from a streamed request to its first token.", FIRST_TOKENS, *_CALL
    ),
    "gen_ai_server_time_per_output_token_seconds": _histogram(
        "Mean time between the tokens of a streamed answer.", TOKEN_GAPS, *_CALL
    ),
    "gen_ai_client_token_usage": _histogram(
        "Tokens of a request that are billed.", TOKENS, *_CALL, "gen_ai_token_type", places=0
    ),
    "beffroi_gateway_cached_input_tokens_total": Family(
        _COUNTER, "Billed input tokens that the engine had in its prefix cache.", _CALL
    ),
    "beffroi_gateway_refusals_total": Family(_COUNTER, "Requests that were refused, by the error's code.", ("reason",)),
    "beffroi_gateway_engine_failures_total": Family(
        _COUNTER, "Answers that were none or broke off, and looks that nobody answered.", ("pool", "replica")
    ),
    # Gateway processes.
    "beffroi_gateway_processes": Family(_GAUGE, "Gateway processes of this machine that are alive."),
    "beffroi_gateway_ready_processes": Family(_GAUGE, "Those of them that may get requests."),
    "beffroi_gateway_requests_in_progress": Family(_GAUGE, "Requests under way."),
    "beffroi_gateway_client_connections": Family(_GAUGE, "Open connections of clients."),
    "beffroi_gateway_held_body_bytes": Family(_GAUGE, "Bytes of request bodies in memory."),
    "beffroi_gateway_waiting_admissions": Family(_GAUGE, "Requests that wait for the ledger to admit them."),
    "beffroi_gateway_waiting_settlements": Family(_GAUGE, "Charges that wait for the ledger to take them."),
    "beffroi_gateway_waiting_for_money": Family(_GAUGE, "Requests that wait for money that others hold."),
    "beffroi_gateway_waiting_for_engine": Family(
        _GAUGE, "Requests that wait for a place at an engine.", ("gen_ai_request_model",)
    ),
    "beffroi_gateway_admission_duration_seconds": _histogram(
        "Time that an admitted request waited for its hold.", LEDGER_WAITS
    ),
    "beffroi_gateway_settlement_duration_seconds": _histogram(
        "Time from an answer's end to its durable charge.", LEDGER_WAITS
    ),
    # The ledger.
    "beffroi_database_up": Family(_GAUGE, "Whether the database answers; where not, what it tells is left out."),
    "beffroi_ledger_charged_euros_total": Family(_COUNTER, "Money charged.", places=_NANO),
    "beffroi_ledger_uncharged_euros_total": Family(
        _COUNTER, "What answers cost more than was held for them, and nobody was charged.", places=_NANO
    ),
    "beffroi_ledger_holds": Family(_GAUGE, "Holds of requests under way."),
    "beffroi_ledger_held_euros": Family(_GAUGE, "Money that they hold.", places=_NANO),
    "beffroi_ledger_oldest_hold_age_seconds": Family(
        _GAUGE, "Age of the oldest hold; 0 without any.", places=_MILLISECONDS
    ),
    "beffroi_ledger_orphaned_holds": Family(_GAUGE, "Holds whose gateway process is silent or gone."),
    "beffroi_ledger_live_incarnations": Family(_GAUGE, "Gateway processes of all machines whose heart beats."),
    "beffroi_ledger_swept_holds_total": Family(_COUNTER, "Holds that a sweeper settled for a lost process."),
    "beffroi_ledger_fenced_incarnations_total": Family(_COUNTER, "Silent processes that a sweeper fenced."),
    "beffroi_ledger_sweep_timestamp_seconds": Family(_GAUGE, "When a sweep last ended well.", is_greatest=True),
    "beffroi_ledger_check_differences": Family(_GAUGE, "Differences that the last nightly check of the ledger found."),
    "beffroi_ledger_check_timestamp_seconds": Family(_GAUGE, "When that check ended.", places=_MILLISECONDS),
    "beffroi_reconciliation_differs": Family(
        _GAUGE, "Whether charged tokens and the engines' own counters differ without an explanation.", ("pool",)
    ),
    "beffroi_reconciliation_end_timestamp_seconds": Family(
        _GAUGE, "End of the last hour that was compared.", places=_MILLISECONDS
    ),
    # Pools.
    "beffroi_pool_replicas": Family(_GAUGE, "Replicas of a pool in a state.", ("pool", _MODEL, "state")),
    "beffroi_pool_wanted_replicas": Family(
        _GAUGE, "Replicas that a managed pool is to have. wakes: none until asked.", ("pool", _MODEL, "wakes")
    ),
    "beffroi_engine_requests_running": Family(_GAUGE, "Requests that an engine works on.", ("pool", "replica")),
    "beffroi_engine_requests_waiting": Family(_GAUGE, "Requests that wait in an engine.", ("pool", "replica")),
    "beffroi_engine_kv_cache_usage_ratio": Family(_GAUGE, "Share of its KV cache in use, 0 to 1.", ("pool", "replica")),
    "beffroi_engine_sample_timestamp_seconds": Family(
        _GAUGE, "When the engine's figures were read.", ("pool", "replica"), _MILLISECONDS
    ),
    "beffroi_probe_success": Family(_GAUGE, "Whether the last probe of a published model was answered.", (_MODEL,)),
    "beffroi_probe_first_token_seconds": Family(
        _GAUGE, "Time to the first token of that probe.", (_MODEL,), _MILLISECONDS
    ),
    "beffroi_probe_timestamp_seconds": Family(_GAUGE, "The minute of that probe.", (_MODEL,), _MILLISECONDS),
    "beffroi_model_target_first_token_seconds": Family(
        _GAUGE, "Time to the first token that the operator aims at.", (_MODEL,), _MILLISECONDS
    ),
    # The house.
    "beffroi_job_success_timestamp_seconds": Family(
        _GAUGE, "When a scheduled job last went well.", ("job_name",), _MILLISECONDS
    ),
    "beffroi_job_failing": Family(_GAUGE, "Whether its last run failed.", ("job_name",)),
    "beffroi_certificate_end_timestamp_seconds": Family(
        _GAUGE, "When the certificate that ends first does, of those used for the same.", ("used_for",), _MILLISECONDS
    ),
    "beffroi_backup_timestamp_seconds": Family(_GAUGE, "When the last backup was made.", places=_MILLISECONDS),
}  # fmt: skip
