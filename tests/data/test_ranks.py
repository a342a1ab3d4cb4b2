"""Where a process stands, by the variables of whatever started it."""

from __future__ import annotations

import pytest

from llasa.base.errors import LlasaError
from llasa.data.ranks import own_place


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (0, 1, 0)),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, (3, 8, 1)),
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "6", "SLURM_LOCALID": "2"}, (5, 6, 2)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 2, 0)),
        ({"JOB_COMPLETION_INDEX": "7", "JOB_PARALLELISM": "9"}, (7, 9, 0)),
        ({"JOB_COMPLETION_INDEX": "7"}, (0, 1, 0)),
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, (1, 2, 0)),
    ],
)
def test_place(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: tuple[int, int, int]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert own_place() == expected


@pytest.mark.parametrize("rank", ["2", "x", "-1"])
def test_nonsense(monkeypatch: pytest.MonkeyPatch, rank: str) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LlasaError, match=f"RANK={rank} and WORLD_SIZE=2 do not fit"):
        own_place()
