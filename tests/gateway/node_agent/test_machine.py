"""What a machine is: its GPUs by NVML, or simulated ones; its address; its settings."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.node_agent.configuration import parse
from gateway.node_agent.engine_calls import Figures, parse_figures
from gateway.node_agent.engine_commands import PORTS, find_vllm, free_port
from gateway.node_agent.engine_logs import LOG_BYTES_MAX, LOGS_KEPT, aside, keep_small, prune, tail
from gateway.node_agent.machine import Gpu, Nvml, address_towards, simulated_gpus


class NVMLError(Exception):
    pass


def fake_nvml(*, is_there: bool) -> SimpleNamespace:
    """As the package behaves on a machine with two GPUs, of which one has fallen off its bus; or without a driver."""

    def init() -> None:
        if not is_there:
            raise NVMLError

    def handle(index: int) -> int:
        if index == 1:
            raise NVMLError
        return index

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=init,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=141_000 * 2**20, used=1_200 * 2**20),
        nvmlDeviceGetUUID=lambda _: b"GPU-1",
        nvmlDeviceGetName=lambda _: "NVIDIA H200",
    )


def test_gpus_are_those_that_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(is_there=True))
    assert Nvml().gpus() == [Gpu(0, "GPU-1", "NVIDIA H200", 141_000, 1_200)]


def test_without_a_driver_or_the_package_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(is_there=False))
    assert Nvml().gpus() == []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Nvml().gpus() == []


def test_simulated_gpus_hold_what_runs_on_them() -> None:
    gpus = simulated_gpus(2, [((0,), 0.5), ((0, 1), 0.25), ((7,), 1.0)])
    assert [gpu.used_mb for gpu in gpus] == [61_440, 20_480]
    assert [gpu.used_mb for gpu in simulated_gpus(1, [((0,), 0.9), ((0,), 0.9)])] == [81_920]


def test_the_address_is_that_of_the_way_to_the_broker() -> None:
    assert address_towards("redis+socket:///run/valkey.sock") == "127.0.0.1"
    assert address_towards("rediss://user:word@127.0.0.1:6380/0") == "127.0.0.1"
    assert address_towards("amqp://user:word@[::1]:5672//") == "::1"


def test_figures_add_up_over_ranks() -> None:
    page = """# HELP vllm:num_requests_running x
vllm:num_requests_running{engine="0",model_name="a"} 3.0
vllm:num_requests_running{engine="1",model_name="a"} 2.0
vllm:num_requests_waiting{engine="0",model_name="a"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a",reason="x"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="a"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a"} 0.75
"""
    assert parse_figures(page) == Figures(running=5, waiting=1, kv_cache_use=0.75)
    assert parse_figures("garbage") == Figures()


def test_a_port_is_free_and_in_the_range() -> None:
    assert free_port("127.0.0.1", set(PORTS) - {21_999}) == 21_999
    with pytest.raises(OSError, match="no port is free"):
        free_port("127.0.0.1", set(PORTS))
    with pytest.raises(OSError, match="assign"):
        free_port("192.0.2.1", set())


def test_vllm_is_where_it_is_said_to_be_and_nowhere_else(tmp_path: Path) -> None:
    assert find_vllm(str(tmp_path / "vllm")) is None
    assert find_vllm("/bin/true") == Path("/bin/true")


def test_a_large_log_is_put_aside_under_whoever_writes_it(tmp_path: Path) -> None:
    log = tmp_path / "17.log"
    with log.open("ab") as writer:
        writer.write(b"old line\n" * (LOG_BYTES_MAX // 9 + 1))
        writer.flush()
        keep_small(log)
        writer.write(b"new line\n")
        writer.flush()
        keep_small(log)
    assert log.read_bytes() == b"new line\n"
    assert aside(log).stat().st_size > LOG_BYTES_MAX
    assert tail(log).endswith("old line\nnew line\n")


def test_of_engines_that_are_gone_the_newest_logs_stay(tmp_path: Path) -> None:
    for number in range(LOGS_KEPT + 10):
        (tmp_path / f"{number}.log").write_text("x")
    living = tmp_path / "0.log"
    prune(tmp_path, {living})
    assert living.exists()
    assert len(list(tmp_path.iterdir())) == LOGS_KEPT + 1


def test_the_command_line_is_read() -> None:
    told = parse(["--platform=https://x", "--label=a=b", "--label=c=", "--simulated"], {"BEFFROI_NODE_TOKEN": "bfn_1"})
    assert (told.token, dict(told.labels), told.simulated_gpus) == ("bfn_1", {"a": "b", "c": ""}, 2)
    assert parse(["--simulated", "8"], {}).simulated_gpus == 8
    assert parse([], {}).simulated_gpus is None


@pytest.mark.parametrize("flag", ["--label=x", "--label==x", "--label=a=\n", f"--label=a={'x' * 64}", "--nonsense"])
def test_a_mistake_in_the_command_line_ends_it_in_words(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([flag], {})
    assert "manage.py node: error" in capsys.readouterr().err
