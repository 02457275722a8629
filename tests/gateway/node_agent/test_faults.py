"""Exit codes and last lines told in words, without a word of a request."""

import pytest

from gateway.node_agent.faults import explain

OUT_OF_MEMORY = (
    "(EngineCore pid=7) ERROR 11-22 05:00:00 [core.py:900] torch.OutOfMemoryError: CUDA out of memory. Tried to "
    "allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.20 GiB is free."
)
SECRET = "my patient is called Bernadette"


@pytest.mark.parametrize(
    ("code", "log", "kind", "words"),
    [
        (1, OUT_OF_MEMORY, "out_of_memory", "The GPU has too little memory for it. torch.OutOfMemoryError"),
        (
            1,
            "ValueError: Free memory on device (10/80 GiB) is less than desired GPU memory utilization (0.9, 72 GiB).",
            "out_of_memory",
            "Something else already uses",
        ),
        (
            1,
            "ValueError: To serve one request, 16 GiB KV cache is needed, which is larger than the available 4.1 GiB)",
            "out_of_memory",
            "shorten --max-model-len",
        ),
        (2, "usage: vllm serve\nvllm serve: error: unrecognized arguments: --nonsense=1", "bad_argument", "--nonsense"),
        (2, "vllm serve: error: argument --dtype: invalid choice: 'x'", "bad_argument", "refused its arguments"),
        (1, "Please pass the argument `trust_remote_code=True` to allow it", "bad_argument", "code of its own"),
        (1, "OSError: /m does not appear to have a file named config.json", "missing_weights", "not there"),
        (1, "ModuleNotFoundError: No module named 'vllm'", "not_installed", "vLLM is not installed"),
        (1, "OSError: [Errno 28] No space left on device", "no_disk", "The disk is full."),
        (1, "OSError: [Errno 98] error while attempting to bind: address already in use", "crashed", "taken its port"),
        (1, "KeyError: 'invalid tool call parser: x (chose from y)'", "bad_argument", "invalid tool call parser: x"),
        (-9, "", "killed", "SIGKILL"),
        (-15, "", "killed", "SIGTERM"),
        (-11, OUT_OF_MEMORY, "crashed", "SIGSEGV"),
        (0, "INFO all is well", "crashed", "by itself"),
        (None, "", "crashed", "no agent was there"),
        (
            3,
            "KeyError: 'layers.0'\nRuntimeError: Engine core initialization failed.",
            "crashed",
            "KeyError: 'layers.0'",
        ),
        (1, "INFO 11-22 05:00:00 [x.py:1] No space left on device would be bad", "crashed", "exit status 1"),
    ],
)
def test_what_an_engine_says_before_it_was_ready(code: int | None, log: str, kind: str, words: str) -> None:
    fault = explain(code, log, has_served=False)
    assert fault.kind == kind
    assert words in fault.words


@pytest.mark.parametrize(
    ("code", "log", "kind"),
    [
        (1, f"ValueError: cannot tokenize {SECRET}", "crashed"),
        (1, f"vllm serve: error: unrecognized arguments: {SECRET}", "crashed"),
        (1, f"torch.OutOfMemoryError: {SECRET}", "out_of_memory"),
        (None, f"pydantic ValidationError {SECRET}", "crashed"),
        (-6, f"RuntimeError: {SECRET}", "crashed"),
    ],
)
def test_I5_once_it_has_served_nothing_of_its_log_is_quoted(code: int | None, log: str, kind: str) -> None:
    fault = explain(code, log, has_served=True)
    assert fault.kind == kind
    assert "Bernadette" not in fault.words


def test_figures_of_memory_are_told_even_then() -> None:
    words = explain(1, OUT_OF_MEMORY, has_served=True).words
    assert words == "The GPU has too little memory for it. Tried to allocate 2.50 GiB, 1.20 GiB is free"


def test_a_long_complaint_is_cut() -> None:
    assert len(explain(1, f"ValueError: {'x' * 10_000}", has_served=False).words) < 400
