"""The processes that train together."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from llasa.base.errors import LlasaError, first_line

CONNECT = timedelta(minutes=3)
"""For processes to find each other. Under load gloo loses a handshake now and then: both ends then
wait, and only the end of this time lets torchrun start them again (seen with gdb, torch 2.13)."""
OPERATE = timedelta(minutes=30)
"""For one process to wait for another, which may be reading data or writing a checkpoint."""


class Workers:
    """The processes of one ``torchrun``; a single process without it."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", 0))
        self.world = int(os.environ.get("WORLD_SIZE", 1))
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0))
        if self.world > 1 and not torch.distributed.is_initialized():
            gpu = torch.cuda.is_available()
            backends = "cpu:gloo,cuda:nccl" if gpu else "gloo"
            torch.distributed.init_process_group(
                backends,
                store=_store(),
                rank=self.rank,
                world_size=self.world,
                timeout=CONNECT,
            )
            _wait_longer()

    def background(self) -> Any:
        """A group of the same processes for what runs beside the training, on the CPU."""
        group = torch.distributed.new_group(backend="gloo", timeout=CONNECT)
        _wait_longer(group)
        return group

    def device(self, wanted: str) -> torch.device:
        """``auto`` takes this worker's GPU if there is one."""
        if wanted == "auto":
            wanted = "cuda" if torch.cuda.is_available() else "cpu"
        if wanted == "cuda":
            wanted = f"cuda:{self.local_rank}"
        try:
            device = torch.device(wanted)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise LlasaError(
                f"Setting run.device {wanted} cannot be used: {first_line(error)}."
            ) from error
        if device.type == "cuda":
            torch.cuda.set_device(device)
        return device

    def sum(self, values: Tensor) -> Tensor:
        """Sum of a CPU tensor over all processes."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def any(self, value: bool) -> bool:
        """Whether it is true in any process."""
        return bool(self.sum(torch.tensor(int(value))))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the tensors of the first."""
        if self.world > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), 0)

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            torch.distributed.barrier()

    def close(self) -> None:
        """Leave the process group."""
        if self.world > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _store() -> Any:
    """Where the processes find each other, without what an earlier start of them left there.

    torchrun keeps one store for all its starts (torch 2.13), so that after a restart processes
    would look for those that are dead. On several nodes the starts of each are counted apart: there
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 has torchrun make a new store every time.
    """
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://", timeout=CONNECT))
    if os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        return store
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return PrefixStore(f"start-{start}", store)


def _wait_longer(group: Any = None) -> None:
    """Once all processes of a group have found each other."""
    from torch.distributed.distributed_c10d import _set_pg_timeout

    _set_pg_timeout(OPERATE, group)
