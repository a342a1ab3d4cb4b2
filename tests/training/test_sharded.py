"""Checkpoints of several processes, as one process sees them; more of them in test_elastic.py."""

from __future__ import annotations

import json
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict_saver import save
from torch.multiprocessing.spawn import spawn

from llasa.base.errors import LlasaError
from llasa.training.checkpoint import checkpoints
from llasa.training.sharded import (
    NUMBERS,
    STATE_FOLDER,
    ShardedCheckpoints,
    is_sharded,
    load_sharded,
)
from llasa.training.workers import Workers

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


def state(size: int = 7, **more: Any) -> dict[str, Any]:
    return {"model": {"weight": torch.arange(float(size))}, "position": 3, **more}


def write(run: Path, steps: int = 1, keep: int = 2) -> ShardedCheckpoints:
    made = ShardedCheckpoints(run, keep, Workers(), asynchronous=False)
    for step in range(1, steps + 1):
        made.save(step, state(), lambda folder: (folder / "model").touch() or None)
    return made


def test_written_whole_and_read_again(tmp_path: Path) -> None:
    (tmp_path / ".llasa-step-00000009.tmp").mkdir()  # of a process that was killed
    write(tmp_path, steps=4)
    assert [step for step, _ in checkpoints(tmp_path)] == [3, 4]
    assert {path.name for path in tmp_path.iterdir()} == {"step-00000003", "step-00000004"}
    folder = checkpoints(tmp_path)[-1][1]
    assert is_sharded(folder)
    assert (folder / "model").exists()
    found: dict[str, Any] = {"model": {"weight": torch.zeros(7)}, "position": 0}
    load_sharded(folder, found)
    assert torch.equal(found["model"]["weight"], torch.arange(7.0))
    assert found["position"] == 3


def test_foreign(tmp_path: Path) -> None:
    write(tmp_path)
    folder = checkpoints(tmp_path)[-1][1]
    for other in (state(9), state(name=torch.zeros(2))):
        with pytest.raises(LlasaError, match="does not fit these settings") as error:
            load_sharded(folder, other)
        assert "\n" not in str(error.value)


def test_damaged(tmp_path: Path) -> None:
    write(tmp_path)
    folder = checkpoints(tmp_path)[-1][1]
    (data,) = (folder / STATE_FOLDER).glob("*.distcp")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(LlasaError, match="step-00000001 is damaged"):
        load_sharded(folder, state())
    (folder / STATE_FOLDER / ".metadata").unlink()
    with pytest.raises(LlasaError, match="step-00000001 is damaged"):
        load_sharded(folder, state())


def test_no_room(tmp_path: Path) -> None:
    """What goes wrong while the model is written leaves the older checkpoint."""
    made = write(tmp_path)

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(LlasaError, match="step-00000002 cannot be written: No space left"):
        made.save(2, state(), full)
    assert [step for step, _ in checkpoints(tmp_path)] == [1]


def blank() -> dict[str, Any]:
    return {"model": {"weight": torch.zeros(7)}, "position": 0, "rates": [0.0]}


def test_numbers_are_json(tmp_path: Path) -> None:
    write(tmp_path)
    folder = checkpoints(tmp_path)[-1][1]
    numbers = folder / STATE_FOLDER / NUMBERS
    assert json.loads(numbers.read_text()) == {"position": 3}
    numbers.write_text('{"position": "far"}')
    with pytest.raises(LlasaError, match="step-00000001 is damaged"):
        load_sharded(folder, state())


def test_older_checkpoints_hold_numbers_with_the_rest(tmp_path: Path) -> None:
    save(state(rates=[0.5]), checkpoint_id=tmp_path / STATE_FOLDER, no_dist=True)
    found = blank()
    load_sharded(tmp_path, found)
    assert found["position"] == 3
    assert found["rates"] == [0.5]
    assert torch.equal(found["model"]["weight"], torch.arange(7.0))


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.sign,)


def test_no_code_of_the_index_runs(tmp_path: Path) -> None:
    write(tmp_path)
    folder, sign = checkpoints(tmp_path)[-1][1], tmp_path / "ran"
    index = folder / STATE_FOLDER / ".metadata"
    pickle.loads(pickle.dumps(Evil(sign)))
    assert sign.exists()  # so it would be seen
    sign.unlink()
    metadata = pickle.loads(index.read_bytes())
    metadata.planner_data = Evil(sign)
    for content in (metadata, Evil(sign), {"no": "index"}):
        index.write_bytes(pickle.dumps(content))
        with pytest.raises(LlasaError, match="step-00000001 is damaged"):
            load_sharded(folder, state())
    assert not sign.exists()


def test_no_code_of_an_entry_runs(tmp_path: Path) -> None:
    sign = tmp_path / "ran"
    evil = {"model": {"weight": torch.zeros(7)}, "position": 3, "rates": Evil(sign)}
    save(evil, checkpoint_id=tmp_path / STATE_FOLDER, no_dist=True)
    with pytest.raises(LlasaError, match="is damaged"):
        load_sharded(tmp_path, {**blank(), "rates": 0.0})
    assert not sign.exists()


def test_one_that_failed_is_not_waited_for(tmp_path: Path, monkeypatch: Any) -> None:
    """Another process had no room: this one says so, and the older checkpoint stays."""
    workers = Workers()
    made = ShardedCheckpoints(tmp_path, 2, workers, asynchronous=False)
    made.save(1, state(), lambda folder: None)
    monkeypatch.setattr(workers, "any", lambda failed: True)
    with pytest.raises(LlasaError, match="step-00000002 cannot be written: another process failed"):
        made.save(2, state(), lambda folder: None)
    assert [step for step, _ in checkpoints(tmp_path)] == [1]


@pytest.mark.slow
@pytest.mark.torchrun
def test_two_processes_end_together(tmp_path: Path) -> None:
    """One has no room for its part of the model; the other one ends, too, at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(save_in_two, (tmp_path, port), 2)
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)]
    assert "step-00000002 cannot be written: another process failed" in said[0]
    assert "step-00000002 cannot be written: No space left on device" in said[1]
    assert [step for step, _ in checkpoints(tmp_path / "run")] == [1]


def save_in_two(rank: int, folder: Path, port: int) -> None:
    names = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    workers = Workers()
    made = ShardedCheckpoints(folder / "run", 2, workers, asynchronous=False)

    def write_model(partial: Path) -> None:
        if rank == 1 and "00000002" in partial.name:
            raise OSError(28, "No space left on device")

    made.save(1, state(), write_model)
    with pytest.raises(LlasaError) as error:
        made.save(2, state(), write_model)
    (folder / f"{rank}.txt").write_text(str(error.value))
    workers.close()
