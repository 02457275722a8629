"""The engine's arguments that a pool may set, and the command lines made of them. Pure.

What is not on the list is refused: of vLLM's own flags some read files of the machine (`--allowed-local-media-path`),
import code (`--middleware`, `--tool-parser-plugin`, `--compilation-config`), reach other hosts
(`--otlp-traces-endpoint`), write requests into logs (`--enable-log-requests`) or blind us (`--disable-log-stats`).
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.node_agent.assignments import Spec, Value

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:+-]{0,99}")
_JSON_LENGTH_MAX = 4_000


class BadArgument(ValueError):
    """An argument that no engine is started with; the text says which and why."""


def _is_switch(value: Value) -> bool:
    return isinstance(value, bool)


def _is_number(value: Value) -> bool:
    if isinstance(value, bool):
        return False
    try:
        return 0 <= float(value) < 1e15
    except ValueError:
        return False


def _is_count(value: Value) -> bool:
    return not isinstance(value, bool) and re.fullmatch(r"[0-9]{1,15}", str(value)) is not None


def _is_word(value: Value) -> bool:
    """A name: neither a path nor an address."""
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _is_json(value: Value) -> bool:
    if not isinstance(value, str) or len(value) > _JSON_LENGTH_MAX:
        return False
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False


_KINDS: Mapping[Callable[[Value], bool], str] = {
    _is_switch: "true or false",
    _is_number: "a number",
    _is_count: "a whole number",
    _is_word: "a name",
    _is_json: "a JSON object",
}
_SWITCHES = """
    --enforce-eager --enable-prefix-caching --no-enable-prefix-caching --enable-chunked-prefill
    --no-enable-chunked-prefill --async-scheduling --no-async-scheduling --enable-auto-tool-choice
    --enable-prompt-tokens-details --enable-request-id-headers --enable-force-include-usage --enable-expert-parallel
    --disable-custom-all-reduce --disable-cascade-attn --disable-sliding-window --disable-chunked-mm-input
    --disable-hybrid-kv-cache-manager --language-model-only --skip-mm-profiling --enable-eplb --enable-dbo
    --exclude-tools-when-tool-choice-none --return-tokens-as-token-ids --interleave-mm-strings
"""
_COUNTS = """
    --max-model-len --max-num-seqs --max-num-batched-tokens --max-num-scheduled-tokens --max-logprobs --block-size
    --num-gpu-blocks-override --kv-cache-memory-bytes --tensor-parallel-size --pipeline-parallel-size
    --data-parallel-size --decode-context-parallel-size --long-prefill-token-threshold --stream-interval
    --api-server-count --max-cudagraph-capture-size --optimization-level --spec-tokens --seed
    --max-parallel-loading-workers --renderer-num-workers --max-num-queued-reqs --max-num-queued-tokens
"""
_NUMBERS = "--cpu-offload-gb --kv-offloading-size --mm-processor-cache-gb --video-pruning-rate"
_WORDS = """
    --dtype --quantization --kv-cache-dtype --load-format --tokenizer-mode --config-format --model-impl --runner
    --convert --reasoning-parser --tool-call-parser --attention-backend --moe-backend --linear-backend
    --all2all-backend --mamba-backend --mamba-cache-dtype --mamba-ssm-cache-dtype --mamba-cache-mode
    --prefix-caching-hash-algo --scheduling-policy --performance-mode --spec-method --mm-encoder-tp-mode
    --generation-config --chat-template-content-format --safetensors-load-strategy --kv-offloading-backend
    --logprobs-mode
"""
_JSON = """
    --hf-overrides --limit-mm-per-prompt --mm-processor-kwargs --media-io-kwargs --override-generation-config
    --default-chat-template-kwargs --pooler-config --eplb-config
"""
ALLOWED: Mapping[str, Callable[[Value], bool]] = {
    flag: is_fit
    for flags, is_fit in (
        (_SWITCHES, _is_switch),
        (_COUNTS, _is_count),
        (_NUMBERS, _is_number),
        (_WORDS, _is_word),
        (_JSON, _is_json),
    )
    for flag in flags.split()
}
"""Flags of vLLM 0.32 to what their value has to be."""

_WHOSE = {
    "--trust-remote-code": "it is a setting of the pool",
    "--served-model-name": "it is the model's name",
    "--gpu-memory-utilization": "it is the replica's share of the GPU's memory",
    "--enable-sleep-mode": "it is a setting of the pool",
    **dict.fromkeys(("--host", "--port", "--api-key", "--model"), "the node chooses it"),
}
_PARALLEL = {"--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size"}
# Of vLLM's flags, those that the simulated engine has too.
_SIMULATED = ("--max-model-len",)


def check(arguments: Mapping[str, Value]) -> None:
    """Raises BadArgument for the first argument that no engine is started with."""
    for flag, value in arguments.items():
        if flag in _WHOSE:
            raise BadArgument(f"{flag} cannot be set here: {_WHOSE[flag]}.")
        is_fit = ALLOWED.get(flag)
        if is_fit is None:
            raise BadArgument(f"{flag[:60]} is not one of the engine's arguments that a pool may set.")
        if not is_fit(value):
            raise BadArgument(f"{flag} has to be {_KINDS[is_fit]}.")


def vllm_flags(spec: Spec, model: Path | str, host: str, port: int) -> list[str]:
    """What follows `vllm serve`. Its key is no flag, as anybody on the machine can read those. Raises BadArgument."""
    check(spec.arguments)
    flags = [
        str(model),
        f"--host={host}",
        f"--port={port}",
        f"--served-model-name={spec.served_name}",
        "--disable-uvicorn-access-log",
        "--disable-fastapi-docs",
        *_written(spec.arguments),
    ]
    if spec.kind in ("embedding", "rerank") and "--runner" not in spec.arguments:
        flags.append("--runner=pooling")
    if len(spec.gpus) > 1 and not _PARALLEL & spec.arguments.keys():
        flags.append(f"--tensor-parallel-size={len(spec.gpus)}")
    if spec.gpus:
        flags.append(f"--gpu-memory-utilization={spec.gpu_memory_share}")
    if spec.may_sleep:
        flags.append("--enable-sleep-mode")
    if spec.trust_remote_code:
        flags.append("--trust-remote-code")
    return flags


def simulated_flags(spec: Spec, host: str, port: int) -> list[str]:
    """What follows `python -m gateway.simulated_engine`. Raises BadArgument, for what vLLM would not be given too."""
    check(spec.arguments)
    shared = {flag: value for flag, value in spec.arguments.items() if flag in _SIMULATED}
    return [f"--host={host}", f"--port={port}", f"--model={spec.served_name}={spec.kind}", *_written(shared)]


def _written(arguments: Mapping[str, Value]) -> list[str]:
    """One word each, so that no value can be taken for a flag."""
    return [flag if value is True else f"{flag}={value}" for flag, value in arguments.items() if value is not False]
