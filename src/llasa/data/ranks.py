"""Rank and world size of this process, as set by the launcher."""

from __future__ import annotations

import os
from typing import NamedTuple

from llasa.base.errors import LlasaError

_VARIABLES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),  # torchrun
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("JOB_COMPLETION_INDEX", "JOB_PARALLELISM", ""),  # an indexed Kubernetes job
)


class Place(NamedTuple):
    """Rank among `world` processes, and among those of its machine; both count from 0."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0


def own_place() -> Place:
    """The place of this process under torchrun, SLURM, MPI or Kubernetes; without these it is
    alone. Kubernetes tells a pod its index but not the number of pods: set `JOB_PARALLELISM` too.
    """
    for names in _VARIABLES:
        if all(os.environ.get(name) for name in names[:2]):
            values = [os.environ.get(name) or "0" for name in names]
            if not all(value.isdecimal() for value in values) or int(values[0]) >= int(values[1]):
                raise LlasaError(
                    f"{names[0]}={values[0]} and {names[1]}={values[1]} do not fit: the "
                    "first counts from 0 to below the second."
                )
            return Place(*map(int, values))
    return Place()
