"""Recipes of the paper's sizes: settings that load, with the paper's numbers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from llasa.training.codec.settings import CodecTraining
from llasa.training.config import load_settings
from llasa.training.lm.settings import LMTraining

RECIPES = Path(__file__).parents[2] / "recipes"
SIZES = ["1b", "3b", "8b"]


@pytest.mark.parametrize("size", SIZES)
def test_language_models(size: str) -> None:
    """Paper section 4.2.1 and the released config."""
    settings = load_settings(LMTraining, RECIPES / f"llasa-{size}" / "lm.yaml", [])
    data, optimizer, schedule = settings.data, settings.optimizer, settings.schedule
    assert (data.epochs, data.global_tokens, data.max_tokens) == (3, 1 << 21, 2048)
    assert (optimizer.rate, optimizer.betas) == (5e-5, (0.9, 0.95))
    assert (optimizer.weight_decay, optimizer.clip) == (0.01, 1.0)
    assert (schedule.kind, schedule.warmup_ratio, schedule.final) == ("cosine", 0.03, 0.1)
    assert settings.run.bf16
    assert settings.full_vocabulary


def test_codec() -> None:
    """The released settings; the perceptual loss comes in the last seventh of the run."""
    settings = load_settings(CodecTraining, RECIPES / "xcodec2" / "codec.yaml", [])
    loss, schedule = settings.loss, settings.schedule
    assert (loss.mel, loss.adversarial, loss.feature_matching, loss.semantic) == (15, 1, 1, 5)
    assert loss.perceptual > 0
    assert 7 * loss.perceptual_from == 6 * settings.run.steps
    assert (settings.optimizer.rate, settings.optimizer.betas) == (1e-4, (0.8, 0.9))
    assert (schedule.kind, schedule.warmup, schedule.decay) == ("codec", 3000, 400_000)
    assert settings.data.seconds == 6.0


@pytest.mark.parametrize("size", SIZES)
def test_every_folder_says_how(size: str) -> None:
    text = (RECIPES / f"llasa-{size}" / "README.md").read_text()
    assert f"llasa train plan recipes/llasa-{size}" in text


def test_cluster_files() -> None:
    """What can be checked without a cluster: shell and YAML, and one number of nodes in each."""
    script = RECIPES / "cluster" / "train.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    service, job = yaml.safe_load_all((RECIPES / "cluster" / "train.yaml").read_text())
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    spec = job["spec"]
    assert spec["completions"] == spec["parallelism"] == 8
    (container,) = spec["template"]["spec"]["containers"]
    assert "--nnodes=8" in container["command"]
    # torchrun itself ends before it is killed.
    assert "--shutdown-timeout=280" in container["command"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 280
    text = script.read_text()
    (allowed,), (waited,) = (re.findall(rf"{name}(\d+)", text) for name in ("TERM@", "timeout "))
    assert int(allowed) > int(waited)
    host = f"{job['metadata']['name']}-0.{service['metadata']['name']}:29500"
    assert f"--rdzv-endpoint={host}" in container["command"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
