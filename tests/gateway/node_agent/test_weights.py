"""Weights come here whole and right, or it is told why not; what was fetched is not fetched again."""

import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.node_agent import mirror, weights
from gateway.node_agent.assignments import Weights
from gateway.node_agent.fetches import Fetches
from gateway.node_agent.weights import Cancelled, Progress, folder_of, on_disk
from gateway.node_agent.weights_fault import WeightsFault
from tests.gateway.node_agent.conftest import Start
from tests.gateway.node_agent.mirror_server import MirrorServer, line
from tests.gateway.node_agent.platform import Platform, eventually, spec

RANGE = 1_000
FILES = {"config.json": b'{"a": 1}', "weights/model-1.safetensors": os.urandom(3_500), "empty": b""}
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[MirrorServer]:
    monkeypatch.setattr(mirror, "RANGE_BYTES", RANGE)
    with MirrorServer(dict(FILES)) as server:
        yield server


def wanted(served: MirrorServer, **others: Any) -> Weights:
    return Weights(**{"source": "mirror", "location": served.url, "sha256": served.sha256, **others})


def fetched(told: Weights, store: Path, progress: Progress | None = None) -> Path:
    return weights.fetch(told, store, None, progress or Progress())


def fault_of(told: Weights, store: Path) -> tuple[str, str]:
    with pytest.raises(WeightsFault) as caught:
        fetched(told, store)
    return caught.value.fault.kind, caught.value.fault.words


def contents(folder: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in files.items() if name not in (".lock", "complete.json")}


def test_a_mirrors_files_come_here_once(served: MirrorServer, tmp_path: Path) -> None:
    progress = Progress()
    folder = fetched(wanted(served), tmp_path, progress)
    assert contents(folder) == FILES
    assert progress.percent == 100
    assert [(one.location, one.bytes) for one in on_disk(tmp_path)] == [(served.url, sum(map(len, FILES.values())))]
    asked = len(served.asked)
    assert fetched(wanted(served), tmp_path) == folder
    assert len(served.asked) == asked


def test_a_fetch_that_is_cut_in_the_middle_goes_on_where_it_was(served: MirrorServer, tmp_path: Path) -> None:
    served.cuts_left = 1
    assert contents(fetched(wanted(served), tmp_path)) == FILES
    begins = [begin for path, begin, _ in served.asked if path.endswith("model-1.safetensors")]
    assert begins == [0, 1_000, 1_000, 2_000, 3_000]


def test_a_fetch_that_was_given_up_goes_on_where_it_was(served: MirrorServer, tmp_path: Path) -> None:
    class Impatient(Progress):
        def add(self, count: int) -> None:
            self.is_cancelled = self.bytes > 2_000
            super().add(count)

    with pytest.raises(Cancelled):
        fetched(wanted(served), tmp_path, Impatient())
    assert on_disk(tmp_path) == []
    served.asked.clear()
    assert contents(fetched(wanted(served), tmp_path)) == FILES
    assert min(begin for path, begin, _ in served.asked if path.endswith("model-1.safetensors")) == 3_000


def test_a_mirror_that_answers_no_ranges_is_told(served: MirrorServer, tmp_path: Path) -> None:
    served.answers_ranges = False
    assert fault_of(wanted(served), tmp_path)[1] == "The mirror does not answer ranges."
    served.files["config.json"] = b"x" * 100_000
    assert fault_of(wanted(served), tmp_path / "other")[1] == "The mirror answers with more than it was asked for."


def test_wrong_contents_are_told_and_not_kept(served: MirrorServer, tmp_path: Path) -> None:
    right = served.files["config.json"]
    served.files["config.json"] = b'{"a": 2}'
    kind, words = fault_of(wanted(served), tmp_path)
    assert (kind, words) == ("checksum", "config.json has another checksum than the manifest.json says.")
    served.files["config.json"] = right
    assert contents(fetched(wanted(served), tmp_path)) == FILES


def test_another_manifest_than_the_pool_names_is_refused(served: MirrorServer, tmp_path: Path) -> None:
    assert fault_of(wanted(served, sha256="0" * 64), tmp_path)[0] == "checksum"
    assert fault_of(wanted(served, sha256=""), tmp_path) == (
        "missing_weights",
        "A mirror without https:// needs the checksum of its manifest.json.",
    )


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "", "a//b", "./x", "a\\b", "a\nb"])
def test_a_path_that_leads_elsewhere_is_refused(served: MirrorServer, tmp_path: Path, path: str) -> None:
    served.manifest["files"].append(line(path, b"x"))
    kind, words = fault_of(wanted(served), tmp_path / "store")
    assert kind == "missing_weights"
    assert "leads elsewhere" in words


@pytest.mark.parametrize("manifest", [{}, {"files": []}, {"files": [{"path": "a", "bytes": -1, "sha256": "0" * 64}]}])
def test_a_manifest_that_says_nothing_is_told(served: MirrorServer, tmp_path: Path, manifest: dict[str, Any]) -> None:
    served.manifest = manifest
    assert fault_of(wanted(served), tmp_path)[0] == "missing_weights"


