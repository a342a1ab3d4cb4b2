"""Gradients averaged over processes while the backward pass is still going on."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

import torch
from torch import Tensor, nn

BUCKET = 25 << 20
"""Bytes that travel together, as in torch's `DistributedDataParallel`."""


class _Message(NamedTuple):
    work: torch.distributed.Work
    flat: Tensor
    grads: list[Tensor]


class GradientMean:
    """Within `with`, one backward pass ends with gradients averaged over all processes.

    They travel in buckets, those of the last layers first, each as soon as it is complete.
    (`DistributedDataParallel` wants one forward and one backward pass a step; a codec and its
    discriminators take two, one through the other.) The same parameters must get gradients in all
    processes.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], world: int, size: int = BUCKET) -> None:
        """`world`: the number of processes, `size`: bytes of a bucket."""
        self._world = world
        self._buckets = _buckets(parameters, size) if world > 1 else []
        self._place: dict[Tensor, int] = {
            p: place for place, bucket in enumerate(self._buckets) for p in bucket
        }
        self._missing: list[int] | None = None
        """Gradients of each bucket that are not there yet; None outside of `with`."""
        self._sent: list[_Message | None] = []
        """One a bucket; None for a bucket of parameters that take no part."""
        for parameter in self._place:
            parameter.register_post_accumulate_grad_hook(self._note)

    def __enter__(self) -> None:
        self._missing, self._sent = [len(bucket) for bucket in self._buckets], []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._missing = None
        if kind is not None:
            return
        while len(self._sent) < len(self._buckets):
            self._send()
        for work, flat, grads in filter(None, self._sent):
            work.wait()
            means = (flat / self._world).split([grad.numel() for grad in grads])
            for grad, mean in zip(grads, means, strict=True):
                grad.copy_(mean.view_as(grad))
        self._sent = []

    def _note(self, parameter: Tensor) -> None:
        """A gradient is complete: send what all processes can send in the same order."""
        if self._missing is None:
            return
        self._missing[self._place[parameter]] -= 1
        while len(self._sent) < len(self._buckets) and not self._missing[len(self._sent)]:
            self._send()

    def _send(self) -> None:
        """The next bucket."""
        bucket = self._buckets[len(self._sent)]
        grads = [parameter.grad for parameter in bucket if parameter.grad is not None]
        if not grads:
            self._sent.append(None)
            return
        flat = torch.cat([grad.flatten() for grad in grads])
        work = torch.distributed.all_reduce(flat, async_op=True)
        assert work is not None
        self._sent.append(_Message(work, flat, grads))


def _buckets(parameters: Sequence[nn.Parameter], size: int) -> list[list[nn.Parameter]]:
    """Parameters from the last to the first, in runs of about so many bytes."""
    buckets: list[list[nn.Parameter]] = []
    room = 0
    for parameter in reversed(parameters):
        if room <= 0:
            buckets.append([])
            room = size
        buckets[-1].append(parameter)
        room -= parameter.numel() * parameter.element_size()
    return buckets
