"""Gradients averaged on the way back, in two real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import spawn

from llasa.training.gradient_mean import GradientMean


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2), nn.Linear(7, 7))


def loss(model: nn.Sequential, rank: int) -> torch.Tensor:
    """Another one in each process, and none of the last layer."""
    value: torch.Tensor = model[:3](torch.full((4, 3), rank + 1.0)).square().sum()
    return value


def average(rank: int, start: str, size: int, out: str) -> None:
    """Write the gradients that a process has after two passes, and after one that fails."""
    torch.distributed.init_process_group("gloo", start, rank=rank, world_size=2)
    model = network()
    mean = GradientMean([*model.parameters()], 2, size)
    loss(model, rank).backward()  # outside of it nothing is averaged
    model.zero_grad()
    with pytest.raises(ZeroDivisionError), mean:
        raise ZeroDivisionError
    for _ in range(2):
        model.zero_grad()
        with mean:
            loss(model, rank).backward()
    torch.save([p.grad for p in model.parameters()], f"{out}-{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 70, 1 << 20])
def test_all_processes_get_the_mean(tmp_path: Path, size: int) -> None:
    out = str(tmp_path / "grads")
    spawn(average, (f"file://{tmp_path}/start", size, out), nprocs=2)
    model = network()
    (sum(loss(model, rank) for rank in range(2)) / 2).backward()  # type: ignore[union-attr]
    for rank in range(2):
        found = torch.load(f"{out}-{rank}", weights_only=True)
        for grad, parameter in zip(found, model.parameters(), strict=True):
            if parameter.grad is None:
                assert grad is None
            else:
                torch.testing.assert_close(grad, parameter.grad)


def test_one_process_needs_no_mean() -> None:
    model = network()
    with GradientMean([*model.parameters()], 1):
        loss(model, 0).backward()
    assert model[0].weight.grad is not None
