"""Tokenizing on a Ray cluster of this machine, of which a node is killed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, cast

import pytest

from llasa.base.errors import LlasaError
from llasa.codec.codec import Codec
from llasa.data.on_ray import LOCAL, tokenize_on_ray
from llasa.data.shards import TokenDataset
from llasa.data.tokenize import TokenizeReport, tokenize

from .level_codec import LevelCodec
from .test_tokenize import contents, make, run

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def work_on(manifest: Path, out: Path, delay: float) -> Callable[[], TokenizeReport]:
    def work() -> TokenizeReport:
        codec = cast(Codec, LevelCodec(delay))
        return tokenize(manifest, out, codec, shard_size=4, progress=False)

    return work


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that does no work, and two nodes of one core."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        yield nodes
    finally:
        nodes.shutdown()


def test_a_node_that_is_killed_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    manifest, out = make(tmp_path / "clips", 40), tmp_path / "out"
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

    def kill() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and not list(out.glob("[0-9]*")):
            time.sleep(0.05)
        cluster.remove_node(nodes[0], allow_graceful=False)

    killer = Thread(target=kill)
    killer.start()
    report = tokenize_on_ray(work_on(manifest, out, 0.2), cluster.address)
    killer.join()
    assert nodes[0] not in cluster.worker_nodes
    assert report.shards == report.shards_total == 10
    run(manifest, tmp_path / "alone")
    assert contents(out) == contents(tmp_path / "alone")
    assert len(TokenDataset(out)) == 40


def test_an_error_of_the_work_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    work = work_on(tmp_path / "missing.jsonl", tmp_path / "out", 0.0)
    with pytest.raises(LlasaError) as error:
        tokenize_on_ray(work, LOCAL, 1)
    assert "missing.jsonl" in str(error.value)
    assert "Traceback" not in str(error.value)


def test_what_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(LlasaError, match="workers"):
        tokenize_on_ray(TokenizeReport, workers=0)
    with pytest.raises(LlasaError, match="No Ray cluster can be reached at 'auto'"):
        tokenize_on_ray(TokenizeReport)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
