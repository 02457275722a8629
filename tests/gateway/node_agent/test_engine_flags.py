"""Which arguments a pool may give its engine, and what comes out of them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.node_agent.assignments import Spec
from gateway.node_agent.engine_flags import ALLOWED, BadArgument, check, simulated_flags, vllm_flags
from tests.gateway.node_agent.platform import spec

MODEL = Path("/models/tiny")


def made(**members: Any) -> Spec:
    return msgspec.convert(spec(17, engine="vllm", **members), Spec)


def flags(**members: Any) -> list[str]:
    return vllm_flags(made(**members), MODEL, "10.0.0.5", 21_000)


def test_an_engine_listens_where_the_node_says_and_its_key_is_no_flag() -> None:
    told = flags()
    assert told[0] == "/models/tiny"
    assert {"--host=10.0.0.5", "--port=21000", "--served-model-name=demo/chat"} <= set(told)
    assert not [flag for flag in told if "key-of-17" in flag]


def test_arguments_are_one_word_each_and_false_is_not_given() -> None:
    told = flags(arguments={"--max-model-len": 8192, "--enforce-eager": True, "--enable-prefix-caching": False})
    assert {"--max-model-len=8192", "--enforce-eager"} <= set(told)
    assert not [flag for flag in told if flag.startswith("--enable-prefix-caching")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"--allowed-local-media-path": "/"}, "not one of the engine's arguments"),
        ({"--middleware": "os.system"}, "not one of the engine's arguments"),
        ({"--tool-parser-plugin": "/tmp/x.py"}, "not one of the engine's arguments"),
        ({"--compilation-config": '{"backend": "os.system"}'}, "not one of the engine's arguments"),
        ({"--structured-outputs-config": '{"reasoning_parser_plugin": "x"}'}, "not one of the engine's arguments"),
        ({"--kv-transfer-config": "{}"}, "not one of the engine's arguments"),
        ({"--enable-log-requests": True}, "not one of the engine's arguments"),
        ({"--config": "/etc/passwd"}, "not one of the engine's arguments"),
        ({"max-model-len": 10}, "not one of the engine's arguments"),
        ({"--max_model_len": 10}, "not one of the engine's arguments"),
        ({"--max-model-len=1 --middleware": "x"}, "not one of the engine's arguments"),
        ({"--trust-remote-code": True}, "setting of the pool"),
        ({"--enable-sleep-mode": True}, "setting of the pool"),
        ({"--port": 80}, "the node chooses it"),
        ({"--api-key": "mine"}, "the node chooses it"),
        ({"--gpu-memory-utilization": 1}, "share of the GPU's memory"),
        ({"--max-model-len": "8192 --middleware=x"}, "has to be a whole number"),
        ({"--max-model-len": -1}, "has to be a whole number"),
        ({"--max-model-len": True}, "has to be a whole number"),
        ({"--max-model-len": "٣"}, "has to be a whole number"),
        ({"--enforce-eager": "yes"}, "has to be true or false"),
        ({"--dtype": "/etc/passwd"}, "has to be a name"),
        ({"--dtype": "--middleware"}, "has to be a name"),
        ({"--dtype": "float16\n"}, "has to be a name"),
        ({"--hf-overrides": "[1]"}, "has to be a JSON object"),
        ({"--hf-overrides": "{"}, "has to be a JSON object"),
        ({"--cpu-offload-gb": "nan"}, "has to be a number"),
    ],
)
def test_what_is_not_on_the_list_or_does_not_fit_is_refused_in_words(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        check(arguments)
    with pytest.raises(BadArgument, match=words):
        simulated_flags(made(arguments=arguments), "127.0.0.1", 21_000)


@given(some.sampled_from(sorted(ALLOWED)), some.text() | some.integers() | some.floats() | some.booleans())
def test_no_value_becomes_another_flag(flag: str, value: Any) -> None:
    try:
        check({flag: value})
    except BadArgument:
        return
    written = [one for one in flags(arguments={flag: value}) if one == flag or one.startswith(f"{flag}=")]
    assert len(written) == (0 if value is False else 1)


def test_code_of_the_model_and_sleep_come_from_the_pool_alone() -> None:
    assert not {"--trust-remote-code", "--enable-sleep-mode"} & set(flags())
    assert "--trust-remote-code" in flags(trust_remote_code=True)
    assert "--enable-sleep-mode" in flags(may_sleep=True)


def test_gpus_give_their_share_of_memory_and_are_used_together() -> None:
    assert not [flag for flag in flags() if flag.startswith(("--gpu-memory", "--tensor-parallel"))]
    assert {"--gpu-memory-utilization=0.5", "--tensor-parallel-size=2"} <= set(flags(gpus=[0, 1], gpu_memory_share=0.5))
    told = flags(gpus=[0, 1], arguments={"--pipeline-parallel-size": 2})
    assert not [flag for flag in told if flag.startswith("--tensor-parallel")]


def test_vectors_and_scores_need_a_pooling_runner() -> None:
    assert "--runner=pooling" in flags(kind="embedding")
    assert "--runner=pooling" in flags(kind="rerank")
    assert "--runner=auto" in flags(kind="rerank", arguments={"--runner": "auto"})
    assert not [flag for flag in flags(kind="chat") if flag.startswith("--runner")]


def test_a_simulated_engine_gets_what_it_knows_of_them() -> None:
    told = simulated_flags(made(arguments={"--max-model-len": 4096, "--enforce-eager": True}), "127.0.0.1", 21_000)
    assert told == ["--host=127.0.0.1", "--port=21000", "--model=demo/chat=chat", "--max-model-len=4096"]
