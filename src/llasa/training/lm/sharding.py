"""One model over many processes: sharded parameters (FSDP2), in one group or in copies (HSDP).

A model is sharded while it is empty, and each process then fills in its own rows of every
parameter, so that none ever holds more than its share and one other tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from llasa.base.errors import LlasaError
from llasa.base.names import whole
from llasa.training.workers import Workers

ReadRows = Callable[[str, tuple[int, ...], int, int], Tensor]
"""Of the parameter with a name and a shape, the rows from one number up to another."""


@dataclass
class ParallelSettings:
    """How the processes of ``torchrun`` share the work; nothing of it changes what is learnt.

    ``shard`` is the number of processes over which one copy of the model is spread, 0 for all: with
    8 on nodes of 8 GPUs, weights travel within a node, and only gradients between nodes (HSDP).

    ``sync`` says when the gradients of accumulated batches are exchanged: once a step (``last``),
    for which each process holds float32 gradients of the whole model meanwhile, or after each batch
    (``each``), which holds its share only. Copies always exchange theirs once a step.

    ``async_save`` writes the state of the trainer while the next steps run; it takes memory of the
    host for one more copy of each process's share.
    """

    shard: int = 0
    sync: Literal["last", "each"] = "last"
    async_save: bool = False

    def __post_init__(self) -> None:
        whole("Setting parallel.shard", self.shard, 0)


def shard(
    model: nn.Module,
    layers: Iterable[nn.Module],
    workers: Workers,
    device: torch.device,
    settings: ParallelSettings,
    bf16: bool,
) -> None:
    """Shard a model in place, each of its layers by itself; gradients are added up in float32.

    Raises `LlasaError` where the processes cannot be dealt out as the settings ask.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    group = settings.shard or workers.world
    if workers.world % group:
        raise LlasaError(
            f"Setting parallel.shard is {group}, but {workers.world} processes cannot be dealt out "
            "in groups of so many: give a number that divides them, or 0."
        )
    shape, names = (workers.world // group, group), ("replicate", "shard")
    mesh = init_device_mesh(device.type, shape, mesh_dim_names=names)
    if group == workers.world:
        mesh = mesh["shard"]
    low = torch.bfloat16 if bf16 else None
    policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32)
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    # The batch holds places in the text, which bfloat16 would blur.
    fully_shard(model, mesh=mesh, mp_policy=replace(policy, cast_forward_inputs=False))


def fill(model: nn.Module, rows: ReadRows, device: torch.device) -> None:
    """Give the empty parameters of a sharded model their values; each process makes its own rows.

    A parametrized weight is asked for by its plain name.
    """
    from torch.distributed.tensor import DTensor, Shard

    state: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if not parameter.is_meta:
            continue
        assert isinstance(parameter, DTensor)
        mesh, shape = parameter.device_mesh, tuple(parameter.shape)
        (at,) = (i for i, place in enumerate(parameter.placements) if isinstance(place, Shard))
        # The rows of process n, as `torch.chunk` deals them out.
        share = -(-shape[0] // mesh.size(at))
        first = min(share * mesh.get_local_rank(at), shape[0])
        stop = min(first + share, shape[0])
        plain = name.replace(".parametrizations.weight.original", ".weight")
        state[name] = DTensor.from_local(
            rows(plain, shape, first, stop).to(device),
            mesh,
            parameter.placements,
            run_check=False,
            shape=parameter.shape,
            stride=parameter.stride(),
        )
    model.load_state_dict(state, strict=False, assign=True)


def set_sync(model: nn.Module, last: bool, settings: ParallelSettings) -> None:
    """Say whether the coming backward pass is the last one of its step."""
    from torch.distributed.fsdp import FSDPModule

    if not isinstance(model, FSDPModule):
        return
    if settings.sync == "last":
        model.set_requires_gradient_sync(last)
    else:
        model.set_requires_all_reduce(last)


def full(value: Tensor) -> Tensor:
    """A sharded tensor as a plain one; all processes call it together."""
    whole_tensor: Any = getattr(value, "full_tensor", None)
    return value if whole_tensor is None else whole_tensor()