def test_the_disk_is_looked_at_first(served: MirrorServer, tmp_path: Path) -> None:
    served.manifest["files"].append({"path": "huge", "bytes": 10**17, "sha256": "0" * 64})
    kind, words = fault_of(wanted(served), tmp_path)
    assert kind == "no_disk"
    assert "95,367,431,641 MB of disk" in words
    assert [path for path, _, _ in served.asked] == ["manifest.json"]


def test_a_disk_that_fills_up_is_told(served: MirrorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(wanted(served), tmp_path)
    folder.mkdir()
    (folder / "config.json.part").symlink_to("/dev/full")
    assert fault_of(wanted(served), tmp_path) == ("no_disk", "The disk is full.")


def test_a_file_that_is_not_there_is_told(served: MirrorServer, tmp_path: Path) -> None:
    del served.files["config.json"]
    assert fault_of(wanted(served), tmp_path) == (
        "missing_weights",
        "The mirror does not give config.json (status 404).",
    )


def test_a_path_counts_as_it_is_unless_the_pool_names_a_checksum(served: MirrorServer, tmp_path: Path) -> None:
    here = Weights("path", str(tmp_path / "model"))
    assert fault_of(here, tmp_path)[0] == "missing_weights"
    served.write_to(tmp_path / "model")
    assert fetched(here, tmp_path) == tmp_path / "model"
    named = Weights("path", str(tmp_path / "model"), sha256=served.sha256)
    assert fetched(named, tmp_path) == tmp_path / "model"
    (tmp_path / "model" / "weights" / "model-1.safetensors").write_bytes(b"x" * 3_500)
    assert fault_of(named, tmp_path)[0] == "checksum"
    (tmp_path / "model" / "manifest.json").unlink()
    assert fault_of(named, tmp_path)[0] == "checksum"
    assert fault_of(Weights("path", "model"), tmp_path)[0] == "missing_weights"


def test_a_repository_of_hugging_face_has_a_name_and_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = Path("/usr/bin/false")
    assert fault_of(Weights("hugging_face", "a/b"), tmp_path)[0] == "not_installed"
    for odd in ("--upgrade", "a/b/c", "a b", "../x", "https://x/y"):
        with pytest.raises(WeightsFault, match="no repository"):
            weights.fetch(Weights("hugging_face", odd), tmp_path, python, Progress())
    with pytest.raises(WeightsFault, match="could not be fetched"):
        weights.fetch(Weights("hugging_face", "a/b"), tmp_path, python, Progress())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 9, 1))
    with pytest.raises(WeightsFault, match="MB of disk"):
        weights.fetch(Weights("hugging_face", "a/c", bytes=10**9), tmp_path, python, Progress())


def test_models_that_read_alike_lie_apart(tmp_path: Path) -> None:
    told = [
        Weights("hugging_face", "a/b"),
        Weights("hugging_face", "a/b", "v2"),
        Weights("hugging_face", "a-b"),
        Weights("mirror", "https://m/a/b", sha256="1"),
        Weights("mirror", "https://m/a/b", sha256="2"),
        Weights("mirror", "https://m/../../etc"),
    ]
    folders = [folder_of(one, tmp_path) for one in told]
    assert len(set(folders)) == len(told)
    assert all(folder.parent == tmp_path for folder in folders)


def test_replicas_of_one_model_share_its_fetch(served: MirrorServer, tmp_path: Path) -> None:
    served.seconds_a_range = 0.2
    fetches = Fetches(tmp_path)
    first, second = (fetches.join(number, wanted(served), None) for number in (1, 2))
    assert first is second
    fetches.leave(1, first)
    assert eventually(first.future.done)
    assert contents(first.folder()) == FILES
    asked = [one for one in served.asked if one[0] == "config.json"]
    assert len(asked) == 1


@pytest.mark.slow
def test_an_agent_fetches_tells_how_far_it_is_and_resumes_when_killed(platform: Platform, start: Start) -> None:
    size = mirror.RANGE_BYTES
    with MirrorServer({"one": b"1" * size, "two": b"2" * size, "three": b"3" * 10}) as server:
        server.seconds_a_range = 2.0
        told = spec(17, engine="vllm", weights={"source": "mirror", "location": server.url, "sha256": server.sha256})
        agent = start("--vllm=/nowhere")
        platform.assign(told)
        assert eventually(lambda: platform.replica(17).get("percent", 0) >= 49)
        assert platform.replica(17)["state"] == "fetching"
        agent.kill()
        server.seconds_a_range = 0.0
        agent.start()
        platform.assign(told)
        assert platform.wait_for(17, "exited")["fault"] == "not_installed"  # the weights are here, vLLM is not
        assert [path for path, _, _ in server.asked].count("one") == 1
        assert eventually(lambda: platform.report()["models_on_disk"] != [])
        assert platform.report()["models_on_disk"][0]["bytes"] == 2 * size + 10
