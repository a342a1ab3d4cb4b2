"""``llasa study scaling`` on models that train in a second."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from llasa.data.shard_writer import ShardWriter
from llasa.data.shards import ShardMeta, TokenDataset
from tests.tiny_model import tiny_codec, tiny_vocabulary

from .conftest import Run

LLAMA = {
    **{"intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1},
    **{"num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True},
}
SHARDS = 6


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """Three sizes by three shares of six shards."""
    codec = tiny_codec()
    codec.save(tmp_path / "codec")
    tiny_vocabulary().save(tmp_path / "vocabulary")
    meta = ShardMeta(codec.id, 64, float(codec.frame_rate), SHARDS)
    meta.save(tmp_path / "tokens")
    for number in range(SHARDS):
        with ShardWriter(tmp_path / "tokens", number, meta) as writer:
            for row in range(3):
                writer.add("the quick brown fox", [(number + row + n) % 64 for n in range(12)])
    base = {
        "vocabulary": "vocabulary",
        "run": {"log_every": 1, "save_every": 100, "keep": 1},
        "data": {"train": ["tokens"], "valid": ["tokens"], "tokens": 200, "max_tokens": 256},
        "optimizer": {"rate": 0.01},
        "full_vocabulary": False,
    }
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "lm.yaml").write_text(yaml.safe_dump(base))
    sizes = {f"h{size:02d}": {"model": {"hidden_size": size, **LLAMA}} for size in (8, 16, 32)}
    settings = {
        **{"out": "study", "base": "lm.yaml", "models": sizes, "codec": "codec"},
        **{"shares": [0.3333, 0.6667, 1.0], "sentences": "lines.jsonl", "judges": ""},
        **{"max_seconds": 0.5, "limit": 1},
    }
    (tmp_path / "lines.jsonl").write_text('{"text": "the quick brown fox"}\n' * 1)
    path = tmp_path / "folder" / "grid.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.mark.slow
def test_a_whole_grid_goes_on_where_it_was(run: Run, grid: Path, tmp_path: Path) -> None:
    assert run("study", "scaling", grid, "--only", 4).code == 0
    first = tmp_path / "study" / "h16-067" / "result.json"
    trained = first.stat().st_mtime_ns
    assert run("study", "scaling", grid, "--report").code == 0  # one run: a page without a law
    assert "The law has 5 unknowns" in (tmp_path / "study" / "scaling.md").read_text()

    result = run("study", "scaling", grid)
    assert result.code == 0, result.err
    assert first.stat().st_mtime_ns == trained
    page = (tmp_path / "study" / "scaling.md").read_text()
    assert page == result.out.decode().removesuffix("\n")
    for part in ("h32-100", "L(N, D) = E + A / N^a + B / D^b", "Foretold", "10 times the data"):
        assert part in page
    assert (tmp_path / "study" / "scaling.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((tmp_path / "study" / "scaling.json").read_text())
    assert summary["foretold"]["run"] == "h32-100"
    assert set(summary["law"]) == set("EAaBb")

    found = {path.parent.name: json.loads(path.read_text()) for path in
             (tmp_path / "study").glob("*/result.json")}  # fmt: skip
    assert len(found) == 9
    tokens = {name: row["tokens"] for name, row in found.items()}
    assert (tokens["h08-033"], tokens["h08-067"], tokens["h08-100"]) == (72, 144, 216)
    assert found["h08-033"]["parameters"] < found["h16-033"]["parameters"]
    assert "runaways" in found["h08-033"]["measures"]
    assert found["h08-033"]["measures"]["valid/loss"][1] is None

    refused = run("study", "scaling", grid, "epochs=2").err
    assert "was begun with other settings" in refused


def test_shares_are_nested(run: Run, grid: Path, tmp_path: Path) -> None:
    for number in (0, 3, 6):
        assert run("study", "scaling", grid, "sentences=null", "--only", number).code == 0

    def texts(share: str) -> list[str]:
        return [
            path.resolve().name for path in sorted((tmp_path / "study/data" / share).glob("0*"))
        ]

    assert texts("100")[:2] == texts("033")
    assert texts("100")[:4] == texts("067")
    assert sorted(texts("100")) == [f"{number:06d}" for number in range(SHARDS)]
    assert len(TokenDataset(tmp_path / "study/data/067")) == 12


def test_an_array_job(run: Run, grid: Path) -> None:
    result = run("study", "scaling", grid, "seed=3", "--slurm")
    script = result.out.decode()
    assert "--array=0-8" in script
    assert 'seed=3 --only "$SLURM_ARRAY_TASK_ID"' in script
    assert subprocess.run(["bash", "-n"], input=result.out).returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shares=[0]"], "Shares are above 0 and at most 1"),
        (["shares=[0.331, 0.333]"], "Shares must differ by at least one percent"),
        (["shares=[0.1]"], "6 shards cannot be cut to a share of 0.1"),
        (["models={}"], "needs models and shares"),
        (["models={a: 3}"], "models.a must hold settings"),
        (["codec=null"], "needs the codec"),
        (["modles={}"], "Did you mean models"),
        (["--only", "9"], "there are runs 0 to 8"),
        (["--report"], "No run in study is finished yet."),
    ],
)
def test_what_is_refused(run: Run, grid: Path, words: list[str], message: str) -> None:
    assert message in run("study", "scaling", grid, *words).error
