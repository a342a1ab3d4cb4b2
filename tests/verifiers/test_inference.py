"""Jobs of verifiers in threads, each result in its job's place."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from llasa.verifiers.inference import BATCH, in_groups, side_by_side

torch = pytest.importorskip("torch")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_jobs_run_at_the_same_time_with_one_thread_each() -> None:
    both = threading.Barrier(2)

    def run(job: int) -> tuple[int, int]:
        both.wait(timeout=60)  # passes only where two jobs run at once
        return job, torch.get_num_threads()

    assert side_by_side(run, [0, 1, 2, 3]) == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert torch.get_num_threads() == 2
    found: list[int] = []
    new = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    new.start()
    new.join()
    assert found == [2]


@pytest.mark.usefixtures("two_threads")
def test_an_error_of_a_job_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda job: 1 // job, [1, 0, 2])
    assert side_by_side(lambda job: job, ["one"]) == ["one"]


def test_groups_share_a_key() -> None:
    seen: list[list[int]] = []

    def run(clips: list[np.ndarray]) -> list[int]:
        seen.append([len(clip) for clip in clips])
        return [10 * len(clip) for clip in clips]

    clips = [np.zeros(length, np.float32) for length in (3, 5, *[3] * BATCH)]
    assert in_groups(clips, len, run) == [10 * len(clip) for clip in clips]
    assert seen == [[3] * BATCH, [3], [5]]
