"""Why an engine ended, in words. Pure.

An engine that has served may have words of a request in its last lines (I5): then nothing is quoted but figures that
vLLM's own messages consist of. Before it was ready no request can have reached it, so its complaint is quoted.
"""

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "out_of_memory",
    "bad_argument",
    "missing_weights",
    "no_disk",
    "checksum",
    "killed",
    "crashed",
    "too_slow",
    "not_installed",
]
_QUOTE_LENGTH_MAX = 300


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with a replica, for programs (`kind`) and for the people who run the platform (`words`)."""

    kind: Kind
    words: str


def _said(kind: Kind, words: str, *patterns: str) -> tuple[re.Pattern[str], Fault]:
    return re.compile("|".join(patterns), re.IGNORECASE), Fault(kind, words)


# What vLLM 0.32, torch and Python say, most telling first.
_COMPLAINTS = (
    _said(
        "out_of_memory",
        "The GPU has too little memory for it.",
        r"OutOfMemoryError",
        r"(CUDA|HIP) out of memory",
        r"Tried to allocate",
    ),
    _said(
        "out_of_memory",
        "Something else already uses the memory of its GPU.",
        r"Free memory on device",
        r"less than desired GPU memory utilization",
    ),
    _said(
        "out_of_memory",
        "Its weights leave too little memory for the KV cache: shorten --max-model-len or give it more GPUs.",
        r"No available memory for the cache blocks",
        r"KV cache is needed, which is larger than",
        r"larger than the maximum number of tokens that can be stored in KV cache",
    ),
    _said(
        "out_of_memory",
        "The machine has too little memory for it.",
        r"Cannot allocate memory",
        r"std::bad_alloc",
        r"can't allocate memory",
    ),
    _said(
        "bad_argument",
        "The model brings code of its own, which its pool does not trust.",
        r"trust_remote_code=True",
        r"contains custom code which must be executed",
    ),
    _said(
        "bad_argument",
        "The engine refused its arguments.",
        r"error: (unrecognized arguments|argument |the following arguments|ambiguous option)",
    ),
    _said("not_installed", "vLLM is not installed, or not whole.", r"No module named '?vllm"),
    _said(
        "missing_weights",
        "The model's files are not there, or not whole.",
        r"does not appear to have a file named",
        r"is not a valid model identifier",
        r"Cannot find any model weights",
        r"is not a local folder",
        r"Repo id must|Repository Not Found|Invalid repository ID",
        r"No such file or directory: .*(safetensors|config\.json)",
        r"SafetensorError|Error while deserializing header",
    ),
    _said("no_disk", "The disk is full.", r"No space left on device"),
    _said("crashed", "Another program had taken its port.", r"Address already in use"),
    _said(
        "bad_argument",
        "The engine cannot serve this model with these arguments.",
        r"ValidationError",
        r"User-specified max_model_len",
        r"must be divisible by",
        r"is not supported|not supported for",
        r"Unknown quantization|Invalid (value|choice)|invalid (tool call|reasoning) parser",
        r"World size .* is larger",
    ),
)
# vLLM's and Python's ways to begin a line, before what it says.
_PREFIX = re.compile(r"^(\([^)]*\)\s*)?((ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\]\s?)?(\([^)]*\)\s*)?")
_NO_COMPLAINT = re.compile(r"^(\([^)]*\)\s*)?(DEBUG|INFO|WARNING)\b")
_EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)|vllm: error|[\w.-]+: error): ?.*")
_CONSEQUENCE = re.compile(r"Engine core initialization failed|EngineDeadError|EngineCore encountered an issue")
_FIGURES = re.compile(r"Tried to allocate [\d.]+ [KMGT]iB|[\d.]+ [KMGT]iB (is|are) (free|needed)")


def explain(exit_code: int | None, log: str, *, has_served: bool) -> Fault:
    """Why an engine ended that nobody told to.

    exit_code: negative for a signal; None where we were not its parent any more
    log: its last lines
    has_served: it was ready once
    """
    lines = [_PREFIX.sub("", line).strip() for line in log.splitlines() if not _NO_COMPLAINT.match(line)]
    if exit_code is not None and exit_code < 0 and -exit_code != signal.SIGABRT:
        return _of_signal(-exit_code)
    quote = _figures if has_served else _quoted
    for pattern, fault in _COMPLAINTS:
        if has_served and fault.kind not in ("out_of_memory", "no_disk"):
            continue
        found = next((line for line in reversed(lines) if pattern.search(line)), None)
        if found is not None:
            return Fault(fault.kind, _joined(fault.words, quote(found)))
    return Fault("crashed", _of_exit(exit_code, lines, quote))


def _of_signal(number: int) -> Fault:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL:
        return Fault("killed", f"It was ended from outside ({name}): by hand, or by the kernel for want of memory.")
    if number in (signal.SIGTERM, signal.SIGINT):
        return Fault("killed", f"It was ended from outside ({name}): by hand.")
    return Fault("crashed", f"Its process broke down ({name}).")


def _of_exit(exit_code: int | None, lines: list[str], quote: Callable[[str], str]) -> str:
    words = {
        None: "It ended while no agent was there to see how.",
        0: "It ended by itself, without an error.",
    }.get(exit_code, f"It ended with exit status {exit_code}.")
    complaints = [line for line in lines if _EXCEPTION.match(line) and not _CONSEQUENCE.search(line)]
    return _joined(words, quote(complaints[-1])) if complaints else words


def _joined(words: str, quoted: str) -> str:
    return f"{words} {quoted}" if quoted else words


def _quoted(line: str) -> str:
    return line[:_QUOTE_LENGTH_MAX]


def _figures(line: str) -> str:
    """The figures of a message about memory; of any other line nothing."""
    return ", ".join(found[0] for found in _FIGURES.finditer(line))
